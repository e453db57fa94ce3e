"""Limits by the hour, counted by several workers on both databases."""

import asyncio

import pytest

from mssante.access.budgets import Budgets, Subject, Use, Who
from mssante.kernel.reasons import Reason, Refusal
from mssante.storage import versions
from mssante.storage.usage import StoredUsage

ALICE, VOISIN = Subject(Who.ACCOUNT, "a" * 32), Subject(Who.OPERATOR, "CN=mx.voisin.example")


@pytest.fixture
async def workers(open_database, clock):
    database = await open_database(versions.DIRECTORY)

    def make(count, **limits):
        wanted = {who: {Use(use): n for use, n in limits.items()} for who in Who}
        return [Budgets(StoredUsage(database), clock, wanted) for _ in range(count)]

    return make


async def spend_all(worker, subject=ALICE, use=Use.MESSAGES, amount=1):
    """How often it may be spent before it is refused."""
    count = 0
    while True:
        try:
            await worker.spend(subject, use, amount)
        except Refusal as refusal:
            assert refusal.reason is Reason.RATE_EXCEEDED
            return count
        count += 1


@pytest.mark.parametrize("limit", [1, 20, 1_000])
async def test_all_workers_together_keep_a_limit_to_a_hundredth_each(workers, limit):
    several = workers(4, messages=limit)

    counts = await asyncio.gather(*(spend_all(worker) for worker in several))

    assert limit <= sum(counts) <= limit + 4 * (limit // 100)


async def test_who_sends_little_costs_no_write_and_who_sends_much_a_hundred(workers, monkeypatch):
    [worker] = workers(1, messages=10_000)
    leases = []
    lease = worker.store.lease

    async def counted(*arguments):
        leases.append(arguments)
        return await lease(*arguments)

    monkeypatch.setattr(worker.store, "lease", counted)
    for _ in range(100):
        await worker.spend(ALICE, Use.MESSAGES)
    assert leases == []
    assert await spend_all(worker) == 10_000
    assert len(leases) <= 101

    await spend_all(worker)
    assert len(leases) <= 101  # what is refused asks nobody


async def test_subjects_and_uses_are_counted_apart_and_the_next_hour_begins_anew(workers, clock):
    [worker] = workers(1, messages=3, octets=10)
    assert await spend_all(worker) == 3
    assert await spend_all(worker, VOISIN) == 3
    assert await spend_all(worker, use=Use.OCTETS, amount=4) == 2
    assert await spend_all(worker, use=Use.OCTETS) == 2
    await worker.spend(ALICE, Use.RECIPIENTS)  # without a limit

    clock.advance(hours=1)
    assert await spend_all(worker) == 3


async def test_a_worker_that_starts_again_finds_what_was_used(workers):
    [before] = workers(1, unknown=5)
    assert await spend_all(before, use=Use.UNKNOWN) == 5

    [after] = workers(1, unknown=5)
    with pytest.raises(Refusal):
        await after.check(ALICE, Use.UNKNOWN)


async def test_a_check_spends_nothing(workers):
    [worker] = workers(1, unknown=2)
    for _ in range(10):
        await worker.check(ALICE, Use.UNKNOWN)
    assert await spend_all(worker, use=Use.UNKNOWN) == 2


async def test_counters_are_listed_by_the_hour_and_forgotten_after_two(workers, clock):
    [worker] = workers(1, messages=2)
    await spend_all(worker)
    hour = int(clock.now().timestamp()) // 3600

    [line] = await worker.store.lines(hour)
    assert (line.subject, line.used[Use.MESSAGES], line.used[Use.UNKNOWN]) == (
        f"account:{'a' * 32}", 2, 0,
    )  # fmt: skip
    clock.advance(hours=2)
    await spend_all(worker)
    assert await worker.store.lines(hour) == []
