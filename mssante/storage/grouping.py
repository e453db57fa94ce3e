"""One thread that gathers waiting work and does it in groups, so that many share one sync."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    future: asyncio.Future[Outcome]
    loop: asyncio.AbstractEventLoop


_Settled = tuple[asyncio.Future[Outcome], Outcome | BaseException]


class GroupThread(Generic[Item, Outcome]):
    """Runs `handle` on batches of items, in the order of their coming.

    While one batch is at the disk the next one gathers: there is no timer, so a lone item waits for
    nobody, and the busier the process the larger its batches (group commit).
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Sequence[Item]], Sequence[Outcome | BaseException]],
        *,
        largest: int = 256,
    ) -> None:
        """`handle` returns one result or exception for each item of its batch."""
        self._handle = handle
        self._largest = largest
        self._waiting: list[_Waiting[Item, Outcome]] = []
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def submit(self, item: Item) -> Outcome:
        """Hand an item over and wait until its batch is done.

        The work is done even if the waiting task is cancelled: it may already be at the disk.

        Raises:
            RuntimeError: the thread was closed.
            BaseException: what `handle` gave for this item.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        with self._wake:
            if self._closing:
                raise RuntimeError(f"{self._thread.name} is closed")
            self._waiting.append(_Waiting(item, future, loop))
            self._wake.notify()
        return await future

    async def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    return
                batch = self._waiting[: self._largest]
                del self._waiting[: self._largest]
            self._do(batch)

    def _do(self, batch: Sequence[_Waiting[Item, Outcome]]) -> None:
        outcomes: Sequence[Outcome | BaseException]
        try:
            outcomes = self._handle([waiting.item for waiting in batch])
        except BaseException as failure:  # noqa: BLE001 - the waiting tasks must hear of it
            outcomes = [failure] * len(batch)
        by_loop: dict[asyncio.AbstractEventLoop, list[_Settled[Outcome]]] = {}
        for waiting, outcome in zip(batch, outcomes, strict=True):
            by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
        for loop, settled in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[_Settled[Outcome]]) -> None:
    for future, outcome in settled:
        if future.done():  # cancelled while it waited
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
