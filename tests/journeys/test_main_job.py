"""The main job from outside: a professional's client, the patient's mailbox, the patient's DMP."""

import email
import imaplib
import time
from email.policy import default

import aioimaplib
import make_samples
import pytest

from tests.journeys.instance import Instance, a_message
from tests.journeys.people import documents_of, inbox, inside, post, subject_of

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def instance(request, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    if request.param == "postgres":
        from sqlalchemy import create_engine, text

        url = request.getfixturevalue("postgres_server")
        admin = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE DATABASE main_job"))
        admin.dispose()
        url = url.format("main_job").replace("+psycopg", "")
        patch.setenv("MSSANTE_DATABASE_URL", url)
    made = Instance(tmp_path_factory.mktemp("main") / "instance").init()
    made.start(workers=2)
    yield made
    assert made.stop() == 0
    patch.undo()


def send(instance, sender, patient, *documents, subject="Compte rendu"):
    attachments = [(f"d{n}.xml", document) for n, document in enumerate(documents)]
    message = a_message(sender, patient["address"], subject, *attachments)
    post(instance, sender, message)
    return message


def reports_to(instance, account, message):
    return [one for one in inbox(instance, account) if one["In-Reply-To"] == message["Message-ID"]]


async def test_the_patient_reads_the_message_and_finds_the_document(instance):
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    demo = instance.demo
    reader = aioimaplib.IMAP4_SSL(demo["host"], demo["ports"]["imaps"], ssl_context=instance.tls())
    await reader.wait_hello_from_server()
    assert (await reader.login(patient["login"], patient["password"])).result == "OK"
    await reader.select("INBOX")
    idle = await reader.idle_start(timeout=60)
    version = make_samples.Version(unique_id="1.2.250.1.999.1.1", set_id="1.2.250.1.999.1")
    letter = make_samples.level1(subject_of(patient), version=version)
    import asyncio

    sent = await asyncio.to_thread(send, instance, doctor, patient, letter)
    pushed = await reader.wait_server_push(timeout=20)
    reader.idle_done()
    await asyncio.wait_for(idle, 10)
    fetched = await reader.fetch("1", "(ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
    await reader.logout()

    assert any(b"EXISTS" in line for line in pushed)
    received = email.message_from_bytes(bytes(fetched.lines[1]), policy=default)
    assert received["Message-ID"] == sent["Message-ID"]
    assert "auth=pass" in received["Authentication-Results"]
    assert "smime=pass" in " ".join(received.get_all("Authentication-Results"))
    [attachment] = inside(received).iter_attachments()
    assert (
        attachment.get_content().encode() == letter or attachment.get_payload(decode=True) == letter
    )
    document = documents_of(instance, patient)["1.2.250.1.999.1.1"]
    assert document["status"] == "Approved"
    assert document["patient"] == patient["ins"]
    assert document["size"] == len(letter)


def test_versions_end_the_same_when_the_second_comes_first(instance):
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    first = make_samples.Version(unique_id="1.2.250.1.999.2.1", set_id="1.2.250.1.999.2")
    second = make_samples.Version(
        unique_id="1.2.250.1.999.2.2",
        set_id="1.2.250.1.999.2",
        version=2,
        replaces="1.2.250.1.999.2.1",
    )
    for version in (second, first, second):
        send(instance, doctor, patient, make_samples.biology(subject_of(patient), version=version))

    documents = documents_of(instance, patient)
    assert documents["1.2.250.1.999.2.1"]["status"] == "Deprecated"
    assert documents["1.2.250.1.999.2.2"]["status"] == "Approved"
    assert sum(key.startswith("1.2.250.1.999.2.") for key in documents) == 2


def test_what_cannot_be_filed_is_held_and_the_sender_told_without_an_ins(instance):
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    import dataclasses

    wrong = dataclasses.replace(subject_of(patient), birth_name="AUTREMENT")
    version = make_samples.Version(unique_id="1.2.250.1.999.3.1", set_id="1.2.250.1.999.3")
    message = send(instance, doctor, patient, make_samples.biology(wrong, version=version))

    assert "1.2.250.1.999.3.1" not in documents_of(instance, patient)
    [held] = [
        one
        for one in instance.json("dmp", "held", "list")
        if one["uniqueId"] == "1.2.250.1.999.3.1"
    ]
    assert held["code"] in (904, "904")
    [report] = reports_to(instance, doctor, message)
    text = report.as_string()
    assert "904" in report["Subject"]
    assert patient["ins"] not in text
    assert "AUTREMENT" not in text
    assert report["Auto-Submitted"].startswith("auto-")


def test_a_patient_not_activated_receives_and_the_sender_is_told(instance):
    nurse = instance.accounts("professional")[1]
    [patient] = [one for one in instance.accounts("patient") if not one["activated"]]
    version = make_samples.Version(unique_id="1.2.250.1.999.4.1", set_id="1.2.250.1.999.4")
    document = make_samples.biology(subject_of(patient), version=version)
    message = send(instance, nurse, patient, document)

    assert "1.2.250.1.999.4.1" in documents_of(instance, patient)
    assert len(reports_to(instance, nurse, message)) == 1
    with pytest.raises(imaplib.IMAP4.error):
        inbox(instance, patient)


def test_after_a_restart_all_is_there_and_the_audit_verifies(instance):
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    before = documents_of(instance, patient)
    messages = len(inbox(instance, patient))
    assert instance.stop() == 0
    instance.start(workers=1)

    assert documents_of(instance, patient) == before
    assert len(inbox(instance, patient)) == messages
    started = time.monotonic()
    send(instance, doctor, patient, subject="Sans document")
    assert len(inbox(instance, patient)) == messages + 1
    assert time.monotonic() - started < 30
    verified = instance.json("audit", "verify")
    assert verified["intact"] is True
    assert verified["cannotSee"]
