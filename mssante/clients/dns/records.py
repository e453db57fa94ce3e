"""Looks up what is published under names, as zone files write it."""

from ipaddress import ip_address
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver

_SECONDS: Final = 10.0
"""For one question, all servers and repetitions together."""
_TEXTUAL: Final = frozenset({"TXT"})


class LookupFailed(Exception):
    """DNS gives no answer now; the message says why."""


class Lookup:
    """Asks the system's resolver, or another."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver or dns.asyncresolver.Resolver()

    @classmethod
    def at(cls, server: str) -> "Lookup":
        """Asks one server: ``192.0.2.1``, ``192.0.2.1:5353`` or ``[2001:db8::1]:5353``.

        Raises:
            ValueError: it is none of these.
        """
        if server.startswith("[") or server.count(":") == 1:
            host, _, port = server.rpartition(":")
        else:
            host, port = server, "53"
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [str(ip_address(host.strip("[]")))]
        resolver.port = int(port)
        return cls(resolver)

    async def values(self, name: str, kind: str) -> list[str]:
        """The values of a name, in lower case but for texts; empty where there are none.

        A question for addresses follows CNAME records, one for CNAME does not.

        Raises:
            LookupFailed: nobody answers.
        """
        try:
            answer = await self._resolver.resolve(name, kind, lifetime=_SECONDS, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(type(error).__name__) from None
        texts = [record.to_text() for record in answer]
        return sorted(texts if kind in _TEXTUAL else map(str.lower, texts))

    async def addresses(self, name: str) -> list[str]:
        """IPv4 and IPv6 addresses of a host.

        Raises:
            LookupFailed: nobody answers.
        """
        return sorted({value for kind in ("A", "AAAA") for value in await self.values(name, kind)})
