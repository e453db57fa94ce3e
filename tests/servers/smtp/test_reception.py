"""Reception from other operators: who is let in, what each refusal says and leaves in the audit."""

import asyncio
import json
import ssl
from datetime import timedelta

import pytest
from sqlalchemy import select

from mssante.access.audit import AuditKind
from mssante.mail.trace_fields import trace_fields
from mssante.storage.schema.directory import AUDIT
from mssante.wire.whitelist.model import Listing
from tests.support.operator_pki import name_in
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
        ("voisin-expired", "certificate-expired"),
        ("voisin-early", "certificate-not-yet-valid"),
        ("voisin-server", "eku-without-clientAuth"),
        ("voisin-encrypts", "ku-without-signature"),
        ("voisin-foreign", "unknown-root"),
        ("voisin-revoked", "revoked-"),
        ("voisin-below", "issuer-revoked-"),
    ],
)
async def test_a_certificate_that_is_not_believed_is_refused_with_its_reason(world, name, why):
    client = await world.operator(name)

    # Whatever is asked for: the certificate is judged before the white list.
    for sender in (SENDER, f"dr@{AUTRE}", ""):
        assert (await client.say(f"MAIL FROM:<{sender}>")).startswith("550 5.7.1")
    client.leave()

    refusal = (await refusals(world))[0]
    assert (refusal["action"], refusal["outcome"]) == ("MAIL", "certificate-refused")
    assert refusal["facts"]["detail"].startswith(why)
    assert len(refusal["facts"]["certificate"]) == 64
    assert "operator" not in refusal["facts"]  # anybody may claim a name
    assert refusal["beside"]["claimed"].startswith("CN=mx.voisin.example,")


async def test_an_intermediate_that_the_peer_leaves_out_is_ours_to_know(world):
    client = await world.operator("voisin-nochain")

    assert (await client.submit(message(sender=SENDER), sender=SENDER)).startswith("250")
    client.leave()


async def test_a_certificate_for_servers_alone_passes_where_the_settings_say_so(tmp_path, clock):
    world = ReceptionWorld(tmp_path, clock)
    await world.build()
    await world.receive(usages=("clientAuth", "serverAuth"))

    for name in ("voisin", "voisin-server"):
        client = await world.operator(name)
        assert (await client.submit(message(sender=SENDER), sender=SENDER)).startswith("250")
        client.leave()
    await world.close()


async def test_a_renewed_certificate_with_the_same_name_needs_no_new_list(world, client):
    world.pki.operator("voisin-renewed", f"mx.{VOISIN}", until=timedelta(days=400))
    renewed = await world.operator("voisin-renewed")

    for each in (client, renewed):
        assert (await each.submit(message(sender=SENDER), sender=SENDER)).startswith("250")
    renewed.leave()


async def test_both_names_of_a_domain_pass_during_a_change_over(world, client):
    other = world.pki.operator("suivant", "mx2.voisin.example")
    successor = await world.operator("suivant")
    assert (await successor.say(f"MAIL FROM:<{SENDER}>")).startswith("550 5.7.1")

    await world.publish([Listing(VOISIN, name_in(world.voisin)), Listing(VOISIN, name_in(other))])

    for each in (client, successor):
        assert (await each.submit(message(sender=SENDER), sender=SENDER)).startswith("250")
    successor.leave()


async def test_a_revocation_that_is_loaded_counts_at_the_next_message_of_an_open_session(
    world, client
):
    assert (await client.submit(message(sender=SENDER), sender=SENDER)).startswith("250")

    world.peers.renew(world.trust(world.pki.revoke(world.voisin)))

    assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("550 5.7.1")
    [refusal] = await refusals(world)
    assert refusal["facts"]["detail"].startswith("revoked-")


async def test_where_revocation_must_be_known_a_list_that_is_missing_refuses(tmp_path, clock):
    world = ReceptionWorld(tmp_path, clock)
    await world.build()
    await world.receive(hard=True)
    client = await world.operator("voisin")
    assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("250")
    await client.say("RSET")

    world.peers.renew(world.trust(world.pki.revoke(world.revoked)))

    assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("550 5.7.1")
    [refusal] = await refusals(world)
    assert refusal["facts"]["detail"] == "revocation-unknown"
    client.leave()
    await world.close()


async def test_a_list_that_is_too_old_defers_what_would_be_taken(tmp_path, clock):
    world = ReceptionWorld(tmp_path, clock)
    await world.build()
    await world.receive(max_age=timedelta(hours=72))
    client = await world.operator("voisin")

    clock.advance(hours=73)

    assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("451 4.7.1")
    [refusal] = await refusals(world)
    assert refusal["outcome"] == "white-list-outdated"
    client.leave()
    await world.close()


async def test_a_new_certificate_of_ours_is_shown_to_those_who_connect_from_now_on(world, client):
    former = client.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    world.pki.operator("own-next", "mx.medecins.example")
    world.server.renew(world.own_tls("own-next"))

    later = await world.operator("voisin")

    assert later.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"] != former
    assert (await client.submit(message(sender=SENDER), sender=SENDER)).startswith("250")
    later.leave()


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


@pytest.mark.parametrize("end", ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n"])
async def test_no_other_end_of_data_smuggles_a_second_message(world, client, end):
    second = f"MAIL FROM:<dr@{AUTRE}>\r\nRCPT TO:<bob@{DOMAIN}>\r\nDATA\r\n"
    content = message(sender=SENDER, body=f"a{end}{second}From: x@{AUTRE}\r\n\r\nb")

    assert (await client.submit(content, sender=SENDER)).startswith("554 5.6.11")

    assert (await client.say("NOOP")).startswith("250")
    assert world.accepted == []


async def refused_handshake(world) -> dict:
    for _ in range(100):
        if found := await refusals(world):
            [refusal] = found
            assert (refusal["action"], refusal["outcome"]) == ("STARTTLS", "handshake-failed")
            return refusal
        await asyncio.sleep(0.02)
    raise AssertionError("not audited")


async def test_a_client_that_shares_no_cipher_with_us_is_audited(world):
    client = await Client.plain(world)
    await client.say("EHLO mx.voisin.example")
    await client.say("STARTTLS")
    context = world.operator_tls("voisin")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.wait_for(client.writer.start_tls(context, server_hostname="localhost"), 10)

    refusal = await refused_handshake(world)
    assert refusal["facts"] == {"detail": "no shared cipher", "service": "reception"}
    assert refusal["beside"] == {"peer": "127.0.0.1"}


async def test_a_client_that_does_not_speak_tls_is_audited(world):
    client = await Client.plain(world)
    await client.say("EHLO mx.voisin.example")
    await client.say("STARTTLS")
    await client.send(b"MAIL FROM:<dr.x@voisin.example>\r\n")

    refusal = await refused_handshake(world)

    assert "dr.x" not in json.dumps(refusal)
    client.leave()
    for _ in range(100):
        if not world.server.open_sessions:
            break
        await asyncio.sleep(0.02)
    assert world.server.open_sessions == 0


async def test_a_client_that_leaves_after_the_handshake_leaves_no_session(world):
    client = await world.operator("voisin")
    await client.say(f"MAIL FROM:<{SENDER}>")
    client.leave()

    for _ in range(100):
        if not world.server.open_sessions:
            break
        await asyncio.sleep(0.02)
    assert world.server.open_sessions == 0


async def test_a_large_message_comes_whole(tmp_path, clock):
    world = ReceptionWorld(tmp_path, clock)
    await world.build()
    await world.receive(max_size=20_000_000)
    client = await world.operator("voisin")
    content = message(*["x" * 900] * 9000, sender=SENDER)

    assert (await client.submit(content, sender=SENDER)).startswith("250")

    assert world.content(world.accepted[0]) == content
    client.leave()
    await world.close()


async def test_a_stop_ends_what_is_open(world, client):
    await client.say("NOOP")

    await world.server.stop(grace_seconds=5)

    assert (await client.reply()).startswith("421 4.3.2")
    assert await client.closed()
