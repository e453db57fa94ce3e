"""One worker's process, from its first line to its last."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Final

import uvloop

from mssante.composition.listeners import Listening
from mssante.composition.slots import hold_slot, open_spool
from mssante.composition.stores import layout_of, open_stores
from mssante.composition.worker import Worker
from mssante.renewal import Fetcher
from mssante.servers import logs
from mssante.servers.shared_memory import SharedMemory
from mssante.servers.turns import take_turns
from mssante.settings import Settings
from mssante.storage.upkeep import Upkeep
from mssante.storage.wakeups import FolderListener
from mssante.trust.anchors import Unreadable

_LOG: Final = logging.getLogger(__name__)

_ORPHAN_SECONDS: Final = 5.0
"""How long to wait for a slot that nobody serves any more: its former process may be ending."""


def run_worker(
    settings: Settings,
    slot: str,
    slots: Sequence[str],
    listening: Listening,
    ready: Callable[[], None],
    shared: SharedMemory,
) -> int:
    """Be one worker process until SIGTERM.

    Args:
        settings: the instance's.
        slot: this worker's own.
        slots: those of all workers; the first one's adopts the spools of former slots.
        listening: sockets that the supervisor bound.
        ready: called once, when every listener accepts.
        shared: what they see of each other.

    Returns:
        The process's exit code.
    """
    logs.configure(settings.logging.level, context={"worker": slot})
    layout = layout_of(settings)
    with ExitStack() as locks:
        if not locks.enter_context(hold_slot(layout, slot)):
            _LOG.error("another process holds this slot", extra={"slot": slot})
            return 1
        orphans = [other for other in layout.slots() if other not in slots]
        adopted = [
            other
            for other in (orphans if slot == slots[0] else [])
            # Its former process may be ending just now: with fewer workers than before a restart.
            if locks.enter_context(hold_slot(layout, other, _ORPHAN_SECONDS))
        ]
        for other in orphans if slot == slots[0] else []:
            if other not in adopted:
                _LOG.error("a former slot is held by another process", extra={"slot": other})
        is_first = slot == slots[0]
        shared = shared.at(list(slots).index(slot))
        try:
            uvloop.run(
                _serve(settings, [slot, *adopted], listening, ready, shared, is_first=is_first)
            )
        except Unreadable as error:  # a file that was good when the instance started
            _LOG.error("this worker cannot start", extra={"why": str(error)})
            return 1
    return 0


async def _serve(
    settings: Settings,
    slots: Sequence[str],
    listening: Listening,
    ready: Callable[[], None],
    shared: SharedMemory,
    *,
    is_first: bool,
) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    hear = _Relay()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings, f"{slots[0]}b", hear))
        spools = [await open_spool(stack, stores, slot) for slot in slots]
        worker = Worker(stores, spools, shared)
        hear.to = worker.mailboxes.on_folder_changed
        stores.wakeups.listen(asyncio.get_running_loop())
        upkeep = Upkeep(
            stores.layout,
            stores.clock,
            [(spool.database, spool.relays) for spool in spools],
            dict(stores.databases) if is_first else None,
        )
        stack.push_async_callback(upkeep.close)
        fetcher = Fetcher(settings, stores.white_list, stores.clock)
        stack.push_async_callback(fetcher.close)
        watch = worker.watch()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.ask)
        try:
            await worker.start(listening)
            upkeep.start()
            if is_first:
                fetcher.start()
            for lasting in (watch.run(), take_turns()):
                stack.callback(asyncio.create_task(lasting).cancel)
            ready()
            await stopping.wait()
        finally:
            await worker.stop()


class _Relay:
    """Hands wake-ups on to a service that is made after the stores."""

    to: FolderListener | None = None

    def __call__(self, folder_number: int, highestmodseq: int) -> None:
        if self.to is not None:
            self.to(folder_number, highestmodseq)
