"""Counters of use that all workers share: the `UsageStore` port over the directory database.

The first lease of an hour forgets all but the hour before: that is how long a network's address stands
there.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mssante.access.budgets import Use
from mssante.storage.database import Database
from mssante.storage.prepared import Prepared
from mssante.storage.schema.directory import USAGE

_ADD: Final = Prepared(
    sqlite_insert(USAGE).on_conflict_do_nothing(),
    postgresql=postgres_insert(USAGE).on_conflict_do_nothing(),
)
_ROW: Final = (USAGE.c.hour == bindparam("the_hour")) & (
    USAGE.c.subject == bindparam("the_subject")
)
_READ: Final = {
    use: Prepared(select(USAGE.c[use.value].label("used")).where(_ROW).with_for_update())
    for use in Use
}
_TAKE: Final = {
    use: Prepared(
        update(USAGE).where(_ROW).values({use.value: USAGE.c[use.value] + bindparam("taken")})
    )
    for use in Use
}
_NOTHING: Final = {use.value: 0 for use in Use}


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What was leased to workers for one subject in an hour."""

    subject: str
    used: dict[Use, int]


class StoredUsage:
    """The counters of an instance."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hour = 0

    async def lease(self, hour: int, subject: str, use: Use, wanted: int, limit: int) -> int:
        """See the port."""
        is_new, self._hour = hour > self._hour, max(hour, self._hour)

        def work(conn: Connection) -> int:
            if is_new:
                conn.execute(delete(USAGE).where(USAGE.c.hour < hour - 1))
            _ADD.do(conn, {"hour": hour, "subject": subject, **_NOTHING})
            row = {"the_hour": hour, "the_subject": subject}
            taken: int = max(min(wanted, limit - _READ[use].first(conn, row).used), 0)
            if taken:
                _TAKE[use].do(conn, {**row, "taken": taken})
            return taken

        return await self._database.write(work, brief=True)

    async def lines(self, hour: int) -> list[UsageLine]:
        """All of an hour, by subject."""
        query = select(USAGE).where(USAGE.c.hour == hour).order_by(USAGE.c.subject)
        rows = await self._database.read(lambda conn: conn.execute(query).mappings().all())
        return [UsageLine(row["subject"], {use: row[use.value] for use in Use}) for row in rows]
