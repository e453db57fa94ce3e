"""MOVE (RFC 6851) by two clients, in one process and in two, on both databases."""

import asyncio
import re

import pytest
from tests.servers.imap.imap_site import Site, a_mail

pytestmark = pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)


async def uidvalidity(client, mailbox):
    [line] = await client.ok(f"STATUS {mailbox} (UIDVALIDITY)")
    return int(re.search(rb"UIDVALIDITY (\d+)", line)[1])


async def test_messages_go_where_copyuid_says_before_they_are_expunged(site, pair):
    one, two = pair
    validity = await uidvalidity(one, "Archives")
    lines = await one.run("UID MOVE 2:3,99 Archives")

    assert lines[:3] == [
        b"* OK [COPYUID %d 2:3 1:2] Moved" % validity,
        b"* 3 EXPUNGE",
        b"* 2 EXPUNGE",
    ]
    assert re.fullmatch(rb"OK \[HIGHESTMODSEQ \d+\] MOVE completed", lines[3])
    await site.settled()
    assert await two.ok("FETCH 1 (UID)") == [b"* 1 FETCH (UID 1)"]
    assert await two.ok("NOOP") == [b"* 3 EXPUNGE", b"* 2 EXPUNGE"]
    await two.ok("SELECT Archives")
    assert await two.ok("UID FETCH 1:* (FLAGS)") == [
        b"* 1 FETCH (UID 1 FLAGS ())",
        b"* 2 FETCH (UID 2 FLAGS ())",
    ]


async def test_a_move_by_number_takes_flags_and_dates_along_and_sets_no_deleted(site, pair):
    one, _ = pair
    await one.ok("STORE 4 +FLAGS.SILENT (\\Flagged $work)")
    [date] = await one.ok("FETCH 4 (INTERNALDATE)")
    await one.ok("MOVE 4 Archives")
    await one.ok("SELECT Archives")

    assert await one.ok("FETCH 1 (FLAGS)") == [b"* 1 FETCH (FLAGS (\\Flagged $work))"]
    assert (await one.ok("FETCH 1 (INTERNALDATE)"))[0].split()[4:] == date.split()[4:]


async def test_a_move_of_messages_already_gone_is_no_failure_by_uid(site, pair):
    one, two = pair
    await one.ok("UID MOVE 1:2 Archives")
    await site.settled()

    # A client that hears NO here puts the messages back into its list.
    assert (await two.run("UID MOVE 1 Corbeille"))[-1] == b"OK UID MOVE completed"
    assert b"MESSAGES 0" in (await two.ok("STATUS Corbeille (MESSAGES)"))[0]


async def test_a_move_by_number_of_a_message_already_gone_moves_nothing(site, pair):
    one, two = pair
    await one.ok("UID MOVE 1 Archives")
    await site.settled()

    lines = await two.run("MOVE 1:2 Corbeille")
    assert lines == [
        b"* 1 EXPUNGE",
        b"NO [EXPUNGEISSUED] Some of these messages were expunged",
    ]
    assert b"MESSAGES 0" in (await two.ok("STATUS Corbeille (MESSAGES)"))[0]


async def test_a_move_within_the_mailbox_gives_new_uids(site, pair):
    one, two = pair
    lines = await one.ok("UID MOVE 2 INBOX")

    assert lines[0].endswith(b" 2 6] Moved")
    assert lines[1:] == [b"* 2 EXPUNGE", b"* 5 EXISTS"]
    await site.settled()
    assert await two.ok("NOOP") == [b"* 2 EXPUNGE", b"* 5 EXISTS"]


async def test_a_move_to_nowhere_may_be_tried_again_after_create(site, pair):
    one, _ = pair
    assert (await one.run("MOVE 1 Nowhere"))[-1].startswith(b"NO [TRYCREATE]")
    assert (await one.run("MOVE 9 Archives"))[-1].startswith(b"BAD")
    await one.ok("EXAMINE INBOX")
    assert (await one.run("MOVE 1 Archives"))[-1].startswith(b"NO")
    assert await one.ok("FETCH 1:* (UID)") == [b"* %d FETCH (UID %d)" % (n, n) for n in range(1, 6)]


async def test_an_open_target_hears_of_what_is_moved_into_it(site, pair):
    one, two = pair
    await two.ok("SELECT Archives")
    two.send(b"i IDLE\r\n")
    assert await two.line() == b"+ idling"
    await one.ok("MOVE 1:3 Archives")

    assert await two.line() == b"* 3 EXISTS"
    two.send(b"DONE\r\n")
    await two.until(b"i")


async def test_clients_that_move_at_once_lose_and_double_nothing(site: Site, connect):
    processes = [await site.process(), await site.process()]
    clients = [await connect(processes[n % 2]) for n in range(4)]
    for number in range(30):
        await clients[0].append("INBOX", a_mail(number=number))
    for client in clients:
        await client.ok("SELECT INBOX")
    targets = ["Archives", "Corbeille", "Archives", "Brouillons"]

    await asyncio.gather(
        *(
            client.run(f"UID MOVE {1 + 5 * n}:{15 + 5 * n} {target}")
            for n, (client, target) in enumerate(zip(clients, targets, strict=True))
        )
    )

    ids = []
    reader = await connect(processes[0])
    for mailbox in ("INBOX", "Archives", "Corbeille", "Brouillons"):
        await reader.ok(f"EXAMINE {mailbox}")
        for line in await reader.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"):
            ids.append(int(re.search(rb"<(\d+)@", line)[1]))
    assert sorted(ids) == list(range(30))


async def test_rename_of_inbox_moves_its_messages_and_leaves_it_empty(site, pair):
    one, two = pair
    validity = await uidvalidity(one, "INBOX")
    assert (await one.ok("RENAME INBOX Ancien"))[-5:] == [
        b"* %d EXPUNGE" % number for number in (5, 4, 3, 2, 1)
    ]

    assert b"MESSAGES 5" in (await one.ok("STATUS Ancien (MESSAGES)"))[0]
    assert await uidvalidity(one, "INBOX") == validity
    await site.settled()
    assert len(await two.ok("NOOP")) == 5
