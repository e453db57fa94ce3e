"""Messages by BDAT (RFC 3030), binary ones among them, and what may not pass by that way."""

import asyncio

import pytest

from tests.support.smtp_world import DOMAIN, Client, message

MAIL = f"MAIL FROM:<alice@{DOMAIN}>"
RCPT = f"RCPT TO:<bob@{DOMAIN}>"
CONTENT = message(".dot stays", "\u00e9t\u00e9")


async def begun(client, mail=MAIL):
    assert (await client.say(mail)).startswith("250")
    assert (await client.say(RCPT)).startswith("250")


async def chunk(client, octets, *, last=False):
    await client.send(f"BDAT {len(octets)}{' LAST' if last else ''}\r\n".encode() + octets)
    return await client.reply()


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_message_in_chunks_arrives_as_it_was_sent(world, client, size):
    await begun(client)
    pieces = [CONTENT[at : at + size] for at in range(0, len(CONTENT), size)]
    for piece in pieces[:-1]:
        assert (await chunk(client, piece)).startswith(f"250 2.0.0 {len(piece)} octets")

    assert (await chunk(client, pieces[-1], last=True)).startswith("250 2.0.0 Accepted")
    assert world.content(world.accepted[0]).endswith(CONTENT.partition(b"\r\n\r\n")[2])


async def test_a_whole_pipelined_session_with_an_empty_last_chunk(world, client):
    await client.send(
        f"{MAIL}\r\n{RCPT}\r\nBDAT {len(CONTENT)}\r\n".encode()
        + CONTENT
        + b"BDAT 0 LAST\r\nNOOP\r\n"
    )
    replies = [(await client.reply())[:3] for _ in range(5)]

    assert replies == ["250"] * 5
    assert len(world.accepted) == 1


async def test_what_looks_like_commands_inside_a_chunk_is_content(world, client):
    inside = message(".", "QUIT", f"MAIL FROM:<alice@{DOMAIN}>")
    await begun(client)

    assert (await chunk(client, inside, last=True)).startswith("250")
    assert b"\r\n.\r\nQUIT\r\nMAIL FROM" in world.content(world.accepted[0])
    assert (await client.say("NOOP")).startswith("250")


@pytest.mark.parametrize(
    ("before", "start"),
    [
        ([], "503 5.5.1"),
        ([MAIL], "554 5.5.1"),
        ([MAIL, "RCPT TO:<nobody@elsewhere.example>"], "554"),
    ],
)
async def test_the_octets_of_a_refused_chunk_are_no_commands(world, client, before, start):
    for command in before:
        await client.say(command)

    assert (await chunk(client, b"QUIT\r\nQUIT\r\n", last=True)).startswith(start)
    assert (await client.say("NOOP")).startswith("250")
    assert world.accepted == []


async def test_who_is_not_signed_in_has_its_chunks_passed_over(world):
    client = await Client.tls(world)

    assert (await chunk(client, b"QUIT\r\n", last=True)).startswith("530 5.7.0")
    assert (await client.say("NOOP")).startswith("250")
    client.leave()


async def test_after_a_refused_chunk_only_rset_helps(world, client):
    assert (await client.say(MAIL)).startswith("250")
    await chunk(client, b"x")
    await client.say(RCPT)

    assert (await chunk(client, CONTENT, last=True)).startswith("503 5.5.1")
    await client.say("RSET")
    await begun(client)
    assert (await chunk(client, CONTENT, last=True)).startswith("250")


async def test_data_and_bdat_do_not_mix(world, client):
    await begun(client)
    await chunk(client, b"From: ")

    assert (await client.say("DATA")).startswith("503 5.5.1")
    await client.say("RSET")
    await begun(client, f"{MAIL} BODY=BINARYMIME")
    assert (await client.say("DATA")).startswith("503 5.5.1")


@pytest.mark.parametrize("argument", ["", "x", "-1 LAST", "99999999999"])
async def test_a_chunk_of_unknown_size_ends_the_connection(world, client, argument):
    await begun(client)

    assert (await client.say(f"BDAT {argument}"))[:3] in ("501", "552")
    assert await client.closed()


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (message()[:-2] + b"\nbare\r\n", "554 5.6.11"),
        (message(body="nul\0"), "554 5.6.0"),
        (message(body="x" * 999), "554 5.6.0"),
        (message(body="x" * 100 + "\r\n" * 100_000), "552 5.3.4"),
    ],
)
async def test_chunks_are_refused_for_what_data_would_be(world, client, content, start):
    await begun(client)
    half = len(content) // 2
    await chunk(client, content[:half])

    assert (await chunk(client, content[half:], last=True)).startswith(start)
    assert (await client.say("NOOP")).startswith("250")
    assert world.accepted == []


BINARY = bytes(range(256)) * 20


def binary_message(inner: bytes) -> bytes:
    head = message().partition(b"\r\n\r\n")[0]
    return head + b"\r\nMIME-Version: 1.0\r\n" + inner


ATTACHED = (
    b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: binary\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nvoir\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    + BINARY
    + b"\r\n--b--\r\n"
)


async def test_a_binary_part_arrives_encoded_and_decodes_to_its_octets(world, client):
    import email

    await begun(client, f"{MAIL} BODY=BINARYMIME")

    assert (await chunk(client, binary_message(ATTACHED), last=True)).startswith("250")
    content = world.content(world.accepted[0])
    assert content.isascii()
    parts = [p for p in email.message_from_bytes(content).walk() if not p.is_multipart()]
    assert BINARY in [part.get_payload(decode=True) for part in parts]


async def test_binary_content_under_a_signature_is_refused_unchanged(world, client):
    signed = (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="s"\r\n\r\n'
        b"--s\r\n"
        + ATTACHED
        + b"\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--s--\r\n"
    )
    await begun(client, f"{MAIL} BODY=BINARYMIME")

    assert (await chunk(client, binary_message(signed), last=True)).startswith("554 5.6.3")
    assert world.accepted == []


async def test_a_connection_that_ends_inside_a_chunk_leaves_nothing(world, client):
    before = world.server._shared.memory.left
    await begun(client)
    await client.send(b"BDAT 100000\r\n" + b"x" * 50_000)
    client.writer.close()
    for _ in range(100):
        if not world.server.open_sessions:
            break
        await asyncio.sleep(0.02)

    assert world.accepted == []
    assert world.server._shared.memory.left == before
