"""Extended SEARCH (RFC 4731), alone and with mod-sequences (RFC 7162 section 3.1.10)."""

import re

import pytest
from tests.servers.imap.imap_site import a_mail


@pytest.fixture
async def client(process, connect):
    """A client with INBOX of eight messages open; 2, 3, 4 and 7 are flagged."""
    client = await connect(process)
    for number in range(9):
        await client.append("INBOX", a_mail(number=number))
    await client.ok("SELECT INBOX")
    await client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
    await client.ok("EXPUNGE")
    await client.ok("STORE 2:4,7 +FLAGS.SILENT (\\Flagged)")
    return client


def without_tag(lines):
    [line] = lines
    return re.sub(rb'\(TAG "t\d+"\)', b"(TAG)", line)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("SEARCH RETURN (MIN COUNT) FLAGGED", "MIN 2 COUNT 4"),
        ("SEARCH RETURN () FLAGGED", "ALL 2:4,7"),
        ("search return (all) flagged", "ALL 2:4,7"),
        ("SEARCH RETURN (MIN MAX ALL COUNT MIN) FLAGGED", "MIN 2 MAX 7 ALL 2:4,7 COUNT 4"),
        ("UID SEARCH RETURN (MIN MAX) 1:500", "UID MIN 2 MAX 9"),
        ("UID SEARCH RETURN (ALL) CHARSET UTF-8 FLAGGED 3:*", "UID ALL 4:5,8"),
        ("SEARCH RETURN (MIN MAX ALL) DELETED", ""),
        ("UID SEARCH RETURN (MIN COUNT) DELETED", "UID COUNT 0"),
        ("SEARCH RETURN (COUNT) (ALL)", "COUNT 8"),
    ],
)
async def test_an_extended_search_tells_what_was_asked(client, command, answer):
    expected = b"* ESEARCH (TAG)" + (b" " + answer.encode() if answer else b"")
    assert without_tag(await client.ok(command)) == expected


async def test_the_answer_names_the_tag_of_its_command(client):
    client.send(b"x]1 SEARCH RETURN (COUNT) ALL\r\ny'2 UID SEARCH RETURN (COUNT) ALL\r\n")

    assert (await client.until(b"x]1"))[0] == b'* ESEARCH (TAG "x]1") COUNT 8'
    assert (await client.until(b"y'2"))[0] == b'* ESEARCH (TAG "y\'2") UID COUNT 8'


async def test_without_return_the_answer_is_the_old_one(client):
    assert await client.ok("SEARCH FLAGGED") == [b"* SEARCH 2 3 4 7"]


@pytest.mark.parametrize(
    "wrong", ["(SAVE) ALL", "(MIN", "(MIN)", "MIN ALL", "(MIN  MAX) ALL", "(MIN) RETURN (MAX) ALL"]
)
async def test_other_result_options_are_refused(client, wrong):
    assert (await client.run(f"SEARCH RETURN {wrong}"))[-1].startswith(b"BAD")


async def test_a_modseq_is_that_of_the_messages_returned(client):
    for number in (7, 2, 4):
        await client.ok(f"STORE {number} +FLAGS.SILENT ($work)")
    lines = await client.ok("FETCH 1:* (MODSEQ)")
    at = {
        int(number): int(modseq)
        for number, modseq in re.findall(rb"\* (\d+) FETCH \(MODSEQ \((\d+)\)\)", b"\n".join(lines))
    }
    assert at[4] > at[2] > at[7]

    for options, expected in [
        ("MIN", b"MIN 2 MODSEQ %d" % at[2]),
        ("MAX", b"MAX 7 MODSEQ %d" % at[7]),
        ("MIN MAX", b"MIN 2 MAX 7 MODSEQ %d" % at[2]),
        ("MIN COUNT", b"MIN 2 COUNT 3 MODSEQ %d" % at[4]),
        ("", b"ALL 2,4,7 MODSEQ %d" % at[4]),
    ]:
        found = await client.ok(f"SEARCH RETURN ({options}) KEYWORD $work MODSEQ 1")
        assert without_tag(found) == b"* ESEARCH (TAG) " + expected
    found = await client.ok("UID SEARCH RETURN (COUNT) MODSEQ 99999")
    assert without_tag(found) == b"* ESEARCH (TAG) UID COUNT 0"
