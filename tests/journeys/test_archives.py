"""Archives from outside: an XDM mail as producers send it, through a real instance."""

import dataclasses

import make_samples
import pytest

from tests.journeys.instance import Instance, a_message
from tests.journeys.people import documents_of, inbox, inside, post, subject_of
from tests.support.archives import LAYOUTS, an_archive

pytestmark = pytest.mark.timeout(180)
PDF = b"%PDF-1.7 readable copy"


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    made = Instance(tmp_path_factory.mktemp("archives") / "instance").init()
    made.start(workers=1)
    yield made
    assert made.stop() == 0


@pytest.fixture
def doctor(instance):
    return instance.accounts("professional")[0]


@pytest.fixture
def patient(instance):
    return instance.accounts("patient")[0]


def send(instance, sender, patient, archive):
    """A message with an archive and the readable copy, as ECO.2.1.1 has it."""
    subject = "XDM/1.0/DDM+CR hospitalier LEROUX Agathe 17/08/1962"
    message = a_message(sender, patient["address"], subject)
    message.add_attachment(PDF, maintype="application", subtype="pdf", filename="20261123_CR.pdf")
    message.add_attachment(archive, maintype="application", subtype="zip", filename="IHE_XDM.zip")
    post(instance, sender, message)
    return message["Message-ID"]


def report_about(instance, account, message_id):
    [report] = [one for one in inbox(instance, account) if one["In-Reply-To"] == message_id]
    return report.get_body(("plain",)).get_content()


def version(name):
    return make_samples.Version(
        unique_id=f"1.2.250.1.999.50.{name}.1", set_id=f"1.2.250.1.999.50.{name}"
    )


def test_an_archive_of_another_layout_is_delivered_whole_and_its_documents_filed_once(
    instance, doctor, patient
):
    subject = subject_of(patient)
    letter = make_samples.level1(subject, version=version(1))
    report = make_samples.biology(subject, version=version(2))
    archive = LAYOUTS["all-at-once"](an_archive(letter, report))

    first = send(instance, doctor, patient, archive)
    send(instance, doctor, patient, an_archive(letter, report))

    [received] = [one for one in inbox(instance, patient) if one["Message-ID"] == first]
    assert [one.get_payload(decode=True) for one in inside(received).iter_attachments()] == [
        PDF,
        archive,
    ]
    filed = documents_of(instance, patient)
    ours = {key: one for key, one in filed.items() if key.startswith("1.2.250.1.999.50.")}
    assert {key: (one["status"], one["size"]) for key, one in ours.items()} == {
        version(1).id: ("Approved", len(letter)),
        version(2).id: ("Approved", len(report)),
    }
    assert instance.json("dmp", "held", "list") == []


def test_what_the_patient_must_not_see_reaches_neither_mailbox_nor_record(
    instance, doctor, patient
):
    letter = make_samples.level1(subject_of(patient), version=version(3))

    sent = send(instance, doctor, patient, an_archive(letter, flags=["INVISIBLE_PATIENT"]))

    assert sent not in [one["Message-ID"] for one in inbox(instance, patient)]
    assert version(3).id not in documents_of(instance, patient)
    text = report_about(instance, doctor, sent)
    assert "not visible to the patient" in text
    assert patient["ins"] not in text


def test_an_archive_about_somebody_else_reaches_neither_mailbox_nor_record(
    instance, doctor, patient
):
    other = make_samples.a_matricule(77)
    subject = dataclasses.replace(subject_of(patient), ins=other)
    letter = make_samples.level1(subject, version=version(4))

    sent = send(instance, doctor, patient, an_archive(letter))

    assert sent not in [one["Message-ID"] for one in inbox(instance, patient)]
    assert version(4).id not in documents_of(instance, patient)
    text = report_about(instance, doctor, sent)
    assert "names another person" in text
    assert other not in text


def test_a_damaged_archive_is_delivered_and_held_and_the_sender_told(instance, doctor, patient):
    letter = make_samples.level1(subject_of(patient), version=version(5))

    sent = send(instance, doctor, patient, an_archive(letter, hash="0" * 40))

    assert sent in [one["Message-ID"] for one in inbox(instance, patient)]
    assert version(5).id not in documents_of(instance, patient)
    assert "the hash differs" in report_about(instance, doctor, sent)


def test_an_export_is_read_again_without_problems(instance, patient, tmp_path):
    path = tmp_path / "EXPORT.ZIP"

    made = instance.json(
        "dmp", "export", "--patient", "-", "--out", str(path), stdin=patient["ins"]
    )
    checked = instance.json("dmp", "check", str(path))

    current = [
        one for one in documents_of(instance, patient).values() if one["status"] == "Approved"
    ]
    assert made["documents"] == len(checked["documents"]) == len(current) >= 2
    assert checked["problems"] == []
    assert all(one["problems"] == [] for one in checked["documents"])
