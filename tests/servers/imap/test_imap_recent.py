r"""``\Recent`` (RFC 3501 section 2.3.2): of which messages a session is the first to be told."""

import asyncio
import re

import pytest
from tests.servers.imap.imap_site import a_mail


@pytest.fixture
def session(site, process, connect):
    """Opens a session that shows what is recent; `other` is one of another process."""
    others = []

    async def open_session(*, other: bool = False):
        if other and not others:
            others.append(await site.process())
        client = await connect(others[0] if other else process)
        client.shows_recent = True
        return client

    return open_session


async def opened(client, command="SELECT INBOX") -> int:
    """How many are recent, as SELECT says."""
    [line] = [each for each in await client.ok(command) if each.endswith(b" RECENT")]
    return int(line.split(b" ")[1])


async def recent(client) -> list[int]:
    """The UIDs that are recent, as FETCH and SEARCH agree."""
    flagged = [
        int(re.search(rb"UID (\d+)", line)[1])
        for line in await client.ok("UID FETCH 1:* (FLAGS)")
        if rb"\Recent" in line
    ]
    [found] = await client.ok("UID SEARCH RECENT")
    assert found.split()[2:] == [b"%d" % uid for uid in flagged]
    return flagged


@pytest.mark.parametrize("other", [False, True], ids=["one process", "two processes"])
async def test_the_first_session_finds_messages_recent_and_later_ones_do_not(session, other):
    one = await session()
    for _ in range(3):
        await one.append("INBOX", a_mail())
    assert await opened(one) == 3
    assert await recent(one) == [1, 2, 3]

    two = await session(other=other)
    assert await opened(two) == 0
    assert await recent(two) == []
    assert await recent(one) == [1, 2, 3]
    assert await opened(one) == 0


async def test_examine_and_status_tell_what_is_recent_and_leave_it_so(session):
    one = await session()
    await one.append("INBOX", a_mail())

    for _ in range(2):
        assert b"RECENT 1)" in (await one.ok("STATUS INBOX (RECENT)"))[0]
        assert await opened(one, "EXAMINE INBOX") == 1
        assert await recent(one) == [1]
        assert b"RECENT 1)" in (await one.ok("STATUS INBOX (RECENT)"))[0]
        await one.ok("CLOSE")
    assert await opened(one) == 1
    assert b"RECENT 0)" in (await one.ok("STATUS INBOX (RECENT)"))[0]


@pytest.mark.parametrize("leave", ["UNSELECT", "CLOSE", "SELECT Archives", "LOGOUT", "break"])
async def test_what_arrives_is_recent_to_the_session_that_is_told_of_it_and_not_after(
    site, process, session, leave
):
    one = await session()
    await one.append("INBOX", a_mail())
    assert await opened(one) == 1
    await process.deliver(site.mailbox.id, a_mail(number=2))
    await site.settled()
    assert (await one.ok("NOOP"))[:2] == [b"* 2 EXISTS", b"* 2 RECENT"]
    assert await recent(one) == [1, 2]

    if leave == "break":
        one.writer.close()
        while process.service._views or process.service._tasks:  # until the server has noticed
            await asyncio.sleep(0.01)
    else:
        await one.ok(leave)
    two = await session()
    assert await opened(two) == 0


async def test_copies_and_what_is_moved_are_recent_where_they_come_to(session):
    one = await session()
    for _ in range(2):
        await one.append("INBOX", a_mail())
    await opened(one)
    await one.ok("COPY 1 Archives")
    await one.ok("MOVE 2 Archives")

    assert await opened(one, "SELECT Archives") == 2
    assert await recent(one) == [1, 2]


async def test_recent_is_told_with_other_flags_and_cannot_be_stored(session):
    one = await session()
    await one.append("INBOX", a_mail(), "(\\Flagged)")
    assert await opened(one) == 1

    assert await one.ok("STORE 1 -FLAGS (\\Recent)") == [
        b"* 1 FETCH (FLAGS (\\Flagged \\Recent))",
    ]
    assert (await one.ok("STORE 1 FLAGS ($Forwarded)"))[-1] == (
        b"* 1 FETCH (FLAGS (\\Recent $Forwarded))"
    )
    [line] = await one.ok("FETCH 1 BODY[TEXT]")
    assert line.endswith(b" FLAGS (\\Seen \\Recent $Forwarded))")
    for lines in await one.ok("STORE 1 FLAGS.SILENT ()"), await one.ok("NOOP"):
        assert lines == []


async def test_search_tells_new_old_and_recent_apart(session):
    one = await session()
    for _ in range(2):
        await one.append("INBOX", a_mail())
    await opened(one)
    await opened(one)
    for flags in ("(\\Seen)", ""):
        await one.append("INBOX", a_mail(), flags)

    assert await one.ok("SEARCH RECENT") == [b"* SEARCH 3 4"]
    assert await one.ok("SEARCH NEW") == [b"* SEARCH 4"]
    assert await one.ok("SEARCH OLD") == [b"* SEARCH 1 2"]
    assert await one.ok("SEARCH NOT OLD SEEN") == [b"* SEARCH 3"]


@pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)
async def test_of_two_sessions_at_once_one_finds_a_message_recent(session):
    one, two = await session(), await session(other=True)
    await one.append("INBOX", a_mail())

    assert sorted(await asyncio.gather(opened(one), opened(two))) == [0, 1]
