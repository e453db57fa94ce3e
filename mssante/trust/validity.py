"""How long certificates are still good, as an administrator sees them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mssante.trust.anchors import read_certificates
from mssante.trust.names import name_of
from mssante.wire.x500 import DistinguishedName

WARNINGS: Final = (1, 7, 14, 30)
"""Days before the end at which a warning is due."""


@dataclass(frozen=True, slots=True)
class Described:
    """A certificate."""

    subject: DistinguishedName
    issuer: DistinguishedName
    not_before: datetime
    not_after: datetime

    def days_left(self, at: datetime) -> int:
        """Whole days until it expires; negative when it has."""
        return (self.not_after - at).days

    def warning_due(self, at: datetime) -> int | None:
        """The warning that is due at an instant, one of `WARNINGS`; 0 when it has expired."""
        if at > self.not_after:
            return 0
        left = self.not_after - at
        return next((days for days in WARNINGS if left.total_seconds() <= days * 86_400), None)


def described(octets: bytes) -> tuple[Described, ...]:
    """The certificates in a file.

    Raises:
        Unreadable: there is none.
    """
    return tuple(
        Described(
            name_of(each.subject),
            name_of(each.issuer),
            each.not_valid_before_utc,
            each.not_valid_after_utc,
        )
        for each in read_certificates(octets)
    )


def first_to_end(certificates: Iterable[Described]) -> Described:
    """Of a chain that is served together, the one that ends first."""
    return min(certificates, key=lambda each: each.not_after)
