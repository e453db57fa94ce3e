"""What the mail room needs of the disk; ``storage`` provides it.

Every method that changes something returns when the change is durable.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mssante.access.audit import AuditEntry
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.mail.contacts import Correspondence, Standing
from mssante.mail.model import (
    BlobRef,
    Envelope,
    Evidence,
    FlagOperation,
    Folder,
    FolderChanges,
    FolderRow,
    FolderStatus,
    SpecialUse,
    SpoolEntry,
    StoredMessage,
)
from mssante.mail.relay import Attempt, RelayOrder
from mssante.mail.tracing import Confirmation, Traced
from mssante.wire.mime.scanner import Part


class RelayQueue(Protocol):
    """Messages on their way to other operators, of one worker."""

    async def order(self, orders: Sequence[RelayOrder]) -> None:
        """Keep new orders; durable on return. One whose id is there already is left alone, also
        when it is done: the journey that makes it may be repeated.
        """
        ...

    async def due(self, limit: int, passing_over: Collection[str] = ()) -> list[RelayOrder]:
        """Orders whose time has come and that no task of this process carries yet: the more urgent
        first, then the older; none to the domains `passing_over` but what an administrator gives up.
        """
        ...

    async def record(self, order: RelayOrder, *, tried: bool) -> None:
        """Keep what became of an order; durable on return. It is not carried any more, unless it
        has something to tell.

        Args:
            order: as it is now.
            tried: after an attempt, whose end is audited; False once its report is written.
        """
        ...

    async def set_aside(self, order_id: OpaqueId, why: str) -> None:
        """Stop trying: an order that fails by our own fault again and again waits for a person."""
        ...

    def release(self, order_id: OpaqueId) -> None:
        """No task of this process carries the order any more; it stays due."""
        ...


class Carrier(Protocol):
    """Takes messages to other operators."""

    async def carry(self, order: RelayOrder) -> Attempt:
        """Try once to hand a message over to a host of the order's domain, for each recipient that
        waits. Whatever the network or the peer does is an outcome, not an exception.
        """
        ...


class Spool(Protocol):
    """Accepted messages of one worker (or, in the cluster, of all)."""

    @property
    def relays(self) -> RelayQueue:
        """Where this worker's messages to other operators wait."""
        ...

    async def accept(
        self, envelope: Envelope, content: bytes, root: Part | None = None
    ) -> SpoolEntry:
        """Keep a message; durable on return: 250 may be said.

        Args:
            envelope: who sends, and to whom.
            content: the message.
            root: its structure, where it is known.
        """
        ...

    async def due(self, limit: int) -> list[SpoolEntry]:
        """Entries whose time has come and that no task of this process carries yet, oldest first."""
        ...

    async def finish(self, entry_id: OpaqueId) -> None:
        """Forget an entry whose effects are all recorded. Losing this in a crash is harmless."""
        ...

    async def defer(self, entry_id: OpaqueId, delay: timedelta, why: str) -> None:
        """Try again later; `why` is free of content and INS."""
        ...

    async def set_aside(self, entry_id: OpaqueId, why: str) -> None:
        """Stop trying: an entry that fails by our own fault again and again waits for a person."""
        ...


class Blobs(Protocol):
    """Message bodies, encrypted, in append-only segments."""

    async def put(self, content: bytes) -> BlobRef:
        """Keep bytes; durable on return."""
        ...

    def read(self, ref: BlobRef, start: int = 0, stop: int | None = None) -> bytes:
        """Plaintext bytes [start, stop) of a blob; decrypts only the chunks that it needs.

        Raises:
            BlobUnreadable: bytes are missing or were tampered with.
        """
        ...


class BlobUnreadable(Exception):
    """A body cannot be read back: missing segment, or the authentication tag does not match."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to put into the inboxes of local recipients."""

    spool_id: OpaqueId
    """First half of the effect key; the mailbox id is the second."""
    message: StoredMessage
    size: int
    received_at: datetime
    mailbox_ids: tuple[OpaqueId, ...]
    kind: str = "deliver"
    """Part of the effect key: ``deliver``, or another word for what we write to the sender."""
    evidence: Evidence | None = None
    """Written with the message."""
    admission: AuditEntry | None = None
    """Recorded once with the first effect: the journal alone has witnessed it until then."""
    facts: Mapping[str, str | int] = field(default_factory=dict)
    """For the audit of each delivery."""
    traced: Traced | None = None
    """Kept with the admission."""
    confirmation: Confirmation | None = None
    """What the message, being a report, says about one that its reader sent."""
    correspondence: Correspondence | None = None
    """What the message says to the contacts of the patients who receive it; None: nothing."""
    patients: frozenset[OpaqueId] = frozenset()
    """Those of `mailbox_ids` that are patients'."""
    not_activated: frozenset[OpaqueId] = frozenset()
    """Those of `patients` that are to be invited."""
    refused: Mapping[OpaqueId, str] = field(default_factory=dict)
    """Mailboxes that do not receive the message after all, with the precise reason for the audit."""


class Deliveries(Protocol):
    """The effect of delivery: keyed, once."""

    async def deliver(self, delivery: Delivery) -> None:
        """Add the message to each INBOX in one transaction with its effect keys and audit.

        A mailbox whose effect key is already there is left alone. There may be no mailbox: then
        only the admission is recorded.
        """
        ...


class Contacts(Protocol):
    """To whom patients may write, and from whom they want nothing. Deliveries open and close."""

    async def standing(self, mailbox_id: OpaqueId, address: Address) -> Standing:
        """How the patient of a mailbox stands to an address now."""
        ...

    async def is_blocked(
        self, mailbox_id: OpaqueId, senders: Collection[str], at: datetime
    ) -> bool:
        """Whether the patient had blocked one of the `senders` (address keys) at an instant."""
        ...


class Mailboxes(Protocol):
    """Folders and their messages, as IMAP and the portal see them."""

    async def open_mailbox(self, mailbox_id: OpaqueId) -> None:
        """Create INBOX and the special-use folders where they do not exist yet."""
        ...

    async def folders(self, mailbox_id: OpaqueId) -> list[Folder]:
        """All folders of a mailbox, INBOX first, then by name."""
        ...

    async def folder(self, mailbox_id: OpaqueId, name: str) -> Folder | None:
        """One folder by name (INBOX without case)."""
        ...

    async def create_folder(
        self, mailbox_id: OpaqueId, name: str, special_use: SpecialUse | None = None
    ) -> Folder:
        """Create a folder.

        Raises:
            Refusal: MAILBOX_EXISTS, LIMIT_REACHED.
        """
        ...

    async def delete_folder(self, folder: int, actor: OpaqueId | None = None) -> None:
        """Delete a folder with its messages; the audit says that `actor` (an account) did it.

        Its UIDVALIDITY is never given again, so a folder created later under the same name is a new
        one to every client (RFC 9051 section 2.3.1.1). Its name stays subscribed where a client
        subscribed it.

        Raises:
            Refusal: MAILBOX_NONEXISTENT, or NOT_PERMITTED for INBOX.
        """
        ...

    async def rename_folder(
        self, mailbox_id: OpaqueId, name: str, new_name: str, actor: OpaqueId | None = None
    ) -> None:
        """Rename a folder, for the audit by `actor`; those below it (``name/...``) move with it,
        also where the name itself is no folder. Messages and UIDs stay; UIDVALIDITY stays where
        the new name cannot have had a greater one. Former names stay subscribed where a client
        subscribed them.

        Raises:
            Refusal: MAILBOX_NONEXISTENT, MAILBOX_EXISTS, or NOT_PERMITTED for a name below the old
                one and for INBOX, whose renaming has a meaning of its own (RFC 9051 section
                6.3.6): see `copy`.
        """
        ...

    async def set_subscribed(self, mailbox_id: OpaqueId, name: str, *, subscribed: bool) -> None:
        """Subscribe or unsubscribe a name, whether or not a folder has it."""
        ...

    async def subscriptions(self, mailbox_id: OpaqueId) -> list[str]:
        """The names that clients subscribed, whether or not a folder has them, in no order."""
        ...

    async def claim_recent(self, folder: int, uidnext: int) -> int:
        """Note that a session was told of all messages below `uidnext`: to later ones they are not
        recent (RFC 3501 section 2.3.2).

        Returns:
            The least UID of which no session had been told; `uidnext` where the folder is no more.
        """
        ...

    async def copy(
        self, folder: int, reader: OpaqueId | None, uids: Sequence[int], target: int
    ) -> list[tuple[int, int]]:
        """Copy messages with their flags, keywords and internal dates to another folder of the
        same mailbox; all or none.

        Returns:
            (UID in `folder`, UID in `target`), ascending; UIDs that are gone are left out.
        """
        ...

    async def move(
        self,
        folder: int,
        reader: OpaqueId | None,
        uids: Sequence[int],
        target: int,
        actor: OpaqueId | None = None,
    ) -> tuple[list[tuple[int, int]], FolderChanges]:
        r"""Copy messages as `copy` does and expunge them from `folder`, in one transaction: no
        message is ever in both or in neither, and none gets \Deleted (RFC 6851 section 3.3). The
        audit says that `actor` (an account) did it.

        Returns:
            What `copy` returns, and the UIDs that went from `folder` under one new modseq.
        """
        ...

    async def status(self, folder: int, reader: OpaqueId | None) -> FolderStatus:
        r"""Counts of a folder, with `reader`'s own \Seen where the mailbox is shared.

        Raises:
            Refusal: MAILBOX_NONEXISTENT.
        """
        ...

    async def changes(
        self, folder: int, reader: OpaqueId | None, since_modseq: int = 0, known_uidnext: int = 0
    ) -> FolderChanges:
        """Rows whose modseq is greater than `since_modseq`, and the UIDs expunged since.

        A reader that tells the `known_uidnext` it saw with that modseq spares a search of the whole
        folder when messages were only added since.
        """
        ...

    async def modseqs(self, folders: Sequence[int]) -> dict[int, int]:
        """The HIGHESTMODSEQ of folders: how a reader notices that a wake-up was lost."""
        ...

    async def keyword_bits(self, folder: int, names: Sequence[str]) -> dict[str, int]:
        """The bit of each keyword, creating those that are new.

        Raises:
            Refusal: LIMIT_REACHED when the folder has no bit left.
        """
        ...

    async def store_flags(
        self,
        folder: int,
        reader: OpaqueId | None,
        uids: Sequence[int],
        operation: FlagOperation,
        flags: int,
        unchanged_since: int | None = None,
    ) -> FolderChanges:
        """Change flags of existing messages, all under one new modseq; only real changes count.

        Messages whose modseq is greater than `unchanged_since` are left alone (RFC 7162).

        Returns:
            The changed rows (and nothing expunged).
        """
        ...

    async def append(
        self,
        folder: int,
        reader: OpaqueId | None,
        message: StoredMessage,
        size: int,
        internal_date: datetime,
        flags: int,
    ) -> FolderRow:
        """Add a message to a folder."""
        ...

    async def expunge(
        self, folder: int, uids: Sequence[int], actor: OpaqueId | None = None
    ) -> FolderChanges:
        r"""Remove those of `uids` that have \Deleted, for the audit by `actor`; leaves tombstones.

        Returns:
            The UIDs that went, under one new modseq.
        """
        ...

    def messages(
        self, folder: int, rows: Sequence[FolderRow]
    ) -> AsyncGenerator[tuple[FolderRow, StoredMessage], None]:
        """The stored messages of rows, in order, read in pieces; those expunged since are skipped."""
        ...


class Wakeups(Protocol):
    """Something changed: tells the readers in this process and in the others."""

    def folder_changed(self, folder_number: int, highestmodseq: int) -> None:
        """Call after the change is durable; losing the message is harmless."""
        ...
