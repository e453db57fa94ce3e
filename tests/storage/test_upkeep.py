import os
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select

from mssante.kernel.address import Address
from mssante.kernel.clock import to_milliseconds
from mssante.kernel.opaque import new_id
from mssante.mail.model import Envelope, FlagOperation, Flags, StoredMessage
from mssante.mail.ports import Delivery
from mssante.storage import versions
from mssante.storage.journal import Journal
from mssante.storage.layout import Layout
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.schema import dmp, mail
from mssante.storage.segments import SegmentBlobs
from mssante.storage.spool import StoredSpool
from mssante.storage.sqlite import SqliteDatabase
from mssante.storage.upkeep import Upkeep, unfinished

ENVELOPE = Envelope(
    sender=None,
    recipients=(Address("a", "demo.example"),),
    account_id=None,
    mailbox_id=None,
    client="laptop",
    protocol="ESMTPSA",
    tls="TLSv1.3",
)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "data", tmp_path / "run")
    layout.create_folders()
    return layout


@pytest.fixture
async def start(layout, keyring, clock):
    """Starts a slot's process anew."""
    opened = []

    async def start_it(slot="w0"):
        layout.create_spool(slot)
        database = layout.open(versions.SPOOL, slot)
        blobs = SegmentBlobs(layout.mail_segments, f"{slot}b", keyring)
        spool = StoredSpool(
            database, Journal(layout.mail_segments, slot, keyring), blobs, keyring, clock
        )
        await spool.recover()
        opened.extend([spool, blobs, database])
        return spool

    yield start_it
    for thing in opened:
        await thing.close()


async def test_effects_go_when_they_are_old_and_no_start_could_ask_for_them(
    open_database, layout, start, clock, monkeypatch
):
    monkeypatch.setattr("mssante.storage.upkeep._PAGE", 3)
    spool, orphan = await start("w0"), await start("w7")
    live, deferred, aside, left, done = [
        await where.accept(ENVELOPE, b"body") for where in (spool, spool, spool, orphan, spool)
    ]
    await spool.defer(deferred.id, timedelta(days=90), "later")
    await spool.set_aside(aside.id, "our own fault")
    await spool.finish(done.id)
    old = [entry.id for entry in (live, deferred, aside, left, done)] + [
        new_id() for _ in range(20)
    ]
    recent = [new_id() for _ in range(5)]
    databases = {
        name: await open_database(schema)
        for name, schema in (("mail", versions.MAIL), ("dmp", versions.DMP))
    }

    async def effects_at(ids):
        at = to_milliseconds(clock.now())
        both = [
            {"spool_id": one, "kind": "deliver", "target": new_id(), "at": at}
            for one in ids
            for _ in range(4)
        ]
        filed = [
            {
                "spool_id": one,
                "place": 0,
                "at": at,
                "verdict": "filed",
                "detail": "",
                "unique_id": "",
                "flags": "[]",
            }
            for one in ids
        ]
        await databases["mail"].write(lambda c: c.execute(insert(mail.EFFECT), both) and None)
        await databases["dmp"].write(lambda c: c.execute(insert(dmp.EFFECT), filed) and None)

    await effects_at(old)
    clock.advance(days=31)
    await effects_at(recent)
    upkeep = Upkeep(layout, clock, [], databases)

    forgotten = await upkeep.forget_now(pause_seconds=0)

    kept = {*recent, live.id, deferred.id, aside.id, left.id}
    assert unfinished(layout) == kept - {*recent}
    for name, table in (("mail", mail.EFFECT), ("dmp", dmp.EFFECT)):
        rows = await databases[name].read(
            lambda c, t=table: c.execute(
                select(t.c.spool_id, func.count()).group_by(t.c.spool_id)
            ).all()
        )
        assert {bytes(row[0]) for row in rows} == kept
        assert {row[1] for row in rows} == {4 if name == "mail" else 1}
    assert forgotten == 2 * 21
    assert await upkeep.forget_now(pause_seconds=0) == 0


async def test_what_is_done_is_on_the_disk_before_its_effects_may_be_forgotten(
    layout, start, monkeypatch
):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    await spool.finish(entry.id)
    synced = []
    real = os.fdatasync

    def sync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)

    assert unfinished(layout) == set()
    assert synced == [str(layout.mail_segments / entry.blob.segment)]


async def test_a_key_is_nowhere_on_the_disk_after_its_message_went_and_the_log_was_emptied(
    open_database, layout, start, clock, request
):
    database = await open_database(versions.MAIL)
    if not isinstance(database, SqliteDatabase):
        pytest.skip("said of SQLite only")

    class Deaf:
        def folder_changed(self, number, modseq):
            pass

    spool = await start()
    store = StoredMailboxes(database, spool._blobs, Deaf(), clock)
    entry, mailbox = await spool.accept(ENVELOPE, b"body"), new_id()
    message = StoredMessage(entry.id, b"", b"summary", entry.blob)
    await spool.defer(entry.id, timedelta(0), "once through the spool's rows, too")
    await store.deliver(Delivery(entry.id, message, 4, clock.now(), (mailbox,)))
    await spool.due(1)
    await spool.finish(entry.id)
    inbox = await store.folder(mailbox, "INBOX")
    await store.store_flags(inbox.number, None, [1], FlagOperation.ADD, int(Flags.DELETED))
    await store.expunge(inbox.number, [1])

    def holds_it():
        files = [path for path in layout.directory.parent.rglob("*") if path.is_file()]
        return [path.name for path in files if entry.blob.wrapped_key in path.read_bytes()]

    assert holds_it()
    assert await database.empty_wal() and await spool.database.empty_wal()
    assert holds_it() == []
