"""Folders and messages on disk: the `Mailboxes` and `Deliveries` ports.

Work on ranges: a change of flags is one UPDATE for each run of UIDs, never one per message;
a folder is read in one pass. Every change takes the folder's next modseq.
"""

import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import (
    FIRST_KEYWORD_BIT,
    BlobRef,
    Evidence,
    FlagOperation,
    Flags,
    Folder,
    FolderChanges,
    FolderRow,
    FolderStatus,
    SpecialUse,
    StoredMessage,
)
from mssante.mail.ports import Delivery, Wakeups
from mssante.mail.uid_ranges import uid_ranges
from mssante.storage import audit, contacts, folders
from mssante.storage.contacts import ContactBook
from mssante.storage.database import Database
from mssante.storage.encryption import Tampered, seal, unseal
from mssante.storage.prepared import Prepared
from mssante.storage.schema.mail import (
    EFFECT,
    ENTRY,
    EVIDENCE,
    FOLDER,
    MESSAGE,
    READER_FLAG,
    TOMBSTONE,
)
from mssante.storage.segments import SegmentBlobs
from mssante.storage.traces import TraceBook

_LOG: Final = logging.getLogger(__name__)
_Member = TypeVar("_Member")
_SEEN: Final = int(Flags.SEEN)
_PIECE: Final = 256
"""Messages read and unsealed at a time: bounds memory when a client lists a large folder."""
_MOST_PARAMETERS: Final = 500
_BRIEF: Final = 16
"""Mailboxes or messages that a change may concern and still be brief."""
_ANY_MODSEQ: Final = 1 << 63
_GONE: Final = 1 << 63
"""Told to readers as the modseq of a folder that is no more: whoever has it open looks again."""

_STATE: Final = Prepared(
    select(
        FOLDER.c.uidnext,
        FOLDER.c.modseq,
        FOLDER.c.flag_modseq,
        FOLDER.c.uidvalidity,
        FOLDER.c.recent_from,
    ).where(FOLDER.c.number == bindparam("number"))
)
_COUNTS: Final = Prepared(
    select(
        func.count().label("messages"),
        func.coalesce(func.sum(ENTRY.c.size), 0).label("size"),
        func.count().filter(ENTRY.c.flags.op("&")(_SEEN) == 0).label("unseen"),
        func.count().filter(ENTRY.c.flags.op("&")(int(Flags.DELETED)) != 0).label("deleted"),
        func.count().filter(ENTRY.c.uid >= bindparam("recent_from")).label("recent"),
    ).where(ENTRY.c.folder == bindparam("number"))
)
_COLUMNS: Final = (
    ENTRY.c.uid,
    ENTRY.c.flags,
    ENTRY.c.modseq,
    ENTRY.c.internal_date,
    ENTRY.c.size,
    ENTRY.c.message_id,
)
_ALL: Final = select(*_COLUMNS).where(ENTRY.c.folder == bindparam("number")).order_by(ENTRY.c.uid)
_EVERY: Final = Prepared(_ALL)
_ADDED: Final = Prepared(_ALL.where(ENTRY.c.uid >= bindparam("uidnext")))
_CHANGED: Final = Prepared(_ALL.where(ENTRY.c.modseq > bindparam("modseq")))
_EXPUNGED: Final = Prepared(
    select(TOMBSTONE.c.uid)
    .where(TOMBSTONE.c.folder == bindparam("number"), TOMBSTONE.c.modseq > bindparam("modseq"))
    .order_by(TOMBSTONE.c.uid)
)
_JOINED: Final = ENTRY.outerjoin(
    READER_FLAG,
    and_(
        READER_FLAG.c.folder == ENTRY.c.folder,
        READER_FLAG.c.uid == ENTRY.c.uid,
        READER_FLAG.c.reader == bindparam("reader"),
    ),
)
_READER_ALL: Final = (
    select(*_COLUMNS, READER_FLAG.c.seen, READER_FLAG.c.modseq.label("reader_modseq"))
    .select_from(_JOINED)
    .where(ENTRY.c.folder == bindparam("number"))
    .order_by(ENTRY.c.uid)
)
_READER_EVERY: Final = Prepared(_READER_ALL)
_READER_CHANGED: Final = Prepared(
    _READER_ALL.where(
        or_(ENTRY.c.modseq > bindparam("modseq"), READER_FLAG.c.modseq > bindparam("modseq"))
    )
)
_TAKE_UIDS: Final = (
    update(FOLDER)
    .where(FOLDER.c.number == bindparam("folder_number"))
    .values(uidnext=FOLDER.c.uidnext + bindparam("added"), modseq=FOLDER.c.modseq + 1)
    .returning(FOLDER.c.uidnext, FOLDER.c.modseq)
)
_TAKE_INBOX_UID: Final = Prepared(
    update(FOLDER)
    .where(FOLDER.c.mailbox_id == bindparam("mailbox"), FOLDER.c.name == folders.INBOX)
    .values(uidnext=FOLDER.c.uidnext + 1, modseq=FOLDER.c.modseq + 1)
    .returning(FOLDER.c.number, FOLDER.c.uidnext, FOLDER.c.modseq)
)
_TAKE_MODSEQ: Final = (
    update(FOLDER)
    .where(FOLDER.c.number == bindparam("folder_number"))
    .values(modseq=FOLDER.c.modseq + 1, flag_modseq=FOLDER.c.modseq + 1)
    .returning(FOLDER.c.modseq)
)
_NEW_FLAGS: Final = ENTRY.c.flags.bitwise_and(bindparam("kept", type_=BigInteger)).bitwise_or(
    bindparam("added", type_=BigInteger)
)
_SET_FLAGS: Final = (
    update(ENTRY)
    .where(
        ENTRY.c.folder == bindparam("folder_number"),
        ENTRY.c.uid.between(bindparam("first"), bindparam("last")),
        ENTRY.c.flags != _NEW_FLAGS,
    )
    .values(flags=_NEW_FLAGS, modseq=bindparam("new_modseq"))
)
_INSERT_ENTRY: Final = Prepared(insert(ENTRY))
_INSERT_MESSAGE: Final = insert(MESSAGE)
_RECORD_EFFECT: Final = Prepared(
    sqlite_insert(EFFECT).on_conflict_do_nothing().returning(literal(1).label("one")),
    postgresql=postgres_insert(EFFECT).on_conflict_do_nothing().returning(literal(1)),
)
_KEEP_MESSAGE: Final = Prepared(
    sqlite_insert(MESSAGE).on_conflict_do_nothing(),
    # One that is there is locked: else an expunge elsewhere, which does not see our row yet, could
    # take it away as held by nobody.
    postgresql=postgres_insert(MESSAGE).on_conflict_do_update(
        index_elements=["id"], set_={"id": MESSAGE.c.id}
    ),
)
_KEEP_EVIDENCE: Final = Prepared(
    sqlite_insert(EVIDENCE).on_conflict_do_nothing(),
    postgresql=postgres_insert(EVIDENCE).on_conflict_do_nothing(),
)
_EVIDENCE: Final = (
    select(EVIDENCE, MESSAGE.c.wrapped_key.label("message_key"))
    .join(MESSAGE, MESSAGE.c.id == EVIDENCE.c.message_id)
    .where(EVIDENCE.c.message_id == bindparam("message"))
)
_MESSAGES: Final = select(
    MESSAGE.c.id,
    MESSAGE.c.sealed,
    MESSAGE.c.segment,
    MESSAGE.c.offset,
    MESSAGE.c.length,
    MESSAGE.c.wrapped_key,
).where(MESSAGE.c.id.in_(bindparam("ids", expanding=True)))


class StoredMailboxes:
    """The `Mailboxes` and `Deliveries` ports over one database and the mail blobs."""

    def __init__(
        self, database: Database, blobs: SegmentBlobs, wakeups: Wakeups, clock: Clock
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._wakeups = wakeups
        self._clock = clock
        self._book = ContactBook(blobs.keyring)
        self._traces = TraceBook(blobs.keyring)

    # -- folders ------------------------------------------------------------------------------

    async def open_mailbox(self, mailbox_id: OpaqueId) -> None:
        """Create INBOX and the special-use folders where they do not exist yet."""
        now = self._now()
        await self._database.write(lambda conn: folders.open_mailbox(conn, mailbox_id, now))

    async def folders(self, mailbox_id: OpaqueId) -> list[Folder]:
        """All folders of a mailbox, INBOX first, then by name."""
        return await self._database.read(lambda conn: folders.list_folders(conn, mailbox_id))

    async def folder(self, mailbox_id: OpaqueId, name: str) -> Folder | None:
        """One folder by name."""
        return await self._database.read(lambda conn: folders.find_folder(conn, mailbox_id, name))

    async def create_folder(
        self, mailbox_id: OpaqueId, name: str, special_use: SpecialUse | None = None
    ) -> Folder:
        """Create a folder."""
        now = self._now()
        return await self._database.write(
            lambda conn: folders.create_folder(conn, mailbox_id, name, special_use, now)
        )

    async def delete_folder(self, folder: int, actor: OpaqueId | None = None) -> None:
        """Delete a folder with its messages."""
        now = self._now()

        def work(conn: Connection) -> None:
            row = folders.lock_folder(conn, folder)
            messages = folders.delete_folder(conn, folder)
            _record_change(conn, now, row, "DELETE", actor, {"messages": messages})

        await self._database.write(work)
        self._wakeups.folder_changed(folder, _GONE)

    async def rename_folder(
        self, mailbox_id: OpaqueId, name: str, new_name: str, actor: OpaqueId | None = None
    ) -> None:
        """Rename a folder and those below it."""
        now = self._now()

        def work(conn: Connection) -> list[int]:
            moved = folders.rename_folder(conn, mailbox_id, name, new_name, now)
            first, to = moved[0]
            facts = {"folders": len(moved)}
            _record_change(conn, now, first, "RENAME", actor, facts, {"new_name": to})
            return [folder.number for folder, _ in moved]

        for number, modseq in (await self.modseqs(await self._database.write(work))).items():
            self._wakeups.folder_changed(number, modseq)

    async def set_subscribed(self, mailbox_id: OpaqueId, name: str, *, subscribed: bool) -> None:
        """Subscribe or unsubscribe a name."""
        await self._database.write(
            lambda conn: folders.set_subscribed(conn, mailbox_id, name, subscribed=subscribed)
        )

    async def subscriptions(self, mailbox_id: OpaqueId) -> list[str]:
        """The names that clients subscribed, whether or not a folder has them."""
        return await self._database.read(lambda conn: folders.list_subscriptions(conn, mailbox_id))

    async def claim_recent(self, folder: int, uidnext: int) -> int:
        """Note that a session was told of all messages below `uidnext`."""
        return await self._database.write(
            lambda conn: folders.claim_recent(conn, folder, uidnext), brief=True
        )

    async def keyword_bits(self, folder: int, names: Sequence[str]) -> dict[str, int]:
        """The bit of each keyword; known ones cost no write."""
        wanted = tuple(names)
        known = await self._database.read(lambda conn: folders.keywords(conn, folder))
        bits = {name.lower(): FIRST_KEYWORD_BIT + i for i, name in enumerate(known)}
        if all(name.lower() in bits for name in wanted):
            return {name: bits[name.lower()] for name in wanted}
        return await self._database.write(lambda conn: folders.keyword_bits(conn, folder, wanted))

    # -- reading ------------------------------------------------------------------------------

    async def status(self, folder: int, reader: OpaqueId | None) -> FolderStatus:
        """Counts of a folder."""
        return await self._database.read(lambda conn: _status(conn, folder, reader))

    async def changes(
        self, folder: int, reader: OpaqueId | None, since_modseq: int = 0, known_uidnext: int = 0
    ) -> FolderChanges:
        """Rows whose modseq is greater than `since_modseq`, and the UIDs expunged since."""
        return await self._database.read(
            lambda conn: _changes(conn, folder, reader, since_modseq, known_uidnext)
        )

    async def modseqs(self, folder_numbers: Sequence[int]) -> dict[int, int]:
        """The HIGHESTMODSEQ of folders."""

        def work(conn: Connection) -> dict[int, int]:
            found: dict[int, int] = {}
            for numbers in _portions(folder_numbers):
                rows = conn.execute(
                    select(FOLDER.c.number, FOLDER.c.modseq).where(FOLDER.c.number.in_(numbers))
                )
                found.update((row.number, row.modseq) for row in rows)
            return found

        return await self._database.read(work)

    async def messages(
        self,
        folder: int,  # noqa: ARG002 - a store that is partitioned by folder needs it
        rows: Sequence[FolderRow],
    ) -> AsyncGenerator[tuple[FolderRow, StoredMessage], None]:
        """The stored messages of rows, in order; those that no folder holds any more are skipped."""
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            ids = [row.message_id for row in piece]
            found = await self._database.read(
                lambda conn, ids=ids: {  # type: ignore[misc]
                    bytes(row[0]): row for row in conn.execute(_MESSAGES, {"ids": ids}).all()
                }
            )
            for row in piece:
                stored = found.get(row.message_id)
                if stored is None:
                    continue
                try:
                    message = self._message(stored)
                except Tampered:
                    # Without it the reader sees the rest of its folder, at least.
                    _LOG.exception(
                        "a message's row cannot be opened",
                        extra={"email_id": id_text(row.message_id)},
                    )
                    continue
                yield row, message

    async def evidence(self, message_id: OpaqueId) -> Evidence | None:
        """What S/MIME said about a message when it was delivered; None where nothing was kept."""
        row = await self._database.read(
            lambda conn: conn.execute(_EVIDENCE, {"message": message_id}).one_or_none()
        )
        if row is None:
            return None
        original = None
        if row.segment is not None:
            original = BlobRef(row.segment, row.offset, row.length, bytes(row.wrapped_key))
        key = self._blobs.key_of(BlobRef("", 0, 0, bytes(row.message_key)))
        return Evidence(
            from_milliseconds(row.judged_at),
            row.verdict,
            row.reason,
            row.decryption,
            unseal(key, bytes(row.sealed)),
            original,
        )

    # -- changing -----------------------------------------------------------------------------

    async def deliver(self, delivery: Delivery) -> None:
        """Add a message to inboxes, once for each effect key."""
        now = self._now()
        values = self._message_values(delivery.message)
        evidence = self._evidence_values(delivery)
        changed = await self._database.write(
            lambda conn: _deliver(
                conn, delivery, values, now, (self._book, self._traces), evidence
            ),
            brief=len(delivery.mailbox_ids) <= _BRIEF,
        )
        for folder, modseq in changed:
            self._wakeups.folder_changed(folder, modseq)

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
        values = self._message_values(message)
        at = to_milliseconds(internal_date)

        def work(conn: Connection) -> FolderRow:
            folders.lock_folder(conn, folder)
            conn.execute(_INSERT_MESSAGE, values)
            shared = flags & ~_SEEN if reader is not None else flags
            uid, modseq = _take_uids(conn, folder, 1)
            entry = _entry_values(folder, uid, message.id, at, size, shared, modseq)
            _INSERT_ENTRY.do(conn, entry)
            if reader is not None and flags & _SEEN:
                _set_seen(conn, folder, reader, [uid], seen=True, modseq=modseq)
            return FolderRow(uid, flags, modseq, at, size, message.id)

        row = await self._database.write(work, brief=True)
        self._wakeups.folder_changed(folder, row.modseq)
        return row

    async def copy(
        self, folder: int, reader: OpaqueId | None, uids: Sequence[int], target: int
    ) -> list[tuple[int, int]]:
        """Copy messages to another folder of the same mailbox."""
        pairs, modseq = await self._database.write(
            lambda conn: _copy(conn, folder, reader, uids, target)
        )
        if pairs:
            self._wakeups.folder_changed(target, modseq)
        return pairs

    async def move(
        self,
        folder: int,
        reader: OpaqueId | None,
        uids: Sequence[int],
        target: int,
        actor: OpaqueId | None = None,
    ) -> tuple[list[tuple[int, int]], FolderChanges]:
        """Copy messages to another folder and expunge them here, in one transaction."""
        now = self._now()
        pairs, modseq, changes = await self._database.write(
            lambda conn: _move(conn, folder, reader, uids, target, actor, now)
        )
        if pairs:
            self._wakeups.folder_changed(target, modseq)
            self._wakeups.folder_changed(folder, changes.highestmodseq)
        return pairs, changes

    async def store_flags(
        self,
        folder: int,
        reader: OpaqueId | None,
        uids: Sequence[int],
        operation: FlagOperation,
        flags: int,
        unchanged_since: int | None = None,
    ) -> FolderChanges:
        """Change flags of existing messages under one new modseq."""
        most = _ANY_MODSEQ if unchanged_since is None else unchanged_since
        changes = await self._database.write(
            lambda conn: _store_flags(conn, folder, reader, uids, operation, flags, most),
            brief=len(uids) <= _BRIEF,
        )
        if changes.rows:
            self._wakeups.folder_changed(folder, changes.highestmodseq)
        return changes

    async def expunge(
        self, folder: int, uids: Sequence[int], actor: OpaqueId | None = None
    ) -> FolderChanges:
        r"""Remove those of `uids` that have \Deleted."""
        now = self._now()
        changes = await self._database.write(lambda conn: _expunge(conn, folder, uids, actor, now))
        if changes.expunged:
            self._wakeups.folder_changed(folder, changes.highestmodseq)
        return changes

    # -- rows ---------------------------------------------------------------------------------

    def _now(self) -> int:
        return to_milliseconds(self._clock.now())

    def _message_values(self, message: StoredMessage) -> dict[str, object]:
        plain = len(message.prefix).to_bytes(4, "big") + message.prefix + message.summary
        return {
            "id": message.id,
            "sealed": seal(self._blobs.key_of(message.blob), plain),
            "segment": message.blob.segment,
            "offset": message.blob.offset,
            "length": message.blob.length,
            "wrapped_key": message.blob.wrapped_key,
        }

    def _evidence_values(self, delivery: Delivery) -> dict[str, object] | None:
        evidence, original = delivery.evidence, None
        if evidence is None:
            return None
        original = evidence.original
        return {
            "message_id": delivery.message.id,
            "spool_id": delivery.spool_id,
            "judged_at": to_milliseconds(evidence.judged_at),
            "verdict": evidence.verdict,
            "reason": evidence.reason,
            "decryption": evidence.decryption,
            "sealed": seal(self._blobs.key_of(delivery.message.blob), evidence.details),
            "segment": original.segment if original else None,
            "offset": original.offset if original else None,
            "length": original.length if original else None,
            "wrapped_key": original.wrapped_key if original else None,
        }

    def _message(self, row: Sequence[Any]) -> StoredMessage:
        # Unpacked at once: by name, each column costs a search through the row's keys.
        message_id, sealed, segment, offset, length, wrapped_key = row
        ref = BlobRef(segment, offset, length, bytes(wrapped_key))
        plain = unseal(self._blobs.key_of(ref), bytes(sealed))
        cut = 4 + int.from_bytes(plain[:4], "big")
        return StoredMessage(OpaqueId(bytes(message_id)), plain[4:cut], plain[cut:], ref)


def _entry_values(
    folder: int, uid: int, message_id: OpaqueId, at: int, size: int, flags: int, modseq: int
) -> dict[str, object]:
    return {
        "folder": folder,
        "uid": uid,
        "message_id": message_id,
        "internal_date": at,
        "size": size,
        "flags": flags,
        "modseq": modseq,
    }


def _take_uids(conn: Connection, folder: int, count: int) -> tuple[int, int]:
    """Reserve `count` UIDs and the next modseq: (first UID, modseq)."""
    taken = conn.execute(_TAKE_UIDS, {"folder_number": folder, "added": count}).one()
    return taken.uidnext - count, taken.modseq


def _is_first(conn: Connection, effect: Mapping[str, object]) -> bool:
    """Record an effect; whether it had not been recorded yet."""
    return _RECORD_EFFECT.first(conn, effect) is not None


def _deliver(
    conn: Connection,
    delivery: Delivery,
    message: dict[str, object],
    now: int,
    books: tuple[ContactBook, TraceBook],
    evidence: dict[str, object] | None = None,
) -> list[tuple[int, int]]:
    book, traces = books
    changed: list[tuple[int, int]] = []
    received_at = to_milliseconds(delivery.received_at)
    if delivery.admission is not None:
        # The spool id stands for the mailbox: an admission has none.
        effect = _effect(delivery.spool_id, "admit", delivery.spool_id, now)
        if _is_first(conn, effect):
            audit.record(conn, received_at, delivery.admission)
            if delivery.traced is not None:
                traces.keep(conn, delivery.spool_id, received_at, delivery.traced)
    # In one order everywhere, so that two deliveries cannot wait for each other (PostgreSQL).
    for mailbox_id in sorted(delivery.mailbox_ids):
        effect = _effect(delivery.spool_id, delivery.kind, mailbox_id, now)
        if not _is_first(conn, effect):
            continue
        if not changed:
            _KEEP_MESSAGE.do(conn, message)
            if evidence is not None:
                _KEEP_EVIDENCE.do(conn, evidence)
        taken = _TAKE_INBOX_UID.first(conn, {"mailbox": mailbox_id})
        if taken is None:
            folders.open_mailbox(conn, mailbox_id, now)
            taken = _TAKE_INBOX_UID.first(conn, {"mailbox": mailbox_id})
        number, uid, modseq = taken.number, taken.uidnext - 1, taken.modseq
        entry = _entry_values(
            number, uid, delivery.message.id, received_at, delivery.size, 0, modseq
        )
        _INSERT_ENTRY.do(conn, entry)
        kind = AuditKind.DELIVERY if delivery.kind == "deliver" else AuditKind.REPORT
        audit.record(
            conn,
            now,
            AuditEntry(
                kind,
                delivery.kind,
                "done",
                subject=mailbox_id,
                correlation=delivery.spool_id,
                facts=delivery.facts,
            ),
        )
        if delivery.confirmation is not None:
            traces.confirm(conn, delivery.spool_id, mailbox_id, delivery.confirmation, now)
        if mailbox_id in delivery.patients:
            _correspond(conn, delivery, mailbox_id, received_at, now, book)
        changed.append((number, modseq))
    for mailbox_id in sorted(delivery.refused):
        _refuse(conn, delivery, mailbox_id, now)
    return changed


def _correspond(
    conn: Connection,
    delivery: Delivery,
    mailbox_id: OpaqueId,
    received_at: int,
    now: int,
    book: ContactBook,
) -> None:
    """What the first delivery to a patient means beside the message."""
    if delivery.correspondence is not None:
        spool_id = delivery.spool_id
        book.apply(conn, mailbox_id, delivery.correspondence, received_at, spool_id, now)
    if mailbox_id in delivery.not_activated:
        contacts.invite(conn, mailbox_id, delivery.spool_id, received_at, now)


def _refuse(conn: Connection, delivery: Delivery, mailbox_id: OpaqueId, now: int) -> None:
    """Note, once, why an accepted message does not reach a mailbox."""
    if _is_first(conn, _effect(delivery.spool_id, "refuse", mailbox_id, now)):
        audit.record(
            conn,
            now,
            AuditEntry(
                AuditKind.REFUSAL,
                delivery.kind,
                Reason.RECIPIENT_CLOSED.value,
                subject=mailbox_id,
                correlation=delivery.spool_id,
                facts={"detail": delivery.refused[mailbox_id]},
            ),
        )


def _effect(spool_id: OpaqueId, kind: str, target: OpaqueId, now: int) -> dict[str, object]:
    return {"spool_id": spool_id, "kind": kind, "target": target, "at": now}


def _status(conn: Connection, folder: int, reader: OpaqueId | None) -> FolderStatus:
    state = _STATE.first(conn, {"number": folder})
    if state is None:
        raise Refusal(Reason.MAILBOX_NONEXISTENT)
    counted = _COUNTS.first(conn, {"number": folder, "recent_from": state.recent_from})
    messages, size, unseen, deleted, recent = counted
    if reader is not None:
        seen = conn.execute(
            select(func.count()).where(
                READER_FLAG.c.folder == folder, READER_FLAG.c.reader == reader, READER_FLAG.c.seen
            )
        ).scalar_one()
        unseen = messages - seen
    return FolderStatus(
        messages=messages,
        unseen=unseen,
        uidnext=state.uidnext,
        uidvalidity=state.uidvalidity,
        highestmodseq=state.modseq,
        size=int(size),
        deleted=deleted,
        recent=recent,
    )


def _changes(
    conn: Connection, folder: int, reader: OpaqueId | None, since: int, known_uidnext: int
) -> FolderChanges:
    state = _STATE.first(conn, {"number": folder})
    if state is None:  # deleted meanwhile: the reader sees it empty
        return FolderChanges((), (), 1, since, ())
    parameters = {"number": folder, "modseq": since, "uidnext": known_uidnext, "reader": reader}
    only_added = bool(known_uidnext) and state.flag_modseq <= since
    if reader is None:
        query = _EVERY if not since else _ADDED if only_added else _CHANGED
    else:
        query = _READER_EVERY if not since else _READER_CHANGED
    rows = [_row(row, shared=reader is not None) for row in query.all(conn, parameters)]
    expunged: list[int] = []
    if since and not only_added:
        expunged = [row.uid for row in _EXPUNGED.all(conn, parameters)]
    return FolderChanges(
        rows, expunged, state.uidnext, state.modseq, folders.keywords(conn, folder)
    )


def _row(row: Any, *, shared: bool) -> FolderRow:
    if not shared:
        return FolderRow._make(row)
    uid, flags, modseq, internal_date, size, message_id, seen, reader_modseq = row
    flags = flags & ~_SEEN | (_SEEN if seen else 0)
    modseq = max(modseq, reader_modseq or 0)
    return FolderRow(uid, flags, modseq, internal_date, size, message_id)


def _rows_of(
    conn: Connection, folder: int, reader: OpaqueId | None, uids: Sequence[int]
) -> Iterator[FolderRow]:
    base = _ALL if reader is None else _READER_ALL
    for first, last in _ranges(uids):
        query = base.where(ENTRY.c.uid.between(first, last))
        for row in conn.execute(query, {"number": folder, "reader": reader}):
            yield _row(row, shared=reader is not None)


def _ranges(uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending UIDs as runs of consecutive numbers."""
    ordered = sorted(set(uids))
    for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        members = [uid for _, uid in run]
        yield members[0], members[-1]


def _portions(members: Sequence[_Member]) -> Iterator[Sequence[_Member]]:
    for start in range(0, len(members), _MOST_PARAMETERS):
        yield members[start : start + _MOST_PARAMETERS]


def _changed_flags(before: int, operation: FlagOperation, flags: int) -> int:
    match operation:
        case FlagOperation.REPLACE:
            return flags
        case FlagOperation.ADD:
            return before | flags
        case FlagOperation.REMOVE:
            return before & ~flags


def _masks(operation: FlagOperation, flags: int, own: int) -> tuple[int, int]:
    """Which bits of a row stay and which are set; the reader's `own` are not the row's."""
    shared = flags & ~own
    match operation:
        case FlagOperation.REPLACE:
            return own, shared
        case FlagOperation.ADD:
            return -1, shared
        case FlagOperation.REMOVE:
            return ~shared, 0


def _store_flags(
    conn: Connection,
    folder: int,
    reader: OpaqueId | None,
    uids: Sequence[int],
    operation: FlagOperation,
    flags: int,
    most_modseq: int,
) -> FolderChanges:
    state = folders.lock_folder(conn, folder)
    before = [row for row in _rows_of(conn, folder, reader, uids) if row.modseq <= most_modseq]
    after = [(row, _changed_flags(row.flags, operation, flags)) for row in before]
    changing = [(row, new) for row, new in after if new != row.flags]
    if not changing:
        return FolderChanges((), (), state.uidnext, state.modseq, folders.keywords(conn, folder))
    modseq = conn.execute(_TAKE_MODSEQ, {"folder_number": folder}).scalar_one()
    own = _SEEN if reader is not None else 0
    if any((new ^ row.flags) & ~own for row, new in changing):
        kept, added = _masks(operation, flags, own)
        runs = [
            {
                "folder_number": folder,
                "first": first,
                "last": last,
                "kept": kept,
                "added": added,
                "new_modseq": modseq,
            }
            for first, last in _ranges([row.uid for row in before])
        ]
        conn.execute(_SET_FLAGS, runs)
    if reader is not None:
        for seen in (True, False):
            turned = [
                r.uid
                for r, new in changing
                if (new ^ r.flags) & _SEEN and bool(new & _SEEN) is seen
            ]
            _set_seen(conn, folder, reader, turned, seen=seen, modseq=modseq)
    rows = [
        FolderRow(row.uid, new, modseq, row.internal_date, row.size, row.message_id)
        for row, new in changing
    ]
    return FolderChanges(rows, (), state.uidnext, modseq, folders.keywords(conn, folder))


def _set_seen(
    conn: Connection, folder: int, reader: OpaqueId, uids: Sequence[int], *, seen: bool, modseq: int
) -> None:
    if not uids:
        return
    make = postgres_insert if conn.dialect.name == "postgresql" else sqlite_insert
    statement = make(READER_FLAG)
    statement = statement.on_conflict_do_update(
        index_elements=["folder", "reader", "uid"],
        set_={"seen": statement.excluded.seen, "modseq": statement.excluded.modseq},
    )
    conn.execute(
        statement,
        [
            {"folder": folder, "reader": reader, "uid": uid, "seen": seen, "modseq": modseq}
            for uid in uids
        ],
    )


def _copy(
    conn: Connection, folder: int, reader: OpaqueId | None, uids: Sequence[int], target: int
) -> tuple[list[tuple[int, int]], int]:
    for number in sorted({folder, target}):  # in one order: two copies cannot wait for each other
        folders.lock_folder(conn, number)
    rows = list(_rows_of(conn, folder, reader, uids))
    if not rows:
        return [], 0
    names = folders.keywords(conn, folder)
    used = 0
    for row in rows:
        used |= row.flags
    wanted = {i: name for i, name in enumerate(names) if used >> (FIRST_KEYWORD_BIT + i) & 1}
    bits = folders.keyword_bits(conn, target, tuple(wanted.values()))
    first, modseq = _take_uids(conn, target, len(rows))
    own = _SEEN if reader is not None else 0
    entries, seen = [], []
    for uid, row in enumerate(rows, first):
        flags = row.flags & 0x1F & ~own
        for i, name in wanted.items():
            if row.flags >> (FIRST_KEYWORD_BIT + i) & 1:
                flags |= 1 << bits[name]
        entries.append(
            _entry_values(target, uid, row.message_id, row.internal_date, row.size, flags, modseq)
        )
        if row.flags & own:
            seen.append(uid)
    _INSERT_ENTRY.do(conn, entries)
    if reader is not None:
        _set_seen(conn, target, reader, seen, seen=True, modseq=modseq)
    return [(row.uid, uid) for uid, row in enumerate(rows, first)], modseq


def _move(
    conn: Connection,
    folder: int,
    reader: OpaqueId | None,
    uids: Sequence[int],
    target: int,
    actor: OpaqueId | None,
    now: int,
) -> tuple[list[tuple[int, int]], int, FolderChanges]:
    # The copies hold the contents, so that only the entries go.
    pairs, target_modseq = _copy(conn, folder, reader, uids, target)
    state = folders.lock_folder(conn, folder)  # after the copy: they may be one folder
    members = [uid for uid, _ in pairs]
    modseq = _take_out(conn, folder, members) if members else state.modseq
    if members:
        to = id_text(OpaqueId(bytes(folders.lock_folder(conn, target).id)))
        for text in uid_ranges(members):
            _record_change(conn, now, state, "MOVE", actor, {"uids": text, "to": to})
    changes = FolderChanges((), members, state.uidnext, modseq, folders.keywords(conn, folder))
    return pairs, target_modseq, changes


def _take_out(conn: Connection, folder: int, uids: Sequence[int]) -> int:
    """Remove the entries of messages and leave tombstones; returns the modseq of this change."""
    modseq: int = conn.execute(_TAKE_MODSEQ, {"folder_number": folder}).scalar_one()
    for first, last in _ranges(uids):
        for table in (ENTRY, READER_FLAG):
            conn.execute(
                delete(table).where(table.c.folder == folder, table.c.uid.between(first, last))
            )
    conn.execute(
        insert(TOMBSTONE), [{"folder": folder, "modseq": modseq, "uid": uid} for uid in uids]
    )
    return modseq


def _record_change(
    conn: Connection,
    now: int,
    folder: Row[Any] | Folder,
    action: str,
    actor: OpaqueId | None,
    facts: Mapping[str, str | int],
    personal: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Note what a reader did to a folder; its name may be a person's and can be erased."""
    entry = AuditEntry(
        AuditKind.MAILBOX_CHANGE,
        action,
        "done",
        actor=actor,
        subject=OpaqueId(bytes(folder.mailbox_id)),
        facts={"folder": id_text(OpaqueId(bytes(folder.id))), **facts},
        personal={"name": folder.name, **personal},
    )
    audit.record(conn, now, entry)


def _expunge(
    conn: Connection, folder: int, uids: Sequence[int], actor: OpaqueId | None, now: int
) -> FolderChanges:
    state = folders.lock_folder(conn, folder)
    deleted = int(Flags.DELETED)
    gone = [row for row in _rows_of(conn, folder, None, uids) if row.flags & deleted]
    if not gone:
        return FolderChanges((), (), state.uidnext, state.modseq, folders.keywords(conn, folder))
    members = [row.uid for row in gone]
    modseq = _take_out(conn, folder, members)
    folders.drop_unheld(conn, [row.message_id for row in gone])
    for text in uid_ranges(members):
        _record_change(conn, now, state, "EXPUNGE", actor, {"uids": text})
    return FolderChanges((), members, state.uidnext, modseq, folders.keywords(conn, folder))
