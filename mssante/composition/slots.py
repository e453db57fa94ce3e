"""A worker's slot: the lock, so that it is one process's, and the spool that goes with it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

from mssante.composition.stores import Stores
from mssante.storage import versions
from mssante.storage.journal import Journal
from mssante.storage.layout import Layout
from mssante.storage.spool import StoredSpool

_SLOT_SECONDS: Final = 30.0
"""How long to wait for a slot whose former process is just ending."""


@contextlib.contextmanager
def hold_slot(layout: Layout, slot: str, seconds: float = _SLOT_SECONDS) -> Iterator[bool]:
    """Hold a slot's lock: its spool and segments belong to this process until it ends.

    Yields whether the lock was got within `seconds`.
    """
    # Beside what it protects: two configurations of one store must not miss each other.
    lock = os.open(
        layout.directory / f"slot-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        yield _lock_within(lock, seconds)
    finally:
        os.close(lock)


async def open_spool(stack: AsyncExitStack, stores: Stores, slot: str) -> StoredSpool:
    """Open a slot's spool, made where there is none yet; `stack` closes it."""
    stores.layout.create_spool(slot)
    database = stores.layout.open(versions.SPOOL, slot)
    stack.push_async_callback(database.close)
    journal = Journal(stores.layout.mail_segments, slot, stores.keyring)
    spool = StoredSpool(database, journal, stores.mail_blobs, stores.keyring, stores.clock)
    stack.push_async_callback(spool.close)
    return spool


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
