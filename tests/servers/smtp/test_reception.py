"""Reception from other operators: who is let in, what each refusal says and leaves in the audit."""

import asyncio
import json
import ssl

import pytest
from sqlalchemy import select

from mssante.access.audit import AuditKind
from mssante.mail.trace_fields import trace_fields
from mssante.storage.schema.directory import AUDIT
from mssante.wire.whitelist.model import Listing
from tests.support.reception_world import AUTRE, VOISIN, ReceptionWorld
from tests.support.smtp_world import DOMAIN, PATIENTS, Client, message, patient_number

PATIENT = f"{patient_number(1)}@{PATIENTS}"
SENDER = f"dr.x@{VOISIN}"


@pytest.fixture
async def world(tmp_path, clock):
    world = ReceptionWorld(tmp_path, clock)
    await world.build()
    await world.receive()
    yield world
    await world.close()


@pytest.fixture
async def client(world):
    client = await world.operator("voisin")
    yield client
    client.leave()


async def refusals(world) -> list[dict]:
    rows = await world.databases["directory"].read(
        lambda conn: conn.execute(
            select(AUDIT.entries.c.leaf, AUDIT.entries.c.personal).where(
                AUDIT.entries.c.kind == AuditKind.REFUSAL.value
            )
        ).all()
    )
    return [{**json.loads(row.leaf), "beside": json.loads(row.personal)} for row in rows]


async def test_a_listed_operator_delivers_to_members_and_patients(world, client):
    content = message(sender=SENDER, fields="Message-ID: <1@voisin.example>\r\n")

    reply = await client.submit(content, f"bob@{DOMAIN}", PATIENT, sender=SENDER)

    assert reply.startswith("250 2.0.0 Accepted")
    [entry] = world.accepted
    assert world.content(entry) == content
    envelope = entry.envelope
    assert (str(envelope.sender), envelope.account_id) == (SENDER, None)
    assert envelope.operator.startswith("CN=mx.voisin.example,")
    prefix = trace_fields(entry, "mx.medecins.example", "mx.medecins.example").decode()
    assert f"Return-Path: <{SENDER}>\r\n" in prefix
    assert f"x-mss-operator=pass smtp.mailfrom={SENDER}\r\n" in prefix
    assert "auth=pass" not in prefix
    assert "with ESMTPS (TLSv1.3 " in prefix
    assert await refusals(world) == []


async def test_an_accepted_message_keeps_its_operator_through_a_restart(world, client):
    await client.submit(message(sender=SENDER), sender=SENDER)
    await world.spool.close()

    again = await world.open_spool()

    [entry] = await again.due(10)
    assert entry.envelope == world.accepted[0].envelope
    await again.close()


async def test_nothing_is_heard_before_tls(world):
    client = await Client.plain(world)
    greeting = await client.say("EHLO mx.voisin.example")
    assert "STARTTLS" in greeting
    assert "AUTH" not in greeting

    assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("530 5.7.0")
    assert (await client.say("AUTH PLAIN AGEAYg==")).startswith("502 5.5.1")
    client.leave()


@pytest.mark.parametrize(
    ("name", "sender", "reason"),
    [
        (None, SENDER, "certificate-required"),
        (None, "", "certificate-required"),
        ("inconnu", SENDER, "operator-not-listed"),
        ("inconnu", "dr@inconnu.example", "operator-not-listed"),
        ("inconnu", "", "operator-not-listed"),
        ("voisin", f"dr@{AUTRE}", "sender-domain-foreign"),
        ("voisin", "dr@sub.voisin.example", "sender-domain-foreign"),
        ("voisin", "someone@gmail.example", "sender-domain-foreign"),
        ("voisin", f"alice@{DOMAIN}", "sender-domain-foreign"),
        ("voisin", PATIENT, "sender-domain-foreign"),
        ("ourselves", f"alice@{DOMAIN}", "sender-domain-foreign"),
    ],
)
async def test_who_may_not_speak_is_refused_and_audited(world, name, sender, reason):
    client = await world.operator(name)

    assert (await client.say(f"MAIL FROM:<{sender}>")).startswith("550 5.7.1")
    assert (await client.say(f"RCPT TO:<bob@{DOMAIN}>")).startswith("503")
    client.leave()
    [refusal] = await refusals(world)
    assert (refusal["action"], refusal["outcome"]) == ("MAIL", reason)
    assert refusal["facts"]["service"] == "reception"
    assert refusal["facts"].get("operator", "").startswith(f"CN=mx{'2' * (name == 'ourselves')}.") == bool(name)  # fmt: skip
    assert refusal["beside"]["peer"] == "127.0.0.1"
    assert refusal["beside"].get("address", "") == sender


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("foreign", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("server-only", "unsuitable certificate purpose"),
    ],
)
async def test_a_certificate_that_does_not_verify_ends_the_handshake_and_is_audited(
    world, name, why
):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await world.operator(name)

    for _ in range(100):
        if found := await refusals(world):
            break
        await asyncio.sleep(0.02)
    [refusal] = found
    assert (refusal["action"], refusal["outcome"]) == ("STARTTLS", "certificate-required")
    assert refusal["facts"]["detail"] == why


async def test_an_operator_that_leaves_the_list_is_refused_at_its_next_message(world, client):
    assert (await client.submit(message(sender=SENDER), sender=SENDER)).startswith("250")
    [autre] = await world.white_list.operators_of(AUTRE)
    await world.publish([Listing(AUTRE, autre)])

    assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("550 5.7.1")
    client.leave()


async def test_one_operator_may_speak_for_several_domains(client):
    sender = "resultats@LABO.voisin.example"

    assert (await client.submit(message(sender=sender), sender=sender)).startswith("250")


async def test_a_report_comes_with_the_null_path_from_a_listed_operator(world, client):
    content = message(sender=f"postmaster@{VOISIN}")

    assert (await client.submit(content, sender="")).startswith("250")

    prefix = trace_fields(world.accepted[0], "h.example", "h.example").decode()
    assert "Return-Path: <>\r\n" in prefix
    assert "x-mss-operator=pass smtp.helo=mx.voisin.example" in prefix


@pytest.mark.parametrize(
    ("recipient", "start", "reason"),
    [
        (f"nobody@{DOMAIN}", "550 5.1.1", "recipient-unknown"),
        (f"dr@{AUTRE}", "550 5.7.1", "domain-not-trusted"),
        ("someone@gmail.example", "550 5.7.1", "domain-not-trusted"),
        (f"a%{AUTRE}@{DOMAIN}", "550 5.1.1", "recipient-unknown"),
        (f"short@{PATIENTS}", "553 5.1.3", "recipient-malformed"),
        (f"{patient_number(3)}@{PATIENTS}", "550 5.2.1", "recipient-closed"),
    ],
)
async def test_only_mailboxes_of_ours_are_recipients(world, client, recipient, start, reason):
    await client.say(f"MAIL FROM:<{SENDER}>")

    assert (await client.say(f"RCPT TO:<{recipient}>")).startswith(start)

    [refusal] = await refusals(world)
    assert (refusal["action"], refusal["outcome"]) == ("RCPT", reason)


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (message(sender=f"dr@{AUTRE}"), "550 5.7.1"),
        (message(sender=f"alice@{DOMAIN}"), "550 5.7.1"),
        (message(sender=SENDER, fields=f"Sender: x@{AUTRE}\r\n"), "550 5.7.1"),
        (message(sender=f"{SENDER}>, <alice@{DOMAIN}"), "550 5.7.1"),
        (b"Subject: no author\r\n\r\nHello\r\n", "554 5.6.0"),
        (message(sender=SENDER, fields=f"From: b@{AUTRE}\r\n"), "554 5.6.0"),
        (message(sender=SENDER, body="a\nb"), "554 5.6.11"),
        (message(sender=SENDER, body="a\0b"), "554 5.6.0"),
        (message(sender=SENDER, body="a" * 999), "554 5.6.0"),
        (message(*["a" * 900] * 300, sender=SENDER), "552 5.3.4"),
        (message(sender=SENDER, fields="Received: from a by b; x\r\n" * 60), "554 5.4.6"),
    ],
)
async def test_content_is_refused_with_its_own_code(world, client, content, start):
    assert (await client.submit(content, sender=SENDER)).startswith(start)

    assert world.accepted == []
    [refusal] = await refusals(world)
    assert refusal["action"] == "DATA"


async def test_the_announced_size_is_judged_at_mail(client):
    assert (await client.say(f"MAIL FROM:<{SENDER}> SIZE=200001")).startswith("552 5.3.4")


async def test_only_what_is_forged_in_our_name_is_taken_out(world, client):
    kept = (
        "Authentication-Results: mx.voisin.example; auth=pass\r\n"
        "Bcc: dr@voisin.example\r\nX-MSS-NIL: 1234\r\nDate: Mon, 23 Nov 2026 08:00:00 +0100\r\n"
    )
    forged = (
        "Authentication-Results: (x) MX.medecins.example;\r\n\tauth=pass\r\n"
        "Return-Path: <alice@medecins.example>\r\n"
    )
    content = message(sender=SENDER, fields=forged + kept)

    assert (await client.submit(content, sender=SENDER)).startswith("250")

    assert world.content(world.accepted[0]) == message(sender=SENDER, fields=kept)


async def test_commands_before_the_handshake_do_not_count_after_it(world):
    client = await Client.plain(world)
    await client.say("EHLO a.example")
    await client.send(b"STARTTLS\r\nMAIL FROM:<dr.x@voisin.example>\r\n")

    assert (await client.reply()).startswith("554 5.5.1")
    assert await client.closed()


async def test_many_refused_recipients_end_the_session(tmp_path, clock):
    world = ReceptionWorld(tmp_path, clock)
    await world.build()
    await world.receive(refused_recipients=2)
    client = await world.operator("voisin")
    await client.say(f"MAIL FROM:<{SENDER}>")
    for _ in range(3):
        await client.say(f"RCPT TO:<nobody@{DOMAIN}>")
    assert (await client.reply()).startswith("421 4.7.0")
    client.leave()
    await world.close()
