"""A look at what is accepted and not wholly done, with the server running or stopped, and what an
administrator wants of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.directory.ports import Act
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import SpoolEntry, Wish
from mssante.mail.relay import RelayOrder
from mssante.storage import audit, versions
from mssante.storage.encryption import Keyring
from mssante.storage.journal import live_records
from mssante.storage.layout import Layout
from mssante.storage.relays import DONE, order_of_row
from mssante.storage.schema.spool import RELAY, SPOOL
from mssante.storage.spool import entry_of_record, entry_of_row, mark_of


@dataclass(frozen=True, slots=True)
class QueueLine:
    """A message on its way here, or an order that takes one to another operator."""

    item: SpoolEntry | RelayOrder
    slot: str
    state: str
    """``journal``: under way, or waiting for its worker's start; ``due``: to be tried again;
    ``hold``: waiting for a person; ``drop``, ``discard``: being given up."""
    due_at: datetime | None
    why: str | None
    """Of the last failure; free of content."""

    @property
    def message_id(self) -> OpaqueId:
        """Of the message, as the 250 told it."""
        return self.item.id if isinstance(self.item, SpoolEntry) else self.item.spool_id


class StoredQueue:
    """All slots' spools; reads without disturbing the workers."""

    def __init__(self, layout: Layout, keyring: Keyring, clock: Clock) -> None:
        self._layout = layout
        self._keyring = keyring
        self._clock = clock

    async def lines(self) -> list[QueueLine]:
        """What waits, oldest first."""
        found = [line for slot in self._layout.slots() for line in await self._slot(slot)]
        return sorted(found, key=lambda line: line.item.accepted_at)

    async def retry(self, line: QueueLine, act: Act) -> bool:
        """Try something now that was deferred or held; False where it is no more, or under way."""
        now = to_milliseconds(self._clock.now())
        return await self._change(line, act, {"due_at": now}, wish=None)

    async def hold(self, line: QueueLine, act: Act) -> bool:
        """Try something no more until told otherwise; False as for `retry`."""
        return await self._change(line, act, {}, wish=Wish.HOLD)

    async def drop(self, line: QueueLine, act: Act, *, silent: bool) -> bool:
        """Give something up: its worker does it, and tells the sender unless `silent`."""
        return await self._change(line, act, {}, wish=Wish.DISCARD if silent else Wish.DROP)

    async def _change(
        self, line: QueueLine, act: Act, values: dict[str, Any], *, wish: Wish | None
    ) -> bool:
        now = to_milliseconds(self._clock.now())
        if isinstance(line.item, RelayOrder):
            statement = update(RELAY).where(RELAY.c.id == line.item.id, RELAY.c.state != DONE)
            values |= {"wish": wish.value if wish else None}
        else:
            statement = update(SPOOL).where(SPOOL.c.id == line.item.id)
            values |= {"state": _SPOOL_STATES[wish]} | ({} if wish else {"attempts": 0})
        statement = statement.values(**values)

        def work(conn: Connection) -> bool:
            if not conn.execute(statement).rowcount:
                return False
            entry = AuditEntry(
                AuditKind.ADMINISTRATION,
                act.command,
                "done",
                actor=act.account_id,
                correlation=line.message_id,
                personal={"user": act.user},
            )
            audit.record(conn, now, entry)
            return True

        database = self._layout.open(versions.SPOOL, line.slot)
        try:
            return await database.write(work)
        finally:
            await database.close()

    async def _slot(self, slot: str) -> list[QueueLine]:
        database = self._layout.open(versions.SPOOL, slot)
        try:
            mark = await database.read(mark_of)
            records = list(live_records(self._layout.mail_segments, slot, self._keyring, mark))
            entries, orders = await database.read(
                lambda conn: (
                    conn.execute(select(SPOOL)).all(),
                    conn.execute(select(RELAY).where(RELAY.c.state != DONE)).all(),
                )
            )
        finally:
            await database.close()
        lines = [self._entry(row, slot) for row in entries]
        listed = {line.item.id for line in lines}
        lines += [
            QueueLine(entry_of_record(record), slot, "journal", None, None)
            for record in records
            if record.id not in listed
        ]
        return [*lines, *self._orders(orders, slot)]

    def _entry(self, row: Row[Any], slot: str) -> QueueLine:
        key = self._keyring.unwrap(bytes(row.wrapped_key))
        state = next(
            (wish.value for wish, state in _SPOOL_STATES.items() if wish and state == row.state),
            row.state,
        )
        return QueueLine(
            entry_of_row(row, key), slot, state, from_milliseconds(row.due_at), row.why
        )

    def _orders(self, rows: Iterable[Row[Any]], slot: str) -> Iterable[QueueLine]:
        for row in rows:
            order = order_of_row(row, self._keyring)
            state = order.wish.value if order.wish else row.state
            yield QueueLine(order, slot, state, order.due_at, order.why or None)


_SPOOL_STATES: Final[dict[Wish | None, str]] = {
    None: "due",
    Wish.HOLD: "aside",
    Wish.DROP: "drop",
    Wish.DISCARD: "discard",
}
