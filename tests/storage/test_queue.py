import itertools
from datetime import timedelta

import pytest

from mssante.kernel.address import Address
from mssante.directory.ports import Act
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Envelope, Wish
from mssante.mail.relay import RelayOrder, RelayRecipient
from mssante.storage import versions
from mssante.storage.journal import Journal
from mssante.storage.layout import Layout
from mssante.storage.queue import StoredQueue
from mssante.storage.segments import SegmentBlobs
from mssante.storage.spool import StoredSpool

ACT = Act("queue", "tester")
ENVELOPE = Envelope(
    sender=Address("a", "x.example"), recipients=(Address("b", "x.example"),), account_id=None,
    mailbox_id=None, client="c", protocol="ESMTPSA", tls="t",
)  # fmt: skip


@pytest.fixture
async def world(tmp_path, keyring, clock):
    layout = Layout(tmp_path / "data", tmp_path / "run")
    layout.create_folders()
    opened = []

    async def spool(slot):
        layout.create_spool(slot)
        database = layout.open(versions.SPOOL, slot)
        blobs = SegmentBlobs(layout.mail_segments, f"{slot}b", keyring)
        made = StoredSpool(
            database, Journal(layout.mail_segments, slot, keyring), blobs, keyring, clock
        )
        await made.recover()
        opened.extend([made, blobs, database])
        return made

    yield spool, StoredQueue(layout, keyring, clock)
    for thing in opened:
        await thing.close()


async def test_all_slots_are_listed_oldest_first_while_their_workers_run(world, clock):
    spool, queue = world
    first, second = await spool("w0"), await spool("w1")
    deferred = await first.accept(ENVELOPE, b"1")
    clock.advance(seconds=1)
    live = await second.accept(ENVELOPE, b"2")
    clock.advance(seconds=1)
    aside = await second.accept(ENVELOPE, b"3")
    done = await second.accept(ENVELOPE, b"4")
    await first.defer(deferred.id, timedelta(hours=1), "later")
    await second.set_aside(aside.id, "our fault")
    await second.finish(done.id)

    lines = await queue.lines()

    assert [(line.item.id, line.state, line.why, line.slot) for line in lines] == [
        (deferred.id, "due", "later", "w0"),
        (live.id, "journal", None, "w1"),
        (aside.id, "hold", "our fault", "w1"),
    ]
    assert lines[0].item.envelope == ENVELOPE


@pytest.mark.parametrize("moment", range(4))
async def test_a_message_that_is_put_back_meanwhile_is_listed_once(world, monkeypatch, moment):
    """It leaves the journal for the rows before or after one of the looks at the database."""
    spool, queue = world
    worker = await spool("w0")
    entry = await worker.accept(ENVELOPE, b"1")
    opened, moments = Layout.open, itertools.count()

    async def perhaps_put_back():
        if next(moments) == moment:
            await worker.defer(entry.id, timedelta(hours=1), "later")

    def watched(*where):
        database = opened(*where)
        read = database.read

        async def meanwhile(unit):
            await perhaps_put_back()
            result = await read(unit)
            await perhaps_put_back()
            return result

        monkeypatch.setattr(database, "read", meanwhile)
        return database

    monkeypatch.setattr(Layout, "open", watched)

    assert [(line.item.id, line.slot) for line in await queue.lines()] == [(entry.id, "w0")]
    assert next(moments) == 4


async def test_what_was_set_aside_is_tried_again_when_a_person_says_so(world):
    spool, queue = world
    worker = await spool("w0")
    entry = await worker.accept(ENVELOPE, b"1")
    await worker.set_aside(entry.id, "our fault")
    assert await worker.due(10) == []
    [line] = await queue.lines()

    assert await queue.retry(line, ACT)

    [found] = await worker.due(10)
    assert (found.id, found.attempts) == (entry.id, 0)
    await worker.finish(entry.id)
    assert not await queue.retry(line, ACT)


async def test_what_is_dropped_is_handed_to_its_worker_with_the_wish(world):
    spool, queue = world
    worker = await spool("w0")
    for content in (b"1", b"2"):
        entry = await worker.accept(ENVELOPE, content)
        await worker.set_aside(entry.id, "our fault")
    first, second = await queue.lines()

    assert await queue.drop(first, ACT, silent=False)
    assert await queue.drop(second, ACT, silent=True)

    assert {one.wish for one in await worker.due(10)} == {Wish.DROP, Wish.DISCARD}


async def test_a_message_under_way_cannot_be_dropped(world):
    spool, queue = world
    worker = await spool("w0")
    await worker.accept(ENVELOPE, b"1")
    [line] = await queue.lines()

    assert not await queue.drop(line, ACT, silent=False)


async def test_an_order_to_another_operator_is_held_and_tried_again(world, clock):
    spool, queue = world
    worker = await spool("w0")
    order = RelayOrder(
        id=new_id(), spool_id=new_id(), domain="x.example", sender=ENVELOPE.sender, mailbox_id=None,
        recipients=(RelayRecipient(Address("b", "x.example")),), blob=BlobRef("s", 0, 1, b""),
        prefix=b"", accepted_at=clock.now(),
    )  # fmt: skip
    await worker.relays.order([order])
    [line] = await queue.lines()
    assert (line.message_id, line.state) == (order.spool_id, "due")

    assert await queue.hold(line, ACT)
    assert await worker.relays.due(10) == []
    assert [one.state for one in await queue.lines()] == ["hold"]
    assert await queue.retry(line, ACT)

    assert [one.id for one in await worker.relays.due(10)] == [order.id]
