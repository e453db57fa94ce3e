"""A look at the spools of all slots, with the server running or stopped, and the order to try again."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import SpoolEntry
from mssante.storage import audit, versions
from mssante.storage.encryption import Keyring
from mssante.storage.journal import live_records
from mssante.storage.layout import Layout
from mssante.storage.schema.spool import JOURNAL_MARK, SPOOL
from mssante.storage.spool import entry_of_record, entry_of_row


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One message that is accepted and not wholly done."""

    entry: SpoolEntry
    slot: str
    state: str
    """``journal``: under way, or waiting for its worker's start; ``due``: to be tried again;
    ``aside``: waiting for a person."""
    due_at: datetime | None
    why: str | None
    """Of the last failure; free of content."""


class StoredQueue:
    """All slots' spools; reads without disturbing the workers."""

    def __init__(self, layout: Layout, keyring: Keyring, clock: Clock) -> None:
        self._layout = layout
        self._keyring = keyring
        self._clock = clock

    async def lines(self) -> list[QueueLine]:
        """What waits, oldest first."""
        found = [line for slot in self._layout.slots() for line in await self._slot(slot)]
        return sorted(found, key=lambda line: line.entry.accepted_at)

    async def retry(self, entry_id: OpaqueId, account: OpaqueId | None = None) -> bool:
        """Make an entry that was deferred or set aside due now; False where there is none."""
        now = to_milliseconds(self._clock.now())

        def work(conn: Connection) -> bool:
            changed = conn.execute(
                update(SPOOL)
                .where(SPOOL.c.id == entry_id)
                .values(state="due", due_at=now, attempts=0)
                .returning(SPOOL.c.id)
            ).first()
            if changed is not None:
                act = AuditEntry(
                    AuditKind.ADMINISTRATION,
                    "queue retry",
                    "done",
                    actor=account,
                    correlation=entry_id,
                )
                audit.record(conn, now, act)
            return changed is not None

        for slot in self._layout.slots():
            database = self._layout.open(versions.SPOOL, slot)
            try:
                if await database.write(work):
                    return True
            finally:
                await database.close()
        return False

    async def _slot(self, slot: str) -> list[QueueLine]:
        database = self._layout.open(versions.SPOOL, slot)
        try:
            mark, rows = await database.read(
                lambda conn: (
                    conn.execute(select(JOURNAL_MARK.c.segment)).scalar_one_or_none() or 1,
                    conn.execute(select(SPOOL)).all(),
                )
            )
        finally:
            await database.close()
        lines = [
            QueueLine(
                entry_of_row(row, self._keyring.unwrap(bytes(row.wrapped_key))),
                slot,
                row.state,
                from_milliseconds(row.due_at),
                row.why,
            )
            for row in rows
        ]
        listed = {line.entry.id for line in lines}
        records = live_records(self._layout.mail_segments, slot, self._keyring, mark)
        return lines + [
            QueueLine(entry_of_record(record), slot, "journal", None, None)
            for record in records
            if record.id not in listed
        ]
