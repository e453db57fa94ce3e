"""Tricks, floods, silence: one refusal each, bounded memory, and the server stays up."""

import asyncio
import socket
import ssl

import pytest

from mssante.servers.limits import ByteBudget, ConnectionLimits
from tests.support.smtp_world import DOMAIN, Client, message, plain

SECOND = (
    f"MAIL FROM:<alice@{DOMAIN}>\r\nRCPT TO:<cardio@{DOMAIN}>\r\nDATA\r\n".encode()
    + message(body="smuggled")
    + b".\r\n"
)


@pytest.mark.parametrize(
    "trick",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n\0.\r\n", b"\r\r\n.\r\r\n", b"\n\r.\r\n",
     b"\r\n.\0\r\n"],
)  # fmt: skip
async def test_no_smuggled_message(world, client, trick):
    await client.begin()
    await client.send(message()[:-2] + trick + SECOND)
    reply = await client.reply()

    assert reply.startswith(("554 5.6.11", "554 5.6.0"))
    assert (await client.say("NOOP")).startswith("250 2.0.0 OK")
    assert world.accepted == []


@pytest.mark.parametrize("injected", [b"EHLO evil\r\n", b"MAIL FROM:<a@b.fr>\r\n", b"X"])
async def test_what_is_injected_before_tls_ends_the_connection(world, injected):
    client = await Client.plain(world)
    await client.say("EHLO x")
    await client.send(b"STARTTLS\r\n" + injected)

    assert (await client.reply()).startswith("554 5.5.1")
    assert await client.closed()


async def test_tls_forgets_the_session_before_it(world):
    def talk() -> list[str]:
        with socket.create_connection(("127.0.0.1", world.starttls_port), 5) as plain_socket:
            plain_socket.recv(1000)
            for command in (b"EHLO x\r\n", b"STARTTLS\r\n"):
                plain_socket.sendall(command)
                plain_socket.recv(1000)
            with world.client_tls().wrap_socket(plain_socket, server_hostname="localhost") as tls:
                replies = []
                for command in (
                    "MAIL FROM:<a@b.fr>",
                    f"AUTH PLAIN {plain('alice', 'right')}",
                    "STARTTLS",
                    "EHLO x",
                ):
                    tls.sendall(command.encode() + b"\r\n")
                    replies.append(tls.recv(1000).decode())
                return replies

    replies = await asyncio.to_thread(talk)
    assert [reply[:3] for reply in replies] == ["503", "503", "503", "250"]
    assert "AUTH PLAIN LOGIN" in replies[3] and "STARTTLS" not in replies[3]


async def test_a_broken_handshake_ends_the_connection_only(world):
    client = await Client.plain(world)
    await client.say("EHLO x")
    assert (await client.say("STARTTLS")).startswith("220 ")
    await client.send(b"this is not TLS at all, whatever the server said\r\n")
    assert await client.closed()

    other = await Client.signed_in(world)
    assert (await other.submit(message())).startswith("250")
    other.leave()
    await asyncio.sleep(0.05)
    assert world.open_connections() == 0


@pytest.mark.parametrize("ending", ["abort", "close", "half"])
@pytest.mark.parametrize("sent", [message(), message() + b".", message() + b".\r", b""])
async def test_a_connection_that_ends_inside_data_accepts_nothing(world, ending, sent):
    client = await Client.signed_in(world)
    await client.begin()
    await client.send(sent)
    await asyncio.sleep(0.02)
    if ending == "abort":
        client.leave()
    else:
        client.writer.close()
    for _ in range(100):
        if not world.server.open_sessions:
            break
        await asyncio.sleep(0.02)

    assert world.accepted == []
    assert await world.spool.due(10) == []
    assert world.server.open_sessions == 0
    assert world.open_connections() == 0
    assert world.memory.left == ByteBudget().left


async def test_a_client_that_leaves_after_the_end_of_data_loses_nothing(world):
    for _ in range(10):
        client = await Client.signed_in(world)
        await client.begin()
        client.writer.write(message() + b".\r\n")
        await client.writer.drain()
        await asyncio.sleep(0)
        client.writer.close()
    for _ in range(100):
        if not world.server.open_sessions:
            break
        await asyncio.sleep(0.02)
    await world.server.stop()

    # A message whose end the server has seen is durable and known to the courier; never half.
    after_a_restart = await world.open_spool()
    due = await after_a_restart.due(100)
    await after_a_restart.close()
    assert {entry.id for entry in due} == {entry.id for entry in world.accepted}


async def test_oversized_data_are_swallowed_in_bounded_memory(unserved):
    memory = ByteBudget(1_000_000)
    least = memory.left
    await unserved.serve(max_size=100_000, memory=memory)
    client = await Client.signed_in(unserved)
    await client.begin()
    block = (b"x" * 76 + b"\r\n") * 500
    for _ in range(200):
        await client.send(block)
        least = min(least, memory.left)
    await client.send(b".\r\n")

    assert (await client.reply()).startswith("552 5.3.4")
    assert 1_000_000 - least <= 100_000
    assert memory.left == 1_000_000
    assert (await client.submit(message())).startswith("250")
    client.leave()


async def test_when_memory_is_short_a_message_is_put_off(unserved):
    await unserved.serve(memory=ByteBudget(10_000))
    client = await Client.signed_in(unserved)

    await client.begin()
    for _ in range(20):
        await client.send((b"x" * 76 + b"\r\n") * 10)
        await asyncio.sleep(0.002)
    await client.send(b".\r\n")
    assert (await client.reply()).startswith("451 4.3.0")
    assert (await client.submit(message())).startswith("250")
    client.leave()


async def test_bad_commands_are_limited(unserved):
    await unserved.serve(bad_commands=5)
    client = await Client.tls(unserved)
    replies = [await client.say("BOGUS") for _ in range(6)]

    assert replies[4].startswith("500 5.5.1")
    assert replies[5].startswith("421 4.7.0")
    assert await client.closed()


async def test_commands_that_lead_nowhere_are_limited(unserved):
    await unserved.serve(empty_commands=10)
    client = await Client.tls(unserved)
    await client.send(b"NOOP\r\n" * 100_000)
    last = ""
    with pytest.raises((ConnectionError, ssl.SSLError)):
        while True:
            last = await client.reply()

    assert last.startswith("421 4.7.0")


async def test_searching_for_addresses_is_limited(unserved):
    await unserved.serve(refused_recipients=5)
    client = await Client.signed_in(unserved)
    await client.say(f"MAIL FROM:<alice@{DOMAIN}>")
    for number in range(6):
        assert (await client.say(f"RCPT TO:<guess{number}@{DOMAIN}>")).startswith("550 5.1.1")

    assert (await client.reply()).startswith("421 4.7.0")


@pytest.mark.parametrize("line", [b"X" * 100_000 + b"\r\n", b"NOOP " + b"y" * 5000 + b"\r\n"])
async def test_a_line_that_is_too_long_is_refused_and_gone(world, client, line):
    await client.send(line)
    assert (await client.reply()).startswith("500 5.5.2")
    assert (await client.say("NOOP")).startswith("250")


async def test_a_line_without_end_keeps_memory_bounded(world, client):
    session = next(iter(world.server._shared.sessions))
    for _ in range(200):
        await client.send(b"z" * 50_000)
        assert len(session._inbox) <= 1024 * 1024
    assert (await client.say("")).startswith("500 5.5.2")


async def test_commands_end_in_crlf_only(world, client):
    await client.send(b"NOOP\nRSET\r\n")
    assert (await client.reply()).startswith("500 5.5.2")


async def test_silence_ends_the_connection(unserved):
    await unserved.serve(idle_seconds=0.2)
    client = await Client.signed_in(unserved)
    assert (await client.reply()).startswith("421 4.4.2")
    assert await client.closed()


async def test_silence_inside_data_ends_the_connection(unserved):
    await unserved.serve(idle_seconds=0.2)
    client = await Client.signed_in(unserved)
    await client.begin()
    await client.send(b"From: x\r\n")
    assert (await client.reply()).startswith("421 4.4.2")
    assert await client.closed()
    assert unserved.accepted == []


async def test_data_that_trickle_for_ever_are_cut(unserved):
    await unserved.serve(idle_seconds=0.3, data_seconds=0.6)
    client = await Client.signed_in(unserved)
    await client.begin()
    with pytest.raises((ConnectionError, ssl.SSLError, AssertionError)):
        for _ in range(100):
            await client.send(b"x")
            await asyncio.sleep(0.05)
            if client.reader._buffer:
                assert not (await client.reply()).startswith("421 4.4.2")

    assert unserved.accepted == []


async def test_a_client_that_never_reads_is_cut_and_holds_little(unserved):
    await unserved.serve(idle_seconds=0.5, empty_commands=10_000_000)
    tls = unserved.client_tls()

    def flood() -> int:
        sent = 0
        with socket.create_connection(("127.0.0.1", unserved.implicit_port), 5) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with tls.wrap_socket(raw, server_hostname="localhost") as client:
                client.settimeout(3)
                try:
                    while sent < 100_000_000:
                        sent += client.send(b"EHLO x\r\n" * 1000)
                except OSError:
                    pass
        return sent

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    held = 0
    while not flooding.done():
        for session in unserved.server._shared.sessions:
            if session.transport is not None:
                held = max(held, len(session._inbox) + session.transport.get_write_buffer_size())
        await asyncio.sleep(0.01)

    assert await flooding < 100_000_000
    assert 0 < held < 2_000_000
    assert unserved.server.open_sessions == 0


async def test_a_client_that_leaves_before_it_reads_gets_each_reply_and_the_end(unserved):
    await unserved.serve(empty_commands=10_000_000)
    commands = 0

    def read_all() -> bytes:
        heard = bytearray()
        while piece := raw.recv(1 << 16):
            heard += piece
        return bytes(heard)

    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(20)
        await asyncio.to_thread(raw.connect, ("127.0.0.1", unserved.starttls_port))

        async def say(times: int) -> None:
            nonlocal commands
            await asyncio.to_thread(raw.sendall, b"EHLO x\r\n" * times)
            commands += times
            await asyncio.sleep(0.005)

        await say(1)
        (session,) = unserved.server._shared.sessions
        async with asyncio.timeout(60):
            while session._writable is None:
                await say(16)
            await say(1)  # the reply to this one must wait
            raw.shutdown(socket.SHUT_WR)
            while not session._ended:
                await asyncio.sleep(0.01)
        heard = await asyncio.to_thread(read_all)

    assert heard.count(b"250 ") == commands


async def test_connections_per_peer_are_limited(unserved):
    await unserved.serve(connections=ConnectionLimits(per_peer=2))
    clients = [await Client.plain(unserved) for _ in range(2)]
    third = Client(*await asyncio.open_connection("127.0.0.1", unserved.starttls_port))
    assert (await third.reply()).startswith("421 4.7.0")
    assert await third.closed()
    clients[0].leave()
    await asyncio.sleep(0.05)
    (await Client.plain(unserved)).leave()
    clients[1].leave()


async def test_stopping_lets_an_open_transaction_finish_and_says_421_to_the_idle(world):
    idle, busy = await Client.signed_in(world), await Client.signed_in(world)
    await busy.begin()
    stopping = asyncio.create_task(world.server.stop(grace_seconds=5))
    assert (await idle.reply()).startswith("421 4.3.2")
    await busy.send(message() + b".\r\n")
    assert (await busy.reply()).startswith("250 2.0.0")
    assert (await busy.reply()).startswith("421 4.3.2")
    await asyncio.wait_for(stopping, 5)

    assert len(world.accepted) == 1
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", world.starttls_port)


async def test_stopping_cuts_off_who_does_not_finish(world):
    client = await Client.signed_in(world)
    await client.begin()
    await asyncio.wait_for(world.server.stop(grace_seconds=0.1), 3)

    assert await client.closed()
    assert world.accepted == []
