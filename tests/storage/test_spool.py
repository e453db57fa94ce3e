from datetime import timedelta

import pytest

from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import Envelope
from mssante.storage import migrate
from mssante.storage.spool import StoredSpool

ENVELOPE = Envelope(
    sender=Address("dr.martin", "demo.example"),
    recipients=(Address("a", "demo.example"), Address("b", "demo.example")),
    account_id=new_id(),
    mailbox_id=new_id(),
    client="laptop",
    protocol="ESMTPSA",
    tls="TLSv1.3",
)


@pytest.fixture
async def reopen(open_database, blobs, clock):
    database = await open_database(migrate.SPOOL)
    return lambda slot="0": StoredSpool(database, blobs, slot, clock)


async def test_what_was_accepted_is_due_after_a_restart(reopen, blobs):
    entry = await reopen().accept(ENVELOPE, b"body")
    [found] = await reopen().due(10)

    assert (found.id, found.envelope) == (entry.id, ENVELOPE)
    assert blobs.read(found.blob) == b"body"


async def test_the_accepting_process_does_not_get_its_entry_twice(reopen):
    spool = reopen()
    entry = await spool.accept(ENVELOPE, b"body")

    assert await spool.due(10) == []
    spool.release(entry.id)
    assert [e.id for e in await spool.due(10)] == [entry.id]
    assert await spool.due(10) == []


async def test_finished_entries_are_gone(reopen):
    spool = reopen()
    entry = await spool.accept(ENVELOPE, b"body")
    await spool.finish(entry.id)

    assert await reopen().due(10) == []


async def test_deferred_entries_come_back_when_their_time_comes(reopen, clock):
    spool = reopen()
    entry = await spool.accept(ENVELOPE, b"body")
    await spool.defer(entry.id, timedelta(minutes=5), "database locked")

    assert await spool.due(10) == []
    clock.advance(minutes=6)
    [found] = await spool.due(10)
    assert found.attempts == 1


async def test_entries_set_aside_wait_for_a_person(reopen, clock):
    spool = reopen()
    entry = await spool.accept(ENVELOPE, b"body")
    await spool.set_aside(entry.id, "our own fault")
    clock.advance(days=30)

    assert await spool.due(10) == []


async def test_each_slot_sees_its_own_entries(reopen):
    await reopen("0").accept(ENVELOPE, b"body")

    assert await reopen("1").due(10) == []
    assert len(await reopen("0").due(10)) == 1


async def test_the_null_sender_survives(reopen):
    from dataclasses import replace

    await reopen().accept(replace(ENVELOPE, sender=None, account_id=None, mailbox_id=None), b"x")
    [found] = await reopen().due(1)

    assert found.envelope.sender is None
