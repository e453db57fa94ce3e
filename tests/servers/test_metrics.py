import os

import pytest

from mssante.kernel.reasons import Reason
from mssante.servers import metrics
from mssante.servers.metrics import Counter, Gauge, Histogram, Memory, Meters, cumulative


def value(memory, family, *labels):
    return memory.values(family)[labels][0]


def test_processes_that_are_forked_count_into_one_sum():
    memory = Memory(workers=3)
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            meters = Meters(memory.page(number))
            for _ in range(1000):
                meters.accepted["smtp"].add()
            os._exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    assert value(memory, metrics.ACCEPTED, "smtp") == 3000
    assert value(memory, metrics.ACCEPTED, "reception") == 0


def test_a_successor_keeps_the_counts_of_its_page_and_forgets_what_was_only_now():
    memory = Memory()
    former = Meters(memory.page(0))
    former.delivered.add(7)
    former.sessions("imap", 5)
    former.queue("here", 3, 1, 12.5)

    Meters(memory.page(0)).begin()

    assert value(memory, metrics.DELIVERED) == 7
    assert value(memory, metrics.SESSIONS, "imap") == 0
    assert value(memory, metrics.OLDEST, "here") == 0


def test_the_oldest_of_all_workers_counts_not_their_sum():
    memory = Memory(workers=2)
    for number, seconds in ((0, 10.0), (1, 25.0)):
        Meters(memory.page(number)).queue("relay", 1, 0, seconds)

    assert value(memory, metrics.OLDEST, "relay") == 25
    assert value(memory, metrics.QUEUE, "relay", "due") == 2


def test_a_duration_falls_into_the_first_bucket_that_is_as_long():
    memory = Memory()
    histogram = Histogram(memory.page(0), metrics.DELIVERY_SECONDS)
    for seconds in (-1.0, 0.005, 0.0051, 3.0, 9999.0):
        histogram.observe(seconds)

    buckets, total = cumulative(memory.values(metrics.DELIVERY_SECONDS)[()])

    counts = dict(buckets)
    assert (counts["0.005"], counts["0.01"], counts["2.5"], counts["5.0"]) == (2, 3, 3, 4)
    assert (counts["1800.0"], counts["+Inf"]) == (4, 5)
    assert total == pytest.approx(0.005 + 0.0051 + 3 + 9999)


def test_every_number_has_a_place_of_its_own():
    memory = Memory()
    page = memory.page(0)
    for family in metrics.FAMILIES:
        for labels in family.series:
            kind = {"counter": Counter, "histogram": Histogram}.get(family.kind, Gauge)
            meter = kind(page, family, *labels)
            {"Counter": lambda m: m.add(), "Histogram": lambda m: m.observe(1.0)}.get(
                kind.__name__, lambda m: m.set(1.0)
            )(meter)

    for family in metrics.FAMILIES:
        for numbers in memory.values(family).values():
            assert sum(numbers) == (2 if family.kind == "histogram" else 1)


def test_each_reason_to_refuse_has_its_place_and_an_unknown_service_counts_as_other():
    memory = Memory()
    meters = Meters(memory.page(0))
    for reason in Reason:
        meters.refused("smtp", reason)
        meters.signed_in("webmail", reason)

    assert all(value(memory, metrics.REFUSED, "smtp", reason.value) == 1 for reason in Reason)
    assert value(memory, metrics.SIGN_INS, "other", "try-later") == 1


def test_labels_take_few_values():
    assert sum(len(list(family.series)) for family in metrics.FAMILIES) < 250
