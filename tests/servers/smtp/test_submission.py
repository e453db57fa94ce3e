"""What ordinary clients do, on both ports."""

import asyncio
import re
import smtplib

import pytest

from mssante.wire.mime.scanner import scan
from tests.support.smtp_world import DOMAIN, PATIENTS, Client, message, patient_number, plain

MESSAGE = message(
    fields="Date: Mon, 23 Nov 2026 09:00:00 +0100\r\nMessage-ID: <one@client.example>\r\n"
)
CODED = re.compile(r"[245][0-9]{2}[ -]([245])\.[0-9]{1,3}\.[0-9]{1,3} ")


async def test_a_message_arrives_in_the_spool_as_it_was_sent(world, client):
    reply = await client.submit(MESSAGE, f"bob@{DOMAIN}", f"{patient_number(1)}@{PATIENTS}")

    (entry,) = world.accepted
    assert reply == f"250 2.0.0 Accepted as {entry.id.hex()}"
    assert world.content(entry) == MESSAGE
    envelope = entry.envelope
    assert str(envelope.sender) == f"alice@{DOMAIN}"
    assert [str(each) for each in envelope.recipients] == [
        f"bob@{DOMAIN}",
        f"{patient_number(1)}@{PATIENTS}",
    ]
    assert (envelope.account_id, envelope.mailbox_id) == (world.alice.id, world.alice_box.id)
    assert (envelope.protocol, envelope.client) == ("ESMTPSA", "client.example")
    assert envelope.tls.startswith("TLSv1.3 TLS_")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("implicit", [False, True])
async def test_smtplib_submits(world, implicit, mechanism):
    def submit() -> None:
        if implicit:
            smtp = smtplib.SMTP_SSL("localhost", world.implicit_port, context=world.client_tls())
        else:
            smtp = smtplib.SMTP("localhost", world.starttls_port)
            smtp.ehlo()
            assert "auth" not in smtp.esmtp_features
            smtp.starttls(context=world.client_tls())
        with smtp:
            smtp.ehlo()
            assert smtp.esmtp_features == {
                "size": "200000", "8bitmime": "", "binarymime": "", "chunking": "", "dsn": "", "smtputf8": "",
                    "requiretls": "", "limits": "RCPTMAX=20", "pipelining": "", "enhancedstatuscodes": "", "auth": " PLAIN LOGIN",
            }  # fmt: skip
            smtp.user, smtp.password = "alice", "right"
            smtp.auth(mechanism, getattr(smtp, f"auth_{mechanism.lower()}"))
            for _ in range(3):
                smtp.sendmail(f"alice@{DOMAIN}", [f"bob@{DOMAIN}"], MESSAGE)

    await asyncio.to_thread(submit)

    assert [world.content(entry) for entry in world.accepted] == [MESSAGE] * 3


async def test_the_accepted_message_is_there_after_a_restart(world, client):
    await client.submit(MESSAGE)

    after_a_restart = await world.open_spool()
    (entry,) = await after_a_restart.due(10)
    await after_a_restart.close()
    assert world.content(entry) == MESSAGE
    assert entry.envelope == world.accepted[0].envelope


async def test_date_and_message_id_are_added_and_bcc_is_removed(world, client):
    await client.submit(
        message(fields="Bcc: secret@medecins.example,\r\n other@medecins.example\r\nX-Kept: 1\r\n")
    )

    content = world.content(world.accepted[0]).decode()
    header, _, body = content.partition("\r\n\r\n")
    assert "Bcc" not in header and "secret" not in header and "X-Kept: 1" in header
    assert "\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n" in header
    assert re.search(rf"\r\nMessage-ID: <[0-9a-f]{{32}}@{DOMAIN}>\Z", header)
    assert body == "Hello\r\n"


async def test_the_structure_that_the_door_found_goes_on_with_what_it_was_found_in(world, client):
    parts = "--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n--b--\r\n"
    kind = "Content-Type: multipart/mixed; boundary=b\r\n"
    identified = "Date: Mon, 23 Nov 2026 09:00:00 +0100\r\nMessage-ID: <two@client.example>\r\n"
    await client.submit(message(fields=kind + identified, body=parts))
    await client.submit(message(fields=kind, body=parts))  # which must be completed

    for entry in world.accepted:
        assert entry.root == scan(world.content(entry))
        assert len(entry.root.children) == 2
    after_a_restart = await world.open_spool()
    assert [entry.root for entry in await after_a_restart.due(10)] == [None, None]
    await after_a_restart.close()


async def test_a_client_writes_a_blank_after_the_colon(world, client):
    assert (await client.say(f"MAIL FROM: <alice@{DOMAIN}>")).startswith("250 2.1.0")
    assert (await client.say(f"RCPT TO: <bob@{DOMAIN}>")).startswith("250 2.1.5")


async def test_a_member_sends_from_the_shared_mailbox(world):
    for authzid in ("", f"cardio@{DOMAIN}"):
        client = await Client.signed_in(world, "bob", authzid)
        shared = message(sender=f"cardio@{DOMAIN}")
        assert (await client.submit(shared, sender=f"cardio@{DOMAIN}")).startswith("250 2.0.0")
        client.leave()

    assert [entry.envelope.mailbox_id for entry in world.accepted] == [
        world.bob_box.id,
        world.cardio.id,
    ]


async def test_a_patient_not_activated_yet_receives(world, client):
    assert (await client.submit(MESSAGE, f"{patient_number(2)}@{PATIENTS}")).startswith("250 2.0.0")


async def test_a_mailbox_named_twice_gets_the_message_once(world, client):
    await client.submit(MESSAGE, f"bob@{DOMAIN}", f"BOB@{DOMAIN}")

    assert len(world.accepted[0].envelope.recipients) == 1


async def test_read_receipts_have_a_null_sender(world, client):
    assert (await client.submit(MESSAGE, sender="")).startswith("250 2.0.0")
    assert world.accepted[0].envelope.sender is None


async def test_dots_at_line_starts_survive(world, client):
    await client.submit(message("..stuffed", "...three"))

    assert world.content(world.accepted[0]).endswith(b"\r\n.stuffed\r\n..three\r\n")


async def test_eight_bit_text_passes_with_and_without_being_announced(world, client):
    text = message(body="été")
    assert (await client.submit(text)).startswith("250")
    assert (
        await client.say(f"MAIL FROM:<alice@{DOMAIN}> BODY=8BITMIME SIZE={len(text)}")
    ).startswith("250")
    await client.say(f"RCPT TO:<bob@{DOMAIN}>")
    await client.say("DATA")
    await client.send(text + b".\r\n")
    assert (await client.reply()).startswith("250")

    assert [entry.envelope.body_8bit for entry in world.accepted] == [False, True]
    assert "été".encode() in world.content(world.accepted[0])


async def test_a_whole_session_in_one_packet(world):
    client = await Client.tls(world, greeted=False)
    await client.send(
        b"EHLO pipelining.example\r\nAUTH PLAIN " + plain("alice", "right").encode() + b"\r\n"
        + f"MAIL FROM:<alice@{DOMAIN}>\r\nRCPT TO:<bob@{DOMAIN}>\r\nRCPT TO:<nobody@{DOMAIN}>\r\nDATA\r\n".encode()
        + MESSAGE + b".\r\n"
        + f"MAIL FROM:<alice@{DOMAIN}>\r\nRCPT TO:<cardio@{DOMAIN}>\r\nDATA\r\n".encode() + MESSAGE + b".\r\nQUIT\r\n"
    )  # fmt: skip
    codes = [(await client.reply())[:3] for _ in range(11)]

    assert codes == ["250", "235", "250", "250", "550", "354", "250", "250", "250", "354", "250"]
    assert (await client.reply()).startswith("221 2.0.0")
    assert await client.closed()
    assert [world.content(entry) for entry in world.accepted] == [MESSAGE, MESSAGE]


async def test_a_session_byte_by_byte(world):
    client = await Client.tls(world)
    session = (
        f"AUTH PLAIN {plain('alice', 'right')}\r\nMAIL FROM:<alice@{DOMAIN}>\r\nRCPT TO:<bob@{DOMAIN}>\r\nDATA\r\n"
    ).encode() + MESSAGE + b".\r\nQUIT\r\n"  # fmt: skip
    for octet in session:
        await client.send(bytes((octet,)))
        await asyncio.sleep(0)
    codes = [(await client.reply())[:3] for _ in range(6)]

    assert codes == ["235", "250", "250", "354", "250", "221"]
    assert world.content(world.accepted[0]) == MESSAGE


async def test_every_reply_has_an_enhanced_code_where_rfc_2034_asks_for_one(world):
    client = await Client.tls(world)
    commands = [
        "NOOP", "RSET", "HELP", "VRFY alice", "VRFY", "EXPN list", "NONSENSE", "", "AUTH", "AUTH CRAM-MD5", "AUTH PLAIN x",
        "MAIL", "MAIL FROM:<a@b.fr>", "RCPT TO:<a@b.fr>", "DATA", "STARTTLS", "STARTTLS now", "QUIT now", "MAIL FROM:a b c",
        "RSET now",
    ]  # fmt: skip
    for command in commands:
        reply = await client.say(command)
        assert CODED.match(reply), (command, reply)
        assert reply[0] == CODED.match(reply)[1]
    client.leave()


async def test_verify_and_expand_tell_nothing(world, client):
    assert (await client.say(f"VRFY alice@{DOMAIN}")) == (await client.say("VRFY nobody"))
    assert (await client.say("EXPN cardio")).startswith("502 5.5.1")


async def test_helo_clients_are_greeted_and_told_to_use_ehlo(world):
    client = await Client.tls(world, greeted=False)
    assert (await client.say("HELO old")) == "250 mx.medecins.example"
    assert (await client.say(f"AUTH PLAIN {plain('alice', 'right')}")).startswith("503 5.5.1")
    client.leave()
