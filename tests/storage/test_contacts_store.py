"""Contacts, blocks and invitations on both databases."""

import asyncio
import random
from datetime import timedelta

import pytest
from sqlalchemy import select

from mssante.directory.ports import Act
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.contacts import Ending, read_correspondence
from mssante.mail.model import StoredMessage
from mssante.mail.ports import Delivery
from mssante.storage import audit, versions
from mssante.storage.contacts import StoredContacts
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.schema.mail import PATIENT_BLOCK, PATIENT_CONTACT

ACT = Act("patient contact block", "tester")
DOCTOR, SECRETARY = Address("dr.a", "h.example"), Address("secr", "h.example")


class Deaf:
    def folder_changed(self, folder_number, highestmodseq):
        pass


@pytest.fixture
async def database(open_database):
    return await open_database(versions.MAIL)


@pytest.fixture
def contacts(database, keyring, clock):
    return StoredContacts(database, keyring, clock)


@pytest.fixture
def deliver(database, blobs, clock):
    store = StoredMailboxes(database, blobs, Deaf(), clock)

    async def deliver_it(mailbox_id, header, at=None, spool_id=None, *, waiting=False):
        message = StoredMessage(new_id(), b"", b"s", await blobs.put(b"hello"))
        spool_id = spool_id or new_id()
        await store.deliver(
            Delivery(
                spool_id, message, 9, at or clock.now(), (mailbox_id,),
                correspondence=read_correspondence(header),
                patients=frozenset({mailbox_id}),
                not_activated=frozenset({mailbox_id} if waiting else ()),
            )
        )  # fmt: skip
        return spool_id

    return deliver_it


async def entries(database, kind):
    lines = await database.read(
        lambda conn: audit.show(conn, versions.MAIL.audit, "mail", limit=1000)
    )
    return [line.leaf for line in lines if line.leaf["kind"] == kind]


async def test_a_delivery_opens_its_contact_for_that_patient_alone(contacts, deliver):
    patient, other = new_id(), new_id()
    spool_id = await deliver(patient, b"From: dr.a@h.example\r\n\r\n")

    found = await contacts.standing(patient, Address("DR.A", "H.example"))

    assert found.is_open
    assert found.since.message == spool_id
    assert not (await contacts.standing(other, DOCTOR)).is_open
    assert not (await contacts.standing(patient, SECRETARY)).is_open


async def test_a_repeated_delivery_changes_and_records_nothing(contacts, deliver, database, clock):
    patient, spool_id, at = new_id(), new_id(), clock.now()
    header = b"From: dr.a@h.example\r\n\r\n"
    await asyncio.gather(*(deliver(patient, header, at, spool_id) for _ in range(5)))
    clock.advance(seconds=1)
    await deliver(patient, b"From: dr.a@h.example\r\nSubject: [FIN]\r\n\r\n")

    await deliver(patient, header, at, spool_id)

    assert not (await contacts.standing(patient, DOCTOR)).is_open
    recorded = [
        (one["action"], one["facts"]["cause"]) for one in await entries(database, "contact")
    ]
    assert recorded == [("close", Ending.SUBJECT), ("open", "message")]


async def test_a_late_delivery_does_not_open_what_was_closed_after_its_acceptance(
    contacts, deliver, clock
):
    patient, early = new_id(), clock.now()
    await deliver(
        patient, b"From: dr.a@h.example\r\nX-MSS-MES: FIN\r\n\r\n", early + timedelta(seconds=5)
    )
    await deliver(patient, b"From: dr.a@h.example\r\n\r\n", early)
    assert not (await contacts.standing(patient, DOCTOR)).is_open

    await deliver(patient, b"From: dr.a@h.example\r\n\r\n", early + timedelta(seconds=9))
    assert (await contacts.standing(patient, DOCTOR)).is_open


async def test_random_deliveries_at_once_end_as_those_in_order(contacts, deliver, clock):
    chance = random.Random(4)
    for _ in range(6):
        messages = []
        for number in range(8):
            author, reply = chance.choice(["dr.a", "secr"]), chance.choice(["", "secr", "dr.a"])
            lines = [f"From: {author}@h.example"]
            lines += [f"Reply-To: {reply}@h.example"] if reply else []
            lines += chance.choice([[], [], ["X-MSS-MES: FIN"], ["Subject: [FIN]"]])
            header = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
            messages.append((header, clock.now() + timedelta(seconds=number // 2), new_id()))
        in_order, at_once = new_id(), new_id()
        for message in sorted(messages, key=lambda one: (one[1], one[2])):
            await deliver(in_order, *message)
        shuffled = messages + chance.sample(messages, 3)
        chance.shuffle(shuffled)
        await asyncio.gather(*(deliver(at_once, *message) for message in shuffled))

        for address in (DOCTOR, SECRETARY):
            one = await contacts.standing(in_order, address)
            assert await contacts.standing(at_once, address) == one


async def test_addresses_stand_sealed_and_no_token_joins_two_patients(deliver, contacts, database):
    patients = [new_id(), new_id()]
    for patient in patients:
        await deliver(patient, b"From: dr.a@h.example\r\n\r\n")
        await contacts.block(patient, SECRETARY, ACT)

    rows = await database.read(
        lambda conn: [*conn.execute(select(PATIENT_CONTACT)), *conn.execute(select(PATIENT_BLOCK))]
    )

    assert all(b"h.example" not in bytes(row.sealed) for row in rows)
    assert len({bytes(row.contact) for row in rows[:2]}) == 2


async def test_a_block_holds_from_one_instant_to_another(contacts, clock):
    patient, before = new_id(), clock.now()
    clock.advance(hours=1)
    assert await contacts.block(patient, DOCTOR, ACT)
    assert not await contacts.block(patient, DOCTOR, ACT)
    during = clock.now()
    clock.advance(hours=1)
    assert await contacts.unblock(patient, DOCTOR, ACT)
    assert not await contacts.unblock(patient, DOCTOR, ACT)

    async def blocked(at, sender=DOCTOR):
        return await contacts.is_blocked(patient, {SECRETARY.key, sender.key}, at)

    assert [await blocked(at) for at in (before, during, clock.now())] == [False, True, False]
    assert not await blocked(during, Address("x", "h.example"))
    assert await contacts.block(patient, DOCTOR, ACT)
    assert await blocked(clock.now())


async def test_a_list_tells_who_may_be_answered_who_closed_and_who_is_blocked(
    contacts, deliver, clock
):
    patient = new_id()
    for sender, fields in (("dr.a", b""), ("secr", b""), ("secr", b"X-MSS-MES: FIN\r\n")):
        clock.advance(minutes=1)
        await deliver(patient, b"From: %s@h.example\r\n%s\r\n" % (sender.encode(), fields))
    clock.advance(minutes=1)
    stranger = Address("x", "h.example")
    await contacts.block(patient, stranger, ACT)

    lines = await contacts.contacts_of(patient)

    assert [(line.address, line.is_open, line.cause) for line in lines] == [
        (stranger, False, ""),
        (SECRETARY, False, Ending.HEADER),
        (DOCTOR, True, ""),
    ]
    assert lines[0].blocked_at == clock.now()


async def test_one_invitation_is_due_however_many_messages_wait(contacts, deliver, database, clock):
    patient = new_id()
    first = clock.now()
    spool_id = await deliver(patient, b"From: dr.a@h.example\r\n\r\n", waiting=True)
    await deliver(patient, b"From: dr.a@h.example\r\n\r\n", spool_id=spool_id, waiting=True)
    clock.advance(hours=1)
    await deliver(patient, b"From: dr.a@h.example\r\n\r\n", waiting=True)

    [invitation] = await contacts.invitations()

    assert (invitation.asked_at, invitation.messages) == (first, 2)
    assert invitation.sent_at is None
    assert await contacts.mark_invitation_sent(patient, ACT)
    assert (await contacts.invitations())[0].sent_at == clock.now()
    assert [one["action"] for one in await entries(database, "contact")].count("invite") == 1


async def test_a_read_receipt_may_go_where_it_was_asked_also_after_the_end(contacts, deliver):
    patient = new_id()
    await deliver(
        patient,
        b"From: dr.a@h.example\r\nX-MSS-MES: FIN\r\nDisposition-Notification-To: secr@h.example\r\n\r\n",
    )

    assert (await contacts.standing(patient, SECRETARY)).receipt_asked
    assert not (await contacts.standing(patient, SECRETARY)).is_open
    assert [str(line.address) for line in await contacts.contacts_of(patient)] == [str(DOCTOR)]
