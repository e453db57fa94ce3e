"""What a store needs from time to time: old effects forgotten, write-ahead logs emptied.

An effect's key makes a repeat find what was done. It is needed as long as any start could carry its
message again, and not after: once the message is neither in a journal nor in a spool, its keys are
forgotten, `KEPT` later. Slowly, page by page, so that nobody waits for it. All spools of an instance
are on this machine; where several share one database, each would have to be asked.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Delete, Row, Select, Table, bindparam, delete, select

from mssante.kernel.clock import Clock, to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.storage import versions
from mssante.storage.database import Database
from mssante.storage.journal import unfinished_ids
from mssante.storage.layout import Layout
from mssante.storage.relays import DONE, StoredRelays
from mssante.storage.schema import dmp, mail
from mssante.storage.schema.spool import RELAY, SPOOL
from mssante.storage.spool import mark_of
from mssante.storage.sqlite import SqliteDatabase

KEPT: Final = timedelta(days=30)
"""How long an effect is remembered at least."""
_PRUNE_EVERY: Final = timedelta(hours=24)
_EMPTY_EVERY: Final = timedelta(hours=1)
_PAGE: Final = 500
_PAUSE_SECONDS: Final = 0.5
"""Between two pages: three million effects take about an hour."""
_LOG: Final = logging.getLogger(__name__)


def unfinished(layout: Layout) -> set[OpaqueId]:
    """The messages of all slots, served at present or not, that could be carried again."""
    found: set[OpaqueId] = set()
    for slot in layout.slots():
        path = layout.sqlite_path(versions.SPOOL, slot)
        with versions.sqlite_connection(path, begin="BEGIN") as conn:
            mark = mark_of(conn)
        found |= unfinished_ids(layout.mail_segments, slot, mark)
        with versions.sqlite_connection(path, begin="BEGIN") as conn:
            found.update(OpaqueId(bytes(row.id)) for row in conn.execute(select(SPOOL.c.id)))
            # The reports of an order that is still on its way are effects under its own id.
            orders = select(RELAY.c.id).where(RELAY.c.state != DONE)
            found.update(OpaqueId(bytes(row.id)) for row in conn.execute(orders))
    return found


async def forget_effects(
    database: Database,
    effects: Table,
    before: int,
    needed: Collection[OpaqueId],
    *,
    pause_seconds: float = _PAUSE_SECONDS,
) -> int:
    """Delete the effects recorded before an instant, except those of messages still needed.

    Args:
        database: where the table is.
        effects: with the columns ``spool_id`` and ``at``.
        before: milliseconds, UTC.
        needed: see `unfinished`, asked after `before` was chosen.
        pause_seconds: between two pages.

    Returns:
        How many messages' effects were deleted.
    """
    page = (
        select(effects.c.spool_id, effects.c.at)
        .where(effects.c.spool_id > bindparam("after"))
        .order_by(effects.c.spool_id)
        .limit(_PAGE)
    )
    remove = delete(effects).where(
        effects.c.spool_id.in_(bindparam("ids", expanding=True)), effects.c.at < before
    )
    after, count = b"", 0
    while True:
        rows = await database.read(partial(_page, page, after))
        if not rows:
            return count
        old = {bytes(row.spool_id) for row in rows if row.at < before}
        ids = sorted(old.difference(needed))
        if ids:
            await database.write(partial(_remove, remove, ids))
            count += len(ids)
        after = bytes(rows[-1].spool_id)
        await asyncio.sleep(pause_seconds)


def _page(page: Select[tuple[bytes, int]], after: bytes, conn: Connection) -> Sequence[Row[Any]]:
    return conn.execute(page, {"after": after}).all()


def _remove(remove: Delete, ids: Sequence[bytes], conn: Connection) -> None:
    conn.execute(remove, {"ids": ids})


class Upkeep:
    """Does it all in the background of one worker."""

    def __init__(
        self,
        layout: Layout,
        clock: Clock,
        spools: Sequence[tuple[Database, StoredRelays]],
        shared: dict[str, Database] | None,
    ) -> None:
        """Args:
        layout: where the spools of all slots are.
        clock: the one clock.
        spools: this worker's, each with its orders to other operators.
        shared: the databases of all workers by schema name, for the one worker that cares for
            them.
        """
        self._layout = layout
        self._clock = clock
        self._shared = shared or {}
        self._relays = [relays for _, relays in spools]
        self._databases = [*(database for database, _ in spools), *self._shared.values()]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; the first time comes after a while, when the worker has carried what waited."""
        self._tasks.append(asyncio.create_task(self._empty_logs()))
        self._tasks.append(asyncio.create_task(self._forget()))

    async def close(self) -> None:
        """Stop; whatever was not done is done another time."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _empty_logs(self) -> None:
        while True:
            await asyncio.sleep(_EMPTY_EVERY.total_seconds())
            for database in self._databases:
                if not isinstance(database, SqliteDatabase):
                    continue
                try:
                    await database.empty_wal()
                except Exception:  # noqa: BLE001 - background work goes on
                    _LOG.exception("a write-ahead log could not be emptied; trying again later")

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(_EMPTY_EVERY.total_seconds())
            try:
                await self.forget_now()
            except Exception:  # noqa: BLE001 - background work goes on
                _LOG.exception("old effects could not be forgotten; trying again later")
            await asyncio.sleep((_PRUNE_EVERY - _EMPTY_EVERY).total_seconds())

    async def forget_now(self, *, pause_seconds: float = _PAUSE_SECONDS) -> int:
        """Forget what is old; how many messages' effects went, those of relaying aside."""
        before = to_milliseconds(self._clock.now() - KEPT)
        needed = await asyncio.to_thread(unfinished, self._layout)
        for relays in self._relays:
            await relays.forget(before, needed)
        count = 0
        effect_tables = (("mail", mail.EFFECT), ("dmp", dmp.EFFECT)) if self._shared else ()
        for name, effects in effect_tables:
            count += await forget_effects(
                self._shared[name], effects, before, needed, pause_seconds=pause_seconds
            )
        return count
