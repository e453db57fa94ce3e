"""Evidence beside delivered messages: written with the first delivery, gone with the last entry."""

import asyncio

import pytest
from sqlalchemy import select

from mssante.kernel.opaque import new_id
from mssante.mail.model import Evidence, FlagOperation, Flags, StoredMessage
from mssante.mail.ports import Delivery
from mssante.storage import versions
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.schema.mail import EVIDENCE


class Deaf:
    def folder_changed(self, folder_number, highestmodseq):
        pass


@pytest.fixture
async def store(open_database, blobs, clock):
    return StoredMailboxes(await open_database(versions.MAIL), blobs, Deaf(), clock)


async def a_delivery(store, blobs, clock, *mailboxes):
    original = await blobs.put(b"as it came")
    message = StoredMessage(new_id(), b"", b"summary", await blobs.put(b"as it is read"))
    evidence = Evidence(clock.now(), "valid", "", "ok", b'{"address":"alice@x.example"}', original)
    return Delivery(new_id(), message, 9, clock.now(), mailboxes, evidence=evidence)


async def rows_of(store):
    return await store._database.read(lambda conn: conn.execute(select(EVIDENCE)).all())


async def test_evidence_is_kept_once_however_often_the_delivery_is_repeated(store, blobs, clock):
    first, second = new_id(), new_id()
    delivery = await a_delivery(store, blobs, clock, first, second)

    await asyncio.gather(*(store.deliver(delivery) for _ in range(4)))

    assert await store.evidence(delivery.message.id) == delivery.evidence
    assert blobs.read(delivery.evidence.original) == b"as it came"
    [row] = await rows_of(store)
    assert bytes(row.spool_id) == delivery.spool_id


async def test_who_signed_is_sealed_at_rest(store, blobs, clock):
    await store.deliver(await a_delivery(store, blobs, clock, new_id()))
    [row] = await rows_of(store)

    assert all(b"alice" not in bytes(each) for each in row if isinstance(each, bytes))


async def test_it_goes_with_the_last_entry_of_the_message_and_not_before(store, blobs, clock):
    mailboxes = (new_id(), new_id())
    delivery = await a_delivery(store, blobs, clock, *mailboxes)
    await store.deliver(delivery)
    left = []
    for mailbox in mailboxes:
        inbox = await store.folder(mailbox, "INBOX")
        await store.store_flags(inbox.number, None, [1], FlagOperation.ADD, int(Flags.DELETED))
        await store.expunge(inbox.number, [1])
        left.append(len(await rows_of(store)))

    assert left == [1, 0]
    assert await store.evidence(delivery.message.id) is None


async def test_a_message_without_evidence_has_none(store, blobs, clock):
    message = StoredMessage(new_id(), b"", b"summary", await blobs.put(b"text"))
    await store.deliver(Delivery(new_id(), message, 9, clock.now(), (new_id(),)))

    assert await store.evidence(message.id) is None
