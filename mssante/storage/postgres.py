"""A PostgreSQL database: the same units of work over an asynchronous driver.

Work that collides with another transaction (serialisation, deadlock, a unique key that another
inserted a moment earlier) is run again from its start, as `Database.write` allows.
"""

import asyncio
import secrets
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mssante.storage import audit
from mssante.storage.schema.audit import AuditTables

T = TypeVar("T")

_TRIES: Final = 8
_COLLISIONS: Final = frozenset({"40001", "40P01", "23505"})
"""serialization_failure, deadlock_detected, unique_violation."""


class PostgresDatabase:
    """A connection pool on one PostgreSQL database; see `storage.database.Database`."""

    def __init__(self, url: str, tables: AuditTables, *, pool_size: int = 8) -> None:
        """`url` is ``postgresql+psycopg://…``; the schema must have been migrated already."""
        self._tables = tables
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=4,
            pool_pre_ping=True,  # a restart of the database costs nobody an error
            hide_parameters=True,  # an error's text must not show a row
        )
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a read in one snapshot."""
        async with self._snapshot.connect() as connection:
            return await connection.run_sync(work)

    async def read_lasting(
        self,
        key: Hashable,  # noqa: ARG002 - only the server knows whether an answer still holds
        work: Callable[[Connection], T],
    ) -> T:
        """Run a read."""
        return await self.read(work)

    async def write(
        self,
        work: Callable[[Connection], T],
        *,
        brief: bool = False,  # noqa: ARG002 - the server runs them side by side
    ) -> T:
        """Run a unit of work in a transaction of its own."""
        for attempt in range(_TRIES):
            try:
                return await self._once(work)
            except DBAPIError as failure:
                if attempt == _TRIES - 1 or not _collided(failure):
                    raise
                await asyncio.sleep(secrets.randbelow(20 * (attempt + 1)) / 1000)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def _once(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(self._run, work)

    def _run(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        audit.forget(connection)
        outcome = work(connection)
        audit.flush(connection, self._tables)
        return outcome


def _collided(failure: DBAPIError) -> bool:
    state = getattr(failure.orig, "sqlstate", None)
    return state in _COLLISIONS and (state != "23505" or isinstance(failure, IntegrityError))
