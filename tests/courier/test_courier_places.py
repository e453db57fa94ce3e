"""How many messages the courier has under way at once."""

import asyncio
import functools
from datetime import UTC, datetime

import pytest

from mssante.courier import courier as courier_module
from mssante.courier.courier import LARGE, MOST_LARGE_AT_ONCE, Courier
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Envelope, SpoolEntry


class Journeys:
    """Journeys that last until they are let go; counts those under way."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.under_way = {"large": 0, "small": 0}
        self.done = 0

    async def carry(self, entry, spool):
        kind = "large" if entry.blob.length > LARGE else "small"
        self.under_way[kind] += 1
        await self.go_on.wait()
        self.under_way[kind] -= 1
        self.done += 1


def an_entry(length):
    envelope = Envelope(None, (), None, None, "client", "ESMTPSA", "TLS")
    return SpoolEntry(
        new_id(), datetime(2026, 11, 23, tzinfo=UTC), envelope, BlobRef("s", 0, length, b"")
    )


async def test_few_large_messages_are_opened_at_once_and_small_ones_do_not_wait_for_them():
    journeys = Journeys()
    courier = Courier(journeys, [None])
    for _ in range(100):
        courier.accepted(an_entry(LARGE + 1))
    for _ in range(10):
        courier.accepted(an_entry(5_000))
    await asyncio.sleep(0.05)

    assert journeys.under_way == {"large": MOST_LARGE_AT_ONCE, "small": 10}
    journeys.go_on.set()
    await courier.stop()
    assert journeys.done == 110


class Processor:
    """The thread's share of the processor, as the courier sees it."""

    def __init__(self):
        self.busy = False
        self._used = 0.0

    def thread_time(self):
        self._used += self.busy
        return self._used


@pytest.fixture
def processor(monkeypatch):
    made = Processor()
    monkeypatch.setattr(courier_module, "time", made)
    return made


async def test_a_message_that_comes_alone_begins_its_journey_soon(processor, monkeypatch):
    monkeypatch.setattr(courier_module, "_WAIT_SECONDS", 3600)
    journeys = Journeys()
    courier = Courier(journeys, [None])
    courier.accepted(an_entry(5_000))

    async with asyncio.timeout(10):
        while not journeys.under_way["small"]:
            await asyncio.sleep(0.001)
    journeys.go_on.set()
    await courier.stop()


async def test_in_a_busy_moment_journeys_begin_together_and_not_too_late(processor, monkeypatch):
    monkeypatch.setattr(courier_module, "_WAIT_SECONDS", 0.5)
    processor.busy = True
    journeys = Journeys()
    courier = Courier(journeys, [None])
    seen = set()
    for _ in range(3):
        courier.accepted(an_entry(5_000))
        await asyncio.sleep(0.002)
        seen.add(journeys.under_way["small"])

    async with asyncio.timeout(10):
        while not journeys.under_way["small"]:
            await asyncio.sleep(0.001)
    assert (seen, journeys.under_way["small"], courier.under_way) == ({0}, 3, 3)
    journeys.go_on.set()
    await courier.stop()


class Timers:
    """The event loop's timers, which ring when the test says so."""

    def call_later(self, seconds, call, *values):
        self._next = functools.partial(call, *values)

    async def ring(self):
        self._next()
        await asyncio.sleep(0)


@pytest.fixture
def timers(monkeypatch):
    made = Timers()
    monkeypatch.setattr(courier_module.asyncio, "get_running_loop", lambda: made)
    return made


@pytest.mark.parametrize(("coming", "waits"), [(0, 1), (1, 2), (2, 3), (3, 4), (9, 4)])
async def test_while_more_comes_the_first_waits_on_but_not_for_ever(
    processor, timers, coming, waits
):
    processor.busy = True
    journeys = Journeys()
    courier = Courier(journeys, [None])
    courier.accepted(an_entry(5_000))
    await timers.ring()

    waited = 0
    while not journeys.under_way["small"]:
        if waited < coming:
            courier.accepted(an_entry(5_000))
        await timers.ring()
        waited += 1

    assert (waited, journeys.under_way["small"]) == (waits, 1 + min(coming, waits))
    journeys.go_on.set()
    await courier.stop()


async def test_what_has_not_begun_when_the_courier_stops_is_carried_all_the_same(
    processor, monkeypatch
):
    monkeypatch.setattr(courier_module, "_WAIT_SECONDS", 3600)
    processor.busy = True
    journeys = Journeys()
    journeys.go_on.set()
    courier = Courier(journeys, [None])
    courier.accepted(an_entry(5_000))

    await courier.stop()

    assert (journeys.done, courier.under_way) == (1, 0)
