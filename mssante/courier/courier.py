"""Keeps the messages of this worker moving: starts each journey, tries again after a failure.

A journey that fails leaves the entry in the spool; what it had already done is keyed, so trying
again is always safe. Failures of the moment (a full disk, a locked database) pass; an entry that
fails again and again is set aside for a person and never loops.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from mssante.courier.journey import Journey
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.mail.model import SpoolEntry
from mssante.mail.ports import Spool

_LOG: Final = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 64
"""Journeys under way in one process: enough to fill the writers' groups."""
_LEAST_ROOM: Final = 8
"""Taken from each spool at each look however much new mail comes in: what waits since an earlier start
or is tried again must not wait for the end of the rush."""
LARGE: Final = 1 << 20
"""Octets above which a message is large."""
MOST_LARGE_AT_ONCE: Final = 4
"""Large messages under way in one process. Reading the documents of one of 25 MB takes up to 200 MB
for a moment, and the processor is busy with one at a time anyway."""
_QUIET_SECONDS: Final = 0.001
_BUSY: Final = 0.25
"""Of so long a moment, how much of this thread's time makes it a busy one."""
_WAIT_SECONDS: Final = 0.004
"""How long the first of several messages then waits for others, to begin its journey with them."""
_MOST_WAITS: Final = 4
"""And how often, while in each wait others have come."""
_LOOK_SECONDS: Final = 1.0
"""How often the spool is searched for entries whose time has come."""
_FIRST_DELAY: Final = timedelta(seconds=1)
_LONGEST_DELAY: Final = timedelta(minutes=30)
MOST_ATTEMPTS: Final = 16
"""About four hours of trying; then the entry waits for a person."""


class WorkerSpool(Spool, Protocol):
    """The spool, with what only its courier does."""

    def release(self, entry_id: OpaqueId) -> None:
        """No task of this process carries the entry any more; it stays due."""
        ...


class Courier:
    """Carries the entries of one or several spools."""

    def __init__(self, journey: Journey, spools: Sequence[WorkerSpool]) -> None:
        """The first spool is this worker's own; others were left by workers that are no more."""
        self._journey = journey
        self._spools = tuple(spools)
        self._tasks: set[asyncio.Task[None]] = set()
        self._fresh: list[SpoolEntry] = []
        """Just accepted; their journeys begin together."""
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._large_places = asyncio.Semaphore(MOST_LARGE_AT_ONCE)
        self._stopping = False
        self._looker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for entries that wait, first of all those of the time before this start."""
        self._looker = asyncio.create_task(self._look(), name="courier")

    def accepted(self, entry: SpoolEntry) -> None:
        """Start with what was just accepted into the first spool: at once when nothing else is going on,
        else a moment later with what comes meanwhile, and later still while more and more comes.

        Who sends one message after the other would wait for the journey of the last one at each, and
        each journey would be a group of its own at the disk.
        """
        if self.under_way >= MOST_AT_ONCE:
            # It will wait: then it is read again when its turn comes, and takes no memory until then.
            entry = replace(entry, content=None)
        self._fresh.append(entry)
        if len(self._fresh) == 1:
            self._begin_when_quiet(asyncio.get_running_loop())

    def _begin_when_quiet(self, loop: asyncio.AbstractEventLoop) -> None:
        used = time.thread_time()

        def look() -> None:
            if time.thread_time() - used < _BUSY * _QUIET_SECONDS:
                self._begin_fresh()
            else:
                look_again(0, _MOST_WAITS)

        def look_again(known: int, waits: int) -> None:
            now = len(self._fresh)
            if waits and now > known:
                loop.call_later(_WAIT_SECONDS, look_again, now, waits - 1)
            else:
                self._begin_fresh()

        loop.call_later(_QUIET_SECONDS, look)

    def _begin_fresh(self) -> None:
        entries, self._fresh = self._fresh, []
        for entry in entries:
            self._begin(entry, self._spools[0])

    async def stop(self) -> None:
        """Let the journeys under way end; what is not begun waits in the spool."""
        self._begin_fresh()
        self._stopping = True
        if self._looker is not None:
            self._looker.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def under_way(self) -> int:
        """Journeys that have begun or are about to, and have not ended."""
        return len(self._tasks) + len(self._fresh)

    async def _look(self) -> None:
        while True:
            for spool in self._spools:
                await self._look_into(spool)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_into(self, spool: WorkerSpool) -> None:
        while True:
            room = 2 * MOST_AT_ONCE - len(self._tasks)
            try:
                entries = await spool.due(max(room, _LEAST_ROOM))
            except Exception:  # noqa: BLE001 - it may be readable again in a second
                _LOG.exception("the spool cannot be read")
                return
            for entry in entries:
                self._begin(entry, spool)
            if room <= _LEAST_ROOM or len(entries) < room:
                return
            await asyncio.sleep(0)

    def _begin(self, entry: SpoolEntry, spool: WorkerSpool) -> None:
        if self._stopping:
            spool.release(entry.id)
            return
        task = asyncio.create_task(self._carry(entry, spool))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, entry: SpoolEntry, spool: WorkerSpool) -> None:
        # A large one that waits for its turn takes no place from the others.
        large = self._large_places if entry.blob.length > LARGE else contextlib.nullcontext()
        async with large, self._places:
            try:
                await self._journey.carry(entry, spool)
            except Exception as failure:  # noqa: BLE001 - one bad message must not stop the others
                await self._put_back(entry, spool, failure)

    async def _put_back(self, entry: SpoolEntry, spool: WorkerSpool, failure: Exception) -> None:
        self._journey.events.failed()
        # The exception's text may quote the message: only its kind and place are logged.
        why = f"{type(failure).__name__} in {place_of(failure)}"
        _LOG.warning(
            "a message could not be carried; it stays in the spool",
            extra={"spool_id": id_text(entry.id), "attempt": entry.attempts + 1, "why": why},
        )
        try:
            if entry.attempts + 1 >= MOST_ATTEMPTS:
                await spool.set_aside(entry.id, why)
            else:
                await spool.defer(entry.id, delay_after(entry.attempts), why)
        except Exception:  # noqa: BLE001 - the entry stays due, at the latest for the next start
            _LOG.exception("the spool cannot be written")
            spool.release(entry.id)


def delay_after(attempts: int) -> timedelta:
    """Doubling from one second, at most half an hour, with a quarter of jitter."""
    delay: timedelta = min(_FIRST_DELAY * 2**attempts, _LONGEST_DELAY)
    return delay * (0.75 + secrets.randbelow(1000) / 2000)


def place_of(failure: BaseException) -> str:
    """Module and line of the innermost frame of ours."""
    place, trace = "?", failure.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.startswith("mssante."):
            place = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
