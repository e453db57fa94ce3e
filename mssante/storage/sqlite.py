"""A SQLite database shared by several processes.

Reads run at once, in the event loop, on one held connection. Writes gather, and each batch is
committed with one sync: see `sqlite_writer`.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from mssante.storage.schema.audit import AuditTables
from mssante.storage.sqlite_writer import (
    BUSY_MILLISECONDS,
    SqliteWriter,
    driver_connection,
    lock_path,
)

T = TypeVar("T")

_MOST_KEPT: Final = 10_000
"""Answers kept at a time, a few hundred octets each."""
_UNNOTICED_SECONDS: Final = 0.01
"""How long a commit of another process may go unnoticed. To ask SQLite takes locks: one message asks
for ten answers in a row, and all of them were one twentieth of its cost; asking once a millisecond was
still one fiftieth."""
_CHECKPOINT_MILLISECONDS: Final = 100
"""How long the other writers wait at most because a reader is in the way of emptying the log."""


def sqlite_engine(path: Path) -> Engine:
    """An engine whose connections are durable at each commit and erase what they delete."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # BEGIN and COMMIT are ours: see `SqliteDatabase`
        hide_parameters=True,  # an error's text must not show a row
        connect_args={"check_same_thread": False, "cached_statements": 512},
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in (
        f"busy_timeout = {BUSY_MILLISECONDS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # each commit reaches the disk
        "foreign_keys = ON",
        "secure_delete = ON",  # a deleted row's wrapped key is gone, and its blob with it
        "cache_size = -32768",  # 32 MiB
        "journal_size_limit = 67108864",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


class SqliteDatabase:
    """One file; see `storage.database.Database` for the promises."""

    def __init__(self, path: Path, tables: AuditTables) -> None:
        """Open `path`, which must have been migrated already."""
        if not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist: run `mssante init` or `mssante db upgrade`"
            )
        self._path = path
        self._engine = sqlite_engine(path)
        self._reader = self._engine.connect()
        self._reader_raw = driver_connection(self._reader)
        self._writer = SqliteWriter(self._engine, path, tables)
        self._kept: dict[Hashable, object] = {}
        """Answers of the version of the file that SQLite called `_kept_of`."""
        self._kept_of = -1
        self._look_again = 0.0

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a short read in one snapshot, here and now."""
        return self.read_now(work)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """The same without a coroutine."""
        self._reader_raw.execute("BEGIN")
        try:
            return work(self._reader)
        finally:
            self._reader_raw.execute("COMMIT")

    async def read_lasting(self, key: Hashable, work: Callable[[Connection], T]) -> T:
        """Run a read whose answer is kept until anybody commits anything to this file: until the end of
        our own `write` that is waited for, and until whatever else is committed for a hundredth of a
        second longer at most.
        """
        kept = self._kept
        if (now := time.monotonic()) >= self._look_again:
            (version,) = self._reader_raw.execute("PRAGMA data_version").fetchone()
            self._look_again = now + _UNNOTICED_SECONDS
            if version != self._kept_of or len(kept) >= _MOST_KEPT:
                kept.clear()
                self._kept_of = version
        if key not in kept:
            # What a commit in this moment brings is kept under the version before: not for long.
            kept[key] = self.read_now(work)
        return cast("T", kept[key])

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """Run a unit of work; durable on return."""
        try:
            return cast("T", await self._writer.write(work, brief=brief))
        finally:
            self._kept.clear()

    async def empty_wal(self) -> bool:
        """Move the write-ahead log into the file and cut it: what was deleted is overwritten in the
        file at each checkpoint, but old pages stay in the log until then.

        Returns:
            Whether it is empty; False when a reader was in the way.
        """
        return await asyncio.to_thread(self._empty_wal)

    def _empty_wal(self) -> bool:
        # A descriptor and a connection of its own: the lock must hold off our writer thread, too.
        lock = os.open(lock_path(self._path), os.O_RDWR | os.O_CLOEXEC)
        try:
            with self._engine.connect() as connection:
                fcntl.flock(lock, fcntl.LOCK_EX)
                raw = driver_connection(connection)
                raw.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_MILLISECONDS}")
                busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
        finally:
            os.close(lock)

    async def close(self) -> None:
        """Finish waiting writes and close."""
        await self._writer.close()
        self._reader.close()
        self._engine.dispose()
