"""Stores under test, each on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mssante.storage import migrate, versions
from mssante.storage.database import Database
from mssante.storage.encryption import Keyring, create_keys
from mssante.storage.postgres import PostgresDatabase
from mssante.storage.segments import SegmentBlobs
from mssante.storage.sqlite import SqliteDatabase

OpenDatabase = Callable[[versions.Schema], Awaitable[Database]]


@pytest.fixture(params=["sqlite", "postgres"])
async def open_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[OpenDatabase]:
    """Opens a migrated, empty database of a schema; the same one when asked again."""
    opened: dict[str, Database] = {}
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None

    async def open_it(schema: versions.Schema) -> Database:
        if schema.name not in opened:
            if url is not None:
                migrate.upgrade_postgres(url, schema)
                opened[schema.name] = PostgresDatabase(url, schema.audit, pool_size=4)
            else:
                path = tmp_path / f"{schema.name}.sqlite"
                migrate.upgrade_sqlite(path, schema)
                opened[schema.name] = SqliteDatabase(path, schema.audit)
        return opened[schema.name]

    yield open_it
    for database in opened.values():
        await database.close()


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    create_keys(tmp_path / "master.key", tmp_path / "instance-keys.json")
    return Keyring.open(tmp_path / "master.key", tmp_path / "instance-keys.json")


@pytest.fixture
async def blobs(tmp_path: Path, keyring: Keyring) -> AsyncIterator[SegmentBlobs]:
    folder = tmp_path / "segments"
    folder.mkdir()
    store = SegmentBlobs(folder, "w0", keyring)
    yield store
    await store.close()
