"""Every refusal with its code, and what each leaves in the audit."""

import asyncio
import errno

import pytest

from mssante.access.audit import AuditKind
from mssante.kernel.reasons import Reason, Refusal
from mssante.storage import audit
from mssante.storage.schema.directory import AUDIT
from tests.support.smtp_world import ACT, DOMAIN, PATIENTS, Client, message, patient_number, plain

WRONG_KEY = patient_number(1)[:-2] + ("01" if not patient_number(1).endswith("01") else "02")


@pytest.mark.parametrize(
    ("recipient", "start"),
    [
        (f"nobody@{DOMAIN}", "550 5.1.1"),
        ("bob@elsewhere.example", "550 5.7.1"),
        (f"{patient_number(999)}@{PATIENTS}", "550 5.1.1"),
        (f"{WRONG_KEY}@{PATIENTS}", "553 5.1.3"),
        (f"short@{PATIENTS}", "553 5.1.3"),
        (f"{patient_number(3)}@{PATIENTS}", "550 5.2.1"),
        (f"away@{DOMAIN}", "550 5.2.1"),
        ("bob", "553 5.1.3"),
        (f"bob%elsewhere.example@{DOMAIN}", "550 5.1.1"),
        (f"bob\r@{DOMAIN}", "500 5.5.2"),
    ],
)
async def test_a_recipient_is_refused_with_its_own_code(world, client, recipient, start):
    await client.say(f"MAIL FROM:<alice@{DOMAIN}>")
    assert (await client.say(f"RCPT TO:<{recipient}>")).startswith(start)
    assert (await client.say("DATA")).startswith("554 5.5.1")
    assert world.accepted == []


@pytest.mark.parametrize(
    ("mail", "start"),
    [
        (f"FROM:<bob@{DOMAIN}>", "550 5.7.1"),
        ("FROM:<alice@elsewhere.example>", "550 5.7.1"),
        (f"FROM:<alice@{DOMAIN}> SIZE=200001", "552 5.3.4"),
        (f"FROM:<alice@{DOMAIN}> RET=SOME", "501 5.5.4"),
        (f"FROM:<alice@{DOMAIN}> SIZE=many", "501 5.5.4"),
        ("FROM:<alice>", "553 5.1.7"),
    ],
)
async def test_a_sender_is_refused_with_its_own_code(client, mail, start):
    assert (await client.say(f"MAIL {mail}")).startswith(start)


async def test_too_many_recipients_are_sent_apart(unserved):
    await unserved.serve(max_recipients=2)
    client = await Client.signed_in(unserved)
    await client.say(f"MAIL FROM:<alice@{DOMAIN}>")
    codes = [
        (await client.say(f"RCPT TO:<{name}@{DOMAIN}>"))[:9] for name in ("alice", "bob", "cardio")
    ]

    assert codes == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
    client.leave()


FROM = f"From: alice@{DOMAIN}\r\n"


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (message(sender=f"bob@{DOMAIN}"), "550 5.7.1"),
        (message(fields=f"Sender: bob@{DOMAIN}\r\n"), "550 5.7.1"),
        (message(fields=f"From: bob@{DOMAIN}\r\n"), "554 5.6.0"),
        ((f"From: alice@{DOMAIN}, bob@{DOMAIN}\r\n\r\nx\r\n").encode(), "550 5.7.1"),
        ((f"From: doctors: alice@{DOMAIN};\r\n\r\nx\r\n").encode(), "550 5.7.1"),
        (b"Subject: no author\r\n\r\nx\r\n", "554 5.6.0"),
        (b"From:\r\n\r\nx\r\n", "554 5.6.0"),
        (b"", "554 5.6.0"),
        (b"\r\n" + FROM.encode(), "554 5.6.0"),
        (message(fields="Received: by x\r\n" * 51), "554 5.4.6"),
        (message(body="x" * 999), "554 5.6.0"),
        (message(body="nul\0"), "554 5.6.0"),
        (message(body="bare\ncr"), "554 5.6.11"),
        (message(body="bare\rcr"), "554 5.6.11"),
        (message(*["x" * 900] * 300), "552 5.3.4"),
        (
            (FROM + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n").encode()
            + b"--b\r\n\r\n\r\n" * 10_000 + b"--b--\r\n",
            "554 5.6.0",
        ),
        (
            (FROM + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n").encode()
            + b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(1000)),
            "554 5.6.0",
        ),
        (
            FROM.encode() + b"Content-Type: message/rfc822\r\n\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 1000,
            "554 5.6.0",
        ),
        (FROM.encode() + b"X: y\r\n" * 2000 + b"\r\n", "554 5.6.0"),
        (b" continued\r\n" + message(), "554 5.6.0"),
        (message(fields="Content-Type: text/plain\r\nContent-Type: text/html\r\n"), "554 5.6.0"),
    ],
)  # fmt: skip
async def test_a_message_is_refused_with_its_own_code_and_the_session_goes_on(
    world, client, content, start
):
    reply = await client.submit(content)
    assert reply.startswith(start), reply
    assert world.accepted == []
    assert (await client.submit(message())).startswith("250 2.0.0")


async def test_the_text_names_the_structural_limit(client):
    parts = b"--b\r\n\r\n\r\n" * 2000
    content = (
        FROM + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    ).encode() + parts

    assert (await client.submit(content)).endswith("too-many-parts")


@pytest.mark.parametrize(
    ("command", "start"),
    [("MAIL FROM:<a@b.fr>", "530 5.7.0"), ("RCPT TO:<a@b.fr>", "530 5.7.0"), ("DATA", "530 5.7.0")],
)
async def test_nothing_is_taken_without_sign_in(world, command, start):
    client = await Client.tls(world)
    assert (await client.say(command)).startswith(start)
    client.leave()


async def test_nothing_is_taken_without_tls(world):
    client = await Client.plain(world)
    reply = await client.say("EHLO x")
    assert "STARTTLS" in reply and "AUTH" not in reply
    assert (await client.say("MAIL FROM:<a@b.fr>")).startswith("530 5.7.0")
    assert (await client.say(f"AUTH PLAIN {plain('alice', 'right')}")).startswith("538 5.7.11")
    client.leave()


async def test_commands_out_of_order_are_refused(world, client):
    assert (await client.say(f"RCPT TO:<bob@{DOMAIN}>")).startswith("503 5.5.1")
    assert (await client.say("DATA")).startswith("503 5.5.1")
    await client.say(f"MAIL FROM:<alice@{DOMAIN}>")
    assert (await client.say(f"MAIL FROM:<alice@{DOMAIN}>")).startswith("503 5.5.1")
    assert (await client.say("STARTTLS")).startswith("503 5.5.1")
    assert (await client.say("AUTH PLAIN")).startswith("503 5.5.1")
    assert (await client.say("RSET")).startswith("250 2.0.0")
    assert (await client.say("DATA")).startswith("503 5.5.1")


@pytest.mark.parametrize(
    ("command", "answers", "start"),
    [
        (f"AUTH PLAIN {plain('alice', 'wrong')}", [], "535 5.7.8"),
        (f"AUTH PLAIN {plain('nobody', 'right')}", [], "535 5.7.8"),
        (f"AUTH PLAIN {plain('alice', 'right', f'bob@{DOMAIN}')}", [], "535 5.7.8"),
        ("AUTH PLAIN", [plain("alice", "right")], "235 2.7.0"),
        ("AUTH PLAIN =", [], "501 5.5.2"),
        ("AUTH PLAIN", ["*"], "501 5.5.2"),
        ("AUTH LOGIN YWxpY2U=", ["cmlnaHQ="], "235 2.7.0"),
        ("AUTH LOGIN", ["YWxpY2U=", "cmlnaHQ="], "235 2.7.0"),
        ("AUTH LOGIN", ["YWxpY2U=", "%%%"], "501 5.5.2"),
        ("auth plain " + plain("alice", "right"), [], "235 2.7.0"),
        ("AUTH PLAIN a b", [], "501 5.5.4"),
        ("AUTH", [], "501 5.5.4"),
        ("AUTH SCRAM-SHA-256", [], "504 5.5.4"),
        ("AUTH PLAIN", ["A" * 5000], "501 5.5.2"),
    ],
)
async def test_sign_in(world, command, answers, start):
    client = await Client.tls(world)
    reply = await client.say(command)
    for answer in answers:
        assert reply.startswith("334 ")
        reply = await client.say(answer)
    assert reply.startswith(start)
    client.leave()


async def test_login_prompts_are_exactly_those_of_outlook(world):
    client = await Client.tls(world)
    assert await client.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert await client.say("YWxpY2U=") == "334 UGFzc3dvcmQ6"
    client.leave()


async def test_a_new_password_ends_the_old_one_at_once(world):
    (await Client.signed_in(world)).leave()
    await world.registry.set_password(world.alice.id, world.passwords.hash_now("new"), ACT)
    client = await Client.tls(world)

    assert (await client.say(f"AUTH PLAIN {plain('alice', 'right')}")).startswith("535 5.7.8")
    assert (await client.say(f"AUTH PLAIN {plain('alice', 'new')}")).startswith("235 2.7.0")
    client.leave()


async def test_a_disabled_account_is_shut_out_at_once(world):
    (await Client.signed_in(world)).leave()
    await world.registry.set_enabled(world.alice.id, enabled=False, act=ACT)
    client = await Client.tls(world)

    assert (await client.say(f"AUTH PLAIN {plain('alice', 'right')}")).startswith("535 5.7.8")
    client.leave()


async def test_guessing_is_slowed_down_and_the_connection_ends(world):
    for number in range(2):
        client = await Client.tls(world)
        for guess in range(3):
            reply = await client.say(f"AUTH PLAIN {plain('alice', f'guess{number}{guess}')}")
            assert reply.startswith("535 5.7.8")
        client.leave()
    client = await Client.tls(world)
    for _ in range(4):
        assert (await client.say(f"AUTH PLAIN {plain('alice', 'right')}")).startswith("454 4.7.0")
    assert (await client.reply()).startswith("421 4.7.0")
    assert await client.closed()

    world.clock.advance(minutes=1)
    (await Client.signed_in(world)).leave()


async def test_refusals_are_audited_with_address_beside_the_leaf_and_floods_condensed(
    world, client
):
    await client.say(f"MAIL FROM:<alice@{DOMAIN}>")
    for _ in range(50):
        await client.say(f"RCPT TO:<nobody@{DOMAIN}>")
    lines = await world.databases["directory"].read(
        lambda c: audit.show(c, AUDIT, "directory", limit=99, kind=AuditKind.REFUSAL)
    )
    (line,) = lines

    assert (line.leaf["action"], line.leaf["outcome"]) == ("RCPT", "recipient-unknown")
    assert line.leaf["actor"] == world.alice.id.hex()
    assert line.personal == {"address": f"nobody@{DOMAIN}", "peer": "127.0.0.1"}
    assert "nobody" not in str(line.leaf)


class BrokenSpool:
    """A spool whose disk has a fault."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def accept(self, envelope, content, root=None):
        raise self.error


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "452 4.3.1"),
        (OSError(errno.EIO, "I/O error secret-path"), "451 4.3.0"),
        (RuntimeError("secret"), "451 4.3.0"),
        (Refusal(Reason.TRY_LATER), "451 4.3.0"),
    ],
)
async def test_a_fault_of_the_disk_is_told_as_temporary_without_its_text(
    unserved, caplog, error, start
):
    await unserved.serve(spool=BrokenSpool(error))
    client = await Client.signed_in(unserved)
    reply = await client.submit(message(body="clinical"))

    assert reply.startswith(start)
    assert (
        "secret" not in reply + caplog.text
        and "clinical" not in caplog.text
        and DOMAIN not in caplog.text
    )
    assert unserved.accepted == []
    assert (await client.say("NOOP")).startswith("250")
    client.leave()


async def test_a_fault_after_acceptance_does_not_take_the_250_back(world, client, monkeypatch):
    def fail(entry):
        raise RuntimeError("courier not there")

    object.__setattr__(world.server._shared, "on_accepted", fail)

    assert (await client.submit(message())).startswith("250 2.0.0")


async def test_no_log_line_holds_content_addresses_or_secrets_even_at_debug(world, caplog):
    caplog.set_level("DEBUG")
    client = await Client.signed_in(world)
    await client.submit(message(body="clinical"), f"{patient_number(1)}@{PATIENTS}")
    await client.say("CLINICAL words after a refused DATA")
    await client.say(f"MAIL FROM:<bob@{DOMAIN}>")
    client.leave()

    for secret in (
        "clinical",
        "CLINICAL",
        "right",
        patient_number(1),
        plain("alice", "right"),
        f"bob@{DOMAIN}",
    ):
        assert secret not in caplog.text


async def test_a_handshake_that_fails_is_audited_with_its_reason(world):
    client = await Client.plain(world)
    await client.say("EHLO x")
    await client.say("STARTTLS")
    await client.send(b"this is not TLS at all, whatever the server said\r\n")
    assert await client.closed()

    for _ in range(100):
        entries = await world.databases["directory"].read(
            lambda c: audit.show(c, AUDIT, "directory", limit=9, kind=AuditKind.REFUSAL)
        )
        if entries:
            break
        await asyncio.sleep(0.02)
    [entry] = entries
    assert (entry.leaf["action"], entry.leaf["outcome"]) == ("STARTTLS", "handshake-failed")
    assert entry.leaf["facts"] == {"service": "smtp", "detail": "wrong version number"}
