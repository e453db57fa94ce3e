"""Settings → opened stores: what the administrator's commands and the workers share."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from mssante.kernel.clock import Clock, SystemClock
from mssante.kernel.pseudonym import Pseudonymiser
from mssante.settings import Settings
from mssante.storage import versions
from mssante.storage.contacts import StoredContacts
from mssante.storage.database import Database
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.documents import StoredDocuments
from mssante.storage.encryption import Keyring
from mssante.storage.layout import Layout
from mssante.storage.mailbox_keys import StoredMailboxKeys
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.segments import SegmentBlobs
from mssante.storage.wakeups import FolderListener, SocketWakeups
from mssante.storage.whitelist import StoredWhiteList


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
    for where, version in layout_of(settings).present():
        versions.require_current(version, where, str(settings.file))


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
    white_list: StoredWhiteList
    mailbox_keys: StoredMailboxKeys
    mail_blobs: SegmentBlobs
    mailboxes: StoredMailboxes
    contacts: StoredContacts
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
    operator = settings.operator
    patient_domains = frozenset((*operator.patient_domains, *operator.remote_patient_domains))
    async with AsyncExitStack() as stack:
        databases: dict[str, Database] = {}
        for schema in (versions.DIRECTORY, versions.MAIL, versions.DMP):
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
            white_list=StoredWhiteList(databases["directory"], clock),
            mailbox_keys=StoredMailboxKeys(databases["directory"], keyring, clock),
            mail_blobs=mail_blobs,
            mailboxes=StoredMailboxes(databases["mail"], mail_blobs, wakeups, clock),
            contacts=StoredContacts(databases["mail"], keyring, clock),
            dmp_blobs=dmp_blobs,
            documents=StoredDocuments(databases["dmp"], dmp_blobs, clock),
            wakeups=wakeups,
        )
