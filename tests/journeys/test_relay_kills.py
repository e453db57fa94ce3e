"""A worker is killed at a step that the test chooses: nothing is lost or doubled here, and the other
operator gets a message again at most once a kill, with the same octets."""

import threading

import make_samples
import pytest

from tests.journeys.instance import Instance, a_message, wait_for
from tests.journeys.people import documents_of, subject_of
from tests.journeys.test_two_operators import about, itself, statuses, submit, until
from tests.support.faults import writers_held

pytestmark = [pytest.mark.crash, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """One worker, so that the test knows whom it kills."""
    made = Instance(tmp_path_factory.mktemp("kills") / "instance").init()
    made.start(workers=1)
    yield made
    made.stop()
    assert made.json("audit", "verify")["intact"] is True


@pytest.fixture
def peer(instance):
    with instance.peer() as made:
        yield made


@pytest.fixture
def doctor(instance):
    return instance.accounts("professional")[0]


COLLEAGUE = "dr.voisin@hopital-voisin.example"


def all_is_done_by_the_next_start(instance):
    instance.start(workers=1)
    instance.wait_until_done()


@pytest.mark.parametrize(
    ("step", "copies"),
    [
        pytest.param("greeting", 1, marks=pytest.mark.long),
        pytest.param("EHLO", 1, marks=pytest.mark.long),
        pytest.param("STARTTLS", 1, marks=pytest.mark.long),
        pytest.param("MAIL", 1, marks=pytest.mark.long),
        ("DATA", 1),
        ("body", 1),
        ("end", 2),
    ],
)
def test_a_kill_in_the_dialogue_repeats_only_what_may_have_been_taken(
    instance, peer, doctor, step, copies
):
    gate = peer.gates[step] = threading.Event()
    # So large that it does not lie in the buffers of a connection as a whole.
    size = 6_000_000 if step == "body" else 10
    message = a_message(doctor, COLLEAGUE, "Avis", ("image.txt", b"0123456789" * (size // 10)))
    submit(instance, doctor, [COLLEAGUE], message)
    wait_for(lambda: peer.held)

    instance.kill_everything()
    gate.set()

    all_is_done_by_the_next_start(instance)
    assert len(peer.messages) == copies
    assert len(set(peer.messages)) == 1


def test_a_kill_before_the_order_is_in_the_queue_sends_the_message_once(instance, peer, doctor):
    with writers_held(instance.database("spool-w0")):
        submit(instance, doctor, [COLLEAGUE], a_message(doctor, COLLEAGUE, "Avis"))
        instance.kill_everything()

    all_is_done_by_the_next_start(instance)
    assert len(peer.messages) == 1


def test_a_kill_between_the_peers_250_and_its_record_repeats_the_message_once(
    instance, peer, doctor
):
    gate = peer.gates["end"] = threading.Event()
    submit(instance, doctor, [COLLEAGUE], a_message(doctor, COLLEAGUE, "Avis"))
    wait_for(lambda: peer.held)
    with writers_held(instance.database("spool-w0")):
        gate.set()
        wait_for(lambda: peer.taken)
        instance.kill_everything()

    all_is_done_by_the_next_start(instance)
    assert len(peer.messages) == 2
    assert len(set(peer.messages)) == 1


def test_a_kill_while_the_rest_of_the_journey_is_not_done_repeats_nothing(instance, peer, doctor):
    """The message was taken and recorded; its delivery here was still to come."""
    neighbour = instance.accounts("professional")[1]
    message = a_message(doctor, neighbour["address"], "Avis")
    with writers_held(instance.database("mail")):
        submit(instance, doctor, [COLLEAGUE, neighbour["address"]], message)
        wait_for(lambda: peer.taken and instance.relays_waiting() == 0)
        instance.kill_everything()

    all_is_done_by_the_next_start(instance)
    assert len(peer.messages) == 1
    assert len(itself(instance, neighbour, message)()) == 1


def test_a_kill_between_a_refusal_and_its_report_tells_the_sender_once(instance, peer, doctor):
    peer.answers["RCPT"] = "550 5.1.1 unknown"
    message = a_message(doctor, COLLEAGUE, "Avis")
    spool = instance.database("spool-w0")
    refused = "SELECT count(*) FROM relay_order WHERE state = 'due' AND waiting = 0"
    with writers_held(instance.database("mail")):
        submit(instance, doctor, [COLLEAGUE], message)
        wait_for(lambda: instance.look(spool, refused))
        instance.kill_everything()

    all_is_done_by_the_next_start(instance)
    [report] = until(about(instance, doctor, message))
    assert statuses(report) == {f"rfc822; {COLLEAGUE}": "failed"}
    assert len([one for one in peer.commands if one.startswith("RCPT")]) == 1


@pytest.mark.parametrize(("number", "held"), [(1, "mail"), (2, "dmp")])
def test_a_kill_between_delivery_and_filing_does_each_once(instance, doctor, number, held):
    patient = instance.accounts("patient")[0]
    unique_id = f"1.2.250.1.999.90.{number}"
    version = make_samples.Version(unique_id=unique_id, set_id=f"{unique_id}.0")
    letter = make_samples.level1(subject_of(patient), version=version)
    message = a_message(doctor, patient["address"], "Compte rendu", ("lettre.xml", letter))
    filed = f"SELECT count(*) FROM document_entry WHERE document_key = '{unique_id}'"
    with writers_held(instance.database(held)):
        submit(instance, doctor, [patient["address"]], message)
        if held == "mail":
            wait_for(lambda: instance.look(instance.database("dmp"), filed))
        else:
            until(itself(instance, patient, message))
        instance.kill_everything()

    all_is_done_by_the_next_start(instance)
    assert len(itself(instance, patient, message)()) == 1
    assert instance.look(instance.database("dmp"), filed) == 1
