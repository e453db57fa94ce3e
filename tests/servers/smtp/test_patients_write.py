"""What patients may submit, what reaches patients, and what no answer tells."""

from dataclasses import replace

import pytest

from mssante.access.audit import AuditKind
from mssante.directory.model import MailboxState, MailboxType, OpenTo, Organisation
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.contacts import read_correspondence
from mssante.mail.model import StoredMessage
from mssante.mail.policy import MOST_OCTETS_TO_PATIENTS
from mssante.mail.ports import Delivery
from mssante.storage import audit, versions
from mssante.storage.mailboxes import StoredMailboxes
from mssante.trust.list_signature import ListPolicy
from mssante.wire.whitelist.model import Listing
from mssante.wire.whitelist.writer import write_white_list
from mssante.wire.x500 import DistinguishedName
from tests.support.smtp_world import (
    ACT,
    DOMAIN,
    PATIENTS,
    PATIENTS_ELSEWHERE,
    Client,
    message,
    patient_number,
)

CAROL = f"{patient_number(1)}@{PATIENTS}"
ELSEWHERE = "voisin.example"


class Deaf:
    def folder_changed(self, folder_number, highestmodseq):
        pass


@pytest.fixture
async def heard(world):
    """Delivers a professional's message to carol."""
    store = StoredMailboxes(world.databases["mail"], world.blobs, Deaf(), world.clock)

    async def hear(header):
        stored = StoredMessage(new_id(), b"", b"s", await world.blobs.put(b"x"))
        box = world.carol_box.id
        await store.deliver(
            Delivery(
                new_id(), stored, 9, world.clock.now(), (box,), patients=frozenset({box}),
                correspondence=read_correspondence(header.encode() + b"\r\n\r\n"),
            )
        )  # fmt: skip
        world.clock.advance(seconds=1)

    return hear


@pytest.fixture
async def carol(world):
    client = await Client.signed_in(world, "carol")
    yield client
    client.leave()


async def listed(world, *domains):
    operator = DistinguishedName.parse(
        "CN=mx.voisin.example,OU=1750712184,O=Voisin,ST=Paris (75),C=FR"
    )
    content = write_white_list(world.clock.now(), [Listing(domain, operator) for domain in domains])
    from mssante.storage.whitelist import StoredWhiteList

    white_list = StoredWhiteList(world.databases["directory"], world.clock)
    await white_list.replace(content, ACT, ListPolicy(), force=True)


async def said(client, recipient, sender=CAROL, parameters=""):
    await client.say("RSET")
    assert (await client.say(f"MAIL FROM:<{sender}>{parameters}")).startswith("250")
    return await client.say(f"RCPT TO:<{recipient}>")


async def test_a_patient_hears_the_same_of_every_address_that_is_no_contact(world, carol):
    answers = {
        await said(carol, recipient)
        for recipient in (
            f"alice@{DOMAIN}", f"nobody@{DOMAIN}", f"away@{DOMAIN}", f"cardio@{DOMAIN}",
            f"x@{ELSEWHERE}", "x@hors-liste.example",
        )
    }  # fmt: skip

    assert answers == {"550 5.7.1 A patient may write to who has written and not closed"}


async def test_patients_do_not_write_to_each_other_and_hear_the_same_of_all(world, carol):
    answers = {
        await said(carol, recipient)
        for recipient in (
            CAROL, f"{patient_number(2)}@{PATIENTS}", f"{patient_number(3)}@{PATIENTS}",
            f"{patient_number(9)}@{PATIENTS}", f"123@{PATIENTS}",
            f"{patient_number(1)}@{PATIENTS_ELSEWHERE}",
        )
    }  # fmt: skip

    assert answers == {"550 5.7.1 This sender may not write to that recipient"}


async def test_a_patient_answers_who_has_written_until_it_closes_and_again_later(
    world, carol, heard
):
    alice = f"alice@{DOMAIN}"
    await heard(f"From: {alice}")
    assert (await said(carol, alice)).startswith("250")
    assert (await said(carol, f"bob@{DOMAIN}")).startswith("550 5.7.1")
    await heard(f"From: {alice}\r\nX-MSS-MES: FIN")
    assert (await said(carol, alice)).startswith("550 5.7.1")
    await heard(f"From: {alice}\r\nReply-To: bob@{DOMAIN}")
    assert (await said(carol, alice)).startswith("550 5.7.1")
    assert (await said(carol, f"bob@{DOMAIN}")).startswith("250")

    reply = await carol.submit(message(sender=CAROL), f"bob@{DOMAIN}", sender=CAROL) if (
        (await carol.say("RSET")).startswith("250")
    ) else ""  # fmt: skip
    assert reply.startswith("250 2.0.0")
    await heard(f"From: {alice}\r\nSubject: [FIN]")
    assert (await said(carol, f"bob@{DOMAIN}")).startswith("550 5.7.1")


async def test_a_contact_at_another_operator_may_be_answered_while_it_is_listed(
    world, carol, heard
):
    await heard(f"From: dr.v@{ELSEWHERE}")
    assert (await said(carol, f"dr.v@{ELSEWHERE}")).startswith("550 5.7.1 That domain is outside")
    await listed(world, ELSEWHERE)
    assert (await said(carol, f"dr.v@{ELSEWHERE}")).startswith("250")


async def test_a_contact_that_is_gone_is_told_as_such(world, carol, heard):
    for address in (f"away@{DOMAIN}", f"gone@{DOMAIN}"):
        await heard(f"From: {address}")

    assert (await said(carol, f"away@{DOMAIN}")).startswith("550 5.2.1")
    assert (await said(carol, f"gone@{DOMAIN}")).startswith("550 5.1.1")


async def test_a_patient_writes_only_as_itself(world, carol, heard):
    await heard(f"From: alice@{DOMAIN}")

    assert (await carol.say(f"MAIL FROM:<alice@{DOMAIN}>")).startswith("550 5.7.1")
    reply = await carol.submit(message(sender=f"alice@{DOMAIN}"), f"alice@{DOMAIN}", sender=CAROL)
    assert reply.startswith("550 5.7.1")


async def a_pharmacy(world, name, open_to):
    organisation = Organisation(new_id(), name, f"1{len(name):09d}")
    await world.registry.add_organisation(organisation, ACT)
    box = await world.add_mailbox(f"{name}@{DOMAIN}", {}, MailboxType.ORGANISATION)
    box = replace(
        box, id=new_id(), address=Address(f"{name}.bal", DOMAIN), organisation_id=organisation.id
    )
    await world.registry.add_member(None, box, [], ACT)
    await world.registry.set_open_to_patients(box.id, open_to, ACT)
    return f"{name}.bal@{DOMAIN}"


async def test_a_patient_writes_first_where_the_mailbox_is_open_and_under_its_condition(
    world, carol, heard
):
    anybody = await a_pharmacy(world, "officine", OpenTo.ANY_PATIENT)
    known = await a_pharmacy(world, "pharmacie", OpenTo.KNOWN_PATIENTS)
    closed = await a_pharmacy(world, "centre", None)
    # Of no structure: the flag alone does not open it.
    await world.registry.set_open_to_patients(world.cardio.id, OpenTo.ANY_PATIENT, ACT)

    answers = [await said(carol, each) for each in (anybody, known, closed, f"cardio@{DOMAIN}")]
    assert [answer[:9] for answer in answers] == ["250 2.1.5", *["550 5.7.1"] * 3]

    await heard(f"From: {known}\r\nX-MSS-MES: FIN")
    assert (await said(carol, known)).startswith("250")
    world.clock.advance(days=366)
    fresh = await Client.signed_in(world, "carol")
    assert (await said(fresh, known)).startswith("550 5.7.1")
    fresh.leave()


RECEIPT = (
    "MIME-Version: 1.0\r\nContent-Type: multipart/report;\r\n"
    ' report-type="disposition-notification"; boundary=b\r\n'
)


async def test_a_read_receipt_goes_to_who_asked_even_after_the_end_and_nothing_else_does(
    world, carol, heard
):
    alice = f"alice@{DOMAIN}"
    await heard(f"From: {alice}\r\nX-MSS-MES: FIN\r\nDisposition-Notification-To: {alice}")

    assert (await said(carol, alice)).startswith("550 5.7.1")
    assert (await said(carol, f"bob@{DOMAIN}", sender="")).startswith("550 5.7.1")
    await carol.say("RSET")
    refused = await carol.submit(message(sender=CAROL), alice, sender="")
    assert refused.startswith("550 5.7.1")
    taken = await carol.submit(
        message("--b", "", "read", "--b--", sender=CAROL, fields=RECEIPT), alice, sender=""
    )
    assert taken.startswith("250")


async def refusals(world):
    entries = await world.databases["directory"].read(
        lambda conn: audit.show(
            conn, versions.DIRECTORY.audit, "directory", limit=100, kind=AuditKind.REFUSAL
        )
    )
    return [line.leaf["facts"]["detail"] for line in entries]


async def test_the_patients_choices_have_one_public_reason_and_the_audit_has_each(world):
    objected = await world.add_mailbox(
        f"{patient_number(7)}@{PATIENTS}", {}, MailboxType.CITIZEN, MailboxState.OBJECTED
    )
    await world.contacts.block(world.carol_box.id, Address("alice", DOMAIN), ACT)
    doctor = await Client.signed_in(world)

    answers = {
        await said(doctor, recipient, sender=f"alice@{DOMAIN}")
        for recipient in (CAROL, world.closed_box.address, objected.address)
    }

    assert answers == {"550 5.2.1 This mailbox does not take messages"}
    assert sorted(await refusals(world)) == [
        "mailbox is closed", "mailbox is objected", "the patient has blocked the sender",
    ]  # fmt: skip
    other = await Client.signed_in(world, "bob")
    assert (await said(other, CAROL, sender=f"bob@{DOMAIN}")).startswith("250")
    assert (await said(other, CAROL, sender="")).startswith("250")
    # The null reverse-path is nobody's: the mailbox that is signed in counts.
    assert (await said(doctor, CAROL, sender="")).startswith("550 5.2.1")
    for client in (doctor, other):
        client.leave()


async def test_mail_to_patients_elsewhere_is_checked_for_its_key_and_its_size(world):
    await listed(world, PATIENTS_ELSEWHERE)
    doctor = await Client.signed_in(world)
    good, wrong = patient_number(5), f"{patient_number(5)[:13]}99"

    async def answer(local, size=0):
        to = f"{local}@{PATIENTS_ELSEWHERE}"
        return await said(doctor, to, f"alice@{DOMAIN}", f" SIZE={size}" if size else "")

    assert (await answer(good)).startswith("250")
    assert (await answer(wrong)).startswith("553 5.1.3")
    assert (await answer(good[:14])).startswith("553 5.1.3")
    doctor.leave()


async def test_a_message_of_more_than_25_mb_is_refused_before_it_goes_to_patients_elsewhere(
    unserved,
):
    await unserved.serve(max_size=MOST_OCTETS_TO_PATIENTS + 1_000_000)
    await listed(unserved, PATIENTS_ELSEWHERE)
    doctor = await Client.signed_in(unserved)
    patient, alice = f"{patient_number(5)}@{PATIENTS_ELSEWHERE}", f"alice@{DOMAIN}"
    declared = f" SIZE={MOST_OCTETS_TO_PATIENTS + 1}"

    assert (await said(doctor, patient, alice, declared)).startswith("552 5.3.4")
    assert (await said(doctor, f"bob@{DOMAIN}", alice, declared)).startswith("250")
    await doctor.say("RSET")
    large = message(*["x" * 900] * 27_800)
    assert len(large) > MOST_OCTETS_TO_PATIENTS
    assert (await doctor.submit(large, patient)).startswith("552 5.3.4")
    assert (await doctor.submit(large, f"bob@{DOMAIN}")).startswith("250")
    doctor.leave()


@pytest.mark.parametrize("role", ["postmaster", "Abuse"])
async def test_roles_reach_the_postmaster_in_every_domain_or_are_refused_as_such(
    world, carol, role
):
    doctor = await Client.signed_in(world)
    for domain in (DOMAIN, PATIENTS):
        answer = await said(doctor, f"{role}@{domain}", f"alice@{DOMAIN}")
        assert answer == "550 5.1.1 No such mailbox here: this operator names no postmaster"
    services = world.server._services
    admission = services.admission
    policy = replace(admission.policy, postmaster=Address("bob", DOMAIN))
    world.server._services = replace(services, admission=replace(admission, policy=policy))
    for client, sender in (
        (await Client.signed_in(world), f"alice@{DOMAIN}"), (await Client.signed_in(world, "carol"), CAROL),
    ):  # fmt: skip
        for domain in (DOMAIN, PATIENTS):
            assert (await said(client, f"{role}@{domain}", sender)).startswith("250")
        client.leave()
    doctor.leave()
