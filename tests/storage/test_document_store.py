"""The document store on both databases: once, serial, whole."""

import asyncio
import re
from dataclasses import replace
from itertools import permutations

import pytest
from make_samples import Subject, Version, Writer, a_finess, an_rpps, biology, level1

from mssante.dmp.deposit import Conflict
from mssante.dmp.lineage import version_of
from mssante.dmp.model import Deposit, EffectKey, Hold, Verdict, listing_of
from mssante.kernel.opaque import new_id
from mssante.storage import audit, documents, migrate, versions
from mssante.storage.documents import FLAG_SUPERSEDED, FLAG_UNRESOLVED, StoredDocuments
from mssante.storage.postgres import PostgresDatabase
from mssante.storage.prepared import Prepared
from mssante.storage.schema.dmp import ASSOCIATION
from mssante.wire.cda.reader import read_document
from mssante.wire.xds.entry import entry_from_cda, submission_set_of
from mssante.wire.xds.model import AssociationType


@pytest.fixture
async def database(open_database):
    return await open_database(versions.DMP)


@pytest.fixture
def store(database, blobs, clock):
    return StoredDocuments(database, blobs, clock)


def a_deposit(content, patient, *, key=None):
    document = read_document(content)
    metadata = entry_from_cda(document, content)
    set_id = new_id()
    return Deposit(
        key=key or EffectKey(new_id(), 0),
        version=version_of(document, entry_id=new_id(), patient_id=patient, sha1=metadata.hash),
        logical_id=new_id(),
        submission_set_id=set_id,
        submission_set=submission_set_of(
            document,
            metadata,
            unique_id=f"2.25.{int.from_bytes(set_id, 'big')}",
            source_id="1.2.3",
            submission_time="20261123083000",
        ),
        metadata=metadata,
        listing=listing_of(document, metadata.type_code.display),
        sender_id=None,
        content=content,
    )


def a_chain(length=3, **more):
    versions = [Version(7, version=number + 1, **more) for number in range(length)]
    named = [
        Version(7, version=one.version, replaces=versions[n - 1].id if n else None)
        for n, one in enumerate(versions)
    ]
    return [level1(version=one) for one in named]


async def state(store, database, patient):
    entries = await store.entries_of(patient)
    keys = {entry.id: entry.metadata.unique_id for entry in entries}
    rows = await database.read(lambda conn: conn.execute(ASSOCIATION.select()).all())
    return (
        [(entry.metadata.unique_id, entry.status.value, entry.unresolved) for entry in entries],
        sorted(
            (keys[bytes(row.source)], keys[bytes(row.target)])
            for row in rows
            if row.type == AssociationType.RPLC.value and bytes(row.source) in keys
        ),
    )


async def test_a_filed_document_is_read_back_as_it_was(store):
    patient, content = new_id(), biology()
    deposit = a_deposit(content, patient)

    recorded = await store.deposit(deposit)
    [entry] = await store.entries_of(patient)

    assert recorded.verdict is Verdict.FILED
    assert recorded.entry_id == entry.id == deposit.version.entry_id
    assert entry.metadata == deposit.metadata
    assert entry.listing == deposit.listing
    assert await store.content(entry.id) == content
    assert await store.content(new_id()) is None


async def test_documents_of_one_lot_share_their_submission_set(store, database):
    patient, spool = new_id(), new_id()
    one = a_deposit(level1(), patient, key=EffectKey(spool, 0))
    other = replace(
        a_deposit(biology(), patient, key=EffectKey(spool, 1)),
        submission_set_id=one.submission_set_id,
        submission_set=one.submission_set,
    )

    recorded = [await store.deposit(deposit) for deposit in (one, other, one)]
    rows = await database.read(lambda conn: conn.execute(ASSOCIATION.select()).all())

    assert [each.verdict for each in recorded] == [Verdict.FILED] * 3
    assert sorted((bytes(row.source), bytes(row.target)) for row in rows) == sorted(
        (one.submission_set_id, deposit.version.entry_id) for deposit in (one, other)
    )


async def test_the_same_effect_is_done_once(store):
    patient, key = new_id(), EffectKey(new_id(), 3)
    content = level1()

    first, *others = await asyncio.gather(
        *(store.deposit(a_deposit(content, patient, key=key)) for _ in range(5))
    )

    assert {other.entry_id for other in others} == {first.entry_id}
    assert len(await store.entries_of(patient)) == 1
    assert all(other == first for other in others)


async def test_the_same_document_in_many_messages_at_once_is_filed_once(store):
    patient, content = new_id(), level1()

    outcomes = await asyncio.gather(*(store.deposit(a_deposit(content, patient)) for _ in range(6)))

    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts.count(Verdict.FILED) == 1
    assert verdicts.count(Verdict.ALREADY_FILED) == 5
    assert len({outcome.entry_id for outcome in outcomes}) == 1


async def test_versions_end_the_same_in_any_order(store, database):
    ends = []
    for order in permutations(range(3)):
        patient = new_id()
        chain = [
            content.replace(b"1.2.250.1.999.1.7", f"1.2.250.1.999.7.{len(ends)}".encode())
            for content in a_chain()
        ]
        for number in order:
            await store.deposit(a_deposit(chain[number], patient))
        entries, links = await state(store, database, patient)
        suffix = f".7.{len(ends)}."
        ends.append(
            (
                [(unique_id.partition(suffix)[2], *rest) for unique_id, *rest in entries],
                [(new.partition(suffix)[2], old.partition(suffix)[2]) for new, old in links],
            )
        )

    assert ends[0] == (
        [("3", "Approved", False), ("2", "Deprecated", False), ("1", "Deprecated", False)],
        [("2", "1"), ("3", "2")],
    )
    assert all(end == ends[0] for end in ends)


async def test_versions_that_come_at_the_same_moment_end_the_same(store, database):
    patient = new_id()

    await asyncio.gather(*(store.deposit(a_deposit(one, patient)) for one in a_chain(5)))
    entries, links = await state(store, database, patient)

    assert [status for _, status, _ in entries] == ["Approved"] + ["Deprecated"] * 4
    assert not any(unresolved for _, _, unresolved in entries)
    assert len(links) == 4


async def test_flags_tell_of_unknown_predecessors_and_late_arrivals(store):
    patient, (first, second) = new_id(), a_chain(2)

    late = await store.deposit(a_deposit(second, patient))
    early = await store.deposit(a_deposit(first, patient))

    assert late.flags == (FLAG_UNRESOLVED,)
    assert early.flags == (FLAG_SUPERSEDED,)


async def test_a_refused_deposit_is_held_with_its_content(store):
    patient = new_id()
    await store.deposit(a_deposit(level1(), patient))
    other = level1(version=Version(title="Autre"))

    recorded = await store.deposit(a_deposit(other, patient))
    [held] = await store.held(10)

    assert recorded.verdict is Verdict.HELD
    assert recorded.cause == Conflict.NON_IDENTICAL_HASH
    assert (held.cause, held.id) == (recorded.cause, recorded.held_id)
    assert await store.held_content(held.id) == other
    assert await store.held_document(held.id) == held
    assert len(await store.entries_of(patient)) == 1


async def test_an_id_cannot_stand_in_two_records(store):
    content, one, two = level1(), new_id(), new_id()

    outcomes = await asyncio.gather(
        store.deposit(a_deposit(content, one)), store.deposit(a_deposit(content, two))
    )

    assert {outcome.cause for outcome in outcomes} == {None, Conflict.OTHER_PATIENT}


async def test_a_stranger_cannot_replace(store):
    patient = new_id()
    await store.deposit(a_deposit(level1(), patient))
    stranger = Writer(rpps=an_rpps(77), finess=a_finess(77))
    replacing = Version(3, replaces=Version().id)

    recorded = await store.deposit(a_deposit(level1(author=stranger, version=replacing), patient))

    assert recorded.cause == Conflict.NOT_ALLOWED


async def test_holding_is_done_once(store):
    hold = Hold(EffectKey(new_id(), 0), new_id(), "trait-differs", "sex", "1.2.3", None, None, b"x")

    first = await store.hold(hold)
    again = await store.hold(hold)

    assert first == again
    assert len(await store.held(10)) == 1
    assert await store.held_document(new_id()) is None
    assert await store.held_content(new_id()) is None


async def test_every_effect_is_in_an_unbroken_audit(store, database):
    patient = new_id()
    for content in (*a_chain(2), level1()):
        await store.deposit(a_deposit(content, patient))
    await store.hold(Hold(EffectKey(new_id(), 0), new_id(), "x", "", "", None, None, b"x"))

    report = await database.read(lambda conn: audit.verify(conn, versions.DMP.audit, "dmp"))

    assert report.intact
    assert report.entries == 4


async def test_the_migrated_tables_are_those_declared(database):
    assert await database.read(lambda conn: migrate.differences(conn, versions.DMP)) == []


async def test_lists_are_newest_first(store):
    patient = new_id()
    for number, at in ((11, "20240105"), (12, "20260105093000+0100"), (13, "20250105093000+0100")):
        version = Version(number, at=at)
        await store.deposit(a_deposit(level1(Subject(), version=version), patient))

    entries = await store.entries_of(patient)

    assert [entry.listing.creation_time for entry in entries] == [
        "2026-01-05T09:30:00+01:00",
        "2025-01-05T09:30:00+01:00",
        "2024-01-05",
    ]


async def test_a_deposit_reads_what_bears_on_it_however_large_the_record_is(database):
    """A search by the patient alone would read the whole record for each document filed."""
    if isinstance(database, PostgresDatabase):
        pytest.skip("its planner looks at the size of tables, and these are all but empty")
    statements = {
        name: (one.statement if isinstance(one, Prepared) else one)
        for name, one in vars(documents).items()
        if name in {"_EFFECT", "_KNOWN_KEY", "_BY_KEY", "_BY_KEYS", "_BESIDE_ONE", "_NEIGHBOURS"}
    }
    assert len(statements) == 6

    def plans(conn):
        for name, statement in statements.items():
            sql = re.sub(r"__\[POSTCOMPILE_\w+\]", "?, ?", str(statement.compile(conn.engine)))
            values = tuple(b"" for _ in range(sql.count("?")))
            for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values):
                yield name, row[-1]

    steps = await database.read(lambda conn: list(plans(conn)))
    assert any("ix_document_entry_set (patient_id=? AND set_key=?)" in step for _, step in steps)
    poor = [pair for pair in steps if "SCAN" in pair[1] or "(patient_id=?)" in pair[1]]
    assert poor == []
