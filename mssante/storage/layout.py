"""Where the parts of a store lie on disk, and their making."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mssante.storage import versions
from mssante.storage.database import Database
from mssante.storage.segments import sync_folder
from mssante.storage.sqlite import SqliteDatabase
from mssante.storage.versions import Schema, Version

SHARED_SCHEMAS: Final = (versions.DIRECTORY, versions.MAIL, versions.DMP)
"""Those with one database for all workers; each worker's spool is its own."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one instance's store."""

    directory: Path
    """Databases, segments and spools."""
    run: Path
    """Locks and sockets of running processes."""
    database_url: str = ""
    """``postgresql://…`` where the tables are in PostgreSQL."""

    @property
    def instance_keys(self) -> Path:
        """The instance keys, wrapped by the master key."""
        return self.directory / "instance-keys.json"

    @property
    def mail_segments(self) -> Path:
        """Message bodies."""
        return self.directory / "segments-mail"

    @property
    def dmp_segments(self) -> Path:
        """Filed and held documents."""
        return self.directory / "segments-dmp"

    def sqlite_path(self, schema: Schema, slot: str = "") -> Path:
        """A database's file; spools are one for each slot."""
        return self.directory / (
            f"{schema.name}-{slot}.sqlite" if slot else f"{schema.name}.sqlite"
        )

    def slots(self) -> list[str]:
        """The slots whose spool exists, served at present or not."""
        prefix = f"{versions.SPOOL.name}-"
        return sorted(p.stem.removeprefix(prefix) for p in self.directory.glob(f"{prefix}*.sqlite"))

    def create_folders(self) -> None:
        """Make the folders (mode 0700); their names are durable on return."""
        for folder in (self.directory, self.run, self.mail_segments, self.dmp_segments):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)

    def upgrade(self, *, backup: bool = True) -> None:
        """Bring every database to this program's version, creating those that are absent.

        Raises:
            WrongVersion: one of them is newer than this program.
        """
        from mssante.storage import migrate  # noqa: PLC0415 - slow to load, and rarely needed

        for schema in SHARED_SCHEMAS:
            if self.database_url:
                migrate.upgrade_postgres(self._driver_url, schema)
            else:
                migrate.upgrade_sqlite(self.sqlite_path(schema), schema, backup=backup)
        for slot in self.slots():
            path = self.sqlite_path(versions.SPOOL, slot)
            migrate.upgrade_sqlite(path, versions.SPOOL, backup=backup)
        sync_folder(self.directory)

    def create_spool(self, slot: str) -> None:
        """Make the spool of a slot that has none yet; durable on return."""
        path = self.sqlite_path(versions.SPOOL, slot)
        if not path.exists():
            from mssante.storage import migrate  # noqa: PLC0415 - slow to load, and rarely needed

            # Under its name only when it is whole: other processes look at every slot's version.
            draft = path.with_name(f"{path.name}.draft")
            for left in self.directory.glob(f"{draft.name}*"):
                left.unlink()
            migrate.upgrade_sqlite(draft, versions.SPOOL)
            draft.rename(path)
            sync_folder(self.directory)

    def present(self) -> Iterator[tuple[str, Version]]:
        """Each database with the relation of its version to this program's."""
        for schema in SHARED_SCHEMAS:
            if self.database_url:
                version, _ = versions.version_of_postgres(self._driver_url, schema)
                yield f"{schema.name} in PostgreSQL", version
            else:
                path = self.sqlite_path(schema)
                yield str(path), versions.version_of_sqlite(path, schema)[0]
        for slot in self.slots():
            path = self.sqlite_path(versions.SPOOL, slot)
            yield str(path), versions.version_of_sqlite(path, versions.SPOOL)[0]

    def open(self, schema: Schema, slot: str = "") -> Database:
        """Open a database; spools are local to their slot even beside PostgreSQL."""
        if self.database_url and not slot:
            from mssante.storage.postgres import PostgresDatabase  # noqa: PLC0415 - slow to load

            return PostgresDatabase(self._driver_url, schema.audit)
        return SqliteDatabase(self.sqlite_path(schema, slot), schema.audit)

    @property
    def _driver_url(self) -> str:
        return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
