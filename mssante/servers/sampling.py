"""What there is of something now, told every two seconds: sessions, queues, a sign of life."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mssante.kernel.clock import Clock, to_milliseconds
from mssante.servers.metrics import Meters

_LOG: Final = logging.getLogger(__name__)
_EVERY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one spool, or one queue to other operators, holds."""

    due: int = 0
    """Under way, or tried again by itself."""
    held: int = 0
    """Waits for a person."""
    oldest: int | None = None
    """When the oldest that is due was accepted: milliseconds, UTC."""
    fullness: float = 0.0
    """Of the journal: at 1 nothing more is accepted."""


Count = Callable[[], int]
Look = Callable[[], Awaitable[Waiting]]


class Sampler:
    """Looks around in one worker."""

    def __init__(
        self,
        meters: Meters,
        clock: Clock,
        sessions: Mapping[str, Count],
        queues: Mapping[str, Sequence[Look]],
    ) -> None:
        """Args:
        meters: where it is told.
        clock: the one clock.
        sessions: by listener, how many connections are open.
        queues: by way (``here``, ``relay``), the spools of this worker.
        """
        self._meters = meters
        self._clock = clock
        self._sessions = sessions
        self._queues = queues
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tell a first time, then again and again."""
        self._meters.begin()
        await self.sample()
        self._task = asyncio.create_task(self._sample_for_ever(), name="sampler")

    async def close(self) -> None:
        """Stop; the last numbers stay until the page's next process begins."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.sample()
            except Exception:  # noqa: BLE001 - the next look may succeed
                _LOG.exception("the queues cannot be looked at")

    async def sample(self) -> None:
        """Look once."""
        # First of all: a spool that cannot be read does not make the worker silent.
        self._meters.heartbeat.set(time.monotonic())
        for listener, count in self._sessions.items():
            self._meters.sessions(listener, count())
        now = to_milliseconds(self._clock.now())
        fullest = 0.0
        for way, looks in self._queues.items():
            found = [await look() for look in looks]
            ages = [(now - each.oldest) / 1000 for each in found if each.oldest is not None]
            due, held = sum(each.due for each in found), sum(each.held for each in found)
            self._meters.queue(way, due, held, max(0.0, *ages) if ages else 0.0)
            fullest = max([fullest, *(each.fullness for each in found)])
        self._meters.journal.set(fullest)
