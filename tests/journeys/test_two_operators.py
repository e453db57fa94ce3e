"""Two operators, each a real instance, exchange messages with documents and receipts."""

import email
import imaplib
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import dkim
import make_samples
import pytest

from tests.journeys.instance import Instance, a_message
from tests.journeys.people import documents_of, inbox, raw_inbox, subject_of

pytestmark = pytest.mark.timeout(180)

HERE, THERE = "tilleuls.mssante.example", "acacias.mssante.example"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operators")
    here = Instance(folder / "here").init()
    there = Instance(folder / "there").init("--domain", THERE, "--beside", str(here.directory))
    for each in (here, there):
        each.start(workers=2)
    yield here, there
    for each in (here, there):
        assert each.stop() == 0
    for each in (here, there):
        text = each.log.read_text()
        for account in each.accounts("patient"):
            assert account["ins"] not in text
        assert "Traceback" not in text


def submit(instance, sender, recipients, message, *, mail=(), rcpt=(), envelope_from=None):
    with instance.smtp(sender) as client:
        client.ehlo()
        content = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        source = sender["address"] if envelope_from is None else envelope_from
        client.sendmail(source, recipients, content, mail_options=mail, rcpt_options=rcpt)


def until(look, wanted=1, seconds=30):
    """What `look` finds, once there is so much of it."""
    deadline = time.monotonic() + seconds
    while len(found := look()) < wanted:
        assert time.monotonic() < deadline, f"found {len(found)} of {wanted}"
        time.sleep(0.1)
    return found


def about(instance, account, message):
    """What came into an inbox about a message."""
    wanted = message["Message-ID"]
    return lambda: [one for one in inbox(instance, account) if one["In-Reply-To"] == wanted]


def itself(instance, account, message):
    wanted = message["Message-ID"]
    return lambda: [one for one in inbox(instance, account) if one["Message-ID"] == wanted]


def statuses(report):
    assert report.get_content_type() == "multipart/report"
    _, status, _ = report.iter_parts()
    _, *groups = status.get_payload()
    return {group["Final-Recipient"]: group["Action"] for group in groups}


def test_a_document_goes_to_a_patient_of_the_other_operator_both_ways(operators):
    for number, (one, other) in enumerate((operators, operators[::-1])):
        doctor, patient = one.accounts("professional")[0], other.accounts("patient")[0]
        version = make_samples.Version(
            unique_id=f"1.2.250.1.999.70.{number}", set_id=f"1.2.250.1.999.71.{number}"
        )
        letter = make_samples.level1(subject_of(patient), version=version)
        message = a_message(doctor, patient["address"], "Compte rendu", ("lettre.xml", letter))

        submit(one, doctor, [patient["address"]], message)

        [received] = until(itself(other, patient, message))
        assert "x-mss-operator=pass" in str(received["Authentication-Results"])
        assert [str(hop).split()[3] for hop in received.get_all("Received")] == [
            other.demo["domain"], one.demo["domain"],
        ]  # fmt: skip
        other.wait_until_carried()
        found = documents_of(other, patient)[version.unique_id]
        assert found["status"] == "Approved"


def test_what_goes_out_is_sealed_by_the_mailbox_and_signed_by_the_domain(operators):
    here, there = operators
    doctor, colleague = here.accounts("professional")[0], there.accounts("professional")[0]
    message = a_message(doctor, colleague["address"], "Signé deux fois")
    message["X-Originating-IP"] = "10.1.2.3"

    submit(here, doctor, [colleague["address"]], message)

    [received] = until(itself(there, colleague, message))
    results = " ".join(map(str, received.get_all("Authentication-Results")))
    assert f"smime=pass body.smime-identifier={doctor['address']}" in " ".join(results.split())
    assert " ".join(received["X-MSS-Smime"].split()).startswith("valid; by=signed; address=")
    assert received["X-Originating-IP"] is None
    record = here.json("domain", "dkim", HERE)
    assert record["name"] == f"mss._domainkey.{HERE}"
    [raw] = raw_inbox(there, colleague, "HEADER", "Message-ID", message["Message-ID"])
    assert dkim.verify(raw, dnsfunc=lambda name, timeout=5: record["value"])
    assert not dkim.verify(
        raw.replace(b"\r\nSubject: ", b"\r\nSubject: Re: "),
        dnsfunc=lambda *_, **__: record["value"],
    )


def test_the_sender_hears_of_success_failure_and_mixed_recipients(operators):
    here, there = operators
    doctor, colleague = here.accounts("professional")[0], there.accounts("professional")[0]
    nobody = f"personne@{THERE}"
    message = a_message(doctor, colleague["address"], "Avis")

    submit(
        here, doctor, [colleague["address"], nobody], message,
        mail=["RET=HDRS", "ENVID=essai+2B1"], rcpt=["NOTIFY=SUCCESS,FAILURE"],
    )  # fmt: skip

    reports = until(about(here, doctor, message), wanted=2)
    found = {}
    for report in reports:
        found |= statuses(report)
        assert list(report.iter_parts())[1].get_payload()[0]["Original-Envelope-Id"] == "essai+1"
    assert found == {
        f"rfc822; {colleague['address']}": "delivered",
        f"rfc822; {nobody}": "failed",
    }
    assert {one["From"].addresses[0].domain for one in reports} == {HERE, THERE}


def test_a_failure_is_told_although_nothing_was_asked_and_never_when_it_is_not_wanted(operators):
    here, _ = operators
    doctor = here.accounts("professional")[0]
    told, untold = (a_message(doctor, f"personne@{THERE}", "Avis") for _ in range(2))

    submit(here, doctor, [f"personne@{THERE}"], untold, rcpt=["NOTIFY=NEVER"])
    submit(here, doctor, [f"personne@{THERE}"], told)

    [report] = until(about(here, doctor, told))
    assert statuses(report) == {f"rfc822; personne@{THERE}": "failed"}
    assert about(here, doctor, untold)() == []


def test_a_read_receipt_goes_back_to_who_asked_for_it(operators):
    here, there = operators
    doctor, colleague = here.accounts("professional")[0], there.accounts("professional")[1]
    message = a_message(doctor, colleague["address"], "À lire")
    message["Disposition-Notification-To"] = doctor["address"]
    submit(here, doctor, [colleague["address"]], message)
    [received] = until(itself(there, colleague, message))
    assert received["Disposition-Notification-To"] == doctor["address"]

    receipt = a_receipt(colleague, doctor["address"], message["Message-ID"])
    submit(there, colleague, [doctor["address"]], receipt, envelope_from="<>")

    [found] = until(itself(here, doctor, receipt))
    assert found["Return-Path"] == "<>"
    assert found.get_content_type() == "multipart/report"
    assert found.get_param("report-type") == "disposition-notification"


def test_the_way_of_a_message_is_told_from_its_acceptance_to_its_reading(operators):
    here, there = operators
    doctor, colleague = here.accounts("professional")[0], there.accounts("professional")[2]
    message = a_message(doctor, colleague["address"], "Suivi")
    message["Disposition-Notification-To"] = doctor["address"]
    submit(here, doctor, [colleague["address"]], message, rcpt=["NOTIFY=SUCCESS,FAILURE"])
    until(about(here, doctor, message))
    assert itself(there, colleague, message)()  # read
    receipt = a_receipt(colleague, doctor["address"], message["Message-ID"])
    submit(there, colleague, [doctor["address"]], receipt, envelope_from="<>")
    until(itself(here, doctor, receipt))
    here.wait_until_carried()

    [sent] = here.json("trace", "--message-id", message["Message-ID"])
    [received] = there.json("trace", "--to", colleague["address"], "--from", doctor["address"])

    whats = [step["what"] for step in sent["steps"]]
    assert whats[0] == "accepted"
    assert {"relayed", "delivered", "read"} <= set(whats)
    assert (sent["standing"], sent["unconfirmed"]) == ("read", False)
    assert sent["asked"] == ["delivery", "reading"]
    assert [step["what"] for step in received["steps"]][:2] == ["accepted", "delivered"]
    assert here.json("trace", "--unconfirmed", "0", "--message-id", message["Message-ID"]) == []
    until(lambda: [
        step for step in there.json("trace", received["id"])[0]["steps"] if step["what"] == "read"
    ])  # fmt: skip


def a_receipt(reader, to, original):
    """As a mail client answers Disposition-Notification-To (RFC 8098)."""
    receipt = EmailMessage()
    receipt["From"] = reader["address"]
    receipt["To"] = to
    receipt["Subject"] = "Lu : À lire"
    receipt["Date"] = formatdate(localtime=True)
    receipt["Message-ID"] = make_msgid(domain="client.example")
    receipt.make_mixed()
    text = EmailMessage()
    text.set_content("Le message a été affiché.")
    status = email.message.Message()
    status["Content-Type"] = "message/disposition-notification"
    status.set_payload(
        f"Reporting-UA: client.example\r\nFinal-Recipient: rfc822;{reader['address']}\r\n"
        f"Original-Message-ID: {original}\r\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\r\n"
    )
    receipt.attach(text)
    receipt.attach(status)
    receipt.replace_header("Content-Type", "multipart/report; report-type=disposition-notification")
    return receipt


def test_a_sender_elsewhere_is_told_what_was_not_filed_and_not_delivered(operators):
    here, there = operators
    doctor = here.accounts("professional")[0]
    patient, another = there.accounts("patient")[:2]
    version = make_samples.Version(unique_id="1.2.250.1.999.72.1", set_id="1.2.250.1.999.72")
    letter = make_samples.level1(subject_of(another), version=version)
    message = a_message(doctor, patient["address"], "Erreur", ("lettre.xml", letter))

    submit(here, doctor, [patient["address"]], message)

    [report] = until(about(here, doctor, message))
    assert report["Subject"].startswith("[KO Alimentation DMP]")
    assert report["From"].addresses[0].domain == THERE
    assert itself(there, patient, message)() == []
    assert version.unique_id not in documents_of(there, another)
    assert patient["ins"] not in report.as_string()


def test_a_listed_domain_is_accepted_at_rcpt_and_any_other_refused(operators):
    here, _ = operators
    doctor = here.accounts("professional")[0]
    with here.smtp(doctor) as client:
        client.mail(doctor["address"])
        answers = [
            client.rcpt(f"x@{domain}")
            for domain in (THERE, "hors-liste.example", "gmail.example", f"sub.{THERE}")
        ]

    assert [code for code, _ in answers] == [250, 550, 550, 550]
    assert all(text.startswith(b"5.7.1") for _, text in answers[1:])


def test_mail_waits_while_the_other_operator_is_away_and_is_seen_in_the_queue(operators):
    here, there = operators
    doctor, colleague = here.accounts("professional")[0], there.accounts("professional")[0]
    patient = there.accounts("patient")[0]
    assert there.stop() == 0
    message = a_message(doctor, colleague["address"], "Plus tard")
    submit(here, doctor, [colleague["address"], patient["address"]], message)

    def waiting():
        return [one for one in here.json("queue", "list") if one["attempts"]]

    lines = until(waiting, wanted=2)
    assert {one["to"] for one in lines} == {THERE, f"patient.{THERE}"}
    shown = here.run("queue", "list", "-c", str(here.config), "--json")
    assert patient["ins"] not in shown
    [detail] = [
        one for one in here.json("queue", "show", lines[0]["message"]) if one["to"] == THERE
    ]
    assert detail["recipients"][0]["status"] == "4.4.1"
    here.run("queue", "hold", "-c", str(here.config), "--domain", THERE)
    there.start(workers=2)
    until(itself(there, patient, message))
    assert [one["state"] for one in here.json("queue", "list")] == ["hold"]
    assert itself(there, colleague, message)() == []

    here.run("queue", "retry", "-c", str(here.config), "--all")

    until(itself(there, colleague, message))
    until(lambda: [1] if not here.json("queue", "list") else [])
    assert len(itself(there, colleague, message)()) == 1


def test_an_attachment_that_is_not_carried_goes_nowhere_and_its_sender_is_told(operators):
    here, there = operators
    doctor, colleague = here.accounts("professional")[0], there.accounts("professional")[0]
    message = a_message(doctor, colleague["address"], "Programme")
    message.add_attachment(
        b"MZ", maintype="application", subtype="octet-stream", filename="visionneuse.exe"
    )
    neighbour = here.accounts("professional")[1]

    submit(here, doctor, [colleague["address"], neighbour["address"]], message)

    [report] = until(about(here, doctor, message))
    assert set(statuses(report).values()) == {"failed"}
    assert "5.7.1" in report.as_string()
    assert itself(here, neighbour, message)() == []
    [traced] = here.json("trace", "--message-id", message["Message-ID"])
    assert traced["steps"][0]["outcome"] == "content-refused"
    assert not any(step["what"] == "relayed" for step in traced["steps"])


def test_what_an_administrator_drops_is_told_to_its_sender(operators):
    here, _ = operators
    doctor = here.accounts("professional")[0]
    message = a_message(doctor, "x@hopital-voisin.example", "Sans réponse")
    submit(here, doctor, ["x@hopital-voisin.example"], message)
    [line] = until(lambda: here.json("queue", "list"))

    here.run("queue", "drop", line["message"], "-c", str(here.config))

    [report] = until(about(here, doctor, message))
    assert statuses(report) == {"rfc822; x@hopital-voisin.example": "failed"}
    assert here.json("queue", "list") == []
    assert here.json("audit", "verify")["intact"] is True
