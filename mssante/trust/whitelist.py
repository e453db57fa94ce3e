"""Who may speak for which domain, and when a new white list takes the place of the present one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mssante.kernel.clock import Clock
from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.whitelist.model import WhiteList
from mssante.wire.whitelist.reader import WhiteListRefused
from mssante.wire.x500 import DistinguishedName


@dataclass(frozen=True, slots=True)
class Standing:
    """The white list that is in force."""

    generated: datetime
    imported: datetime
    domains: int
    listings: int
    signed: bool
    """A signature stood in it; verified where there is a `signer`."""
    digest: str
    """SHA-256 of the file, in hex: ANS publishes it beside the list."""
    signer: str = ""
    """Who signed it (RFC 4514)."""
    source: str = ""
    """The URL from where it was fetched; empty for a file that was imported."""
    confirmed: datetime | None = None
    """When `source` last said that this is its list."""
    etag: str = ""
    """Of the source's answer, for its next conditional request (RFC 9110 section 13)."""
    last_modified: str = ""

    @property
    def known_until(self) -> datetime:
        """The last instant at which this was certainly the list: what its age counts from.

        A date of generation in the future makes no list younger than its import.
        """
        generated = min(self.generated, self.imported)
        return max(generated, self.confirmed or generated)


class TrustedSpace(Protocol):
    """The white list in force; each call is an indexed read, so a new list counts at once in every
    process. Without a list nobody is trusted.
    """

    async def operators_of(self, domain: str) -> frozenset[DistinguishedName]:
        """The certificate names that may speak for a domain (A-labels, without case)."""
        ...

    async def domains_of(self, operator: DistinguishedName) -> frozenset[str]:
        """The domains that a certificate's name may speak for; empty: it is not listed."""
        ...

    async def known_until(self) -> datetime | None:
        """The last instant at which the list in force was certainly current; None without one."""
        ...


@dataclass(frozen=True, slots=True)
class AgeLimit:
    """The age from which the white list is believed no more: nothing comes in, nothing goes out,
    until it is refreshed. Both doors to other operators ask before each message.
    """

    space: TrustedSpace
    clock: Clock
    limit: timedelta | None
    """None: a list never becomes too old."""

    async def check(self) -> None:
        """Let pass while the list is young enough, or there is none (then nobody is listed).

        Raises:
            Refusal: WHITE_LIST_OUTDATED, to be tried again later.
        """
        if self.limit is None:
            return
        known = await self.space.known_until()
        if known is not None and self.clock.now() - known > self.limit:
            raise Refusal(Reason.WHITE_LIST_OUTDATED, f"white list of {known:%Y-%m-%dT%H:%M:%SZ}")


@dataclass(frozen=True, slots=True)
class Difference:
    """What a new list would change."""

    added: tuple[str, ...]
    """Domains, sorted."""
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    """Domains whose set of operators is another."""

    @classmethod
    def between(cls, present: WhiteList | None, new: WhiteList) -> "Difference":
        """Compare two lists by domain."""
        before = _operators(present) if present else {}
        after = _operators(new)
        both = before.keys() & after.keys()
        return cls(
            _sorted(after.keys() - before.keys()),
            _sorted(before.keys() - after.keys()),
            _sorted(domain for domain in both if before[domain] != after[domain]),
        )


def check_replacement(present: WhiteList | None, new: WhiteList, *, force: bool = False) -> None:
    """Judge whether a list that was read may take the place of the present one.

    Args:
        present: the list in force, if there is one.
        new: the candidate, its signature verified.
        force: take a list that loses more than half of the domains.

    Raises:
        WhiteListRefused: ``older`` or ``halved``.
    """
    if present is None:
        return
    if new.generated < present.generated:
        raise WhiteListRefused(
            "older", f"it is of {new.generated:%Y-%m-%dT%H:%M:%SZ}, older than the present one"
        )
    kept = len(present.domains & new.domains)
    if 2 * kept < len(present.domains) and not force:
        raise WhiteListRefused(
            "halved",
            f"it keeps {kept} of {len(present.domains)} domains; --force takes it all the same",
        )


def _operators(white_list: WhiteList) -> dict[str, set[DistinguishedName]]:
    found: dict[str, set[DistinguishedName]] = {}
    for listing in white_list.listings:
        found.setdefault(listing.domain, set()).add(listing.operator)
    return found


def _sorted(domains: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(domains))
