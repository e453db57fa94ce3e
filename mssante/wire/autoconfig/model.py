"""What a mail client must be told, whatever the format."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

UserName = Literal["address", "local-part"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host, as an A-label or an address, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Door:
    """A way in, with its kind of TLS; there is none without."""

    endpoint: Endpoint
    implicit_tls: bool
    """From the first octet; otherwise STARTTLS."""


@dataclass(frozen=True, slots=True)
class MailService:
    """The ways in of one operator; those that are not served are None."""

    name: str
    """For people."""
    imaps: Endpoint | None = None
    imap: Endpoint | None = None
    submissions: Endpoint | None = None
    submission: Endpoint | None = None
    user_name: UserName = "address"
    """What to sign in with."""

    def incoming(self) -> Iterator[Door]:
        """Ways to read mail, the preferred one first (RFC 8314 section 3: implicit TLS)."""
        yield from _doors(self.imaps, self.imap)

    def outgoing(self) -> Iterator[Door]:
        """Ways to send mail, the preferred one first."""
        yield from _doors(self.submissions, self.submission)

    def user_name_of(self, address: str) -> str:
        """What the owner of an address signs in with."""
        return address if self.user_name == "address" else address.rpartition("@")[0]


def _doors(implicit: Endpoint | None, starttls: Endpoint | None) -> Iterator[Door]:
    if implicit is not None:
        yield Door(implicit, implicit_tls=True)
    if starttls is not None:
        yield Door(starttls, implicit_tls=False)


def domain_of(address: str) -> str:
    """The domain of an address as it was typed, in lower case; empty where there is none."""
    local, at, domain = address.strip().rpartition("@")
    return domain.lower().rstrip(".") if local and at else ""
