"""How many messages the courier has under way at once."""

import asyncio
from datetime import UTC, datetime

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
