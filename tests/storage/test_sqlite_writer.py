"""Units of work on SQLite: brief ones in the loop, long ones in the thread, and locks in the way."""

import asyncio
import errno
import fcntl
import sqlite3
import threading
import time

import pytest
from sqlalchemy import text

from mssante.storage import migrate, versions
from mssante.storage.database import Unwritable
from mssante.storage.sqlite import SqliteDatabase
from mssante.storage.sqlite_writer import lock_path


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mail.sqlite"
    migrate.upgrade_sqlite(path, versions.MAIL)
    return path


@pytest.fixture
async def database(file):
    opened = SqliteDatabase(file, versions.MAIL.audit)
    yield opened
    await opened.close()


def note(name, seen=None):
    """A unit that adds a subscription."""

    def work(conn):
        if seen is not None:
            seen.append(threading.current_thread() is threading.main_thread())
        conn.execute(
            text("INSERT INTO subscription (mailbox_id, name) VALUES (:box, :name)"),
            {"box": bytes(16), "name": name},
        )
        return name

    return work


async def names(database):
    rows = await database.read(
        lambda conn: conn.execute(text("SELECT name FROM subscription ORDER BY name")).all()
    )
    return [row.name for row in rows]


async def test_brief_units_run_in_the_loop_and_others_in_the_thread(database):
    seen = []

    assert await database.write(note("a", seen), brief=True) == "a"
    assert await database.write(note("b", seen)) == "b"
    assert await asyncio.gather(
        database.write(note("c", seen), brief=True), database.write(note("d", seen))
    ) == ["c", "d"]

    assert seen == [True, False, False, False]
    assert await names(database) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("brief", [True, False])
async def test_one_unit_that_raises_undoes_nothing_but_its_own(database, file, brief):

    def bad(conn):
        note("bad")(conn)
        raise KeyError("no")

    outcomes = await asyncio.gather(
        *(database.write(work, brief=brief) for work in (note("a"), bad, note("b"))),
        return_exceptions=True,
    )

    assert [type(each) for each in outcomes] == [str, KeyError, str]
    assert await names(database) == ["a", "b"]


@pytest.mark.parametrize("brief", [True, False])
async def test_who_holds_the_lock_is_waited_for_and_the_loop_goes_on(database, file, brief):
    with open(lock_path(file), "rb") as other:  # noqa: ASYNC230, PTH123
        fcntl.flock(other, fcntl.LOCK_EX)
        writing = asyncio.create_task(database.write(note("a"), brief=brief))
        rounds = 0
        began = time.monotonic()
        while time.monotonic() - began < 0.2:
            await asyncio.sleep(0.001)
            rounds += 1
        assert not writing.done()
        assert rounds > 20
        fcntl.flock(other, fcntl.LOCK_UN)
    assert await writing == "a"


@pytest.mark.parametrize("brief", [True, False])
async def test_what_comes_while_the_lock_is_waited_for_shares_its_transaction(
    database, file, brief
):
    def unit(name):
        def work(conn):
            note(name)(conn)
            return conn.execute(text("SELECT count(*) FROM subscription")).scalar_one()

        return work

    other = sqlite3.connect(file, isolation_level=None)
    seen = []
    with open(lock_path(file), "rb") as held:  # noqa: ASYNC230, PTH123
        fcntl.flock(held, fcntl.LOCK_EX)
        writing = [asyncio.create_task(database.write(unit("0"), brief=brief))]
        await asyncio.sleep(0.1)  # its batch waits for the lock
        writing += [
            asyncio.create_task(database.write(unit(str(number)), brief=brief))
            for number in range(1, 6)
        ]
        await asyncio.sleep(0.05)
        fcntl.flock(held, fcntl.LOCK_UN)
        while not all(task.done() for task in writing):
            seen.append(other.execute("SELECT count(*) FROM subscription").fetchone()[0])
            await asyncio.sleep(0)
    other.close()

    assert [task.result() for task in writing] == [1, 2, 3, 4, 5, 6]
    assert set(seen) <= {0, 6}


@pytest.mark.parametrize("brief", [True, False])
async def test_another_program_that_writes_is_waited_for_and_the_loop_goes_on(
    database, file, brief
):
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(database.write(note("a"), brief=brief))
    rounds, began = 0, time.monotonic()
    while time.monotonic() - began < 0.2:
        await asyncio.sleep(0.001)
        rounds += 1
    assert not writing.done()
    assert rounds > 20
    other.execute("COMMIT")
    other.close()
    assert await writing == "a"
    assert await names(database) == ["a"]


@pytest.mark.parametrize("brief", [True, False])
async def test_another_program_that_never_ends_costs_an_error_and_not_the_next_write(
    database, file, brief, monkeypatch
):
    monkeypatch.setattr("mssante.storage.sqlite_writer.BUSY_MILLISECONDS", 50)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unwritable) as caught:
        await database.write(note("a"), brief=brief)
    assert caught.value.errno == errno.EBUSY
    with open(lock_path(file), "rb") as held:  # as another of our processes would
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other.execute("ROLLBACK")
    other.close()

    assert await database.write(note("b"), brief=brief) == "b"
    assert await names(database) == ["b"]


async def test_a_lock_that_cannot_be_had_is_asked_for_again_and_holds_up_nobody(
    database, monkeypatch
):
    real, refused = fcntl.flock, []

    def flock(descriptor, operation):
        if operation & fcntl.LOCK_NB and not refused:
            refused.append(operation)
            raise OSError(errno.ENOLCK, "No locks available")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    async with asyncio.timeout(5):
        assert await database.write(note("a"), brief=True) == "a"
        assert await database.write(note("b"), brief=True) == "b"

    assert refused
    assert await names(database) == ["a", "b"]


@pytest.mark.parametrize("brief", [True, False])
async def test_without_the_lock_nothing_is_written_and_each_who_waits_hears_it(
    database, brief, monkeypatch
):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(
                *(database.write(note(name), brief=brief) for name in "abc"),
                return_exceptions=True,
            )

    assert [type(outcome) for outcome in outcomes] == [OSError] * 3
    assert await database.write(note("d"), brief=brief) == "d"
    assert await names(database) == ["d"]
