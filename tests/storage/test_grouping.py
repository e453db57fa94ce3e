import asyncio
import threading
import time

import pytest

from mssante.storage.grouping import GroupThread


def grouped(handle, *, largest=64, within=0.05):
    return GroupThread("test", handle, within=within, largest=largest)


async def test_what_comes_together_is_done_together_and_in_order():
    batches = []

    def handle(batch):
        batches.append(list(batch))
        return [item * 10 for item in batch]

    group = grouped(handle)

    assert await asyncio.gather(*(group.put(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert batches == [[0, 1, 2, 3, 4]]
    await group.close()


async def test_a_batch_gathers_while_the_one_before_is_done():
    batches, gate = [], threading.Event()

    def handle(batch):
        gate.wait()
        batches.append(list(batch))
        return batch

    group = grouped(handle, largest=2)
    first = group.put(0)
    await asyncio.sleep(0.05)  # it is under way
    others = [group.put(n) for n in range(1, 4)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)

    assert batches == [[0], [1, 2], [3]]
    await group.close()


async def test_a_batch_gathers_while_the_loop_is_busy_but_not_for_ever():
    begun, submitted = [], time.monotonic()

    def handle(batch):
        begun.append((time.monotonic() - submitted, len(batch)))
        return batch

    group = grouped(handle, within=0.1)
    tasks = []
    while not begun and time.monotonic() - submitted < 5:
        tasks.append(group.put(0))
        time.sleep(0.005)  # the loop never rests
        await asyncio.sleep(0)

    assert begun[0][0] >= 0.1
    assert begun[0][1] > 1
    await asyncio.gather(*tasks)
    await group.close()


async def test_who_is_cancelled_does_not_disturb_the_others_and_its_work_is_done():
    done, gate = [], threading.Event()

    def handle(batch):
        gate.wait()
        done.extend(batch)
        return batch

    group = grouped(handle)
    gone, stays = (group.put(n) for n in (1, 2))
    await asyncio.sleep(0.05)
    gone.cancel()
    gate.set()

    assert await stays == 2
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert done == [1, 2]
    await group.close()


async def test_all_of_a_batch_hear_of_its_failure_and_the_next_one_is_done():
    failures = iter([OSError(28, "No space left on device")])

    def handle(batch):
        for failure in failures:
            raise failure
        return batch

    group = grouped(handle)

    for outcome in await asyncio.gather(*map(group.put, range(2)), return_exceptions=True):
        assert isinstance(outcome, OSError)
    assert await group.put(3) == 3
    await group.close()


async def test_close_finishes_what_waits_and_takes_nothing_more():
    done = []

    def handle(batch):
        time.sleep(0.02)
        done.extend(batch)
        return batch

    group = grouped(handle, largest=1)
    tasks = [group.put(n) for n in range(3)]
    await asyncio.sleep(0)
    await group.close()

    assert done == [0, 1, 2]
    assert await asyncio.gather(*tasks) == [0, 1, 2]
    with pytest.raises(RuntimeError):
        await group.put(4)
