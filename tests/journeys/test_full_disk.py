"""A running instance whose disk is full: nothing that was accepted is lost or doubled, what cannot be
kept is refused for now, and all goes on without a restart when there is room again.
"""

import imaplib
import random
import shutil
import smtplib
import threading
import time
from contextlib import ExitStack

import make_samples
import pytest

from tests.journeys.crash_world import (
    a_load,
    assert_nothing_lost_or_doubled,
    create_patients,
    look_into,
)
from tests.journeys.instance import Instance, a_message, wait_for
from tests.journeys.people import subject_of
from tests.journeys.test_two_operators import itself, submit
from tests.support.faults import (
    SmallDisk,
    cut_zeros_ahead,
    empty_log,
    files_limited,
    writers_held,
)

pytestmark = pytest.mark.timeout(180)

COLLEAGUE = "dr.voisin@hopital-voisin.example"
PARTS = ("mail.sqlite", "dmp.sqlite", "spool-w0.sqlite", "segments-mail", "segments-dmp")


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """Each part of its store lies on a small disk of its own."""
    folder = tmp_path_factory.mktemp("full")
    made = Instance(folder / "instance").init()
    made.start(workers=1)  # makes the spool
    assert made.stop() == 0
    made.disks = {}
    with ExitStack() as stack:
        for part in PARTS:
            disk = made.disks[part] = SmallDisk(folder / f"disk-{part}", megabytes=12)
            stack.callback(disk.unmount)
            path = made.directory / "data" / part
            shutil.move(path, disk.folder / part)
            path.symlink_to(disk.folder / part)
        made.start(workers=1)
        yield made
        stopped, verified = made.stop(), made.json("audit", "verify")
        assert (stopped, verified["intact"]) == (0, True)


def full(instance, *parts):
    """Fill the disks of some parts of the store."""
    stack = ExitStack()
    for part in parts:
        path = instance.directory / "data" / part
        if part.endswith(".sqlite"):
            empty_log(path)
        else:
            cut_zeros_ahead(path)
        stack.enter_context(instance.disks[part].full())
    return stack


@pytest.fixture
def neighbour(instance):
    with instance.peer() as made:
        yield made


def failures(instance):
    """How often the log says that something waits because of our own fault."""
    return instance.log.read_text().count("it stays in the ")


@pytest.fixture
def failing(instance):
    """Waits until so many attempts have failed since the test began."""
    before = failures(instance)
    return lambda count: wait_for(lambda: failures(instance) >= before + count)


def test_a_full_disk_refuses_for_now_and_takes_the_next_message_when_there_is_room(instance):
    doctor, colleague = instance.accounts("professional")[:2]
    refused, taken, kept = (a_message(doctor, colleague["address"], "Avis") for _ in range(3))
    host, port = instance.demo["host"], instance.demo["ports"]["imaps"]
    with (
        instance.smtp(doctor) as client,
        imaplib.IMAP4_SSL(host, port, ssl_context=instance.tls()) as reader,
    ):
        reader.login(colleague["login"], colleague["password"])

        def append():
            return reader.append("INBOX", None, None, kept.as_bytes())

        with full(instance, "segments-mail"):
            with pytest.raises(smtplib.SMTPDataError) as caught:
                client.send_message(refused)
            appended = [append()]
            assert client.noop()[0] == 250
        with full(instance, "mail.sqlite"):
            appended.append(append())
            assert reader.select("INBOX")[0] == "OK"

        client.send_message(taken)
        assert append()[0] == "OK"

    assert (caught.value.smtp_code, caught.value.smtp_error[:5]) == (452, b"4.3.1")
    assert appended == [("NO", [b"[UNAVAILABLE] Try again later"])] * 2
    instance.wait_until_carried()
    copies = [len(itself(instance, colleague, one)()) for one in (refused, taken, kept)]
    assert copies == [0, 1, 1]


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (1, ("mail.sqlite",)),
        (2, ("dmp.sqlite",)),
        pytest.param(3, ("spool-w0.sqlite",), marks=pytest.mark.long),
        (4, ("segments-dmp",)),
        (5, PARTS),
    ],
)
def test_what_was_accepted_before_the_disk_was_full_is_done_once_when_there_is_room(
    instance, neighbour, failing, number, parts
):
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    unique_id = f"1.2.250.1.999.91.{number}"
    version = make_samples.Version(unique_id=unique_id, set_id=f"{unique_id}.0")
    letter = make_samples.level1(subject_of(patient), version=version)
    message = a_message(doctor, patient["address"], "Compte rendu", ("lettre.xml", letter))
    with ExitStack() as room:
        if "segments-mail" in parts:  # then nothing is accepted any more: all must be under way
            room.enter_context(
                writers_held(*(instance.database(name) for name in ("mail", "dmp", "spool-w0")))
            )
            submit(instance, doctor, [patient["address"], COLLEAGUE], message)
            stack = full(instance, *parts)
        else:
            stack = full(instance, *parts)
            submit(instance, doctor, [patient["address"], COLLEAGUE], message)
        with stack:
            room.close()
            failing(1)

    instance.wait_until_done()
    filed = f"SELECT count(*) FROM document_entry WHERE document_key = '{unique_id}'"
    assert len(itself(instance, patient, message)()) == 1
    assert instance.look(instance.database("dmp"), filed) == 1
    assert len(neighbour.messages) == 1


def test_what_another_operator_took_while_the_queue_was_full_is_not_sent_again(
    instance, neighbour, failing
):
    doctor = instance.accounts("professional")[0]
    gate = neighbour.gates["end"] = threading.Event()
    submit(instance, doctor, [COLLEAGUE], a_message(doctor, COLLEAGUE, "Avis"))
    wait_for(lambda: neighbour.held)
    with full(instance, "spool-w0.sqlite"):
        gate.set()
        failing(2)

    instance.wait_until_done()
    assert len(neighbour.messages) == 1


@pytest.fixture(params=[pytest.param("disk", marks=pytest.mark.long), "limit"])
def filled(request, tmp_path):
    """An instance with two workers, and what fills all that they write to."""
    if request.param == "disk":
        disk = SmallDisk(tmp_path / "disk", megabytes=96)
        request.addfinalizer(disk.unmount)
        made = Instance(disk.folder / "instance")
        made.log = tmp_path / "log"
        yield made, disk.full
    else:
        made = Instance(tmp_path / "instance")
        yield made, lambda: files_limited(made.workers())


def test_a_load_meets_a_disk_that_fills_again_and_again(filled):
    instance, full = filled
    instance.init("--demo-accounts", "8")
    patients = create_patients(instance, 12)
    load = a_load(instance, patients, connections=8)
    instance.start(workers=2)
    pids = set(instance.workers())
    try:
        load.run(200)
        while any(thread.is_alive() for thread in load.threads):
            time.sleep(random.uniform(0.1, 0.5))
            with full():
                time.sleep(random.uniform(0.3, 1.0))
        load.join()
        instance.wait_until_carried()
        assert set(instance.workers()) == pids
    finally:
        load.stop.set()
        instance.stop()

    accepted, attempts = assert_nothing_lost_or_doubled(load, look_into(instance, patients))
    assert accepted == 200
    assert attempts > 200  # some met the full disk
    print(f"{accepted} accepted in {attempts} attempts")
