"""The white list as a value."""

from dataclasses import dataclass
from datetime import datetime

from mssante.wire.x500 import DistinguishedName


@dataclass(frozen=True, slots=True, order=False)
class Listing:
    """One operator certificate's name that may speak for one domain."""

    domain: str
    """Lower case, A-labels (RFC 5890)."""
    operator: DistinguishedName
    description: str = ""


@dataclass(frozen=True, slots=True)
class WhiteList:
    """Who may speak for which domain, at one moment."""

    generated: datetime
    """``DateDeGeneration``; the entries' ``DateMAJ`` may be later and orders nothing."""
    listings: tuple[Listing, ...]
    """Each pair of domain and operator once, in the order of the file."""
    signed: bool
    """Whether a ``ds:Signature`` stands in it."""
    signer: str = ""
    """Who signed it, as a name of RFC 4514, where the signature was verified; see
    ``trust/list_signature``."""

    @property
    def domains(self) -> frozenset[str]:
        """All listed domains."""
        return frozenset(listing.domain for listing in self.listings)
