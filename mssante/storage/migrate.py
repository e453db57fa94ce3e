"""Migrations by Alembic: `init` and `db upgrade` run them, a copy of each file first."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, select

from mssante.access.audit import GENESIS
from mssante.storage.versions import (
    MIGRATIONS,
    Schema,
    Version,
    WrongVersion,
    sqlite_connection,
    version_of,
    version_of_sqlite,
    version_table,
)


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
    with sqlite_connection(path) as connection:
        _upgrade(connection, schema)
    path.chmod(0o600)


def upgrade_postgres(url: str, schema: Schema) -> None:
    """Bring the tables of one schema in a PostgreSQL database to this program's version.

    Raises:
        WrongVersion: they are newer than this program.
    """
    engine = create_engine(url)
    with engine.begin() as connection:
        version, _ = version_of(connection, schema)
        _refuse_newer(version, schema, "the PostgreSQL database")
        if version is not Version.CURRENT:
            _upgrade(connection, schema)
    engine.dispose()


def differences(connection: Connection, schema: Schema) -> list[object]:
    """What the migrated tables lack or have too much, compared with the declared ones."""
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": version_table(schema),
            "include_name": lambda name, kind, _: kind != "table" or name in schema.metadata.tables,
        },
    )
    return list(compare_metadata(context, schema.metadata))


def _refuse_newer(version: Version, schema: Schema, where: str) -> None:
    if version is Version.NEWER:
        raise WrongVersion(
            f"the {schema.name} tables of {where} were written by a newer mssante: install that version"
        )


def _configuration(connection: Connection, schema: Schema) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("version_locations", str(MIGRATIONS / schema.name))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    configuration.attributes["database"] = schema
    return configuration


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
        version_path=str(MIGRATIONS / schema.name),
    )
