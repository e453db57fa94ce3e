"""Schema versions: `init` and `db upgrade` migrate, `serve` refuses a store of another version."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, insert, inspect, select

from mssante.access.audit import GENESIS
from mssante.storage.schema import directory, dmp, mail, spool
from mssante.storage.schema.audit import AuditTables
from mssante.storage.sqlite import sqlite_engine

_SCRIPTS: Final = Path(__file__).parent / "migrations"


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


def upgrade_sqlite(path: Path, schema: Schema, *, backup: bool = True) -> None:
    """Bring a file to this program's version, creating it where it is absent.

    A copy of an existing older file is kept beside it first (``NAME.before-REVISION``).

    Raises:
        WrongVersion: the file is newer than this program.
    """
    version, revision = version_of_sqlite(path, schema)
    _refuse_newer(version, schema, str(path))
    if version is Version.CURRENT:
        return
    if backup and version is Version.OLDER:
        with (
            closing(sqlite3.connect(path)) as source,
            closing(sqlite3.connect(f"{path}.before-{revision}")) as copy,
        ):
            source.backup(copy)
    with _sqlite_connection(path) as connection:
        _upgrade(connection, schema)
    path.chmod(0o600)


def upgrade_postgres(url: str, schema: Schema) -> None:
    """Bring the tables of one schema in a PostgreSQL database to this program's version.

    Raises:
        WrongVersion: they are newer than this program.
    """
    engine = create_engine(url)
    with engine.begin() as connection:
        version, _ = _version(connection, schema)
        _refuse_newer(version, schema, "the PostgreSQL database")
        if version is not Version.CURRENT:
            _upgrade(connection, schema)
    engine.dispose()


def version_of_sqlite(path: Path, schema: Schema) -> tuple[Version, str | None]:
    """How a file's version relates to this program's, and its revision."""
    if not path.exists():
        return Version.ABSENT, None
    with _sqlite_connection(path) as connection:
        return _version(connection, schema)


def version_of_postgres(url: str, schema: Schema) -> tuple[Version, str | None]:
    """How the tables' version relates to this program's, and their revision."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = _version(connection, schema)
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


def differences(connection: Connection, schema: Schema) -> list[object]:
    """What the migrated tables lack or have too much, compared with the declared ones."""
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": f"{schema.name}_version",
            "include_name": lambda name, kind, _: kind != "table" or name in schema.metadata.tables,
        },
    )
    return list(compare_metadata(context, schema.metadata))


def _refuse_newer(version: Version, schema: Schema, where: str) -> None:
    if version is Version.NEWER:
        raise WrongVersion(
            f"the {schema.name} tables of {where} were written by a newer mssante: install that version"
        )


@contextmanager
def _sqlite_connection(path: Path) -> Iterator[Connection]:
    engine = sqlite_engine(path)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.exec_driver_sql("COMMIT")
    engine.dispose()


def _configuration(connection: Connection, schema: Schema) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(_SCRIPTS))
    configuration.set_main_option("version_locations", str(_SCRIPTS / schema.name))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    configuration.attributes["database"] = schema
    return configuration


def _version(connection: Connection, schema: Schema) -> tuple[Version, str | None]:
    table = f"{schema.name}_version"
    if not inspect(connection).has_table(table):
        return Version.ABSENT, None
    context = MigrationContext.configure(connection, opts={"version_table": table})
    revision = context.get_current_revision()
    scripts = ScriptDirectory.from_config(_configuration(connection, schema))
    if revision == scripts.get_current_head():
        return Version.CURRENT, revision
    known = {script.revision for script in scripts.walk_revisions()}
    return (Version.OLDER if revision in known else Version.NEWER), revision


def _upgrade(connection: Connection, schema: Schema) -> None:
    command.upgrade(_configuration(connection, schema), "head")
    head = schema.audit.head
    if connection.execute(select(head.c.number)).first() is None:
        connection.execute(insert(head), {"number": 1, "sequence": 0, "head": GENESIS})


def make_revision(connection: Connection, schema: Schema, message: str, revision: str) -> None:
    """Write the migration from a store's present tables to the declared ones (for developers)."""
    command.revision(
        _configuration(connection, schema),
        message,
        autogenerate=True,
        rev_id=revision,
        version_path=str(_SCRIPTS / schema.name),
    )
