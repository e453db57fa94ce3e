"""What clients that cannot run here send, in their order and words, and what they need back.

Thunderbird for the desktop and K-9 Mail (Thunderbird for Android), from their published sources.
"""

import base64
import re

from tests.servers.imap.imap_site import LOGIN, PASSWORD, a_mail

TB_HEADERS = (
    "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups"
    " In-Reply-To Content-Type Reply-To"
)
K9_HEADERS = (
    "date subject from content-type to cc bcc reply-to message-id references in-reply-to"
    " list-post list-unsubscribe sender X-K9mail-Identity Chat-Version"
)


def capabilities(line):
    return line.decode().partition("CAPABILITY ")[2].rstrip("]").split("]")[0].split()


async def authenticate_plain(client):
    """As both clients do: without an initial response."""
    client.send(b"1 authenticate PLAIN\r\n")
    assert await client.line() == b"+ "
    client.send(base64.b64encode(f"\0{LOGIN}\0{PASSWORD}".encode()) + b"\r\n")
    line = await client.line()
    assert line.startswith(b"1 OK [CAPABILITY ")
    return capabilities(line)


def uids(lines):
    return [int(re.search(rb"UID (\d+)", line)[1]) for line in lines]


async def thunderbird_opens(client, offered):
    await client.ok("namespace")
    assert "COMPRESS=DEFLATE" not in offered  # so that it asks for none
    assert await client.ok('ID ("name" "Thunderbird" "version" "115.2.2")') == [
        b'* ID ("name" "mssante")'
    ]
    assert "UTF8=ACCEPT" not in offered  # so that it does not enable it
    found = []
    for _ in range(2):
        found = await client.ok('list (subscribed) "" "*" return (special-use)')
    assert len(found) == 6
    assert all(b"\\Subscribed" in line and b'"/" "' in line for line in found)
    assert any(b"\\Trash" in line and b'"Corbeille"' in line for line in found)
    assert await client.ok('list "" "INBOX"') == [b'* LIST (\\HasNoChildren) "/" "INBOX"']


async def test_thunderbird_discovers_reads_flags_moves_and_stores(site, process, connect):
    for number in range(5):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    big = a_mail(body="x" * 200_000, number=5)
    await process.deliver(site.mailbox.id, big)
    client = await connect(process, login=None)
    offered = await authenticate_plain(client)
    assert {"LIST-EXTENDED", "SPECIAL-USE", "MOVE", "UIDPLUS", "IDLE", "LITERAL+"} <= {*offered}
    await thunderbird_opens(client, offered)

    opened = b"\n".join(await client.ok('select "INBOX"'))
    assert b"* 6 EXISTS" in opened
    assert re.search(rb"\[PERMANENTFLAGS \([^)]*\\\*\)\] \w", opened)
    assert re.search(rb"\[UIDVALIDITY \d+\] \w", opened) and b"[UIDNEXT 7] " in opened
    assert uids(await client.ok("UID fetch 1:* (FLAGS)")) == [1, 2, 3, 4, 5, 6]
    headers = await client.ok(
        f"UID fetch 1:6 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({TB_HEADERS})])"
    )
    assert uids(headers) == [1, 2, 3, 4, 5, 6]
    assert all(f"BODY[HEADER.FIELDS ({TB_HEADERS})] ".encode() in line for line in headers)
    # It asks for more than the last message when nothing is new, and counts on getting that one.
    assert uids(await client.ok("UID fetch 7:* (FLAGS)")) == [6]

    [line] = await client.ok("UID fetch 2 (UID RFC822.SIZE BODY.PEEK[])")
    assert line.endswith(a_mail(number=1) + b")")
    pieces = b""
    while True:
        [line] = await client.ok(f"UID fetch 6 (UID RFC822.SIZE BODY[]<{len(pieces)}.65536>)")
        label = b"BODY[]<%d> " % len(pieces)
        assert label in line
        if label + b'""' in line:
            break
        size = int(re.search(rb"\{(\d+)\}\r\n", line)[1])
        pieces += line.partition(b"}\r\n")[2][:size]
    assert pieces == big
    await client.ok("uid store 2 +Flags (\\Seen $label1 NonJunk)")
    assert (await client.ok("UID fetch 2 (FLAGS)"))[0].endswith(b"(\\Seen $label1 NonJunk))")

    moved = await client.ok('uid move 1,3 "Corbeille"')
    assert moved[0].startswith(b"* OK [COPYUID ")
    assert moved[1:] == [b"* 3 EXPUNGE", b"* 1 EXPUNGE"]
    draft = a_mail("Brouillon")
    client.send(
        b'40 append "Envoy&AOk-s" (\\Seen) "23-Nov-2026 09:00:00 +0100" {%d+}\r\n%b\r\n'
        % (len(draft), draft)
    )
    assert re.match(rb"40 OK \[APPENDUID \d+ 1\]", (await client.until(b"40"))[-1])
    assert await client.ok('STATUS "Envoy&AOk-s" (UIDNEXT MESSAGES UNSEEN RECENT)') == [
        b'* STATUS "Envoy&AOk-s" (UIDNEXT 2 MESSAGES 1 UNSEEN 0 RECENT 1)'
    ]
    client.send(b"41 IDLE\r\n")
    assert (await client.line()).startswith(b"+ ")
    await process.deliver(site.mailbox.id, a_mail(number=6))
    assert await client.line() == b"* 5 EXISTS"
    client.send(b"DONE\r\n")
    assert (await client.until(b"41"))[-1].startswith(b"41 OK")
    assert uids(await client.ok("UID fetch 7:* (FLAGS)")) == [7]
    await client.ok("close")
    assert (await client.run("logout"))[0].startswith(b"* BYE")


async def test_thunderbird_with_condstore_fetches_what_changed(site, process, connect):
    for number in range(3):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    client, other = await connect(process, login=None), await connect(process)
    assert "CONDSTORE" in await authenticate_plain(client)
    assert await client.ok("ENABLE CONDSTORE") == [b"* ENABLED CONDSTORE"]
    opened = b"\n".join(await client.ok('select "INBOX" (CONDSTORE)'))
    at = int(re.search(rb"\[HIGHESTMODSEQ (\d+)\] \w", opened)[1])
    assert uids(await client.ok("UID fetch 1:* (FLAGS)")) == [1, 2, 3]
    await client.ok("close")
    await other.ok("SELECT INBOX")
    await other.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")

    opened = b"\n".join(await client.ok('select "INBOX" (CONDSTORE)'))
    assert b"[HIGHESTMODSEQ %d]" % (at + 1) in opened
    assert await client.ok(f"UID fetch 1:* (FLAGS) (CHANGEDSINCE {at})") == [
        b"* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (%d))" % (at + 1)
    ]


async def test_k9_mail_lists_synchronises_reads_and_deletes(site, process, connect):
    for number in range(30):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    client = await connect(process, login=None)
    offered = await authenticate_plain(client)
    assert {"SPECIAL-USE", "LIST-EXTENDED", "ENABLE", "NAMESPACE", "MOVE", "IDLE"} <= {*offered}
    await client.ok('ID ("name" "K-9 Mail" "version" "6.8")')
    assert await client.ok("ENABLE UTF8=ACCEPT") == [b"* ENABLED"]
    assert await client.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) NIL NIL']
    found = b"\n".join(await client.ok('LIST "" "*" RETURN (SPECIAL-USE)'))
    for use in (b"\\Archive", b"\\Drafts", b"\\Sent", b"\\Junk", b"\\Trash"):
        assert use in found

    opened = await client.ok('SELECT "INBOX"')
    assert b"* 30 EXISTS" in opened
    assert await client.ok("UID SEARCH *:*") == [b"* SEARCH 30"]
    [line] = await client.ok("UID SEARCH 6:30 NOT DELETED SINCE 01-Jan-2020")
    newest = line.removeprefix(b"* SEARCH ").decode().replace(" ", ",")
    assert newest == ",".join(map(str, range(6, 31)))
    assert uids(await client.ok(f"UID FETCH {newest} (UID FLAGS)")) == [*range(6, 31)]
    headers = await client.ok(
        f"UID FETCH {newest} (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({K9_HEADERS})])"
    )
    assert len(headers) == 25
    assert all(f"BODY[HEADER.FIELDS ({K9_HEADERS})] ".encode() in line for line in headers)
    assert (await client.ok("SEARCH 1:* UNSEEN NOT DELETED"))[0].count(b" ") == 31
    assert b"BODYSTRUCTURE (" in (await client.ok("UID FETCH 30 (UID BODYSTRUCTURE)"))[0]
    [line] = await client.ok("UID FETCH 30 (UID BODY.PEEK[]<0.131072>)")
    assert line.endswith(b"BODY[]<0> {%d}\r\n%b)" % (len(a_mail(number=29)), a_mail(number=29)))
    assert await client.ok("UID STORE 30 +FLAGS.SILENT (\\Seen)") == []
    assert await client.ok("UID STORE 1:* +FLAGS.SILENT (\\Seen)") == []

    lines = await client.ok('UID MOVE 29:30 "Corbeille"')
    assert re.fullmatch(rb"\* OK \[COPYUID \d+ 29:30 1:2\] Moved", lines[0])
    client.send(b'9 APPEND "Brouillons" (\\Seen \\Draft) {%d}\r\n' % len(a_mail()))
    assert (await client.line()).startswith(b"+")
    client.send(a_mail() + b"\r\n")
    assert b"[APPENDUID " in (await client.until(b"9"))[-1]
    await client.ok('SELECT "Corbeille"')
    await client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await client.ok("UID EXPUNGE 1") == [b"* 1 EXPUNGE"]
    assert await client.ok('UID SEARCH HEADER MESSAGE-ID "<29@medecins.example>"') == [
        b"* SEARCH 2"
    ]


async def test_iphone_pipelines_behind_done_and_asks_for_changes_since_zero(site, process, connect):
    await process.deliver(site.mailbox.id, a_mail())
    client = await connect(process)
    client.send(b'A3 NAMESPACE\r\nA4 LIST "" "*" RETURN (SPECIAL-USE)\r\n')
    assert len(await client.until(b"A4")) == 9
    await client.ok('SELECT "INBOX" (CONDSTORE)')
    lines = await client.ok("UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 0)")
    assert re.fullmatch(rb"\* 1 FETCH \(UID 1 FLAGS \(\) MODSEQ \(\d+\)\)", lines[0])
    client.send(b"A5 IDLE\r\n")
    assert (await client.line()).startswith(b"+ ")
    client.send(b"DONE\r\nA6 UID MOVE 1 Corbeille\r\nA7 UID MOVE 1 Corbeille\r\n")
    assert (await client.until(b"A5"))[-1].startswith(b"A5 OK")
    assert b"* 1 EXPUNGE" in await client.until(b"A6")
    # A second move of the same message is no failure: the phone would bring it back.
    assert (await client.until(b"A7")) == [b"A7 OK UID MOVE completed"]


async def test_apple_mail_and_mailkit_ask_in_their_own_ways(site, process, connect):
    for number in range(4):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    client = await connect(process)
    assert await client.ok('LIST "" "INBOX" RETURN (SUBSCRIBED CHILDREN)') == [
        b'* LIST (\\HasNoChildren \\Subscribed) "/" "INBOX"'
    ]
    assert len(await client.ok('LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED CHILDREN)')) == 5
    assert len(await client.ok('LSUB "" *')) == 6
    await client.ok("SELECT INBOX (CONDSTORE)")
    [line] = await client.ok("UID SEARCH RETURN (ALL) NOT DELETED")
    assert re.fullmatch(rb'\* ESEARCH \(TAG "t\d+"\) UID ALL 1:4', line)
    [line] = await client.ok("UID SEARCH RETURN (MIN MAX COUNT) UNSEEN")
    assert line.endswith(b" UID MIN 1 MAX 4 COUNT 4")
    assert len(await client.ok("FETCH 1:4 (FLAGS UID MODSEQ)")) == 4
    lines = await client.ok(
        'LIST "" * RETURN (CHILDREN SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UNSEEN UIDVALIDITY UIDNEXT HIGHESTMODSEQ))'
    )
    assert sum(line.startswith(b"* STATUS ") for line in lines) == 6
