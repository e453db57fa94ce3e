import pytest
from sqlalchemy import delete, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.opaque import new_id
from mssante.storage import audit, versions

TABLES = versions.SPOOL.audit


@pytest.fixture
async def database(open_database, clock):
    database = await open_database(versions.SPOOL)
    log = audit.StoredAuditLog(database, clock)
    for number in range(5):
        await log.record(
            AuditEntry(
                AuditKind.ADMINISTRATION,
                f"act {number}",
                "done",
                actor=new_id(),
                personal={"name": f"person {number}"},
            )
        )
    return database


async def verified(database):
    return await database.read(lambda conn: audit.verify(conn, TABLES, "spool"))


async def test_an_untouched_chain_is_intact(database):
    report = await verified(database)

    assert report.intact
    assert report.entries == 5


@pytest.mark.parametrize(
    "column, value",
    [("leaf", b"{}"), ("at", 1), ("kind", "filing"), ("personal", "{}"), ("head", b"0" * 32)],
)
async def test_each_change_is_found(database, column, value):
    def tamper(conn):
        values = {column: value}
        if column == "leaf":
            leaf = conn.execute(
                select(TABLES.entries.c.leaf).where(TABLES.entries.c.sequence == 3)
            ).scalar_one()
            values = {"leaf": bytes(leaf).replace(b"act 2", b"act 9")}
        conn.execute(update(TABLES.entries).where(TABLES.entries.c.sequence == 3).values(**values))

    await database.write(tamper)
    report = await verified(database)

    assert not report.intact
    assert "entry 3" in report.faults[0]


async def test_a_removed_entry_and_a_cut_tail_are_found(database):
    await database.write(
        lambda conn: (
            conn.execute(delete(TABLES.entries).where(TABLES.entries.c.sequence == 2)) and None
        )
    )
    assert "entry 2 is missing" in (await verified(database)).faults[0]


async def test_a_tail_cut_without_the_head_is_found(database):
    await database.write(
        lambda conn: (
            conn.execute(delete(TABLES.entries).where(TABLES.entries.c.sequence == 5)) and None
        )
    )
    assert "the head says 5 entries" in (await verified(database)).faults[-1]


async def test_erasing_the_personal_part_keeps_the_chain(database):
    await database.write(
        lambda conn: conn.execute(update(TABLES.entries).values(personal=None, salt=None)) and None
    )
    report = await verified(database)

    assert report.intact
    assert report.erased == 5


async def test_a_unit_that_raises_leaves_no_entry_and_its_batch_mates_stay(database, clock):
    import asyncio

    entry = AuditEntry(AuditKind.DELIVERY, "x", "done")

    def good(conn):
        audit.record(conn, 1, entry)
        return "good"

    def bad(conn):
        audit.record(conn, 1, entry)
        raise ValueError("no")

    outcomes = await asyncio.gather(
        *(database.write(work) for work in [good, bad, good, bad, good]), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [str, ValueError, str, ValueError, str]
    report = await verified(database)
    assert report.intact and report.entries == 8


async def test_a_missing_head_is_a_fault_and_not_a_crash(database):
    await database.write(lambda conn: conn.execute(delete(TABLES.head)) and None)

    assert (await verified(database)).faults == ("the head is missing",)
