import asyncio

import pytest

from mssante.kernel.opaque import new_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import FlagOperation, Flags, SpecialUse, StoredMessage
from mssante.mail.ports import Delivery
from mssante.storage import audit, migrate, versions
from mssante.storage.mailboxes import StoredMailboxes


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
    await store.rename_folder(parent.number, "Dossiers")
    renamed = await store.folder(mailbox, "Dossiers/2026")

    assert renamed.number == child.number
    assert renamed.uidvalidity == child.uidvalidity
    await store.delete_folder(child.number)
    fresh = await store.create_folder(mailbox, "Dossiers/2026")
    assert fresh.uidvalidity > child.uidvalidity
    for refused, action in [
        (Reason.MAILBOX_EXISTS, store.create_folder(mailbox, "inbox")),
        (Reason.MAILBOX_EXISTS, store.rename_folder(parent.number, "Archives")),
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
