"""A SQLite database shared by several processes.

Reads run at once, in the event loop, on one held connection. Writes go to a thread that gathers
them and commits each batch with one sync; processes take turns by `flock`, whose waiters queue in
the kernel, because SQLite's own busy handler sleeps and lets some starve (docs/decisions/0001).
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from mssante.storage import audit
from mssante.storage.database import Unwritable
from mssante.storage.grouping import GroupThread
from mssante.storage.schema.audit import AuditTables

T = TypeVar("T")
_Work = Callable[[Connection], object]

_BUSY_MILLISECONDS: Final = 10_000
"""Only for the moments that the lock does not cover: a checkpoint, or another program's look."""
_CHECKPOINT_MILLISECONDS: Final = 100
"""How long the other writers wait at most because a reader is in the way of emptying the log."""
_LARGEST_BATCH: Final = 128
_PASSING: Final = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_BUSY: errno.EBUSY}
"""What SQLite calls a full disk and a lock that is held."""


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
        f"busy_timeout = {_BUSY_MILLISECONDS}",
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
        self._tables = tables
        self._engine = sqlite_engine(path)
        self._reader = self._engine.connect()
        self._reader_raw = _raw(self._reader)
        self._writer = self._engine.connect()
        self._writer_raw = _raw(self._writer)
        self._lock_path = f"{path}.lock"
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._thread: GroupThread[_Work, object] = GroupThread(
            f"writer of {path.name}", self._commit, largest=_LARGEST_BATCH
        )

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

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a unit of work; durable on return."""
        return cast("T", await self._thread.submit(work))

    async def empty_wal(self) -> bool:
        """Move the write-ahead log into the file and cut it: what was deleted is overwritten in the
        file at each checkpoint, but old pages stay in the log until then.

        Returns:
            Whether it is empty; False when a reader was in the way.
        """
        return await asyncio.to_thread(self._empty_wal)

    def _empty_wal(self) -> bool:
        # A descriptor and a connection of its own: the lock must hold off our writer thread, too.
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CLOEXEC)
        try:
            with self._engine.connect() as connection:
                fcntl.flock(lock, fcntl.LOCK_EX)
                raw = _raw(connection)
                raw.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_MILLISECONDS}")
                busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
        finally:
            os.close(lock)

    async def close(self) -> None:
        """Finish waiting writes and close."""
        await self._thread.close()
        self._reader.close()
        self._writer.close()
        self._engine.dispose()
        os.close(self._lock)

    def _commit(self, batch: Sequence[_Work]) -> Sequence[object | BaseException]:
        try:
            with self._transaction():
                return [work(self._writer) for work in batch]
        except Exception as failure:  # noqa: BLE001 - handed to who waits for it
            if len(batch) == 1:
                return [_passing(failure) or failure]
        return [outcome for work in batch for outcome in self._commit([work])]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._writer_raw.execute("BEGIN IMMEDIATE")
            try:
                yield
                audit.flush(self._writer, self._tables)
                self._writer_raw.execute("COMMIT")
            except BaseException:
                audit.forget(self._writer)
                if self._writer_raw.in_transaction:
                    self._writer_raw.execute("ROLLBACK")
                raise
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _passing(failure: Exception) -> Unwritable | None:
    """A failure that another time would not have."""
    cause = getattr(failure, "orig", None) or failure
    number = _PASSING.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)  # without its extension
    return None if number is None else Unwritable(number, os.strerror(number))


def _raw(connection: Connection) -> sqlite3.Connection:
    driver: Any = connection.connection.driver_connection
    return cast("sqlite3.Connection", driver)
