"""Nothing that got a 250 is lost or doubled, whoever dies when."""

import os
import random
import shutil
import subprocess
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

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(400),
    # smtplib leaves the socket of a handshake that was cut off to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

_LANES, _PER_DOMAIN = 1, 4
"""One domain; messages under way to it from each of two workers."""


def test_kills_of_workers_and_supervisor_lose_and_double_nothing(tmp_path):
    instance = Instance(tmp_path / "instance").init("--demo-accounts", "8")
    patients = create_patients(instance, 12)
    load = a_load(instance, patients, connections=12)
    instance.start(workers=2)
    started = time.monotonic()
    load.run(400)
    kills = 0
    try:
        while any(thread.is_alive() for thread in load.threads):
            assert time.monotonic() - started < 240, "the load does not come through"
            time.sleep(random.uniform(0.15, 0.7))
            if random.random() < 0.25:
                instance.kill_the_supervisor()
                instance.start(workers=random.choice([1, 2]))
            else:
                instance.kill_a_worker()
            kills += 1
        load.join()
        instance.wait_until_carried()
    finally:
        load.stop.set()
        instance.stop()

    found = look_into(instance, patients)
    accepted, attempts = assert_nothing_lost_or_doubled(load, found)
    assert accepted == 400
    assert kills >= 5
    print(f"{accepted} accepted in {attempts} attempts, {kills} kills")


def test_kills_at_two_operators_lose_nothing_and_repeat_a_message_once_a_kill_at_most(tmp_path):
    here = Instance(tmp_path / "here").init("--demo-accounts", "8")
    there = Instance(tmp_path / "there").init(
        "--domain", "acacias.mssante.example", "--beside", str(here.directory)
    )
    patients = create_patients(there, 12)
    load = a_load(here, patients, connections=8)
    for each in (here, there):
        each.start(workers=2)
    started = time.monotonic()
    load.run(250)
    kills = 0
    try:
        while any(thread.is_alive() for thread in load.threads) or here.relays_waiting():
            assert time.monotonic() - started < 300, "the load does not come through"
            time.sleep(random.uniform(0.15, 0.7))
            if kills >= 40:  # the rest in peace: pauses between attempts grow
                here.run("queue", "retry", "-c", str(here.config), "--all")
                time.sleep(0.5)
                continue
            victim = random.choice([here, there])
            if random.random() < 0.25:
                victim.kill_the_supervisor()
                victim.start(workers=random.choice([1, 2]))
            else:
                victim.kill_a_worker()
            kills += 1
        load.join()
        for each in (here, there):
            each.wait_until_carried()
    finally:
        load.stop.set()
        for each in (here, there):
            each.stop()

    found = look_into(there, patients)
    assert not found.unreadable, found.unreadable[:5]
    assert not found.audit_faults, found.audit_faults[:5]
    sent = [one for one in load.sent if one is not None]
    assert all(one.accepted for one in sent)
    repeats = 0
    for one in sent:
        copies = found.messages[one.message_id]
        assert copies >= 1, one
        assert found.documents[one.unique_id] == 1, one
        # Each submission of ours is a message of its own; each may be repeated with its own bytes.
        assert len(found.bodies[one.message_id]) <= one.attempts, one
        # One kill can meet every message that is just between the end of its data and our record
        # of the answer, but each of them once.
        assert copies <= one.attempts + kills, one
        repeats += max(0, copies - one.attempts)
    assert kills >= 5
    assert repeats <= kills * 2 * _LANES * _PER_DOMAIN
    print(f"{len(sent)} relayed, {kills} kills, {repeats} repeats")


@pytest.mark.long
def test_a_power_cut_loses_and_doubles_nothing(tmp_path):
    """What was not synced is not on the image, directory entries included."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("NO POWER CUT TEST: it needs root and mkfs.ext4 to mount a file-system image")
    image, mounted = tmp_path / "disk.img", tmp_path / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    _mount(image, mounted)
    instance = Instance(mounted / "instance")
    instance.log = tmp_path / "log"
    try:
        instance.init("--demo-accounts", "8")
        patients = create_patients(instance, 12)
        subprocess.run(["sync", "-f", str(mounted)], check=True)
        for cut in range(4):
            load = a_load(instance, patients, connections=12)
            instance.start(workers=2)
            load.run(2000)
            time.sleep(random.uniform(1.5, 4.0))
            instance.kill_everything()
            # At this instant the power goes: unsynced pages and names are in memory only.
            after = tmp_path / f"after{cut}.img"
            subprocess.run(["cp", "--sparse=always", str(image), str(after)], check=True)
            load.stop.set()
            for thread in load.threads:
                thread.join()
            subprocess.run(["umount", str(mounted)], check=True)
            image = after
            _mount(image, mounted)
            instance.start(workers=2)
            instance.wait_until_carried()
            assert instance.stop() == 0
            found = look_into(instance, patients)
            known = {one.unique_id for one in load.sent if one is not None}
            for unique_id in list(found.documents):  # of the loads before this cut
                if unique_id not in known:
                    del found.documents[unique_id]
            accepted, _ = assert_nothing_lost_or_doubled(load, found)
            assert accepted > 20
            print(f"cut {cut}: {accepted} accepted before it")
    finally:
        instance.stop()
        subprocess.run(["umount", "-l", str(mounted)], check=False)


def _mount(image: Path, where: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(image), str(where)], check=True)
