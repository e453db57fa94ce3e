"""The writing side of a SQLite file: units of work gather, and each batch is one transaction.

The statements of brief units run in the event loop, where nobody contends for the interpreter: in a
thread beside a busy loop each statement would wait to get it back, and the file's lock with it. Only
what waits is a thread's: for the lock, and for the disk. A batch with a unit that may run long is the
thread's from beginning to end.

Processes take turns by `flock`, whose waiters queue in the kernel, because SQLite's own busy handler
sleeps and lets some starve (docs/decisions/0001).
"""

import asyncio
import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine

from mssante.storage import audit
from mssante.storage.database import Unwritable
from mssante.storage.grouping import End, Errands, Gathering, Take
from mssante.storage.schema.audit import AuditTables

_LOG: Final = logging.getLogger(__name__)

Work = Callable[[Connection], object]
_Ended = Callable[[Sequence[object] | BaseException], None]

BUSY_MILLISECONDS: Final = 10_000
"""How long a thread waits where SQLite's own locks are in the way, which ours does not cover: another
program's look, or a recovery."""
_GATHERING_SECONDS: Final = 0.015
_PASSING: Final = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_BUSY: errno.EBUSY}
"""What SQLite calls a full disk and a lock that is held."""
_MOST: Final = 48
"""Units of a batch: brief ones take the loop about 10 ms, in which it serves nobody else."""


@dataclass(frozen=True, slots=True)
class _Unit:
    work: Work
    brief: bool


class SqliteWriter:
    """The one connection of a process that writes a file; used by one event loop at a time."""

    def __init__(self, engine: Engine, path: Path, tables: AuditTables) -> None:
        self._tables = tables
        self._connection = engine.connect()
        self._raw = driver_connection(self._connection)
        # The loop does not wait for SQLite's locks; the thread does.
        self._raw.execute("PRAGMA busy_timeout = 0")
        self._lock = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        name = f"writer of {path.name}"
        self._errands = Errands(name)
        self._gathering: Gathering[_Unit, object] = Gathering(
            name, self._begin, within=_GATHERING_SECONDS, largest=_MOST
        )

    async def write(self, work: Work, *, brief: bool) -> object:
        """Do a unit of work; durable on return. It is done even if who waits is cancelled."""
        return await self._gathering.put(_Unit(work, brief))

    async def close(self) -> None:
        """Finish waiting units and close."""
        await self._gathering.close()
        await self._errands.close()
        self._connection.close()
        os.close(self._lock)

    # --- in the loop ------------------------------------------------------------------

    def _begin(self, loop: asyncio.AbstractEventLoop, take: Take[_Unit], end: End[object]) -> None:
        """Do in one transaction what has come when the lock is held; if that fails, each unit in its own."""

        def locked(failure: BaseException | None) -> None:
            batch = take()

            def ended(outcome: Sequence[object] | BaseException) -> None:
                if not isinstance(outcome, BaseException):
                    end(outcome)
                elif len(batch) == 1:
                    end([_passing(outcome) or outcome])
                else:
                    self._one_by_one(loop, batch, [], end)

            if failure is not None:
                ended(failure)
            elif all(unit.brief for unit in batch):
                self._begin_locked(loop, batch, ended)
            else:
                self._errands.ask(loop, lambda: self._do_aside(batch), ended)

        if self._locked_at_once():
            locked(None)
        else:
            self._errands.ask(loop, self._lock_file, locked)

    def _one_by_one(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Sequence[_Unit],
        done: list[object | BaseException],
        end: End[object],
    ) -> None:
        def ended(outcomes: Sequence[object | BaseException]) -> None:
            done.extend(outcomes)
            if len(done) == len(batch):
                end(done)
            else:  # not from here: each would stand on the stack of the one before
                loop.call_soon(self._one_by_one, loop, batch, done, end)

        self._begin(loop, lambda: [batch[len(done)]], ended)

    def _locked_at_once(self) -> bool:
        """Take the file's lock, unless that would have to wait."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or not to be had: the thread waits, or fails
            return False
        return True

    def _begin_locked(
        self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Unit], ended: _Ended
    ) -> None:
        """Begin the transaction and do the batch; the lock is held."""

        def begun(failure: BaseException | None) -> None:
            if failure is None:
                self._do_here(loop, batch, ended)
            else:
                ended(failure)

        try:
            self._raw.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:  # the thread meets it again, and waits or fails
            self._errands.ask(loop, self._begin_waiting, begun)
        else:
            begun(None)

    def _do_here(
        self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Unit], ended: _Ended
    ) -> None:
        """Run the statements; the lock is held and the transaction begun."""
        try:
            results = self._run_units(batch)
        except Exception as failure:  # noqa: BLE001 - handed to who waits for it
            ended(failure)
        else:
            self._errands.ask(loop, lambda: self._commit(results), ended)

    # --- in the thread ----------------------------------------------------------------

    def _lock_file(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _begin_waiting(self) -> None:
        """Begin the transaction, and wait for SQLite's own locks; ours is held, and let go on failure."""
        try:
            self._raw.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
            self._raw.execute("BEGIN IMMEDIATE")
        except BaseException:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            raise
        finally:
            self._raw.execute("PRAGMA busy_timeout = 0")

    def _do_aside(self, batch: Sequence[_Unit]) -> Sequence[object]:
        self._begin_waiting()
        return self._commit(self._run_units(batch))

    def _commit(self, results: Sequence[object]) -> Sequence[object]:
        try:
            self._raw.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        return results

    # --- in either --------------------------------------------------------------------

    def _run_units(self, batch: Sequence[_Unit]) -> Sequence[object]:
        try:
            results = [unit.work(self._connection) for unit in batch]
            audit.flush(self._connection, self._tables)
        except BaseException:
            self._roll_back()
            raise
        return results

    def _roll_back(self) -> None:
        """Undo the batch and let others write. Who waits hears of the first failure, not of one here."""
        audit.forget(self._connection)
        try:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
        except sqlite3.Error:
            _LOG.exception("a transaction could not be rolled back")
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _passing(failure: BaseException) -> Unwritable | None:
    """A failure that another time would not have."""
    cause = getattr(failure, "orig", None) or failure
    number = _PASSING.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)  # without its extension
    return None if number is None else Unwritable(number, os.strerror(number))


def lock_path(path: Path) -> str:
    """The file whose `flock` its writers hold in turn."""
    return f"{path}.lock"


def driver_connection(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection under SQLAlchemy's."""
    found: Any = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found
