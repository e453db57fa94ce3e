"""Answers that are kept until the database changes, whoever changes it."""

import sqlite3
import time

import pytest
from sqlalchemy import text

from mssante.storage import migrate, versions
from mssante.storage.sqlite import SqliteDatabase

INSERT = "INSERT INTO subscription (mailbox_id, name) VALUES (zeroblob(16), ?)"


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


class Asking:
    """A question, and how often the database was troubled with it."""

    def __init__(self, database):
        self.database = database
        self.reads = 0

    def _count(self, conn):
        self.reads += 1
        return conn.execute(text("SELECT count(*) FROM subscription")).scalar_one()

    async def __call__(self):
        return await self.database.read_lasting("how many", self._count)


async def test_an_answer_is_kept_while_nothing_changes(database):
    ask = Asking(database)

    answers = [await ask() for _ in range(5)]
    time.sleep(0.02)
    answers.append(await ask())

    assert (answers, ask.reads) == ([0] * 6, 1)


async def test_our_own_change_is_seen_at_once(database):
    ask = Asking(database)
    for number in range(20):
        assert await ask() == number
        await database.write(
            lambda conn, name=str(number): conn.exec_driver_sql(INSERT, (name,)), brief=True
        )


async def test_a_change_that_failed_does_not_hide_the_next(database):
    ask = Asking(database)
    await database.write(lambda conn: conn.exec_driver_sql(INSERT, ("a",)), brief=True)
    assert await ask() == 1
    with pytest.raises(Exception, match="UNIQUE"):
        await database.write(lambda conn: conn.exec_driver_sql(INSERT, ("a",)), brief=True)

    assert await ask() == 1


async def test_what_another_process_commits_is_noticed_soon(database, file):
    ask = Asking(database)
    with sqlite3.connect(file, isolation_level=None) as other:
        for number in range(10):
            assert await ask() == number
            other.execute(INSERT, (str(number),))
            time.sleep(0.02)
    other.close()

    assert await ask() == 10
