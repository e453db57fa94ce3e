import os
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mssante.access import failure_table
from mssante.access.failure_table import Failures, FailureTable
from mssante.access.throttle import Throttle


def test_failures_at_one_worker_make_the_same_peer_wait_at_the_others(clock):
    table = FailureTable()
    first, second = Throttle(clock, table), Throttle(clock, table)
    for number, worker in enumerate((first, second, first, second, first)):
        worker.failed("alice", "192.0.2.1", f"guess {number}")
        assert not second.login_must_wait("alice", "192.0.2.1")
    second.failed("alice", "192.0.2.1", "another")

    assert first.login_must_wait("alice", "192.0.2.1")
    assert not first.login_must_wait("alice", "192.0.2.2")
    assert not first.login_must_wait("bob", "192.0.2.1")
    clock.advance(seconds=1)
    assert not first.login_must_wait("alice", "192.0.2.1")
    second.succeeded("alice", "192.0.2.1")
    first.failed("alice", "192.0.2.1", "a third")
    assert not second.login_must_wait("alice", "192.0.2.1")


def test_what_another_process_counted_is_seen(clock):
    table = FailureTable()
    pid = os.fork()
    if pid == 0:
        for number in range(6):
            Throttle(clock, table).failed("alice", "192.0.2.1", f"guess {number}")
        os._exit(0)
    os.waitpid(pid, 0)

    assert Throttle(clock, table).login_must_wait("alice", "192.0.2.1")


def test_failures_are_forgotten_after_an_hour_without_one(clock):
    throttle = Throttle(clock, memory=timedelta(hours=1))
    for number in range(5):
        throttle.failed("alice", "192.0.2.1", f"guess {number}")
    clock.advance(hours=1)
    throttle.failed("alice", "192.0.2.1", "another")
    assert not throttle.login_must_wait("alice", "192.0.2.1")


def test_a_password_that_is_wrong_again_and_again_counts_once_at_all_workers(clock):
    table = FailureTable()
    workers = [Throttle(clock, table) for _ in range(8)]
    for _ in range(100):
        for worker in workers:
            worker.failed("alice", "192.0.2.1", "old\udcff")
        clock.advance(minutes=5)

    assert not workers[0].login_must_wait("alice", "192.0.2.1")
    for number in range(6):
        workers[number].failed("alice", "192.0.2.1", f"guess {number}")
    assert workers[0].login_must_wait("alice", "192.0.2.1")


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(1, 9), st.booleans()),
        max_size=60,
    )
)
def test_the_table_remembers_like_a_dictionary(steps):
    table, known = FailureTable(), {}
    for name, count, forget in steps:
        subject = (name, "192.0.2.1")
        if forget:
            table.forget(subject)
            known.pop(subject, None)
        else:
            known[subject] = Failures(count, 10 * count, 20 * count)
            table.keep(subject, known[subject])
    for name in "abcdef":
        assert table.find((name, "192.0.2.1")) == known.get((name, "192.0.2.1"))


def test_where_a_row_is_full_what_would_be_forgotten_first_gives_way(monkeypatch):
    monkeypatch.setattr(failure_table, "_ROWS", 1)
    table = FailureTable()
    for number in range(9):
        table.keep((str(number), ""), Failures(1, 0, 100 - number if number != 4 else 1))

    assert [number for number in range(9) if table.find((str(number), "")) is None] == [4]
