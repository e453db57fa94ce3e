"""Which version a store has, and which this program expects.

Apart from `storage.migrate`, because that needs Alembic, which takes longer to load than most
commands take to run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, MetaData, create_engine, inspect, text

from mssante.storage.schema import directory, dmp, mail, spool
from mssante.storage.schema.audit import AuditTables
from mssante.storage.sqlite import sqlite_engine

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""One folder of versions for each schema; a file's name begins with its revision, four digits."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One database's tables and the folder of its migrations (by name)."""

    name: str
    metadata: MetaData
    audit: AuditTables


DIRECTORY: Final = Schema("directory", directory.METADATA, directory.AUDIT)
MAIL: Final = Schema("mail", mail.METADATA, mail.AUDIT)
DMP: Final = Schema("dmp", dmp.METADATA, dmp.AUDIT)
SPOOL: Final = Schema("spool", spool.METADATA, spool.AUDIT)


@unique
class Version(StrEnum):
    """How a store's version relates to this program's."""

    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    ABSENT = "absent"


class WrongVersion(Exception):
    """A store is older or newer than this program; the message says what to do."""


def version_of_sqlite(path: Path, schema: Schema) -> tuple[Version, str | None]:
    """How a file's version relates to this program's, and its revision."""
    if not path.exists():
        return Version.ABSENT, None
    with sqlite_connection(path, begin="BEGIN") as connection:
        return version_of(connection, schema)


def version_of_postgres(url: str, schema: Schema) -> tuple[Version, str | None]:
    """How the tables' version relates to this program's, and their revision."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = version_of(connection, schema)
    engine.dispose()
    return found


def require_current(version: Version, where: str, configuration: str) -> None:
    """Refuse to serve a store of another version.

    Raises:
        WrongVersion: names the command that helps.
    """
    match version:
        case Version.CURRENT:
            return
        case Version.ABSENT:
            raise WrongVersion(f"{where} does not exist: run `mssante init` or restore a backup")
        case Version.OLDER:
            raise WrongVersion(
                f"{where} was written by an older mssante: run `mssante db upgrade -c {configuration}`"
            )
        case Version.NEWER:
            raise WrongVersion(f"{where} was written by a newer mssante: install that version")


@contextmanager
def sqlite_connection(path: Path, *, begin: str = "BEGIN IMMEDIATE") -> Iterator[Connection]:
    """A connection in a transaction of its own, committed at the end of the block."""
    engine = sqlite_engine(path)
    with engine.connect() as connection:
        connection.exec_driver_sql(begin)
        yield connection
        connection.exec_driver_sql("COMMIT")
    engine.dispose()


def version_table(schema: Schema) -> str:
    """The table in which Alembic keeps a schema's revision."""
    return f"{schema.name}_version"


def version_of(connection: Connection, schema: Schema) -> tuple[Version, str | None]:
    """The same through an open connection."""
    table = version_table(schema)
    if not inspect(connection).has_table(table):
        return Version.ABSENT, None
    found = connection.execute(text(f"SELECT version_num FROM {table}"))  # noqa: S608 - our own name
    revision = found.scalar_one_or_none()
    known = sorted(path.name[:4] for path in (MIGRATIONS / schema.name).glob("[0-9]*.py"))
    if revision == known[-1]:
        return Version.CURRENT, revision
    return (Version.OLDER if revision in known else Version.NEWER), revision
