"""Clients that mean harm, or fail: precise answers, bounded memory, the server stays up."""

import asyncio

import pytest
from tests.servers.imap.imap_site import LOGIN, PASSWORD, a_mail

from mssante.servers.imap.limits import ImapLimits
from mssante.servers.limits import ByteBudget


async def test_a_stranger_gets_no_large_literal(process, connect):
    client = await connect(process, login=None)
    client.send(b"a LOGIN {4294967296}\r\n")
    assert await client.line() == b"a NO [TOOBIG] Literal too large"
    client.send(b"b LOGIN {5000+}\r\n")
    assert await client.line() == b"b NO [TOOBIG] Literal too large"
    assert (await client.line()).startswith(b"* BYE")
    assert await client.closed_by_server()


async def test_a_member_is_told_before_a_large_literal_is_sent(process, connect):
    client = await connect(process)
    client.send(b"a APPEND INBOX {4294967296}\r\n")
    assert await client.line() == b"a NO [TOOBIG] Literal too large"
    client.send(b"b SEARCH SUBJECT {300000}\r\n")
    assert await client.line() == b"b NO [TOOBIG] Literal too large"
    await client.ok("NOOP")


async def test_a_large_literal_that_does_not_wait_is_drained(site, connect):
    process = await site.process(ImapLimits(max_message=100_000))
    client = await connect(process)
    client.send(b"a APPEND INBOX {3000000+}\r\n")
    for _ in range(30):
        client.send(b"b NOOP\r\n" * 12_500)
    client.send(b"\r\nc NOOP\r\n")

    assert await client.line() == b"a NO [TOOBIG] Literal too large"
    assert await client.line() == b"c OK NOOP completed"


async def test_messages_that_many_send_at_once_share_the_memory(process, connect):
    budget = process.server._memory = ByteBudget(5_000_000)
    clients = [await connect(process) for _ in range(4)]
    least = budget.left
    for client in clients:
        client.send(b"a APPEND INBOX {2000000+}\r\n")
    for _ in range(20):
        for client in clients:
            client.send(b"\r\n" * 50_000)
            await client.writer.drain()
            await asyncio.sleep(0.002)
        least = min(least, budget.left)
    for client in clients:
        client.send(b"\r\n")
    answers = [await client.line() for client in clients]
    refused = [answer for answer in answers if answer.startswith(b"a NO [UNAVAILABLE]")]

    assert 0 <= least < 2_000_000
    assert 1 <= len(refused) < 4
    assert len([answer for answer in answers if answer.startswith(b"a OK")]) == 4 - len(refused)
    assert budget.left == 5_000_000
    for client in clients:
        await client.append("INBOX", a_mail())


async def test_a_client_that_leaves_inside_a_message_gives_its_memory_back(process, connect):
    budget = process.server._memory = ByteBudget(5_000_000)
    client = await connect(process)
    client.send(b"a APPEND INBOX {4000000+}\r\n" + b"x" * 2_000_000)
    while budget.left > 3_500_000:
        await asyncio.sleep(0.01)
    [connection] = process.server._connections
    client.writer.transport.abort()
    while process.server.connections:
        await asyncio.sleep(0.01)

    assert budget.left == 5_000_000
    # The object itself may live on until the garbage collector comes.
    assert connection.buffered == 0


async def test_a_message_of_the_limit_is_taken_and_one_octet_more_not(site, connect):
    process = await site.process(ImapLimits(max_message=100_000))
    client = await connect(process)
    content = a_mail()
    content += b"x" * (100_000 - len(content))
    await client.append("INBOX", content)
    lines = await client.run(b"APPEND INBOX {100001+}\r\n" + content + b"y")

    assert lines[-1].startswith(b"NO [TOOBIG]")
    assert b"MESSAGES 1" in (await client.ok("STATUS INBOX (MESSAGES)"))[0]


@pytest.mark.parametrize(
    "command",
    [
        b"NONSENSE",
        b"LOGIN",
        b"LOGIN a",
        b"LOGIN a b c",
        b'LOGIN "a\x00b" c',
        b"SELECT",
        b'SELECT "unfinished',
        b"FETCH 0 FLAGS",
        b"FETCH 1:4294967296 FLAGS",
        b"FETCH 1 ()",
        b"FETCH 1 BODY[",
        b"FETCH 1 BODY[1.HEADER.FIELDS ()]",
        b"FETCH 1 BODY[]<0.0>",
        b"FETCH 1 BODY[" + b"1." * 60 + b"1]",
        b"FETCH 1 (" + b"FLAGS " * 300 + b"UID)",
        b"SEARCH " + b"(" * 5000 + b"ALL" + b")" * 5000,
        b"SEARCH " + b"NOT " * 5000 + b"ALL",
        b"SEARCH " + b"OR ALL " * 5000 + b"ALL",
        b"SEARCH ON 31-Feb-2026",
        b"SEARCH " + b"ALL " * 3000 + b"ALL",
        b"STORE 1 +FLAGS (" + b"$k " * 200 + b"x)",
        b'STATUS INBOX (MESSAGES "x")',
        b"ID (" + b'"a" "b" ' * 100 + b")",
        b"ID (" + b"(" * 1000 + b")",
        b"LIST " + b"{2+}\r\nab" * 100,
        b"CREATE {3+}\r\na\x00b",
        b"CREATE {3+}\r\na\nb",
        b"APPEND INBOX {5+}\r\na\x00b\r\n",
        b"APPEND INBOX",
        b"APPEND INBOX (\\Seen {3+}\r\nabc",
        b'APPEND INBOX "99-Foo-2026 00:00:00 +0000" {3+}\r\nabc',
        b"UID NOOP",
        b"NOOP\x00",
        b"NOOP\r",
        b"\xff\xfe",
    ],
)
async def test_what_breaks_the_grammar_is_bad_and_the_session_goes_on(process, connect, command):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")

    assert (await client.run(command))[-1].startswith(b"BAD "), command
    await client.ok("NOOP")


@pytest.mark.parametrize("line", [b"\r\n", b"nothing\r\n", b"+ NOOP\r\n", b"a\r\n"])
async def test_a_line_without_tag_gets_an_untagged_bad(process, connect, line):
    client = await connect(process, login=None)
    client.send(line)

    assert (await client.line()).startswith(b"* BAD ")


async def test_bare_line_feeds_are_told(process, connect):
    client = await connect(process, login=None)
    client.send(b"a NOOP\nb NOOP\r\n")

    assert await client.line() == b"a BAD Lines end with CRLF"
    assert await client.line() == b"b OK NOOP completed"


async def test_a_line_without_end_closes_the_connection(process, connect):
    client = await connect(process, login=None)
    client.send(b"a NOOP " + b"x" * 20_000)

    assert await client.line() == b"a BAD Command line too long"
    assert (await client.line()).startswith(b"* BYE")
    assert await client.closed_by_server()


async def test_a_member_may_send_a_long_list_of_uids(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")
    uids = ",".join(str(number) for number in range(1, 30_000, 2))

    assert len(uids) > 65_536
    assert await client.ok(f"UID FETCH {uids} (FLAGS)") == [b"* 1 FETCH (UID 1 FLAGS ())"]


async def test_too_many_bad_commands_end_the_connection(process, connect):
    client = await connect(process, login=None)
    for _ in range(20):
        assert (await client.run("WHAT"))[-1].startswith(b"BAD")

    assert await client.line() == b"* BYE Too many bad commands"
    assert await client.closed_by_server()


async def test_who_does_not_log_in_is_sent_away(site, connect):
    process = await site.process(ImapLimits(seconds_before_login=0.2))
    client = await connect(process, login=None)

    assert await client.line() == b"* BYE Too slow to log in"
    assert await client.closed_by_server()


async def test_who_stays_silent_is_sent_away(site, connect):
    process = await site.process(ImapLimits(seconds_of_silence=0.2))
    client = await connect(process)

    assert (await client.line()).startswith(b"* BYE Autologout")
    assert await client.closed_by_server()


async def test_idle_says_that_it_is_still_there(site, connect):
    process = await site.process(ImapLimits(idle_heartbeat=0.1))
    client = await connect(process)
    client.send(b"a IDLE\r\n")
    assert await client.line() == b"+ idling"
    assert await client.line() == b"* OK Still here"
    client.send(b"SOMETHING\r\n")
    while (line := await client.line()).startswith(b"*"):
        assert line == b"* OK Still here"
    assert line.startswith(b"a BAD")
    client.send(b"DONE\r\n")
    await client.ok("NOOP")


async def test_a_client_that_does_not_read_makes_the_server_stop_producing(site, connect):
    process = await site.process(ImapLimits(seconds_stalled=2))
    client = await connect(process)
    content = a_mail(body="x" * 990_000)
    for _ in range(8):
        await client.append("INBOX", content)
    await client.ok("SELECT INBOX")
    [connection] = process.server._connections
    client.writer.transport.pause_reading()
    for number in range(40):
        client.send(b"x%d FETCH 1:8 BODY.PEEK[]\r\n" % number)
    await asyncio.sleep(0.7)

    assert connection.is_stalled
    assert connection._transport.get_write_buffer_size() < 2_000_000
    assert connection._out_size < 2_000_000
    for _ in range(60):
        if not process.server.connections:
            break
        await asyncio.sleep(0.1)
    assert process.server.connections == 0
    client.writer.transport.abort()


async def test_a_client_that_reads_slowly_gets_everything(process, connect):
    client = await connect(process)
    content = a_mail(body="x" * 990_000)
    for _ in range(6):
        await client.append("INBOX", content)
    await client.ok("SELECT INBOX")
    client.send(b"x FETCH 1:6 BODY.PEEK[]\r\n")
    await asyncio.sleep(0.3)

    for number in range(1, 7):
        assert await client.line() == b"* %d FETCH (BODY[] {%d}\r\n%b)" % (
            number,
            len(content),
            content,
        )
    assert (await client.line()).startswith(b"x OK")


async def test_a_client_that_vanishes_leaves_nothing_behind(process, connect):
    client = await connect(process)
    content = a_mail(body="x" * 900_000)
    await client.append("INBOX", content)
    await client.ok("SELECT INBOX")
    client.send(b"x FETCH 1 BODY.PEEK[]\r\ny IDLE\r\n")
    client.writer.transport.abort()
    for _ in range(50):
        if not process.server.connections and not process.service._views:
            break
        await asyncio.sleep(0.05)

    assert process.server.connections == 0
    assert not process.service._views


async def test_half_a_literal_and_then_nothing_is_no_message(process, connect):
    client = await connect(process)
    client.send(b"a APPEND INBOX {1000+}\r\nSubject: half\r\n")
    await asyncio.sleep(0.05)
    client.writer.transport.abort()
    other = await connect(process)

    assert b"MESSAGES 0" in (await other.ok("STATUS INBOX (MESSAGES)"))[0]


async def test_there_is_room_for_so_many_connections(site, connect):
    process = await site.process(ImapLimits(max_connections=2))
    await connect(process)
    await connect(process)
    third = await connect(process, login=None)

    assert third.greeting == b"* BYE [UNAVAILABLE] Too many connections"
    assert await third.closed_by_server()


async def test_one_account_cannot_take_all_connections(site, connect):
    process = await site.process(ImapLimits(max_connections_per_account=2))
    first, _ = await connect(process), await connect(process)
    third = await connect(process, login=None)
    login = f'LOGIN {LOGIN} "{PASSWORD}"'

    assert (await third.run(login))[-1] == b"NO [LIMIT] Limit reached"
    await first.ok("LOGOUT")
    await asyncio.sleep(0.05)
    await third.ok(login)


async def test_stopping_says_bye_to_who_waits(site, process, connect):
    idling, waiting = await connect(process), await connect(process)
    idling.send(b"a IDLE\r\n")
    await idling.line()
    await process.server.close()

    assert await idling.line() == b"* BYE Server is shutting down"
    assert await waiting.line() == b"* BYE Server is shutting down"
    assert process.server.connections == 0


async def test_a_fault_of_ours_is_no_and_logged_without_content(
    site, process, connect, caplog, monkeypatch
):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")

    async def fails(*args):
        raise RuntimeError("secret content")

    monkeypatch.setattr(process.store, "copy", fails)
    assert (await client.run("COPY 1 Archives"))[
        -1
    ] == b"NO [SERVERBUG] Internal error, noted in the log"
    await client.ok("NOOP")
    assert [record.getMessage() for record in caplog.records] == ["an IMAP command failed"]
    caplog.clear()


async def test_a_body_that_cannot_be_read_is_nil_and_said(site, process, connect, caplog):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")
    for path in (site.folder / "segments").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data.rstrip(b"\0")) - 20] ^= 1  # behind it are zeros written ahead
        path.write_bytes(data)

    assert await client.run("FETCH 1 (FLAGS BODY.PEEK[])") == [
        b"* 1 FETCH (FLAGS () BODY[] NIL)",
        b"NO [SERVERBUG] Some content could not be read, noted in the log",
    ]
    caplog.clear()


async def test_login_with_quotes_and_backslashes(process, connect):
    client = await connect(process, login=None)

    assert (await client.run('LOGIN "u" "p\\"q\\\\r"'))[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    await client.ok(
        b"LOGIN {%d+}\r\n%b {%d+}\r\n%b"
        % (len(LOGIN), LOGIN.encode(), len(PASSWORD), PASSWORD.encode())
    )


async def test_a_fault_inside_a_response_closes_the_connection(
    process, connect, caplog, monkeypatch
):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")
    monkeypatch.setattr(process.service, "content", None)
    client.send(b"a FETCH 1 (BODY.PEEK[])\r\n")

    assert await client.reader.read() == b"* 1 FETCH (BODY[] "
    assert [record.getMessage() for record in caplog.records] == ["a message cannot be written"]
    caplog.clear()
