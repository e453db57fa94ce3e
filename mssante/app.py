"""Composition: settings → stores → rooms → listeners, by hand and in dependency order.

`Stores` is what the commands of the administrator and the workers share; `run_worker` is one
worker process from its first line to its last.
"""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from mssante.kernel.clock import Clock, SystemClock
from mssante.kernel.pseudonym import Pseudonymiser
from mssante.settings import Settings
from mssante.storage import migrate
from mssante.storage.database import Database
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.documents import StoredDocuments
from mssante.storage.encryption import Keyring
from mssante.storage.layout import Layout
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.segments import SegmentBlobs
from mssante.storage.wakeups import FolderListener, SocketWakeups

_LOG: Final = logging.getLogger(__name__)

Listening = Mapping[str, Sequence[socket.socket]]
"""Bound sockets by the listener's name in the settings."""

_SLOT_SECONDS: Final = 30.0
"""How long to wait for a slot whose former process is just ending."""


def layout_of(settings: Settings) -> Layout:
    """Where the instance keeps what."""
    return Layout(
        settings.storage.directory,
        settings.workers.run_directory,
        settings.storage.database_url,
    )


def check_stores(settings: Settings) -> None:
    """Refuse stores of another version.

    Raises:
        WrongVersion: says which one and what to do.
    """
    for where, version in layout_of(settings).versions():
        migrate.require_current(version, where, str(settings.file))


@dataclass(frozen=True, slots=True)
class Stores:
    """The opened stores of an instance."""

    settings: Settings
    layout: Layout
    clock: Clock
    keyring: Keyring
    pseudonymiser: Pseudonymiser
    databases: Mapping[str, Database]
    """By schema name; each has an audit chain of its own."""
    directory: StoredDirectory
    registry: StoredRegistry
    mail_blobs: SegmentBlobs
    mailboxes: StoredMailboxes
    dmp_blobs: SegmentBlobs
    documents: StoredDocuments
    wakeups: SocketWakeups


@asynccontextmanager
async def open_stores(
    settings: Settings,
    owner: str = "cli",
    listener: FolderListener | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Stores]:
    """Open the stores; closing finishes waiting writes.

    Args:
        settings: the instance's.
        owner: who writes: a worker's slot, or ``cli`` and the process id for a command.
        listener: called for folders that changed, here or in another process.
        clock: the clock; the machine's where none is given.

    Raises:
        WrongVersion: a store was written by another version.
        KeyUnavailable: the keys cannot be opened.
    """
    check_stores(settings)
    layout, clock = layout_of(settings), clock or SystemClock()
    keyring = Keyring.open(settings.keys.master_key, layout.instance_keys)
    patient_domains = frozenset(settings.operator.patient_domains)
    async with AsyncExitStack() as stack:
        databases: dict[str, Database] = {}
        for schema in (migrate.DIRECTORY, migrate.MAIL, migrate.DMP):
            database = databases[schema.name] = layout.open(schema)
            stack.push_async_callback(database.close)
        mail_blobs = SegmentBlobs(layout.mail_segments, owner, keyring)
        stack.push_async_callback(mail_blobs.close)
        dmp_blobs = SegmentBlobs(layout.dmp_segments, owner, keyring)
        stack.push_async_callback(dmp_blobs.close)
        wakeups = SocketWakeups(layout.run, owner, listener)
        stack.callback(wakeups.close)
        yield Stores(
            settings=settings,
            layout=layout,
            clock=clock,
            keyring=keyring,
            pseudonymiser=Pseudonymiser(keyring.derive("pseudonyms"), patient_domains),
            databases=databases,
            directory=StoredDirectory(databases["directory"]),
            registry=StoredRegistry(databases["directory"], clock),
            mail_blobs=mail_blobs,
            mailboxes=StoredMailboxes(databases["mail"], mail_blobs, wakeups, clock),
            dmp_blobs=dmp_blobs,
            documents=StoredDocuments(databases["dmp"], dmp_blobs, clock),
            wakeups=wakeups,
        )


@contextlib.contextmanager
def hold_slot(layout: Layout, slot: str, seconds: float = _SLOT_SECONDS) -> Iterator[bool]:
    """Hold a slot's lock: its spool and segments belong to this process until it ends.

    Yields whether the lock was got within `seconds`.
    """
    lock = os.open(layout.run / f"slot-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _lock_within(lock, seconds)
    finally:
        os.close(lock)


def _lock_within(lock: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
