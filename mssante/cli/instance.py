"""Opens an instance's stores without its server: what every command works on.

Commands run as the service account, with the server running or stopped: the databases take turns,
and readers of folders are told by wake-ups.
"""

import asyncio
import getpass
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mssante.composition.stores import Stores, open_stores
from mssante.directory.ports import Act
from mssante.directory.registration import Registration
from mssante.kernel.pseudonym import Pseudonymiser
from mssante.settings import Settings, load
from mssante.storage.contacts import StoredContacts
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.documents import StoredDocuments
from mssante.storage.whitelist import StoredWhiteList

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Instance:
    """The stores of one instance; valid inside ``with open_instance(...)``."""

    stores: Stores
    _runner: asyncio.Runner

    @property
    def settings(self) -> Settings:
        """The instance's settings."""
        return self.stores.settings

    @property
    def sandbox(self) -> bool:
        """Whether everything here is synthetic."""
        return self.settings.operator.sandbox

    @property
    def directory(self) -> StoredDirectory:
        """Who is who."""
        return self.stores.directory

    @property
    def registry(self) -> StoredRegistry:
        """The directory's write side."""
        return self.stores.registry

    @property
    def contacts(self) -> StoredContacts:
        """Patients' contacts, blocks and invitations."""
        return self.stores.contacts

    @property
    def white_list(self) -> StoredWhiteList:
        """The white list of operators."""
        return self.stores.white_list

    @property
    def documents(self) -> StoredDocuments:
        """The DMP."""
        return self.stores.documents

    @property
    def pseudonyms(self) -> Pseudonymiser:
        """How patients appear in listings."""
        return self.stores.pseudonymiser

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

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a port's answer."""
        return self._runner.run(work)


@contextmanager
def open_instance(path: Path) -> Iterator[Instance]:
    """Open the stores of the instance whose settings file is `path`.

    Raises:
        SettingsError: the settings are wrong.
        WrongVersion: a store is older or newer than this program.
        KeyUnavailable: the master key does not open the instance keys.
    """
    settings = load(path)
    with asyncio.Runner() as runner:
        # A command's segments are its own: two commands at once never write into one file.
        opening = open_stores(settings, owner=f"cli{os.getpid()}")
        stores = runner.run(opening.__aenter__())
        try:
            yield Instance(stores, runner)
        finally:
            runner.run(opening.__aexit__(None, None, None))


def act(command: str) -> Act:
    """Who runs `command`, for the audit: the operating system's user."""
    return Act(command, getpass.getuser())
