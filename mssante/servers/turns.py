"""How a worker takes turns on the processors: promptly while it has little to do, in long turns while much.

Where workers, their threads and others want more processors than there are, the kernel lets who wakes
interrupt who runs. Then caches are cold at each turn, and groups that share a sync stay small. A worker that
has much to do asks not to interrupt others (SCHED_BATCH, sched(7)): it does more in each of fewer turns.
While it has little to do that would gain nothing, and who waits for it would be told later.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Final

_LOG: Final = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 0.1
_MUCH: Final = 0.35
"""Share of one processor, since the last look, from which a worker has much to do."""
_LITTLE: Final = 0.15
"""And below which it has little again."""


async def take_turns() -> None:
    """Watch what this process uses and choose its turns, until cancelled.

    Only an ordinary process (SCHED_OTHER) is changed: what somebody else has chosen for it stays. Where
    the choice is forbidden, the worker goes on without it.
    """
    try:
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            return
        much = False
        at, used = time.monotonic(), time.process_time()
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            since, used_before = at, used
            at, used = time.monotonic(), time.process_time()
            share = (used - used_before) / (at - since)
            if much != (share >= (_LITTLE if much else _MUCH)):
                much = not much
                _choose(os.SCHED_BATCH if much else os.SCHED_OTHER)
    except OSError as error:  # of a sandbox, or of a kernel that knows no such policy
        _LOG.info("this process may not choose how it is scheduled", extra={"why": error.strerror})


def _choose(policy: int) -> None:
    for thread in _threads():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setscheduler(thread, policy, os.sched_param(0))


def _threads() -> Iterator[int]:
    """This process's threads; the main one first, because those that it begins have its policy."""
    yield os.getpid()  # after a fork, the main thread's `native_id` is still its parent's
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.native_id is not None:
            yield thread.native_id
