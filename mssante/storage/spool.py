"""The spool of one slot: what was accepted and is not yet wholly done.

New messages stand in the journal only. One that cannot be done at its first attempt becomes a row,
so that it does not hold the journal: the row is durable before the journal's record is done.
"""

import asyncio
import logging
from collections import deque
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId, id_text, new_ordered_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import BlobRef, Envelope, SpoolEntry, Wish
from mssante.mail.ports import BlobUnreadable
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.encryption import Keyring, Tampered, seal, unseal
from mssante.storage.envelopes import decode_envelope, encode_envelope
from mssante.storage.journal import Journal, Record
from mssante.storage.relays import StoredRelays
from mssante.storage.schema.spool import JOURNAL_MARK, SPOOL
from mssante.storage.segments import SegmentBlobs
from mssante.wire.mime.scanner import Part

_LOG: Final = logging.getLogger(__name__)

MOST_LIVE: Final = 20_000
"""Accepted and not yet done: beyond this, senders are asked to come back (about 40 MB of memory)."""
_PAUSE: Final = timedelta(seconds=5)
"""Before an entry is tried again that could not even be deferred."""
_AT_HAND: Final = 256 * 1024
"""Octets of a message up to which it is handed on in memory, too."""
_WHY_LENGTH: Final = 200

_DUE: Final = (
    select(SPOOL)
    .where(SPOOL.c.state.in_(("due", "drop", "discard")), SPOOL.c.due_at <= bindparam("now"))
    .order_by(SPOOL.c.due_at, SPOOL.c.id)
    .limit(bindparam("limit"))
)
_CENSUS: Final = select(
    SPOOL.c.state, func.count().label("number"), func.min(SPOOL.c.accepted_at).label("oldest")
).group_by(SPOOL.c.state)
_DELETE: Final = delete(SPOOL).where(SPOOL.c.id == bindparam("entry"))


class StoredSpool:
    """The `Spool` port over a journal and, for what must be tried again, a table."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        blobs: SegmentBlobs,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        """`blobs` reads the folder that the journal writes to."""
        self._database = database
        self._relays = StoredRelays(database, keyring, clock)
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._journaled: dict[OpaqueId, Record] = {}
        """Live in the journal, carried or waiting."""
        self._waiting: deque[tuple[int, SpoolEntry]] = deque()
        """Of the journal, with the time when they are due: found at the start, or put back."""
        self._carried: set[OpaqueId] = set()
        """Rows that a task of this process carries."""
        self._unmarked: list[Record] = []
        """Done, but the disk did not take the journal's mark of it."""
        self._mark = 1

    @property
    def database(self) -> Database:
        """Where the rows are, for its upkeep."""
        return self._database

    @property
    def relays(self) -> StoredRelays:
        """Messages on their way to other operators."""
        return self._relays

    async def census(self) -> tuple[int, int, int | None, float]:
        """How many entries are due, how many are held, when the oldest due one was accepted
        (milliseconds, UTC), and how full the journal is (at 1 nothing more is accepted).
        """
        rows = await self._database.read(lambda conn: conn.execute(_CENSUS).all())
        due = [row for row in rows if row.state != "aside"]
        oldest = [row.oldest for row in due]
        # In order of acceptance, so that the first one is the oldest.
        oldest += [record.accepted_at for record in islice(self._journaled.values(), 1)]
        return (
            len(self._journaled) + sum(row.number for row in due),
            sum(row.number for row in rows if row.state == "aside"),
            min(oldest, default=None),
            self._journal.live / MOST_LIVE,
        )

    async def recover(self) -> int:
        """Find what the slot's former process left; call once, before anything else.

        Returns:
            How many entries wait.
        """
        self._mark = await self._database.read(mark_of)
        rows = await self._database.read(
            lambda conn: {bytes(row.id) for row in conn.execute(select(SPOOL.c.id))}
        )
        for record in self._journal.recover(self._mark):
            if record.id in rows:  # the end came between the row and the journal's mark
                self._journal.done(record)
                continue
            if not self._intact(record):
                continue
            self._journaled[record.id] = record
            self._waiting.append((0, entry_of_record(record)))
        return len(self._waiting)

    async def accept(
        self, envelope: Envelope, content: bytes, root: Part | None = None
    ) -> SpoolEntry:
        """Keep a message; durable on return: 250 may be said.

        Raises:
            Refusal: TRY_LATER while too many accepted messages wait to be done.
            OSError: the disk is full or broken.
        """
        if self._journal.live >= MOST_LIVE:
            raise Refusal(Reason.TRY_LATER, "too many messages wait in the spool")
        accepted_at = to_milliseconds(self._clock.now())
        keeping = self._journal.accept(
            new_ordered_id(accepted_at), accepted_at, encode_envelope(envelope), content
        )
        try:
            record = await asyncio.shield(keeping)
        except asyncio.CancelledError:
            # The client is gone, but the message may be on the disk already: then it is ours.
            keeping.add_done_callback(self._adopt)
            raise
        self._journaled[record.id] = record
        when = from_milliseconds(accepted_at)
        if len(content) > _AT_HAND:
            return SpoolEntry(record.id, when, envelope, record.blob)
        return SpoolEntry(record.id, when, envelope, record.blob, content=content, root=root)

    async def due(self, limit: int) -> list[SpoolEntry]:
        """Entries whose time has come and that no task of this process carries."""
        self._mark_again()
        # First what can fail: an entry that was taken out and not returned would be carried by nobody.
        await self._move_mark()
        now = to_milliseconds(self._clock.now())
        most = limit + len(self._carried)
        rows = await self._database.read(
            lambda conn: conn.execute(_DUE, {"now": now, "limit": most}).all()
        )
        entries: list[SpoolEntry] = []
        while self._waiting and len(entries) < limit and self._waiting[0][0] <= now:
            entries.append(self._waiting.popleft()[1])
        for row in rows:
            entry_id = OpaqueId(bytes(row.id))
            if len(entries) < limit and entry_id not in self._carried:
                self._carried.add(entry_id)
                entries += self._from_row(row)
        return entries

    async def finish(self, entry_id: OpaqueId) -> None:
        """Forget an entry whose effects are all recorded."""
        record = self._journaled.pop(entry_id, None)
        if record is not None:
            self._mark_done(record)
            return
        await self._database.write(
            lambda conn: conn.execute(_DELETE, {"entry": entry_id}) and None, brief=True
        )
        self._carried.discard(entry_id)

    async def defer(self, entry_id: OpaqueId, delay: timedelta, why: str) -> None:
        """Try again later."""
        due_at = to_milliseconds(self._clock.now() + delay)
        await self._put_back(entry_id, "due", due_at, why)

    async def set_aside(self, entry_id: OpaqueId, why: str) -> None:
        """Stop trying until a person decides."""
        await self._put_back(entry_id, "aside", to_milliseconds(self._clock.now()), why)

    def release(self, entry_id: OpaqueId) -> None:
        """No task of this process carries the entry any more; it is due again in a while."""
        record = self._journaled.get(entry_id)
        if record is not None:
            again = to_milliseconds(self._clock.now() + _PAUSE)
            self._waiting.append((again, entry_of_record(record)))
        self._carried.discard(entry_id)

    async def close(self) -> None:
        """Close the journal; the database belongs to who opened it."""
        await self._journal.close()

    def _adopt(self, keeping: asyncio.Future[Record]) -> None:
        if not keeping.cancelled() and keeping.exception() is None:
            record = keeping.result()
            self._journaled[record.id] = record
            self._waiting.append((0, entry_of_record(record)))

    async def _put_back(self, entry_id: OpaqueId, state: str, due_at: int, why: str) -> None:
        record = self._journaled.get(entry_id)
        now = to_milliseconds(self._clock.now())
        values = {"state": state, "due_at": due_at, "why": why[:_WHY_LENGTH]}

        def work(conn: Connection) -> None:
            if record is not None:
                conn.execute(insert(SPOOL), {**self._row(record), **values, "attempts": 1})
            else:
                attempts = SPOOL.c.attempts + 1
                conn.execute(
                    update(SPOOL).where(SPOOL.c.id == entry_id).values(attempts=attempts, **values)
                )
            if state == "aside":
                audit.record(
                    conn,
                    now,
                    AuditEntry(
                        AuditKind.ADMINISTRATION,
                        "set aside",
                        why[:_WHY_LENGTH],
                        correlation=entry_id,
                    ),
                )

        await self._database.write(work, brief=True)
        if record is not None:
            del self._journaled[entry_id]
            self._mark_done(record)
        self._carried.discard(entry_id)

    def _mark_done(self, record: Record) -> None:
        """All effects are recorded, so that a disk that refuses this is no failure of the entry."""
        try:
            self._journal.done(record)
        except OSError as error:
            _LOG.error(
                "the journal cannot be marked; it is tried again",
                extra={"spool_id": id_text(record.id), "why": error.strerror},
            )
            self._unmarked.append(record)

    def _mark_again(self) -> None:
        waiting, self._unmarked = self._unmarked, []
        for index, record in enumerate(waiting):
            try:
                self._journal.done(record)
            except OSError:  # it was said once
                self._unmarked = waiting[index:]
                return

    async def _move_mark(self) -> None:
        """Remember the first segment that a start must look through; losing it costs time only."""
        first = self._journal.first_live_segment(self._mark)
        if first <= self._mark:
            return

        def work(conn: Connection) -> None:
            conn.execute(delete(JOURNAL_MARK))
            conn.execute(insert(JOURNAL_MARK), {"number": 1, "segment": first})

        await self._database.write(work, brief=True)
        self._mark = first

    def _intact(self, record: Record) -> bool:
        """Whether the body can be read; after a power cut, one that was not may lack parts."""
        try:
            self._blobs.read(record.blob)
        except BlobUnreadable:
            _LOG.error(
                "an accepted message cannot be read back, or was not wholly written when it came",
                extra={"spool_id": id_text(record.id), "segment": record.blob.segment},
            )
            self._journal.damaged(record)
            return False
        except OSError:
            # The disk does not give it now. It stays live, so that the next start tries again.
            _LOG.exception(
                "the disk does not give back an accepted message",
                extra={"spool_id": id_text(record.id), "segment": record.blob.segment},
            )
            return False
        return True

    def _row(self, record: Record) -> dict[str, object]:
        ref = record.blob
        return {
            "id": record.id,
            "accepted_at": record.accepted_at,
            "sealed": seal(self._blobs.key_of(ref), record.envelope),
            "segment": ref.segment,
            "offset": ref.offset,
            "length": ref.length,
            "wrapped_key": ref.wrapped_key,
        }

    def _from_row(self, row: Row[Any]) -> list[SpoolEntry]:
        """The row's entry; none where it cannot be opened: it stays where it is, out of the way of
        the others until the next start.
        """
        entry_id = OpaqueId(bytes(row.id))
        ref = BlobRef(row.segment, row.offset, row.length, bytes(row.wrapped_key))
        try:
            return [entry_of_row(row, self._blobs.key_of(ref))]
        except (Tampered, ValueError, KeyError):
            _LOG.error(
                "an accepted message's row cannot be opened; a person must look at it",
                extra={"spool_id": id_text(entry_id)},
            )
            return []


def mark_of(conn: Connection) -> int:
    """The first of the journal's segments that a start of this slot looks through.

    An entry moves from the journal to the rows, the row being durable first: who looks at both reads
    the journal before the rows, and misses none on its way.
    """
    return conn.execute(select(JOURNAL_MARK.c.segment)).scalar_one_or_none() or 1


def entry_of_row(row: Row[Any], key: bytes) -> SpoolEntry:
    """The entry that a row holds; `key` is its blob's."""
    ref = BlobRef(row.segment, row.offset, row.length, bytes(row.wrapped_key))
    envelope = decode_envelope(unseal(key, bytes(row.sealed)))
    accepted_at = from_milliseconds(row.accepted_at)
    wish = Wish(row.state) if row.state in tuple(Wish) else None
    return SpoolEntry(OpaqueId(bytes(row.id)), accepted_at, envelope, ref, row.attempts, wish)


def entry_of_record(record: Record) -> SpoolEntry:
    """The entry that a journal record holds."""
    envelope = decode_envelope(record.envelope)
    return SpoolEntry(record.id, from_milliseconds(record.accepted_at), envelope, record.blob)
