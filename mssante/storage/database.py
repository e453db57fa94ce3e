"""One database, SQLite or PostgreSQL, behind two verbs.

Repositories are plain functions over a SQLAlchemy Core connection; a `Database` decides where they
run: on SQLite, reads at once in the event loop on a held connection and writes in batches;
on PostgreSQL, both over an asynchronous driver.
"""

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Unwritable(OSError):
    """A database takes nothing at present: its disk is full (ENOSPC), or another program holds its
    lock (EBUSY). It says so with the error number of files, so that nobody above need know SQL.
    """


class Database(Protocol):
    """Runs units of work."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a short read in one consistent snapshot."""
        ...

    async def read_lasting(self, key: Hashable, work: Callable[[Connection], T]) -> T:
        """Run a short read that is asked again and again of a database that seldom changes.

        The answer is kept from one change of the database to the next where such a change is cheap to
        notice; what another process commits may be missed for a hundredth of a second. It must not
        be changed by who gets it.

        Args:
            key: stands for what is asked; the same key, the same question.
            work: reads through the connection that it is given.
        """
        ...

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """Run a unit of work in a transaction; committed and on the disk when this returns.

        Several units may share one transaction and one sync. If any of them raises, all are rolled
        back and each is run again alone: a unit must therefore do nothing but read and write
        through its connection, and may raise (for example a `Refusal`) to undo what it wrote.

        Args:
            work: reads and writes through the connection that it is given.
            brief: it takes a handful of statements however much there is, so that others may wait
                for it (about 0.2 ms).
        """
        ...

    async def close(self) -> None:
        """Finish waiting writes and close the connections."""
        ...
