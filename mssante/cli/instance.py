"""Opens an instance's stores without its server: what every command works on.

Commands run as the service account, with the server running or stopped: the databases take turns,
and readers of folders are told by wake-ups.
"""

import asyncio
import getpass
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from mssante.access.passwords import Argon2Cost
from mssante.cli.output import CommandFailed
from mssante.directory.ports import Act
from mssante.directory.registration import Registration
from mssante.kernel.clock import Clock, SystemClock
from mssante.kernel.ins import Ins
from mssante.kernel.pseudonym import Pseudonymiser
from mssante.settings import Settings, load
from mssante.storage import migrate
from mssante.storage.database import Database
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.encryption import Keyring
from mssante.storage.layout import Layout

CONFIG_VARIABLE: Final = "MSSANTE_CONFIG"
_MAX_INS_INPUT: Final = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Instance:
    """The stores of one instance; valid inside ``with open_instance(...)``."""

    settings: Settings
    layout: Layout
    keyring: Keyring
    clock: Clock
    directory: StoredDirectory
    registry: StoredRegistry
    _databases: dict[str, Database]
    _runner: asyncio.Runner

    @property
    def sandbox(self) -> bool:
        """Whether everything here is synthetic."""
        return self.settings.operator.sandbox

    @property
    def registration(self) -> Registration:
        """The service that creates members and patients."""
        operator = self.settings.operator
        return Registration(
            self.directory,
            self.registry,
            operator.patient_domains[0] if operator.patient_domains else None,
            operator.sandbox,
        )

    @property
    def pseudonyms(self) -> Pseudonymiser:
        """How patients appear in listings."""
        return Pseudonymiser(
            self.keyring.derive("pseudonyms"), frozenset(self.settings.operator.patient_domains)
        )

    def database(self, schema: migrate.Schema) -> Database:
        """A shared database of the instance, opened on first use."""
        if schema.name not in self._databases:
            self._databases[schema.name] = self.layout.open(schema)
        return self._databases[schema.name]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a port's answer."""
        return self._runner.run(work)


def config_path(ctx: typer.Context) -> Path:
    """The settings file that ``-c`` or the environment names.

    Raises:
        CommandFailed: neither does.
    """
    path = ctx.find_root().params.get("config")
    if path is None:
        raise CommandFailed(
            f"say which instance: -c DIR/mssante.toml, or the variable {CONFIG_VARIABLE}"
        )
    return Path(path)


def layout_of(settings: Settings) -> Layout:
    """Where the instance's parts lie."""
    return Layout(
        settings.storage.directory, settings.workers.run_directory, settings.storage.database_url
    )


def argon2_cost(settings: Settings) -> Argon2Cost:
    """What a password hash costs on this instance."""
    access = settings.access
    return Argon2Cost(access.argon2_memory_kib, access.argon2_passes, access.argon2_lanes)


@contextmanager
def open_instance(path: Path) -> Iterator[Instance]:
    """Open the stores of the instance whose settings file is `path`.

    Raises:
        SettingsError: the settings are wrong.
        WrongVersion: a store is older or newer than this program.
        KeyUnavailable: the master key does not open the instance keys.
    """
    settings = load(path)
    layout = layout_of(settings)
    for where, version in layout.versions():
        migrate.require_current(version, where, str(path))
    keyring = Keyring.open(settings.keys.master_key, layout.instance_keys)
    databases: dict[str, Database] = {}
    clock = SystemClock()
    with asyncio.Runner() as runner:
        try:
            databases["directory"] = layout.open(migrate.DIRECTORY)
            yield Instance(
                settings=settings,
                layout=layout,
                keyring=keyring,
                clock=clock,
                directory=StoredDirectory(databases["directory"]),
                registry=StoredRegistry(databases["directory"], clock),
                _databases=databases,
                _runner=runner,
            )
        finally:
            for database in databases.values():
                runner.run(database.close())


def act(command: str) -> Act:
    """Who runs `command`, for the audit: the operating system's user."""
    return Act(command, getpass.getuser())


def read_secret_argument(value: str) -> str:
    """The text of an option that also takes ``-`` (standard input) or ``@FILE``, so that an INS need
    not stand in the process list.

    Raises:
        CommandFailed: the file cannot be read.
    """
    if value == "-":
        return typer.get_text_stream("stdin").read(_MAX_INS_INPUT).strip()
    if value.startswith("@"):
        try:
            with Path(value[1:]).open(encoding="utf-8") as file:
                return file.read(_MAX_INS_INPUT).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"cannot read {value[1:]}: {error}") from None
    return value


def checked_ins(value: str, oid: str) -> Ins:
    """An INS given on the command line, checked; see `read_secret_argument`."""
    return Ins.parse(read_secret_argument(value), oid)
