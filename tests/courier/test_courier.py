import asyncio
from datetime import UTC, datetime

from mssante.courier import courier as courier_module
from mssante.courier.courier import MOST_AT_ONCE, Courier
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Envelope, SpoolEntry

ENVELOPE = Envelope(None, (), None, None, "laptop", "ESMTPSA", "TLSv1.3")


def an_entry():
    return SpoolEntry(new_id(), datetime(2026, 1, 1, tzinfo=UTC), ENVELOPE, BlobRef("", 0, 0, b""))


class Waiting:
    """A spool in which entries of an earlier start wait."""

    def __init__(self, count):
        self.entries = [an_entry() for _ in range(count)]
        self.released = []

    async def due(self, limit):
        handed, self.entries = self.entries[:limit], self.entries[limit:]
        return handed

    def release(self, entry_id):
        self.released.append(entry_id)


class Journey:
    def __init__(self):
        self.may_go = asyncio.Semaphore(0)
        self.carried = []

    async def carry(self, entry, spool):
        await self.may_go.acquire()
        self.carried.append(entry.id)


async def test_what_waits_is_carried_although_new_mail_comes_in_all_the_time(monkeypatch):
    monkeypatch.setattr(courier_module, "_LOOK_SECONDS", 0.01)
    spool, journey = Waiting(20), Journey()
    waiting = {entry.id for entry in spool.entries}
    courier = Courier(journey, [spool])
    for _ in range(10 * MOST_AT_ONCE):
        courier.accepted(an_entry())
    courier.start()
    for _ in range(200):  # the rush goes on: for each that is done another comes
        for _ in range(10):
            journey.may_go.release()
            courier.accepted(an_entry())
        await asyncio.sleep(0.002)

    assert courier.under_way >= 5 * MOST_AT_ONCE
    assert waiting <= set(journey.carried)
    for _ in range(courier.under_way):
        journey.may_go.release()
    await courier.stop()
