"""Work that waits for the disk, done in groups, so that many share one sync (group commit).

When a group begins decides what each item costs: begun at once, groups stay small where many could share
one. So a group begins when the event loop has nothing better to do, and in a loop that is always busy
after a moment at the latest. A lone item waits for nobody, and for no timer.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_IDLE_SECONDS: Final = 0.0001
"""A round of the loop as short as this had nothing to do."""


class Errands:
    """One thread that does what has to wait, one thing after the other."""

    def __init__(self, name: str) -> None:
        self._asked: SimpleQueue[
            tuple[asyncio.AbstractEventLoop, Callable[[], Any], Callable[[Any], None]] | None
        ] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(
        self,
        loop: asyncio.AbstractEventLoop,
        errand: Callable[[], Outcome],
        answer: Callable[[Outcome | BaseException], None],
    ) -> None:
        """Do something in the thread; then `answer` is called in the loop with what came of it."""
        self._asked.put((loop, errand, answer))

    async def close(self) -> None:
        """Finish what was asked, then end the thread."""
        self._asked.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            loop, errand, answer = asked
            try:
                outcome = errand()
            except BaseException as failure:  # noqa: BLE001 - who waits must hear of it
                outcome = failure
            if not loop.is_closed():
                loop.call_soon_threadsafe(answer, outcome)


Take = Callable[[], Sequence[Item]]
"""The items of a batch, which go on gathering until it is called: once, in the loop."""
End = Callable[[Sequence[Outcome | BaseException]], None]
"""Takes what came of each item of a batch; called in the loop."""
Begin = Callable[[asyncio.AbstractEventLoop, Take[Item], End[Outcome]], None]
"""Begins to do a batch; called in the loop, as its end is."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    future: asyncio.Future[Outcome]


class Gathering(Generic[Item, Outcome]):
    """Forms batches, in the order of coming: while one is under way the next one gathers.

    Used by one event loop at a time.
    """

    def __init__(
        self, name: str, begin: Begin[Item, Outcome], *, within: float, largest: int
    ) -> None:
        """Args:
        name: of what is closed, for who comes too late.
        begin: begins a batch.
        within: seconds that a batch gathers at most while the loop is busy.
        largest: items of a batch.
        """
        self._name = name
        self._begin = begin
        self._within = within
        self._largest = largest
        self._waiting: list[_Waiting[Item, Outcome]] = []
        self._under_way = False
        """A batch is being done, or about to be."""
        self._at_rest: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, item: Item) -> asyncio.Future[Outcome]:
        """Hand an item over; the future tells what came of it, or raises it.

        The work is done even if who waits is cancelled: it may already be at the disk.

        Raises:
            RuntimeError: it was closed.
        """
        if self._closed:
            raise RuntimeError(f"{self._name} is closed")
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Item, Outcome] = _Waiting(item, loop.create_future())
        self._waiting.append(waiting)
        if not self._under_way:
            self._under_way = True
            self._when_idle(loop)
        return waiting.future

    async def close(self) -> None:
        """Take nothing more, and finish what waits."""
        self._closed = True
        if self._under_way:
            self._at_rest = asyncio.get_running_loop().create_future()
            await self._at_rest

    def _when_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin as soon as the loop has nothing else to do, or has had too much for too long."""
        first = last = time.monotonic()

        def look() -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < _IDLE_SECONDS or now - first >= self._within:
                self._begin_next(loop)
            else:
                last = now
                loop.call_soon(look)

        loop.call_soon(look)

    def _begin_next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch: list[_Waiting[Item, Outcome]] = []

        def take() -> Sequence[Item]:
            batch.extend(self._waiting[: self._largest])
            del self._waiting[: self._largest]
            return [waiting.item for waiting in batch]

        def end(outcomes: Sequence[Outcome | BaseException]) -> None:
            self._end(batch, outcomes)
            if self._waiting:
                self._when_idle(loop)
                return
            self._under_way = False
            if self._at_rest is not None:
                self._at_rest.set_result(None)

        self._begin(loop, take, end)

    def _end(
        self,
        batch: Sequence[_Waiting[Item, Outcome]],
        outcomes: Sequence[Outcome | BaseException],
    ) -> None:
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.future.done():  # cancelled while it waited
                continue
            if isinstance(outcome, BaseException):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)


class GroupThread(Generic[Item, Outcome]):
    """Runs `handle` in a thread of its own on batches of items."""

    def __init__(
        self,
        name: str,
        handle: Callable[[Sequence[Item]], Sequence[Outcome]],
        *,
        within: float,
        largest: int,
    ) -> None:
        """`handle` returns one result for each item of its batch; `within`, `largest`: see `Gathering`."""
        self._handle = handle
        self._errands = Errands(name)
        self._gathering: Gathering[Item, Outcome] = Gathering(
            name, self._begin, within=within, largest=largest
        )

    def put(self, item: Item) -> asyncio.Future[Outcome]:
        """See `Gathering.put`."""
        return self._gathering.put(item)

    async def close(self) -> None:
        """Finish what waits, then end the thread."""
        await self._gathering.close()
        await self._errands.close()

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Take[Item],
        end: End[Outcome],
    ) -> None:
        batch = take()

        def answer(outcome: Sequence[Outcome] | BaseException) -> None:
            end([outcome] * len(batch) if isinstance(outcome, BaseException) else outcome)

        self._errands.ask(loop, lambda: self._handle(batch), answer)
