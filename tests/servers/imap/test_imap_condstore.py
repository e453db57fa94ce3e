"""CONDSTORE (RFC 7162) by two clients, in one process and in two, on both databases."""

import asyncio
import re

import pytest
from tests.servers.imap.imap_site import PASSWORD, SHARED, Process, Site, a_mail

pytestmark = pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)


def highest(lines):
    return int(re.findall(rb"HIGHESTMODSEQ (\d+)", b"\n".join(lines))[-1])


def modseqs(lines):
    """The mod-sequences in FETCH responses, by message number."""
    found = (re.match(rb"\* (\d+) FETCH .*MODSEQ \((\d+)\)", line) for line in lines)
    return {int(match[1]): int(match[2]) for match in found if match}


async def test_select_tells_the_highest_modseq_and_status_the_same(site, pair):
    one, two = pair
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))

    assert at == max(modseqs(await one.ok("FETCH 1:* (MODSEQ)")).values())
    assert highest(await two.ok("EXAMINE INBOX")) == at
    assert highest(await two.ok("STATUS INBOX (HIGHESTMODSEQ)")) == at
    assert (await one.run("SELECT INBOX (QRESYNC (1 2))"))[-1].startswith(b"BAD")


async def test_messages_that_come_get_greater_modseqs_one_after_the_other(site, pair):
    one, _ = pair
    before = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    for _ in range(3):
        await one.append("INBOX", a_mail())
    await one.ok("COPY 1:2 INBOX")

    found = modseqs(await one.ok("FETCH 6:* (MODSEQ)"))
    assert before < found[6] < found[7] < found[8] < found[9] == found[10]
    assert highest(await one.ok("STATUS INBOX (HIGHESTMODSEQ)")) == found[10]


@pytest.mark.parametrize(
    "command",
    [
        "ENABLE CONDSTORE",
        "STATUS Archives (HIGHESTMODSEQ)",
        "FETCH 1 (MODSEQ)",
        "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
        "SEARCH NOT (FLAGGED OR SEEN MODSEQ 1)",
        "STORE 1 (UNCHANGEDSINCE 99) +FLAGS.SILENT (\\Draft)",
    ],
)
async def test_each_enabling_command_tells_from_where_on_modseqs_are_told(site, pair, command):
    one, two = pair
    at = highest(await two.ok("STATUS INBOX (HIGHESTMODSEQ)"))
    lines = await one.ok(command)

    assert lines[0].startswith(b"* OK [HIGHESTMODSEQ %d] " % at)
    assert sum(b"[HIGHESTMODSEQ" in line for line in lines) == 1
    assert not any(b"[HIGHESTMODSEQ" in line for line in await one.ok(command))
    await site.settled()
    await two.ok("STORE 2 +FLAGS.SILENT (\\Seen)")
    await site.settled()
    told = await one.ok("NOOP")
    assert re.fullmatch(rb"\* 2 FETCH \(UID 2 FLAGS \(\\Seen\) MODSEQ \(\d+\)\)", told[-1])


async def test_who_does_not_ask_hears_of_no_modseq(site, pair):
    one, two = pair
    await two.ok("STORE 2 +FLAGS (\\Seen)")
    await site.settled()

    assert await one.ok("NOOP") == [b"* 2 FETCH (UID 2 FLAGS (\\Seen))"]
    assert await one.ok("STORE 3 +FLAGS (\\Seen)") == [b"* 3 FETCH (FLAGS (\\Seen))"]
    assert await one.ok("STORE 4 +FLAGS.SILENT (\\Seen)") == []


async def test_enable_names_what_it_enables_and_only_that(site, pair):
    one, _ = pair
    await one.ok("UNSELECT")

    assert await one.ok("ENABLE UTF8=ACCEPT QRESYNC") == [b"* ENABLED"]
    assert await one.ok("enable condstore x-other") == [b"* ENABLED CONDSTORE"]
    assert b"HIGHESTMODSEQ" in b"\n".join(await one.ok("SELECT INBOX"))
    assert modseqs(await one.ok("STORE 1 +FLAGS.SILENT (\\Seen)")).keys() == {1}


async def test_a_silent_store_tells_the_new_modseq_of_what_it_changed(site, pair):
    one, _ = pair
    await one.ok("ENABLE CONDSTORE")
    await one.ok("STORE 2 +FLAGS (\\Seen)")

    lines = await one.ok("UID STORE 1:3 +FLAGS.SILENT (\\Seen)")
    assert [re.sub(rb"\d+\)\)", b"n))", line) for line in lines] == [
        b"* 1 FETCH (UID 1 MODSEQ (n))",
        b"* 3 FETCH (UID 3 MODSEQ (n))",
    ]
    assert set(modseqs(lines).values()) == {highest(await one.ok("STATUS INBOX (HIGHESTMODSEQ)"))}
    assert await one.ok("NOOP") == []


async def test_a_store_that_changes_nothing_leaves_the_modseq(site, pair):
    one, _ = pair
    await one.ok("STORE 1 +FLAGS (\\Seen)")
    before = await one.ok("FETCH 1 (MODSEQ)")
    await one.ok("STORE 1 +FLAGS (\\Seen)")
    await one.ok("STORE 1 -FLAGS (\\Flagged)")

    assert (await one.ok("FETCH 1 (MODSEQ)"))[-1] == before[-1]


async def test_a_conditional_store_fails_for_what_changed_and_says_how_it_is(site, pair):
    one, two = pair
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    await two.ok("STORE 2,4 +FLAGS.SILENT (\\Flagged)")

    lines = await one.run(f"UID STORE 5,1:4,2 (UNCHANGEDSINCE {at}) +FLAGS.SILENT (\\Seen)")
    assert lines[-1] == b"OK [MODIFIED 2,4] Conditional STORE failed for some"
    flagged = [line for line in lines if b"FLAGS (\\Flagged)" in line]
    assert {line.split()[1] for line in flagged} == {b"2", b"4"}
    changed = [line for line in lines[:-1] if b"FLAGS" not in line]
    assert modseqs(changed).keys() == {1, 3, 5}
    assert {m for m in modseqs(changed).values()} == {at + 2}
    assert await one.ok("SEARCH SEEN") == [b"* SEARCH 1 3 5"]


async def test_a_conditional_store_by_number_names_numbers(site, pair):
    one, two = pair
    await one.ok("UID MOVE 1 Archives")
    await two.ok("NOOP")
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    await two.ok("UID STORE 3 +FLAGS.SILENT (\\Flagged)")

    lines = await one.run(f"STORE 1:2 (UNCHANGEDSINCE {at}) FLAGS ($work)")
    assert lines[-1].startswith(b"OK [MODIFIED 2] ")
    assert (await one.run("STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)"))[-1].startswith(
        b"OK [MODIFIED 1] "
    )


async def test_a_conditional_store_of_what_is_so_already_passes_and_tells_its_modseq(site, pair):
    one, _ = pair
    await one.ok("STORE 1 +FLAGS (\\Seen)")
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))

    lines = await one.ok(f"STORE 1 (UNCHANGEDSINCE {at}) +FLAGS.SILENT (\\Seen)")
    assert lines == [b"* 1 FETCH (UID 1 MODSEQ (%d))" % at]


async def test_a_conditional_store_tells_of_expunged_and_modified_ones(site, pair):
    one, two = pair
    at = highest(await two.ok("SELECT INBOX (CONDSTORE)"))
    await one.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")
    await one.ok("UID MOVE 4:5 Archives")
    await site.settled()

    lines = await two.run(f"STORE 1:5 (UNCHANGEDSINCE {at}) +FLAGS (\\Seen)")
    assert lines[-1].startswith(b"NO [MODIFIED 2] ")
    assert not any(b"EXPUNGE" in line for line in lines[:-1])
    assert (await two.ok("NOOP"))[:2] == [b"* 5 EXPUNGE", b"* 4 EXPUNGE"]
    assert await two.ok("SEARCH SEEN") == [b"* SEARCH 1 3"]


async def test_of_two_conditional_stores_at_once_one_wins(site, pair):
    one, two = pair
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    await two.ok("ENABLE CONDSTORE")
    for number in range(1, 6):
        command = f"STORE {number} (UNCHANGEDSINCE {at}) +FLAGS.SILENT ($taken)"
        ends = await asyncio.gather(one.run(command), two.run(command))

        assert sum(lines[-1].startswith(b"OK [MODIFIED %d]" % number) for lines in ends) == 1


async def test_fetch_tells_only_what_changed_since(site, pair):
    one, two = pair
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    await two.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")
    await two.append("INBOX", a_mail())
    await site.settled()
    await one.ok("NOOP")

    assert await one.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {at})") == [
        b"* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (%d))" % (at + 1),
        b"* 6 FETCH (UID 6 FLAGS () MODSEQ (%d))" % (at + 2),
    ]
    assert await one.ok(f"FETCH 1:5 UID (CHANGEDSINCE {at})") == [
        b"* 2 FETCH (UID 2 MODSEQ (%d))" % (at + 1)
    ]
    assert await one.ok(f"FETCH 1:* FAST (CHANGEDSINCE {at + 2})") == []
    assert len(await one.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 0)")) == 6
    for wrong in ("(CHANGEDSINCE)", "(CHANGEDSINCE 1 VANISHED)", "(CHANGEDSINCE x)", "(MODSEQ 1)"):
        assert (await one.run(f"UID FETCH 1:* (FLAGS) {wrong}"))[-1].startswith(b"BAD")


async def test_reading_a_body_tells_the_modseq_of_seen(site, pair):
    one, two = pair
    await one.ok("ENABLE CONDSTORE")
    [line] = await one.ok("FETCH 1 (BODY[HEADER.FIELDS (MESSAGE-ID)])")

    at = highest(await two.ok("STATUS INBOX (HIGHESTMODSEQ)"))
    assert line.endswith(b" FLAGS (\\Seen) UID 1 MODSEQ (%d))" % at)
    assert await one.ok("NOOP") == []
    [line] = await one.ok("UID FETCH 2 (FLAGS MODSEQ BODY[TEXT])")
    assert line.startswith(b"* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (%d) BODY[TEXT] " % (at + 1))
    assert line.endswith(b"\r\n)")


async def test_search_by_modseq_tells_the_greatest_of_what_it_found(site, pair):
    one, two = pair
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    await two.ok("STORE 4 +FLAGS.SILENT (\\Flagged)")
    await two.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")
    await site.settled()
    await one.ok("NOOP")

    assert await one.ok(f"SEARCH MODSEQ {at + 1}") == [b"* SEARCH 2 4 (MODSEQ %d)" % (at + 2)]
    assert await one.ok(f'UID SEARCH 3:5 MODSEQ "/flags/\\\\draft" all {at}') == [
        b"* SEARCH 4 5 (MODSEQ %d)" % (at + 1)
    ]
    assert await one.ok(f"SEARCH NOT MODSEQ {at + 1} SMALLER 50000") == [
        b"* SEARCH 1 3 5 (MODSEQ %d)" % at
    ]
    assert await one.ok("SEARCH OR NOT MODSEQ 1 LARGER 50000") == [b"* SEARCH"]
    assert await one.ok(f"SEARCH MODSEQ {at + 3}") == [b"* SEARCH"]
    for wrong in ("MODSEQ", "MODSEQ x", 'MODSEQ "/flags/x" 1', 'MODSEQ "/other/x" all 1'):
        assert (await one.run(f"SEARCH {wrong}"))[-1].startswith(b"BAD")


async def test_a_client_that_comes_back_learns_all_from_its_last_modseq(site, pair):
    one, two = pair
    at = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    cache = modseqs(await one.ok("UID FETCH 1:* (MODSEQ)"))
    await one.ok("UNSELECT")
    await two.ok("STORE 1:2 +FLAGS.SILENT ($work)")
    await two.ok("STORE 2 -FLAGS.SILENT ($work)")
    await two.ok("STORE 5 +FLAGS.SILENT (\\Deleted)")
    await two.ok("EXPUNGE")
    await site.settled()

    now = highest(await one.ok("SELECT INBOX (CONDSTORE)"))
    changed = modseqs(await one.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {at})"))
    assert changed == {1: at + 1, 2: at + 2}
    assert now == at + 4
    assert modseqs(await one.ok("UID FETCH 1:* (MODSEQ)")) == {
        number: changed.get(number, cache[number]) for number in range(1, 5)
    }


async def test_anothers_seen_has_no_modseq_for_me_in_a_shared_mailbox(
    site: Site, process: Process, connect
):
    from base64 import b64encode

    await process.deliver(site.shared.id, a_mail())
    clients = []
    for login in ("claire", "paul"):
        client = await connect(process, login=None)
        plain = b64encode(f"{SHARED}\0{login}\0{PASSWORD}".encode())
        await client.ok(b"AUTHENTICATE PLAIN " + plain)
        await client.ok("SELECT INBOX (CONDSTORE)")
        clients.append(client)
    one, two = clients

    before = modseqs(await two.ok("FETCH 1 (MODSEQ)"))
    await one.ok("STORE 1 +FLAGS (\\Seen)")
    await site.settled()

    assert await two.ok("NOOP") == []
    assert modseqs(await two.ok("FETCH 1 (MODSEQ)")) == before
    await one.ok("STORE 1 +FLAGS (\\Answered)")
    await site.settled()
    [line] = await two.ok("NOOP")
    assert b"FLAGS (\\Answered) MODSEQ" in line


async def test_a_cache_kept_by_modseq_is_always_what_a_full_fetch_tells(site: Site, connect):
    """A client that leaves and comes back, while two others work on flags, moves and arrivals."""
    import random

    random.seed(11)
    first, second = await site.process(), await site.process()
    workers = [await connect(first), await connect(second)]
    for _ in range(12):
        await workers[0].append("INBOX", a_mail())
    for worker in workers:
        await worker.ok("SELECT INBOX (CONDSTORE)")
    reader = await connect(second)
    cache: dict[int, bytes] = {}
    at = 0

    def taken(lines):
        found = (re.match(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\)", line) for line in lines)
        return {int(match[1]): match[2] for match in found if match}

    for _ in range(12):
        for _ in range(8):
            worker = random.choice(workers)
            uid = random.randint(1, 20)
            flag = random.choice(["\\Seen", "\\Flagged", "$work"])
            command = random.choice(
                [
                    f"UID STORE {uid}:{uid + 3} +FLAGS.SILENT ({flag})",
                    f"UID STORE {uid} -FLAGS ({flag})",
                    f"UID STORE {uid}:* (UNCHANGEDSINCE {at}) FLAGS ({flag})",
                    f"UID MOVE {uid} Archives",
                    f"UID MOVE {uid} INBOX",
                    f"UID COPY {uid}:* INBOX" if uid > 18 else "NOOP",
                    "UID FETCH 1:* (BODY[HEADER])" if uid > 17 else "NOOP",
                ]
            )
            assert (await worker.run(command))[-1].startswith(b"OK"), command
        now = highest(await reader.ok("SELECT INBOX (CONDSTORE)"))
        changed = await reader.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {at})")
        present = (await reader.ok("UID SEARCH ALL"))[0].split()[2:]
        cache |= taken(changed)
        cache = {uid: flags for uid, flags in cache.items() if b"%d" % uid in present}
        at = now
        assert cache == taken(await reader.ok("UID FETCH 1:* (FLAGS)"))
        await reader.ok("UNSELECT")
    assert len(cache) > 5
