"""Postfix (Debian package) as another operator: mutual TLS, messages and reports both ways."""

import os
import shutil

import make_samples
import pytest

from tests.journeys.instance import Instance, a_message
from tests.journeys.people import documents_of, inbox, subject_of
from tests.journeys.postfix import Postfix
from tests.journeys.test_two_operators import about, statuses, submit, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    if shutil.which("postfix") is None or os.geteuid() != 0:
        pytest.skip("needs Postfix (Debian package) and root: this operator is NOT tested")
    instance = Instance(tmp_path_factory.mktemp("postfix") / "instance").init()
    other = Postfix(instance)
    try:
        instance.start(workers=2)
        other.start()
        yield instance, other
    finally:
        other.stop()
        stopped = instance.stop()
    assert stopped == 0
    text = instance.log.read_text()
    assert "Traceback" not in text
    assert not [one for one in instance.accounts("patient") if one["ins"] in text]


@pytest.fixture
def member(operators):
    return {"address": operators[1].mailbox, "name": "Dr VOISIN"}


def received_by(other, message):
    wanted = message["Message-ID"]
    return lambda: [one for one in other.inbox() if one["Message-ID"] == wanted]


def told(messages, action):
    """The reports of one kind among the messages of an inbox, as recipients and actions.

    Postfix's reports have no In-Reply-To by which they could be found.
    """

    def look():
        reports = [one for one in messages() if one.get_content_type() == "multipart/report"]
        return [found for one in reports if action in (found := statuses(one)).values()]

    return look


def test_a_sealed_message_arrives_over_mutual_tls_and_its_delivery_is_reported(operators, member):
    instance, other = operators
    doctor = instance.accounts("professional")[0]
    message = a_message(doctor, member["address"], "Avis demandé")

    submit(instance, doctor, [member["address"]], message, rcpt=["NOTIFY=SUCCESS"])

    [received] = until(received_by(other, message))
    assert received.get_content_type() == "multipart/signed"
    hop = " ".join(received.get_all("Received")[0].split())
    assert "using TLSv1." in hop
    assert "verified OK" in hop  # Postfix on our client certificate
    [report] = until(told(lambda: inbox(instance, doctor), "delivered"))
    assert report == {f"rfc822; {member['address']}": "delivered"}


def test_a_document_sent_by_postfix_is_filed_and_its_delivery_is_reported(operators, member):
    instance, other = operators
    patient = instance.accounts("patient")[0]
    version = make_samples.Version(unique_id="1.2.250.1.999.80.1", set_id="1.2.250.1.999.80")
    letter = make_samples.level1(subject_of(patient), version=version)
    message = a_message(member, patient["address"], "Compte rendu", ("lettre.xml", letter))

    other.post(patient["address"], message, "NOTIFY=SUCCESS")

    [report] = until(told(other.inbox, "delivered"))
    assert report == {f"rfc822; {patient['address']}": "delivered"}
    instance.wait_until_carried()
    assert documents_of(instance, patient)[version.unique_id]["status"] == "Approved"
    assert "Verified TLS connection established to" in other.log


def test_whom_postfix_does_not_know_is_told_to_the_sender(operators, member):
    instance, other = operators
    doctor = instance.accounts("professional")[0]
    unknown = f"personne@{other.domain}"
    message = a_message(doctor, unknown, "Personne")

    submit(instance, doctor, [unknown], message)

    [report] = until(about(instance, doctor, message))
    assert statuses(report) == {f"rfc822; {unknown}": "failed"}


def test_whom_we_do_not_know_is_told_by_postfix(operators, member):
    instance, other = operators
    unknown = f"personne@{instance.demo['domain']}"

    other.post(unknown, a_message(member, unknown, "Personne"))

    [report] = until(told(other.inbox, "failed"))
    assert report == {f"rfc822; {unknown}": "failed"}
    assert "550 5.1.1" in other.log
