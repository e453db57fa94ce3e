"""Minutes of steady load: nothing piles up in a worker."""

import os
import time
from pathlib import Path

import pytest

from tests.journeys.crash_world import (
    a_load,
    assert_nothing_lost_or_doubled,
    create_patients,
    look_into,
)
from tests.journeys.instance import Instance

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
WARM_UP = 600
MESSAGES = 6000


def resources(instance: Instance) -> tuple[int, int, int]:
    """Of the hungriest worker: resident kilobytes, open descriptors, threads."""
    found = []
    for pid in instance.workers():
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        found.append((int(fields["VmRSS"].split()[0]), descriptors, int(fields["Threads"])))
    return max(found)


def test_memory_descriptors_and_threads_do_not_grow_with_the_number_of_messages(tmp_path):
    instance = Instance(tmp_path / "instance").init("--demo-accounts", "8")
    patients = create_patients(instance, 12)
    instance.start(workers=2)
    pids = set(instance.workers())
    try:
        warm = a_load(instance, patients, connections=8)
        warm.run(WARM_UP)
        warm.join()
        instance.wait_until_carried()
        before = resources(instance)
        load = a_load(instance, patients, connections=8)
        started = time.monotonic()
        load.run(MESSAGES)
        load.join()
        instance.wait_until_carried()
        took = time.monotonic() - started
        time.sleep(6)  # what is gathered for some seconds is let go
        after = resources(instance)
        assert set(instance.workers()) == pids
    finally:
        instance.stop()

    print(f"{MESSAGES} messages in {took:.0f} s; (kB, descriptors, threads) {before} -> {after}")
    assert after[0] - before[0] < 40_000
    assert after[1] - before[1] < 20
    assert after[2] - before[2] <= 2
    load.sent += warm.sent
    accepted, attempts = assert_nothing_lost_or_doubled(load, look_into(instance, patients))
    assert accepted == attempts == MESSAGES + WARM_UP
