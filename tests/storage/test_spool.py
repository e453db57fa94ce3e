import asyncio
import logging
import os
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from mssante.kernel.address import Address
from mssante.kernel.clock import to_milliseconds
from mssante.kernel.opaque import new_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Envelope
from mssante.storage import versions, spool as spool_module
from mssante.storage.grouping import Errands
from mssante.storage.journal import Journal, live_records
from mssante.storage.schema.spool import SPOOL
from mssante.storage.segments import SegmentBlobs
from mssante.storage.spool import StoredSpool

ENVELOPE = Envelope(
    sender=Address("dr.martin", "demo.example"),
    recipients=(Address("a", "demo.example"), Address("b", "demo.example")),
    account_id=new_id(),
    mailbox_id=new_id(),
    client="laptop",
    protocol="ESMTPSA",
    tls="TLSv1.3",
)


@pytest.fixture
async def start(open_database, keyring, tmp_path, clock):
    """Starts the slot's process anew; what the former one held in memory is gone."""
    database = await open_database(versions.SPOOL)
    folder = tmp_path / "journal"
    folder.mkdir()
    opened = []

    async def start_it():
        blobs = SegmentBlobs(folder, "w0b", keyring)
        spool = StoredSpool(database, Journal(folder, "w0", keyring), blobs, keyring, clock)
        await spool.recover()
        opened.extend([spool, blobs])
        return spool

    yield start_it
    for thing in opened:
        await thing.close()


async def test_what_was_accepted_is_due_after_a_restart(start):
    entry = await (await start()).accept(ENVELOPE, b"body")

    again = await start()
    [found] = await again.due(10)

    assert (found.id, found.envelope, found.accepted_at) == (entry.id, ENVELOPE, entry.accepted_at)
    assert again._blobs.read(found.blob) == b"body"
    assert await again.due(10) == []


async def test_the_accepting_process_carries_its_entry_itself(start):
    spool = await start()
    await spool.accept(ENVELOPE, b"body")

    assert await spool.due(10) == []


async def test_finished_entries_are_gone_and_so_are_their_keys(start, tmp_path):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    path = tmp_path / "journal" / entry.blob.segment
    assert entry.blob.wrapped_key in path.read_bytes()
    await spool.finish(entry.id)

    assert entry.blob.wrapped_key not in path.read_bytes()
    assert await (await start()).due(10) == []


async def test_many_at_once_share_their_syncs_and_all_come_back(start, monkeypatch):
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (syncs.append(fd), real(fd)))
    spool = await start()
    bodies = [os.urandom(100 + n * 977) for n in range(200)]
    entries = await asyncio.gather(*(spool.accept(ENVELOPE, body) for body in bodies))
    for entry in entries[::2]:
        await spool.finish(entry.id)

    again = await start()
    found = await again.due(500)

    assert len(syncs) < 50
    assert [e.id for e in found] == [e.id for e in entries[1::2]]
    assert [again._blobs.read(e.blob) for e in found] == bodies[1::2]


async def test_deferred_entries_come_back_when_their_time_comes_also_after_a_restart(start, clock):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    await spool.defer(entry.id, timedelta(minutes=5), "database locked")

    assert await spool.due(10) == []
    clock.advance(minutes=6)
    [found] = await spool.due(10)
    assert (found.id, found.attempts, found.envelope) == (entry.id, 1, ENVELOPE)
    await spool.defer(entry.id, timedelta(minutes=5), "again")
    clock.advance(minutes=6)
    again = await start()
    [found] = await again.due(10)
    assert found.attempts == 2
    assert again._blobs.read(found.blob) == b"body"
    await again.finish(entry.id)
    assert await (await start()).due(10) == []


async def test_a_kill_between_the_row_and_the_journals_mark_leaves_one_entry(start, monkeypatch):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    monkeypatch.setattr(spool._journal, "done", lambda record: None)
    await spool.defer(entry.id, timedelta(0), "killed here")

    found = await (await start()).due(10)

    assert [e.id for e in found] == [entry.id]


async def test_entries_set_aside_wait_for_a_person(start, clock):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    await spool.set_aside(entry.id, "our own fault")
    clock.advance(days=30)

    assert await spool.due(10) == []
    assert await (await start()).due(10) == []


async def test_a_released_entry_is_due_again_after_a_pause(start, clock):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    spool.release(entry.id)

    assert await spool.due(10) == []
    clock.advance(seconds=6)
    assert [e.id for e in await spool.due(10)] == [entry.id]


async def test_the_null_sender_survives(start):
    envelope = replace(ENVELOPE, sender=None, account_id=None, mailbox_id=None)
    await (await start()).accept(envelope, b"x")
    [found] = await (await start()).due(1)

    assert found.envelope == envelope


@pytest.mark.parametrize("keep", [0, 1, 60, 112, 300, 5_000, 69_000])
async def test_a_record_cut_off_by_a_power_cut_is_passed_over_and_the_next_start_goes_on(
    start, tmp_path, keep
):
    spool = await start()
    first = await spool.accept(ENVELOPE, b"whole")
    second = await spool.accept(ENVELOPE, os.urandom(70_000))
    record = spool._journaled[second.id]
    os.truncate(tmp_path / "journal" / second.blob.segment, record.offset + keep)

    again = await start()
    assert [e.id for e in await again.due(10)] == [first.id]
    third = await again.accept(ENVELOPE, b"new")
    assert third.blob.segment != second.blob.segment
    assert [e.id for e in await (await start()).due(10)] == [first.id, third.id]


@pytest.mark.parametrize("hole", [0, 4, 20, 100, 150, 2_000])
async def test_a_hole_before_intact_records_costs_only_the_damaged_one_and_is_an_alarm(
    start, tmp_path, caplog, hole
):
    spool = await start()
    first = await spool.accept(ENVELOPE, os.urandom(4_000))
    second = await spool.accept(ENVELOPE, b"intact")
    path = tmp_path / "journal" / first.blob.segment
    with path.open("r+b") as file:
        file.seek(hole)
        file.write(bytes(64))

    caplog.set_level(logging.WARNING)
    found = await (await start()).due(10)

    assert [e.id for e in found] == [second.id]
    assert caplog.records


async def test_who_reads_beside_a_process_that_ends_finds_the_journals_end(
    start, keyring, tmp_path
):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    reading = live_records(tmp_path / "journal", "w0", keyring, 1)

    assert next(reading).id == entry.id
    await spool.close()  # the zeros ahead are cut off
    assert list(reading) == []


async def test_what_is_written_over_the_zeros_while_somebody_reads_is_no_damage(
    start, keyring, tmp_path, monkeypatch, caplog
):
    spool = await start()
    first = await spool.accept(ENVELOPE, b"first")
    reading = live_records(tmp_path / "journal", "w0", keyring, 1)
    assert next(reading).id == first.id
    hold, real = threading.Event(), os.pread

    def pread(descriptor, count, offset):
        found = real(descriptor, count, offset)
        monkeypatch.setattr(os, "pread", real)
        hold.set()
        written.wait()
        return found

    written = threading.Event()
    monkeypatch.setattr(os, "pread", pread)
    rest = asyncio.create_task(asyncio.to_thread(list, reading))
    await asyncio.to_thread(hold.wait)
    others = await asyncio.gather(*(spool.accept(ENVELOPE, b"%d" % n) for n in range(3)))
    written.set()

    assert [record.id for record in await rest] == [entry.id for entry in others]
    assert not caplog.records


async def test_the_mark_moves_behind_what_is_done_and_a_start_does_not_look_before_it(
    start, monkeypatch
):
    monkeypatch.setattr("mssante.storage.segments.SEGMENT_BYTES", 1)  # each batch a segment
    spool = await start()
    entries = [await spool.accept(ENVELOPE, b"%d" % n) for n in range(5)]
    for entry in entries[:3]:
        await spool.finish(entry.id)
    await spool.due(1)

    assert spool._mark == 4
    again = await start()
    assert again._mark == 4
    assert [e.id for e in await again.due(10)] == [e.id for e in entries[3:]]


async def test_beyond_its_bound_the_spool_asks_to_come_back(start, monkeypatch):
    monkeypatch.setattr(spool_module, "MOST_LIVE", 2)
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"1")
    await spool.accept(ENVELOPE, b"2")
    with pytest.raises(Refusal) as refused:
        await spool.accept(ENVELOPE, b"3")
    assert refused.value.reason is Reason.TRY_LATER
    await spool.finish(entry.id)

    await spool.accept(ENVELOPE, b"3")


async def test_a_message_whose_client_left_during_the_sync_is_carried_all_the_same(start):
    spool = await start()
    accepting = asyncio.ensure_future(spool.accept(ENVELOPE, b"body"))
    await asyncio.sleep(0)
    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
    for _ in range(100):
        found = await spool.due(10)
        if found:
            break
        await asyncio.sleep(0.01)

    assert [spool._blobs.read(entry.blob) for entry in found] == [b"body"]


async def test_a_full_disk_accepts_nothing_and_the_next_message_is_well(start, monkeypatch):
    spool = await start()

    def full(fd, pieces, offset):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", full)
        with pytest.raises(OSError):
            await spool.accept(ENVELOPE, b"body")
    await spool.accept(ENVELOPE, b"body")

    assert len(await (await start()).due(10)) == 1


async def test_what_was_just_accepted_is_at_hand_unless_it_is_large(start, clock):
    spool = await start()
    small, large = b"body", b"x" * 300_000
    first, second = [await spool.accept(ENVELOPE, each) for each in (small, large)]
    assert (first.content, second.content) == (small, None)

    await spool.defer(first.id, timedelta(0), "why")
    [again] = await spool.due(10)
    assert (again, again.content) == (replace(first, attempts=1), None)


@pytest.mark.parametrize("end", ["finish", "defer"])
async def test_a_mark_that_the_disk_does_not_take_is_no_failure_and_is_made_later(
    start, monkeypatch, clock, end
):
    spool = await start()
    entry = await spool.accept(ENVELOPE, b"body")
    done, refused = spool._journal.done, [OSError(28, "No space left on device")]

    def full(record):
        if refused:
            raise refused.pop()
        done(record)

    monkeypatch.setattr(spool._journal, "done", full)
    if end == "finish":
        await spool.finish(entry.id)
    else:
        await spool.defer(entry.id, timedelta(seconds=1), "why")
    assert spool._journal.live == 1

    assert await spool.due(10) == []
    assert spool._journal.live == 0
    clock.advance(seconds=2)
    assert [one.id for one in await spool.due(10)] == ([] if end == "finish" else [entry.id])


async def test_the_mark_does_not_pass_a_record_whose_waiting_task_has_not_run_yet(
    keyring, tmp_path, monkeypatch
):
    monkeypatch.setattr("mssante.storage.segments.SEGMENT_BYTES", 1)  # each batch a segment
    journal = Journal(tmp_path, "w0", keyring)
    await journal.accept(new_id(), 0, b"e", b"body")
    asked = []
    monkeypatch.setattr(
        Errands, "ask", lambda self, loop, errand, answer: asked.append((errand, answer))
    )
    keeping = journal.accept(new_id(), 0, b"e", b"body")
    while not asked:
        await asyncio.sleep(0)
    ((errand, answer),) = asked
    outcome = errand()  # the record is on the disk, and no task knows of it

    assert len(list(tmp_path.glob("w0-*"))) == 2
    assert journal.first_live_segment(1) == 1
    assert journal.first_live_segment(2) == 2
    answer(outcome)
    await keeping
    monkeypatch.undo()
    await journal.close()


async def test_a_spool_that_fails_in_between_hands_out_the_same_entries_later(
    start, monkeypatch, clock
):
    monkeypatch.setattr("mssante.storage.segments.SEGMENT_BYTES", 1)
    first = await start()
    entries = [await first.accept(ENVELOPE, b"%d" % n) for n in range(3)]
    await first.finish(entries[0].id)
    spool = await start()

    async def broken(work, *, brief=False):
        raise OSError(5, "Input/output error")

    for verb in ("write", "read"):
        with monkeypatch.context() as patched:
            patched.setattr(spool._database, verb, broken)
            with pytest.raises(OSError):
                await spool.due(10)

    assert [e.id for e in await spool.due(10)] == [e.id for e in entries[1:]]


async def test_a_row_that_cannot_be_opened_does_not_hold_up_the_others(start, clock, caplog):
    spool = await start()
    entries = [await spool.accept(ENVELOPE, b"%d" % n) for n in range(3)]
    for entry in entries:
        await spool.defer(entry.id, timedelta(0), "later")
    bad = update(SPOOL).where(SPOOL.c.id == entries[0].id).values(sealed=b"rotten")
    await spool._database.write(lambda conn: conn.execute(bad) and None)

    for spool_now in (spool, await start()):
        assert {e.id for e in await spool_now.due(10)} == {e.id for e in entries[1:]}
        assert await spool_now.due(10) == []
    assert entries[0].id.hex() in {record.spool_id for record in caplog.records}


async def test_a_body_that_the_disk_does_not_give_stays_for_the_next_start(start, monkeypatch):
    former = await start()
    entry, other = [await former.accept(ENVELOPE, body) for body in (b"first", b"second")]
    real = SegmentBlobs.read

    def read(self, ref, *where):
        if ref.offset == entry.blob.offset:
            raise OSError(5, "Input/output error")
        return real(self, ref, *where)

    with monkeypatch.context() as patched:
        patched.setattr(SegmentBlobs, "read", read)
        assert [e.id for e in await (await start()).due(10)] == [other.id]
    assert {e.id for e in await (await start()).due(10)} == {entry.id, other.id}


async def test_refused_messages_leave_nothing_on_a_full_disk(start, monkeypatch, tmp_path):
    spool = await start()
    kept = await spool.accept(ENVELOPE, b"kept")
    before = {p.name: p.read_bytes().rstrip(b"\0") for p in (tmp_path / "journal").iterdir()}
    real = os.pwritev

    def fills(fd, pieces, offset):
        if sum(map(len, pieces)) > 1000:
            real(fd, [bytes(pieces[0])[:50]], offset)
            raise OSError(28, "No space left on device")
        return real(fd, pieces, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", fills)
        for _ in range(3):
            with pytest.raises(OSError):
                await spool.accept(ENVELOPE, bytes(5_000))
    after = {p.name: p.read_bytes() for p in (tmp_path / "journal").iterdir()}
    # Without the zeros that were written ahead: the space is needed.
    assert {name: found.rstrip(b"\0") for name, found in after.items()} == before
    assert max(map(len, after.values())) < 1000

    def no_sync(fd):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", no_sync)
        with pytest.raises(OSError):
            await spool.accept(ENVELOPE, b"refused, though it may be on the disk")
    after = await spool.accept(ENVELOPE, b"after")

    assert after.blob.segment != kept.blob.segment
    assert [e.id for e in await (await start()).due(10)] == [kept.id, after.id]


async def test_a_disk_fault_in_one_segment_costs_neither_the_start_nor_the_others(
    start, monkeypatch
):
    monkeypatch.setattr("mssante.storage.segments.SEGMENT_BYTES", 1)  # each batch a segment
    former = await start()
    entries = [await former.accept(ENVELOPE, b"%d" % n) for n in range(3)]
    real = os.pread

    def pread(descriptor, count, offset):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(entries[0].blob.segment):
            raise OSError(5, "Input/output error")
        return real(descriptor, count, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", pread)
        spool = await start()
        found = await spool.due(10)
        assert [e.id for e in found] == [e.id for e in entries[1:]]
        for entry in found:
            await spool.finish(entry.id)
        await spool.due(10)
    assert [e.id for e in await (await start()).due(10)] == [entries[0].id]


async def test_what_a_former_process_marked_as_done_is_synced_before_the_mark_passes_it(
    start, monkeypatch
):
    monkeypatch.setattr("mssante.storage.segments.SEGMENT_BYTES", 1)  # each batch a segment
    spool = await start()
    entries = [await spool.accept(ENVELOPE, b"%d" % n) for n in range(3)]
    for entry in entries[:2]:
        await spool.finish(entry.id)
    synced = []
    real = os.fdatasync

    def sync(descriptor):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    again = await start()
    await again.due(1)
    await again.due(1)

    assert again._mark == 3
    assert synced == [entry.blob.segment for entry in entries[:2]]


async def test_the_census_counts_what_is_due_and_held_and_tells_the_oldest_due(start, clock):
    spool = await start()
    assert await spool.census() == (0, 0, None, 0.0)
    held = await spool.accept(ENVELOPE, b"held")
    clock.advance(minutes=1)
    deferred = await spool.accept(ENVELOPE, b"deferred")
    clock.advance(minutes=1)
    await spool.accept(ENVELOPE, b"under way")
    await spool.set_aside(held.id, "why")
    await spool.defer(deferred.id, timedelta(hours=1), "why")

    due, aside, oldest, fullness = await spool.census()

    assert (due, aside) == (2, 1)
    assert oldest == to_milliseconds(deferred.accepted_at)
    assert fullness == 1 / spool_module.MOST_LIVE
