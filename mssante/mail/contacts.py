"""Authorised contacts: to whom a patient may write, and until when.

A professional's message to a patient opens a contact: the addresses of Reply-To where there are any,
else those of From. The patient may answer and write anew until the contact is closed:

- ``X-MSS-MES: FIN`` on a message closes the contacts that this message would have opened;
- a message whose subject is exactly ``[FIN]`` closes every contact that its author opened before.

Whoever ends a contact may end what it opened itself; and an author that is itself the contact ends it
whoever opened it. A later message of the author opens again.

What a message says becomes *marks*: the latest opening and the latest closing are kept for each pair of
contact and author, with the instant when the message was accepted. So the outcome does not depend on
the order in which messages are delivered, nor on how often. Of two marks of one instant the message with
the greater id counts as later: arbitrary, but the same everywhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from functools import lru_cache
from typing import Final, NamedTuple

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.wire.mime.address_lists import read_addresses
from mssante.wire.mime.addresses import parse_address
from mssante.wire.mime.encoded_words import decode_encoded_words
from mssante.wire.mime.headers import fields, unfold

MOST_CONTACTS: Final = 10
"""Contacts that one message opens; further addresses are passed over."""
_FIN_SUBJECT: Final = "[FIN]"
_FIN_VALUE: Final = b"FIN"


@unique
class Ending(StrEnum):
    """How a message closes contacts."""

    HEADER = "X-MSS-MES: FIN"
    SUBJECT = "[FIN]"


@unique
class MarkKind(StrEnum):
    """What a message leaves."""

    OPENED = "opened"
    CLOSED = "closed"
    RECEIPT_ASKED = "receipt-asked"
    """A read receipt may go there, even when the contact is closed."""


@dataclass(frozen=True, slots=True, repr=False)
class Mark:
    """One thing that a message says about contacts."""

    kind: MarkKind
    contact: Address | None
    """None: whatever the contact."""
    author: Address | None
    """None: whoever opened it."""


@dataclass(frozen=True, slots=True, repr=False)
class Correspondence:
    """What the header of a professional's message says to the patient's contacts."""

    authors: tuple[Address, ...]
    """Of From."""
    contacts: tuple[Address, ...]
    """Of Reply-To where it has any, else of From."""
    receipts: tuple[Address, ...]
    """Of Disposition-Notification-To."""
    ending: Ending | None

    @property
    def author(self) -> Address:
        """The first of them: it opens and closes."""
        return self.authors[0]

    @property
    def addresses(self) -> frozenset[str]:
        """Keys of all under which the patient may have blocked the sender."""
        return frozenset(one.key for one in (*self.authors, *self.contacts))

    def marks(self) -> Iterator[Mark]:
        """What is to be kept."""
        match self.ending:
            case None:
                for contact in self.contacts:
                    yield Mark(MarkKind.OPENED, contact, self.author)
            case Ending.HEADER:
                for contact in self.contacts:
                    own = contact.key == self.author.key
                    yield Mark(MarkKind.CLOSED, contact, None if own else self.author)
            case Ending.SUBJECT:
                yield Mark(MarkKind.CLOSED, None, self.author)
                yield Mark(MarkKind.CLOSED, self.author, None)
        for asked in self.receipts:
            yield Mark(MarkKind.RECEIPT_ASKED, asked, self.author)


def read_correspondence(header: bytes) -> Correspondence | None:
    """Read a header block; None where From names nobody."""
    values: dict[bytes, list[bytes]] = {}
    for field in fields(header):
        values.setdefault(field.name.lower(), []).append(
            unfold(header[field.value_start : field.stop])
        )
    authors = _addresses(values.get(b"from", ()))
    if not authors:
        return None
    return Correspondence(
        authors=authors,
        # A Reply-To without any address cannot be answered to: then From counts.
        contacts=_addresses(values.get(b"reply-to", ())) or authors,
        receipts=_addresses(values.get(b"disposition-notification-to", ())),
        ending=_ending(values),
    )


def _ending(values: dict[bytes, list[bytes]]) -> Ending | None:
    """The subject first: it closes more. It counts as a reader sees it, encoded words decoded."""
    if any(decode_encoded_words(each) == _FIN_SUBJECT for each in values.get(b"subject", ())):
        return Ending.SUBJECT
    return Ending.HEADER if _FIN_VALUE in values.get(b"x-mss-mes", ()) else None


@lru_cache(maxsize=4096)
def _known_address(text: str) -> Address:
    """The full check costs 25 microseconds, and the same authors come again and again."""
    return parse_address(text)


def _addresses(written: Iterable[bytes]) -> tuple[Address, ...]:
    """Well-formed addresses, each once."""
    found: dict[str, Address] = {}
    for value in written:
        for entry in read_addresses(value):
            if len(found) >= MOST_CONTACTS:
                return tuple(found.values())
            if entry.mailbox and entry.host:
                try:
                    address = _known_address(f"{entry.mailbox.decode()}@{entry.host.decode()}")
                except ValueError:
                    continue
                found.setdefault(address.key, address)
    return tuple(found.values())


# --- what is kept ---------------------------------------------------------------------------------


class Moment(NamedTuple):
    """When a message was accepted, in the order that counts."""

    at: int
    """Milliseconds, UTC."""
    message: bytes
    """Its spool id."""


@dataclass(frozen=True, slots=True)
class KeptMarks:
    """The latest marks on one pair of contact and author."""

    contact: OpaqueId | None
    """Token of the address; None: whatever the contact."""
    author: OpaqueId | None
    opened: Moment | None = None
    closed: Moment | None = None
    receipt_asked_at: int | None = None
    cause: str = ""
    """Of the closing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a patient stands to an address."""

    is_open: bool = False
    """An authorised contact: the patient may answer and write anew."""
    since: Moment | None = None
    """The latest message that opened it."""
    wrote_at: int | None = None
    """When it last opened or closed the contact; milliseconds, UTC."""
    receipt_asked: bool = False
    """Somebody asked for a read receipt to this address."""
    closed: Moment | None = None
    """Of a contact that is not open: the latest closing."""
    cause: str = ""
    """How it was closed."""


def standing(contact: OpaqueId, kept: Iterable[KeptMarks]) -> Standing:
    """Judge one contact by the marks on it and those that hold for every contact.

    Args:
        contact: token of the address.
        kept: of one patient, at least those whose contact is `contact` or None.
    """
    rows = list(kept)
    everywhere = [row for row in rows if row.contact is None and row.closed is not None]
    own = [row for row in rows if row.contact == contact]
    by_anybody = [row for row in own if row.author is None and row.closed is not None]
    opened: list[Moment] = []
    closed: list[tuple[Moment, str]] = []
    for row in own:
        endings = [
            (one.closed, one.cause)
            for one in (
                row,
                *by_anybody,
                *(each for each in everywhere if each.author == row.author),
            )
            if one.closed is not None
        ]
        closed += endings
        if row.opened is not None and all(row.opened > moment for moment, _ in endings):
            opened.append(row.opened)
    last, cause = max(closed, default=(None, "")) if not opened else (None, "")
    written = [moment.at for row in own for moment in (row.opened, row.closed) if moment]
    return Standing(
        is_open=bool(opened),
        since=max((row.opened for row in own if row.opened is not None), default=None),
        wrote_at=max(written, default=None),
        receipt_asked=any(row.receipt_asked_at is not None for row in own),
        closed=last,
        cause=cause,
    )


@dataclass(frozen=True, slots=True, repr=False)
class ContactLine:
    """A contact or a block, for the patient and for an administrator."""

    address: Address
    is_open: bool
    opened_at: datetime | None
    closed_at: datetime | None
    cause: str
    """Of the closing."""
    blocked_at: datetime | None
