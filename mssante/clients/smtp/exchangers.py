"""Which hosts take mail for a domain: a configured route, else its MX records (RFC 5321 section 5).

DNS proves nothing here: who answers must show the certificate that the white list names.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

SMTP_PORT: Final = 25
_RESOLVER_SECONDS: Final = 15.0
_MOST_HOSTS: Final = 10


@dataclass(frozen=True, slots=True)
class Host:
    """Where to connect."""

    name: str
    port: int = SMTP_PORT


class NoExchanger(Exception):
    """Nobody takes mail for the domain, and no other time would help; or nobody can say now.

    Attributes:
        status: enhanced status code; its class tells whether to try again.
        why: for listings.
    """

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Exchangers:
    """Finds the hosts of domains."""

    def __init__(
        self,
        routes: Mapping[str, Host],
        resolver: dns.asyncresolver.Resolver | None = None,
    ) -> None:
        """Args:
        routes: by domain, lower case: where DNS is not asked.
        resolver: by default the system's.
        """
        self._routes = routes
        self._resolver = resolver

    async def hosts_of(self, domain: str) -> list[Host]:
        """The hosts to try, in order.

        Raises:
            NoExchanger: there is none.
        """
        route = self._routes.get(domain)
        if route is not None:
            return [route]
        try:
            answer = await self._resolve(domain)
        except dns.resolver.NXDOMAIN:
            raise NoExchanger("5.1.2", "the domain does not exist in DNS") from None
        except dns.resolver.NoAnswer:
            return [Host(domain)]  # section 5.1: the domain itself is its host
        except (dns.exception.DNSException, OSError) as error:
            raise NoExchanger("4.4.3", f"DNS does not answer: {type(error).__name__}") from None
        records = [(record.preference, str(record.exchange).rstrip(".")) for record in answer]
        if records == [(0, "")]:
            raise NoExchanger("5.1.10", "the domain takes no mail")  # RFC 7505
        # Equal ones in any order, so that the load is shared.
        found = sorted((preference, random.random(), name) for preference, name in records if name)  # noqa: S311
        return [Host(name) for _, _, name in found[:_MOST_HOSTS]]

    async def _resolve(self, domain: str) -> dns.resolver.Answer:
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver()
            self._resolver.cache = dns.resolver.LRUCache()
        return await self._resolver.resolve(
            domain, dns.rdatatype.MX, lifetime=_RESOLVER_SECONDS, search=False
        )
