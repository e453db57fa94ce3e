import asyncio
import random

import pytest
from sqlalchemy import Engine, event, update

from mssante.access.audit import AuditKind
from mssante.kernel.opaque import new_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import FlagOperation, Flags, SpecialUse, StoredMessage
from mssante.mail.ports import Delivery
from mssante.storage import audit, folders, mailboxes, migrate, versions
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.postgres import PostgresDatabase
from mssante.storage.schema.mail import MESSAGE


class Heard:
    def __init__(self):
        self.folders = []

    def folder_changed(self, folder_number, highestmodseq):
        self.folders.append((folder_number, highestmodseq))


@pytest.fixture
async def store(open_database, blobs, clock):
    return StoredMailboxes(await open_database(versions.MAIL), blobs, Heard(), clock)


async def a_message(blobs, text=b"hello"):
    return StoredMessage(new_id(), b"Received: x\r\n", b"summary of " + text, await blobs.put(text))


async def an_inbox(store, reader=None, count=0, blobs=None, clock=None):
    mailbox = new_id()
    await store.open_mailbox(mailbox)
    inbox = await store.folder(mailbox, "inbox")
    for number in range(count):
        message = await a_message(blobs, b"m%d" % number)
        await store.append(inbox.number, reader, message, 100 + number, clock.now(), 0)
    return mailbox, inbox


async def test_a_new_mailbox_has_inbox_first_and_the_special_folders(store):
    mailbox, inbox = await an_inbox(store)
    found = await store.folders(mailbox)

    assert found[0].name == "INBOX"
    assert found[0].uidnext == 1
    assert {f.special_use for f in found[1:]} == set(SpecialUse)
    assert len({f.uidvalidity for f in found}) == len(found)


async def test_a_delivery_is_done_once_however_often_it_is_repeated(store, blobs, clock):
    first, _ = await an_inbox(store)
    second, _ = await an_inbox(store)
    message = await a_message(blobs)
    spool_id = new_id()
    delivery = Delivery(spool_id, message, 120, clock.now(), (first, second))

    await asyncio.gather(*(store.deliver(delivery) for _ in range(5)))

    for mailbox in (first, second):
        inbox = await store.folder(mailbox, "INBOX")
        changes = await store.changes(inbox.number, None)
        assert [row.uid for row in changes.rows] == [1]
        assert changes.rows[0].size == 120
        [(row, stored)] = [pair async for pair in store.messages(inbox.number, changes.rows)]
        assert stored == message
        assert blobs.read(stored.blob) == b"hello"


async def test_a_delivery_to_a_mailbox_never_opened_makes_its_folders(store, blobs, clock):
    mailbox = new_id()
    await store.deliver(Delivery(new_id(), await a_message(blobs), 9, clock.now(), (mailbox,)))

    assert len(await store.folders(mailbox)) == 6


async def test_concurrent_deliveries_get_consecutive_uids(store, blobs, clock):
    mailbox, inbox = await an_inbox(store)
    messages = [await a_message(blobs, b"%d" % n) for n in range(20)]

    await asyncio.gather(
        *(store.deliver(Delivery(new_id(), m, 9, clock.now(), (mailbox,))) for m in messages)
    )

    changes = await store.changes(inbox.number, None)
    assert [row.uid for row in changes.rows] == list(range(1, 21))
    assert changes.uidnext == 21
    assert len({row.modseq for row in changes.rows}) == 20


async def test_flags_change_on_ranges_and_only_real_changes_count(store, blobs, clock):
    _, inbox = await an_inbox(store, count=5, blobs=blobs, clock=clock)
    before = await store.changes(inbox.number, None)
    seen = int(Flags.SEEN)

    done = await store.store_flags(inbox.number, None, [1, 2, 4, 99], FlagOperation.ADD, seen)
    again = await store.store_flags(inbox.number, None, [1, 2], FlagOperation.ADD, seen)

    assert [row.uid for row in done.rows] == [1, 2, 4]
    assert all(row.flags == seen and row.modseq == done.highestmodseq for row in done.rows)
    assert not again.rows
    since = await store.changes(inbox.number, None, before.highestmodseq, before.uidnext)
    assert [row.uid for row in since.rows] == [1, 2, 4]
    replaced = await store.store_flags(
        inbox.number, None, [1, 2, 3, 4, 5], FlagOperation.REPLACE, int(Flags.FLAGGED)
    )
    assert {row.flags for row in replaced.rows} == {int(Flags.FLAGGED)}
    status = await store.status(inbox.number, None)
    assert (status.messages, status.unseen, status.size) == (5, 5, 510)


async def test_expunge_takes_only_deleted_ones_and_leaves_tombstones(store, blobs, clock):
    _, inbox = await an_inbox(store, count=4, blobs=blobs, clock=clock)
    before = await store.changes(inbox.number, None)
    await store.store_flags(inbox.number, None, [2, 3], FlagOperation.ADD, int(Flags.DELETED))

    gone = await store.expunge(inbox.number, [1, 2, 3, 4])

    assert list(gone.expunged) == [2, 3]
    since = await store.changes(inbox.number, None, before.highestmodseq, before.uidnext)
    assert list(since.expunged) == [2, 3]
    assert [row.uid for row in (await store.changes(inbox.number, None)).rows] == [1, 4]
    rows = before.rows
    assert [row.uid async for row, _ in store.messages(inbox.number, rows)] == [1, 4]


async def test_in_a_shared_mailbox_seen_belongs_to_each_reader(store, blobs, clock):
    doctor, nurse = new_id(), new_id()
    _, inbox = await an_inbox(store, count=2, blobs=blobs, clock=clock)
    before = await store.changes(inbox.number, nurse)
    seen, flagged = int(Flags.SEEN), int(Flags.FLAGGED)

    await store.store_flags(inbox.number, doctor, [1], FlagOperation.ADD, seen | flagged)

    assert [row.flags for row in (await store.changes(inbox.number, doctor)).rows] == [
        seen | flagged,
        0,
    ]
    assert [row.flags for row in (await store.changes(inbox.number, nurse)).rows] == [flagged, 0]
    assert (await store.status(inbox.number, doctor)).unseen == 1
    assert (await store.status(inbox.number, nurse)).unseen == 2
    changed = await store.changes(inbox.number, nurse, before.highestmodseq, before.uidnext)
    assert [row.uid for row in changed.rows] == [1]


async def test_keywords_get_bits_without_case_and_run_out_with_a_refusal(store):
    _, inbox = await an_inbox(store)

    bits = await store.keyword_bits(inbox.number, ["$Forwarded", "Junk"])
    again = await store.keyword_bits(inbox.number, ["junk"])

    assert bits == {"$Forwarded": 8, "Junk": 9}
    assert again == {"junk": 9}
    with pytest.raises(Refusal) as refused:
        await store.keyword_bits(inbox.number, [f"k{n}" for n in range(60)])
    assert refused.value.reason is Reason.LIMIT_REACHED
    found = await store.changes(inbox.number, None)
    assert found.keywords == ("$Forwarded", "Junk")


async def test_a_list_of_folders_tells_each_ones_keywords_in_the_order_of_their_bits(store):
    mailbox, inbox = await an_inbox(store)
    archives = await store.folder(mailbox, "Archives")
    _, elsewhere = await an_inbox(store)
    await store.keyword_bits(inbox.number, ["b", "a"])
    await store.keyword_bits(archives.number, ["c"])
    await store.keyword_bits(elsewhere.number, ["d"])

    found = {folder.name: folder.keywords for folder in await store.folders(mailbox)}

    assert {name: names for name, names in found.items() if names} == {
        "INBOX": ("b", "a"),
        "Archives": ("c",),
    }


async def test_copies_keep_flags_keywords_and_dates(store, blobs, clock):
    mailbox, inbox = await an_inbox(store, count=3, blobs=blobs, clock=clock)
    target = await store.folder(mailbox, "Archives")
    await store.keyword_bits(target.number, ["other"])
    bits = await store.keyword_bits(inbox.number, ["label"])
    flags = 1 << bits["label"] | int(Flags.SEEN)
    await store.store_flags(inbox.number, None, [2], FlagOperation.ADD, flags)

    pairs = await store.copy(inbox.number, None, [1, 2, 7], target.number)

    assert pairs == [(1, 1), (2, 2)]
    copied = await store.changes(target.number, None)
    assert copied.keywords == ("other", "label")
    assert [row.flags for row in copied.rows] == [0, 1 << 9 | int(Flags.SEEN)]
    await store.store_flags(inbox.number, None, [1, 2, 3], FlagOperation.ADD, int(Flags.DELETED))
    await store.expunge(inbox.number, [1, 2, 3])
    assert [row.uid async for row, _ in store.messages(target.number, copied.rows)] == [1, 2]


async def test_a_move_is_a_copy_and_an_expunge_under_one_roof(store, blobs, clock):
    mailbox, inbox = await an_inbox(store, count=4, blobs=blobs, clock=clock)
    target = await store.folder(mailbox, "Archives")
    bits = await store.keyword_bits(inbox.number, ["label"])
    flags = 1 << bits["label"] | int(Flags.SEEN)
    await store.store_flags(inbox.number, None, [2], FlagOperation.ADD, flags)
    before = await store.changes(inbox.number, None)

    pairs, changes = await store.move(inbox.number, None, [2, 3, 9], target.number)

    assert pairs == [(2, 1), (3, 2)]
    assert (list(changes.expunged), changes.rows) == ([2, 3], ())
    assert changes.highestmodseq == before.highestmodseq + 1
    since = await store.changes(inbox.number, None, before.highestmodseq, before.uidnext)
    assert (list(since.expunged), since.rows) == ([2, 3], [])
    moved = await store.changes(target.number, None)
    assert [row.flags for row in moved.rows] == [1 << 8 | int(Flags.SEEN), 0]
    assert [row.message_id for row in moved.rows] == [row.message_id for row in before.rows[1:3]]
    assert [row.uid async for row, _ in store.messages(target.number, moved.rows)] == [1, 2]
    assert store._wakeups.folders[-2:] == [
        (target.number, moved.highestmodseq),
        (inbox.number, changes.highestmodseq),
    ]


async def test_of_two_moves_of_the_same_messages_one_moves_them(store, blobs, clock):
    mailbox, inbox = await an_inbox(store, count=6, blobs=blobs, clock=clock)
    targets = [await store.folder(mailbox, name) for name in ("Archives", "Corbeille")]

    moves = [store.move(inbox.number, None, [1, 2, 3, 4], each.number) for each in targets]
    back = store.move(targets[0].number, None, [1], inbox.number)
    await asyncio.gather(*moves, back)

    rows = [
        row
        for folder in (inbox, *targets)
        for row in (await store.changes(folder.number, None)).rows
    ]
    assert len(rows) == len({row.message_id for row in rows}) == 6


async def test_a_move_that_fails_moves_nothing(store, blobs, clock):
    mailbox, inbox = await an_inbox(store, count=2, blobs=blobs, clock=clock)
    before = await store.changes(inbox.number, None)

    with pytest.raises(Refusal) as refused:
        await store.move(inbox.number, None, [1, 2], 999_999)

    assert refused.value.reason is Reason.MAILBOX_NONEXISTENT
    assert await store.changes(inbox.number, None) == before


async def test_each_readers_seen_moves_with_a_message(store, blobs, clock):
    doctor = new_id()
    mailbox, inbox = await an_inbox(store, count=1, blobs=blobs, clock=clock)
    target = await store.folder(mailbox, "Archives")
    await store.store_flags(inbox.number, doctor, [1], FlagOperation.ADD, int(Flags.SEEN))

    await store.move(inbox.number, doctor, [1], target.number)

    assert [row.flags for row in (await store.changes(target.number, doctor)).rows] == [1]


async def test_folders_are_renamed_with_those_below_and_deleted_for_good(store, blobs, clock):
    mailbox, inbox = await an_inbox(store)
    parent = await store.create_folder(mailbox, "Patients")
    child = await store.create_folder(mailbox, "Patients/2026")
    await store.rename_folder(mailbox, "Patients", "Dossiers")
    renamed = await store.folder(mailbox, "Dossiers/2026")

    assert renamed.number == child.number
    assert renamed.uidvalidity == child.uidvalidity
    await store.delete_folder(child.number)
    fresh = await store.create_folder(mailbox, "Dossiers/2026")
    assert fresh.uidvalidity > child.uidvalidity
    for refused, action in [
        (Reason.MAILBOX_EXISTS, store.create_folder(mailbox, "inbox")),
        (Reason.MAILBOX_EXISTS, store.rename_folder(mailbox, "Dossiers", "Archives")),
        (Reason.NOT_PERMITTED, store.delete_folder(inbox.number)),
        (Reason.MAILBOX_NONEXISTENT, store.delete_folder(child.number)),
    ]:
        with pytest.raises(Refusal) as caught:
            await action
        assert caught.value.reason is refused


async def test_every_change_wakes_the_folders_readers(store, blobs, clock):
    mailbox, inbox = await an_inbox(store)
    await store.deliver(Delivery(new_id(), await a_message(blobs), 9, clock.now(), (mailbox,)))

    number, modseq = store._wakeups.folders[-1]
    assert number == inbox.number
    assert await store.modseqs([inbox.number, 999_999]) == {inbox.number: modseq}


async def test_the_declared_tables_are_the_migrated_ones(open_database):
    for schema in (versions.DIRECTORY, versions.MAIL, versions.DMP, versions.SPOOL):
        database = await open_database(schema)

        assert await database.read(lambda conn: migrate.differences(conn, schema)) == []


async def test_deliveries_are_in_the_audit_chain_and_it_verifies(
    store, open_database, blobs, clock
):
    mailbox, _ = await an_inbox(store)
    spool_id = new_id()
    await store.deliver(Delivery(spool_id, await a_message(blobs), 9, clock.now(), (mailbox,)))
    database = await open_database(versions.MAIL)

    report = await database.read(lambda conn: audit.verify(conn, versions.MAIL.audit, "mail"))
    [line] = await database.read(
        lambda conn: audit.show(conn, versions.MAIL.audit, "mail", limit=10, correlation=spool_id)
    )

    assert report.intact and report.entries == 1
    assert line.leaf["subject"] == mailbox.hex()


@pytest.mark.parametrize("shared", [False, True])
async def test_changes_of_flags_agree_with_a_model_whatever_their_order(
    store, blobs, clock, shared
):
    """Row by row: flags, each reader's own Seen, and modseqs that move for real changes only."""
    doctor, nurse = (new_id(), new_id()) if shared else (None, None)
    _, inbox = await an_inbox(store, doctor, count=12, blobs=blobs, clock=clock)
    keyword = 1 << 61
    chance = random.Random(7)
    states = {doctor: dict.fromkeys(range(1, 13), 0), nurse: dict.fromkeys(range(1, 13), 0)}
    for _ in range(60):
        reader = chance.choice([doctor, nurse])
        uids = chance.sample(range(1, 15), chance.randint(1, 13))
        operation = chance.choice(list(FlagOperation))
        flags = chance.choice([1, 2, 3, 8 | keyword, keyword | 1, 0, 29])
        before = dict(states[reader])
        for uid in set(uids) & before.keys():
            old = before[uid]
            new = {
                FlagOperation.REPLACE: flags,
                FlagOperation.ADD: old | flags,
                FlagOperation.REMOVE: old & ~flags,
            }[operation]
            for one, own in states.items():
                own[uid] = new if one == reader else new & ~1 | own[uid] & 1

        changes = await store.store_flags(inbox.number, reader, uids, operation, flags)

        after = states[reader]
        assert {row.uid: row.flags for row in changes.rows} == {
            uid: after[uid] for uid in after if after[uid] != before[uid]
        }
        for one, expected in states.items():
            rows = (await store.changes(inbox.number, one)).rows
            assert {row.uid: row.flags for row in rows} == expected
        mine = (await store.changes(inbox.number, reader)).rows
        moved = {row.uid for row in mine if row.modseq == changes.highestmodseq and changes.rows}
        assert moved == {row.uid for row in changes.rows}


async def test_one_run_of_uids_is_one_update_whatever_flags_they_have(
    store, blobs, clock, monkeypatch
):
    _, inbox = await an_inbox(store, count=9, blobs=blobs, clock=clock)
    for uid in (2, 5, 8):
        await store.store_flags(inbox.number, None, [uid], FlagOperation.ADD, 1 << (uid // 2))
    updates = []

    def counting(conn, cursor, statement, parameters, context, many):
        if statement.startswith("UPDATE entry"):
            updates.append(parameters if many else [parameters])

    event.listen(Engine, "before_cursor_execute", counting)
    try:
        done = await store.store_flags(inbox.number, None, range(1, 10), FlagOperation.ADD, 1)
    finally:
        event.remove(Engine, "before_cursor_execute", counting)

    assert len(done.rows) == 9 and [len(runs) for runs in updates] == [1]


async def test_readers_hear_of_deleted_and_renamed_folders(store):
    mailbox, _ = await an_inbox(store)
    parent = await store.create_folder(mailbox, "Patients")
    child = await store.create_folder(mailbox, "Patients/2026")
    await store.rename_folder(mailbox, "Patients", "Dossiers")
    assert {number for number, _ in store._wakeups.folders} == {parent.number, child.number}

    await store.delete_folder(child.number)

    number, modseq = store._wakeups.folders[-1]
    assert number == child.number and modseq > child.highestmodseq


async def test_what_readers_remove_or_rename_is_in_the_audit_with_who_did_it(
    store, open_database, blobs, clock
):
    actor = new_id()
    mailbox, inbox = await an_inbox(store, count=5, blobs=blobs, clock=clock)
    folder = await store.create_folder(mailbox, "Mme DURAND")
    await store.copy(inbox.number, None, [1, 2], folder.number)
    await store.store_flags(inbox.number, None, [1, 2, 3, 5], FlagOperation.ADD, 8)
    await store.expunge(inbox.number, [1, 2, 3, 4, 5], actor)
    await store.expunge(inbox.number, [4], actor)  # nothing goes: nothing to tell
    await store.move(folder.number, None, [1], inbox.number, actor)
    await store.move(folder.number, None, [1], inbox.number, actor)  # it is gone already
    await store.rename_folder(mailbox, "Mme DURAND", "Mme D", actor)
    await store.delete_folder(folder.number, actor)
    with pytest.raises(Refusal):
        await store.delete_folder(inbox.number, actor)
    database = await open_database(versions.MAIL)

    lines = await database.read(
        lambda conn: audit.show(
            conn, versions.MAIL.audit, "mail", limit=10, kind=AuditKind.MAILBOX_CHANGE
        )
    )

    told = [(line.leaf["action"], line.leaf["facts"]) for line in reversed(lines)]
    assert told == [
        ("EXPUNGE", {"folder": inbox.id.hex(), "uids": "1:3,5"}),
        ("MOVE", {"folder": folder.id.hex(), "uids": "1", "to": inbox.id.hex()}),
        ("RENAME", {"folder": folder.id.hex(), "folders": 1}),
        ("DELETE", {"folder": folder.id.hex(), "messages": 1}),
    ]
    assert all(line.leaf["actor"] == actor.hex() for line in lines)
    assert all(line.leaf["subject"] == mailbox.hex() for line in lines)
    assert all("DURAND" not in str(line.leaf) for line in lines)
    assert lines[1].personal == {"name": "Mme DURAND", "new_name": "Mme D"}


async def test_a_folders_messages_go_with_it_unless_another_folder_holds_them(store, blobs, clock):
    mailbox, inbox = await an_inbox(store, count=3, blobs=blobs, clock=clock)
    folder = await store.create_folder(mailbox, "Dossier")
    await store.copy(inbox.number, None, [1, 2], folder.number)
    rows = (await store.changes(inbox.number, None)).rows
    await store.append(folder.number, None, await a_message(blobs, b"alone"), 9, clock.now(), 0)
    alone = (await store.changes(folder.number, None)).rows[-1]
    await store.delete_folder(folder.number)

    assert [row.uid async for row, _ in store.messages(inbox.number, [*rows, alone])] == [1, 2, 3]


async def test_deleting_a_folder_looks_at_its_own_rows_only(store, blobs, clock):
    """However many messages the instance has, since all other writers wait meanwhile."""
    mailbox, inbox = await an_inbox(store, count=2, blobs=blobs, clock=clock)
    folder = await store.create_folder(mailbox, "Dossier")
    await store.copy(inbox.number, None, [1, 2], folder.number)
    if isinstance(store._database, PostgresDatabase):
        pytest.skip("its planner looks at the size of tables, and these are all but empty")
    done = []

    def remember(conn, cursor, statement, parameters, context, many):
        if not many:
            done.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", remember)
    try:
        await store.delete_folder(folder.number)
    finally:
        event.remove(Engine, "before_cursor_execute", remember)

    def plans(conn):
        return [
            (statement, row.detail)
            for statement, parameters in done
            for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    steps = await store._database.read(plans)
    assert any("ix_entry_message" in step for _, step in steps)
    assert [pair for pair in steps if pair[1].startswith("SCAN")] == []


async def test_a_message_that_two_folders_let_go_of_at_once_is_gone(store, blobs, clock):
    mailbox, inbox = await an_inbox(store, count=1, blobs=blobs, clock=clock)
    target = await store.folder(mailbox, "Archives")
    await store.copy(inbox.number, None, [1], target.number)
    rows = (await store.changes(inbox.number, None)).rows
    for folder in (inbox, target):
        await store.store_flags(folder.number, None, [1], FlagOperation.ADD, int(Flags.DELETED))
    database = store._database
    if not isinstance(database, PostgresDatabase):
        await asyncio.gather(*(store.expunge(f.number, [1]) for f in (inbox, target)))
    else:
        async with database._engine.begin() as connection:
            await connection.run_sync(
                lambda conn: mailboxes._expunge(conn, inbox.number, [1], None, 0)
            )
            other = asyncio.create_task(store.expunge(target.number, [1]))
            await asyncio.sleep(0.3)
        await other

    assert [pair async for pair in store.messages(inbox.number, rows)] == []


async def test_a_message_delivered_once_more_survives_that_its_last_holder_goes(
    store, blobs, clock
):
    first, inbox = await an_inbox(store)
    second, _ = await an_inbox(store)
    message, spool_id = await a_message(blobs), new_id()
    await store.deliver(Delivery(spool_id, message, 9, clock.now(), (first,)))
    await store.store_flags(inbox.number, None, [1], FlagOperation.ADD, int(Flags.DELETED))
    again = Delivery(spool_id, message, 9, clock.now(), (first, second))
    database = store._database
    if not isinstance(database, PostgresDatabase):
        await asyncio.gather(store.deliver(again), store.expunge(inbox.number, [1]))
    else:
        async with database._engine.begin() as connection:
            await connection.run_sync(
                lambda conn: mailboxes._deliver(
                    conn,
                    again,
                    store._message_values(message),
                    0,
                    (store._book, store._traces),
                )
            )
            gone = asyncio.create_task(store.expunge(inbox.number, [1]))
            await asyncio.sleep(0.3)
        await gone

    other = await store.folder(second, "INBOX")
    rows = (await store.changes(other.number, None)).rows
    assert [stored async for _, stored in store.messages(other.number, rows)] == [message]


async def test_a_row_that_cannot_be_opened_does_not_hide_the_others(store, blobs, clock, caplog):
    _, inbox = await an_inbox(store, count=3, blobs=blobs, clock=clock)
    rows = (await store.changes(inbox.number, None)).rows
    bad = update(MESSAGE).where(MESSAGE.c.id == rows[1].message_id).values(sealed=b"rotten" * 9)
    await store._database.write(lambda conn: conn.execute(bad) and None)

    assert [row.uid async for row, _ in store.messages(inbox.number, rows)] == [1, 3]
    assert "cannot be opened" in caplog.text


async def test_more_names_than_a_mailbox_keeps_are_forgotten_with_their_folders(store, monkeypatch):
    monkeypatch.setattr(folders, "MOST_SUBSCRIPTIONS", 2)
    mailbox, _ = await an_inbox(store)
    for name in ("a", "b", "c"):
        folder = await store.create_folder(mailbox, name)
        await store.set_subscribed(mailbox, name, subscribed=True)
        assert (await store.folder(mailbox, name)).subscribed
        await store.delete_folder(folder.number)

    assert sorted(await store.subscriptions(mailbox)) == ["a", "b"]
