"""Identifiers that outlive names and UIDs (OBJECTID, RFC 8474)."""

import re

from tests.servers.imap.imap_site import a_mail

OBJECT_ID = rb"\(([A-Za-z][A-Za-z0-9_-]{0,254})\)"


def mailbox_id(lines):
    return re.search(rb"MAILBOXID " + OBJECT_ID, b"\n".join(lines))[1]


async def test_a_mailbox_keeps_its_identifier_through_renames(process, connect):
    client = await connect(process)
    created = mailbox_id(await client.run("CREATE one"))

    assert mailbox_id(await client.ok("STATUS one (MAILBOXID)")) == created
    assert mailbox_id(await client.ok("SELECT one")) == created
    await client.ok("RENAME one two")
    assert mailbox_id(await client.ok("EXAMINE two")) == created
    assert mailbox_id(await client.run("CREATE one")) != created
    lines = await client.ok('LIST "" "*" RETURN (STATUS (MAILBOXID))')
    ids = re.findall(rb"MAILBOXID " + OBJECT_ID, b"\n".join(lines))
    assert len(set(ids)) == len(ids) == 8
    await client.ok("DELETE two")
    assert mailbox_id(await client.run("CREATE two")) not in ids


async def test_a_content_keeps_its_identifier_where_it_is_copied_and_moved(process, connect):
    client = await connect(process)
    for number in range(2):
        await client.append("INBOX", a_mail(number=number))
    await client.ok("SELECT INBOX")
    lines = await client.ok("FETCH 1:* (EMAILID THREADID)")
    first, second = (
        re.fullmatch(rb"\* \d FETCH \(EMAILID " + OBJECT_ID + rb" THREADID NIL\)", line)[1]
        for line in lines
    )
    assert first != second

    assert await client.ok(b"SEARCH EMAILID " + second) == [b"* SEARCH 2"]
    assert await client.ok(b"UID SEARCH OR EMAILID %b EMAILID %b" % (first, second)) == [
        b"* SEARCH 1 2"
    ]
    assert await client.ok(b"SEARCH EMAILID " + second.upper()) == [b"* SEARCH"]
    assert await client.ok("SEARCH EMAILID nobody_s-1") == [b"* SEARCH"]
    assert await client.ok(b"SEARCH THREADID " + first) == [b"* SEARCH"]
    assert (await client.run('SEARCH EMAILID "a b"'))[-1].startswith(b"BAD")
    assert (await client.run("SEARCH EMAILID a.b"))[-1].startswith(b"BAD")
    await client.ok("COPY 1 Archives")
    await client.ok("MOVE 2 Archives")
    await client.ok("SELECT Archives")
    assert await client.ok("UID FETCH 1:2 (EMAILID BODY.PEEK[]<0.1>)") == [
        b"* 1 FETCH (UID 1 EMAILID (%b) BODY[]<0> {1}\r\nF)" % first,
        b"* 2 FETCH (UID 2 EMAILID (%b) BODY[]<0> {1}\r\nF)" % second,
    ]
