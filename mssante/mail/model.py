"""Messages, folders and spool entries as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntFlag, StrEnum, unique
from typing import Final, NamedTuple

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.wire.mime.scanner import Part
from mssante.wire.smtp.notifications import UNASKED, DeliveryRequest, Return


class Flags(IntFlag):
    """System flags (RFC 9051 section 2.3.2) as bits; keywords use bits 8 to 61, named by folder."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


SYSTEM_FLAGS: Final = 0x1F
FIRST_KEYWORD_BIT: Final = 8
LAST_KEYWORD_BIT: Final = 61


@unique
class SpecialUse(StrEnum):
    """Purposes of a folder (RFC 6154)."""

    SENT = "\\Sent"
    DRAFTS = "\\Drafts"
    TRASH = "\\Trash"
    JUNK = "\\Junk"
    ARCHIVE = "\\Archive"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where a body's ciphertext lies and the wrapped key that opens it."""

    segment: str
    offset: int
    length: int
    """Of the plaintext, in bytes."""
    wrapped_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a mailbox."""

    number: int
    """Internal key of its rows; never reused."""
    id: OpaqueId
    """MAILBOXID (RFC 8474)."""
    mailbox_id: OpaqueId
    name: str
    """Unicode, levels separated by ``/``; INBOX in capitals."""
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    recent_from: int
    """The least UID of which no session was told: from it on, messages are recent."""
    special_use: SpecialUse | None
    subscribed: bool
    keywords: tuple[str, ...]
    """keywords[i] is the name of bit FIRST_KEYWORD_BIT + i."""


class FolderRow(NamedTuple):
    """One message in one folder, as the folder's view keeps it.

    A tuple, because a folder is read as many thousands of them and they are quick to make.
    """

    uid: int
    flags: int
    modseq: int
    internal_date: int
    """Milliseconds since the epoch, UTC."""
    size: int
    """RFC822.SIZE: prefix and message."""
    message_id: OpaqueId
    """EMAILID (RFC 8474), key of the content."""


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """What changed in a folder since a modseq; with 0, the whole folder."""

    rows: Sequence[FolderRow]
    """New or changed, ascending UID."""
    expunged: Sequence[int]
    """UIDs expunged since, ascending."""
    uidnext: int
    highestmodseq: int
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """Counts for STATUS (RFC 9051 section 6.3.11)."""

    messages: int
    unseen: int
    uidnext: int
    uidvalidity: int
    highestmodseq: int
    size: int
    deleted: int
    recent: int
    """Messages of which no session was told (RFC 3501 section 6.3.10)."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What a FETCH needs of one message, computed at delivery; the body comes from `blob`."""

    id: OpaqueId
    prefix: bytes
    """What we put before the message: Return-Path, Received, Authentication-Results; CRLF lines."""
    summary: bytes
    """``wire.mime.summary.MessageSummary.encode()``: ENVELOPE, BODYSTRUCTURE, header, offsets."""
    blob: BlobRef


@unique
class FlagOperation(StrEnum):
    """How STORE changes flags."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What S/MIME said about a message when it was delivered: kept as long as the message."""

    judged_at: datetime
    verdict: str
    reason: str
    decryption: str | None
    """None where nothing is encrypted."""
    details: bytes = field(repr=False)
    """JSON: signer and warnings; sealed at rest."""
    original: BlobRef | None = None
    """The message as it came, where the delivered one was opened for its reader."""


@dataclass(frozen=True, slots=True)
class Seal:
    """The mailbox's signature that the server itself put on what a member submitted."""

    address: str = field(repr=False)
    serial: str
    """Of the certificate, hexadecimal."""
    issuer: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope and the facts of the session that accepted the message."""

    sender: Address | None
    """None is the null reverse-path."""
    recipients: tuple[Address, ...]
    account_id: OpaqueId | None
    """Who submitted; None for what the server itself writes."""
    mailbox_id: OpaqueId | None
    """The mailbox that was open in the submitting session."""
    client: str
    """How the client named itself in EHLO, checked for syntax."""
    protocol: str
    """ESMTPSA or ESMTPS, for the Received field (RFC 3848)."""
    tls: str
    """Protocol and cipher, for the Received field."""
    body_8bit: bool = False
    smtputf8: bool = False
    require_tls: bool = False
    """The sender wants it back rather than carried without TLS (RFC 8689)."""
    operator: str = ""
    """Name in the client certificate of the operator that sent it; empty for what is submitted here."""
    seal: Seal | None = None
    """None for what the server did not seal."""
    returns: Return | None = None
    """How much the sender wants back of what fails (RFC 3461 section 4.3)."""
    envid: str = ""
    """The sender's name for this envelope, in xtext (RFC 3461 section 4.4)."""
    requests: Mapping[str, DeliveryRequest] = field(default_factory=dict)
    """By address key: what was asked for a recipient; absent where nothing was."""

    def request_for(self, recipient: Address) -> DeliveryRequest:
        """What the sender wants to hear of a recipient."""
        return self.requests.get(recipient.key, UNASKED)


@unique
class Wish(StrEnum):
    """What an administrator wants of a message on its way."""

    HOLD = "hold"
    """Not to be tried until told otherwise."""
    DROP = "drop"
    """To be given up, and its sender told."""
    DISCARD = "discard"
    """To be given up in silence."""


@dataclass(frozen=True, slots=True, repr=False)
class Admitted:
    """A message that a door takes, in the form in which it is kept."""

    content: bytes
    root: Part | None
    """Its structure, where it is kept as it was judged."""


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """An accepted message, ours until every effect is recorded."""

    id: OpaqueId
    accepted_at: datetime
    envelope: Envelope
    blob: BlobRef
    attempts: int = 0
    wish: Wish | None = None
    """DROP or DISCARD: to be given up."""
    content: bytes | None = field(default=None, repr=False, compare=False)
    """The bytes of `blob`, where they are at hand because it was accepted just now."""
    root: Part | None = field(default=None, repr=False, compare=False)
    """The structure of `content`, where the door has found it."""
