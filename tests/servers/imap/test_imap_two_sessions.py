"""Several clients on one mailbox, in one process and in two: IMAP's faults live between sessions."""

import asyncio

import pytest
from tests.servers.imap.imap_site import LOGIN, PASSWORD, SHARED, Process, Site, a_mail

pytestmark = pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)


async def test_an_expunge_waits_for_a_command_that_may_tell_it(site, pair):
    one, two = pair
    await one.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
    await one.ok("EXPUNGE")
    await site.settled()

    assert await two.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]
    assert await two.ok("SEARCH ALL") == [b"* SEARCH 1 3 5"]
    assert await two.ok("STORE 5 +FLAGS (\\Flagged)") == [b"* 5 FETCH (FLAGS (\\Flagged))"]
    assert (await two.run("FETCH 1:5 (UID)")) == [
        b"* 1 FETCH (UID 1)",
        b"* 3 FETCH (UID 3)",
        b"* 5 FETCH (UID 5)",
        b"NO [EXPUNGEISSUED] Some of these messages were expunged",
    ]
    assert (await two.run("FETCH 2 (BODY.PEEK[])"))[-1].startswith(b"NO [EXPUNGEISSUED]")
    assert (await two.run("STORE 2 +FLAGS (\\Seen)"))[-1].startswith(b"NO [EXPUNGEISSUED]")
    assert await two.ok("NOOP") == [b"* 4 EXPUNGE", b"* 2 EXPUNGE"]
    assert await two.ok("FETCH 1:* (UID FLAGS)") == [
        b"* 1 FETCH (UID 1 FLAGS ())",
        b"* 2 FETCH (UID 3 FLAGS ())",
        b"* 3 FETCH (UID 5 FLAGS (\\Flagged))",
    ]
    await site.settled()
    assert await one.ok("NOOP") == [b"* 3 FETCH (UID 5 FLAGS (\\Flagged))"]


async def test_uid_commands_may_tell_an_expunge(site, pair):
    one, two = pair
    await one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await one.ok("EXPUNGE")
    await site.settled()

    assert await two.ok("UID FETCH 1:2 (FLAGS)") == [
        b"* 2 FETCH (UID 2 FLAGS ())",
        b"* 1 EXPUNGE",
    ]


async def test_an_expunge_and_an_arrival_while_numbers_are_frozen(site, pair):
    one, two = pair
    await one.ok("STORE 5 +FLAGS.SILENT (\\Deleted)")
    await one.ok("EXPUNGE")
    await one.append("INBOX", a_mail())
    await site.settled()

    assert await two.ok("SEARCH ALL") == [b"* SEARCH 1 2 3 4"]
    assert await two.ok("NOOP") == [b"* 5 EXPUNGE", b"* 5 EXISTS"]
    assert await two.ok("FETCH 5 (UID)") == [b"* 5 FETCH (UID 6)"]


async def test_flags_of_others_are_told_once_and_own_ones_not_again(site, pair):
    one, two = pair
    await one.ok("STORE 1:2 +FLAGS (\\Seen)")
    await site.settled()

    assert await one.ok("NOOP") == []
    assert await two.ok("FETCH 3 (UID)") == [
        b"* 3 FETCH (UID 3)",
        b"* 1 FETCH (UID 1 FLAGS (\\Seen))",
        b"* 2 FETCH (UID 2 FLAGS (\\Seen))",
    ]
    assert await two.ok("NOOP") == []


async def test_a_silent_store_still_tells_what_another_client_changed(site, pair):
    one, two = pair
    await one.ok("STORE 1 +FLAGS (\\Flagged)")
    await site.settled()

    assert await two.ok("STORE 1 +FLAGS.SILENT (\\Seen)") == [
        b"* 1 FETCH (UID 1 FLAGS (\\Flagged))"
    ]
    assert await two.ok("NOOP") == []
    await site.settled()
    assert await one.ok("NOOP") == [b"* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))"]


async def test_an_arrival_is_told_at_the_next_command(site, pair):
    one, two = pair
    await one.append("INBOX", a_mail())
    await site.settled()

    assert await two.ok("NOOP") == [b"* 6 EXISTS"]
    assert await one.ok("NOOP") == []


async def test_status_of_an_open_mailbox_knows_what_others_changed(site, pair):
    one, two = pair
    for client in (one, two):
        [line] = await client.ok("STATUS INBOX (MESSAGES UNSEEN UIDNEXT)")
        assert line == b'* STATUS "INBOX" (MESSAGES 5 UNSEEN 5 UIDNEXT 6)'
    await one.ok("STORE 1:2 +FLAGS (\\Seen \\Deleted)")
    await one.ok("UID EXPUNGE 1")
    for client in (one, two):
        lines = await client.ok("STATUS INBOX (MESSAGES UNSEEN UIDNEXT)")
        assert b'* STATUS "INBOX" (MESSAGES 4 UNSEEN 3 UIDNEXT 6)' in lines
    await one.append("INBOX", a_mail())
    assert b"(MESSAGES 5 UIDNEXT 7)" in (await two.ok("STATUS INBOX (MESSAGES UIDNEXT)"))[0]
    await two.ok("UNSELECT")
    await one.append("INBOX", a_mail())
    assert b"(MESSAGES 6)" in (await two.ok("STATUS INBOX (MESSAGES)"))[0]


async def test_new_keywords_reach_the_other_client(site, pair):
    one, two = pair
    await one.ok("STORE 1 +FLAGS ($work)")
    await site.settled()

    lines = await two.ok("NOOP")
    assert b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $work)" in lines
    assert lines[-1] == b"* 1 FETCH (UID 1 FLAGS ($work))"


async def test_idle_tells_arrivals_flags_and_expunges_at_once(site, pair):
    one, two = pair
    two.send(b"i IDLE\r\n")
    assert await two.line() == b"+ idling"

    await one.append("INBOX", a_mail())
    assert await two.line() == b"* 6 EXISTS"
    await one.ok("STORE 6 +FLAGS (\\Deleted)")
    assert await two.line() == b"* 6 FETCH (UID 6 FLAGS (\\Deleted))"
    await one.ok("EXPUNGE")
    assert await two.line() == b"* 6 EXPUNGE"
    two.send(b"DONE\r\na NOOP\r\nb IDLE\r\n")
    assert (await two.until(b"a"))[0].startswith(b"i OK")
    assert await two.line() == b"+ idling"
    two.send(b"done\r\n")
    assert (await two.line()).startswith(b"b OK")


async def test_idle_begins_with_its_go_ahead_even_when_something_is_new(site, pair):
    one, two = pair
    await one.append("INBOX", a_mail())
    await site.settled()
    two.send(b"i IDLE\r\n")

    assert await two.line() == b"+ idling"
    assert await two.line() == b"* 6 EXISTS"


async def test_fifty_appends_at_once_arrive_once_each_at_an_idling_client(site, pair):
    one, two = pair
    two.send(b"i IDLE\r\n")
    assert await two.line() == b"+ idling"
    content = a_mail()
    for number in range(50):
        one.send(b"p%d APPEND INBOX {%d+}\r\n%b\r\n" % (number, len(content), content))
    await one.until(b"p49")
    lines = []
    while not lines or lines[-1] != b"* 55 EXISTS":
        lines.append(await two.line())

    counts = [int(line.split()[1]) for line in lines]
    assert counts == sorted(set(counts))


async def test_a_lost_wakeup_is_made_good(site: Site, connect, monkeypatch):
    monkeypatch.setattr("mssante.mail.mailboxes.SWEEP_SECONDS", 0.1)
    first, second = await site.process(), await site.process(hears=False)
    client = await connect(second)
    await client.ok("SELECT INBOX")
    client.send(b"i IDLE\r\n")
    await client.line()
    await first.deliver(site.mailbox.id, a_mail())

    assert await client.line() == b"* 1 EXISTS"


async def test_a_store_of_nothing_does_not_hide_what_another_process_expunged(site: Site, connect):
    first, second = await site.process(), await site.process(hears=False)
    one, two = await connect(first), await connect(second)
    for _ in range(3):
        await one.append("INBOX", a_mail(), "(\\Seen)")
    await two.ok("SELECT INBOX")
    await one.ok("SELECT INBOX")
    await one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await one.ok("NOOP")
    await two.ok("UID STORE 2 +FLAGS.SILENT (\\Flagged)")
    await two.ok("NOOP")
    await one.ok("EXPUNGE")

    # The expunge is the very next modseq, and this STORE changes nothing.
    lines = await two.ok("UID STORE 3 +FLAGS.SILENT (\\Seen)")
    assert b"* 1 EXPUNGE" in lines
    assert await two.ok("FETCH 1:* (UID)") == [b"* 1 FETCH (UID 2)", b"* 2 FETCH (UID 3)"]


async def test_a_deleted_folder_empties_under_its_readers(site, pair):
    one, two = pair
    await one.ok("CREATE Temp")
    await one.append("Temp", a_mail())
    await two.ok("SELECT Temp")
    await one.ok("DELETE Temp")
    lines = []
    for _ in range(100):
        lines += await two.ok("NOOP")
        if lines:
            break
        await asyncio.sleep(0.1)

    assert lines == [b"* 1 EXPUNGE"]
    assert (await two.run("STATUS Temp (MESSAGES)"))[-1].startswith(b"NO [NONEXISTENT]")


async def test_seen_is_each_readers_own_in_a_shared_mailbox(site: Site, process: Process, connect):
    from base64 import b64encode

    await process.deliver(site.shared.id, a_mail())
    clients = []
    for login in ("claire", "paul"):
        client = await connect(process, login=None)
        plain = b64encode(f"{SHARED}\0{login}\0{PASSWORD}".encode())
        await client.ok(b"AUTHENTICATE PLAIN " + plain)
        await client.ok("SELECT INBOX")
        clients.append(client)
    one, two = clients

    await one.ok("STORE 1 +FLAGS.SILENT (\\Seen \\Flagged)")
    await site.settled()
    assert await two.ok("NOOP") == [b"* 1 FETCH (UID 1 FLAGS (\\Flagged))"]
    assert await two.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS (\\Flagged))"]
    assert await one.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS (\\Flagged \\Seen))"]
    assert b"UNSEEN 0" in (await one.ok("STATUS INBOX (UNSEEN)"))[0]
    assert b"UNSEEN 1" in (await two.ok("STATUS INBOX (UNSEEN)"))[0]


async def test_random_work_of_three_clients_leaves_all_with_the_same_mailbox(site: Site, connect):
    """Each client keeps its own list by the untagged responses only, as a real one does."""
    import random

    random.seed(7)
    process, other = await site.process(), await site.process()
    clients = [await connect(process), await connect(process), await connect(other)]
    models: list[list[int | None]] = []

    def take_in(model, lines):
        for line in lines:
            words = line.split()
            if words[2:3] == [b"EXPUNGE"]:
                del model[int(words[1]) - 1]
            elif words[2:3] == [b"EXISTS"]:
                assert int(words[1]) >= len(model)
                model.extend([None] * (int(words[1]) - len(model)))
            elif words[2:4] == [b"FETCH", b"(UID"]:
                index, uid = int(words[1]) - 1, int(words[4].rstrip(b")"))
                assert model[index] in (None, uid), (line, model)
                model[index] = uid

    for client in clients:
        model: list[int | None] = []
        models.append(model)
        take_in(model, await client.ok("SELECT INBOX"))
    for _ in range(150):
        which = random.randrange(3)
        client, model = clients[which], models[which]
        content = a_mail()
        choice = random.random()
        if choice < 0.35 or not model:
            command = b"APPEND INBOX {%d+}\r\n%b" % (len(content), content)
        elif choice < 0.55:
            command = b"STORE %d +FLAGS (\\Deleted)" % random.randint(1, len(model))
        elif choice < 0.65:
            command = b"EXPUNGE"
        elif choice < 0.75:
            command = b"UID FETCH 1:* (FLAGS)"
        elif choice < 0.9:
            command = b"FETCH 1:%d (UID)" % len(model)
        else:
            command = b"NOOP"
        lines = await client.run(command)
        assert not lines[-1].startswith(b"BAD"), lines
        if b"FETCH" not in command and b"STORE" not in command or b"UID" in command:
            take_in(model, lines[:-1])
        else:
            assert not any(b"EXPUNGE" in line.split()[2:3] for line in lines[:-1])
            take_in(model, lines[:-1])
    await site.settled()
    for client, model in zip(clients, models, strict=True):
        take_in(model, await client.ok("NOOP"))
        take_in(model, await client.ok("UID FETCH 1:* (UID)"))
    assert models[0] == models[1] == models[2]
    assert None not in models[0]
