"""Professionals and patients write to each other, here and across two operators."""

import csv
import io
import smtplib
import time
from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.journeys.instance import Instance, a_message
from tests.journeys.people import inbox, raw_inbox
from tests.journeys.test_two_operators import a_receipt, about, itself, statuses, submit, until

pytestmark = pytest.mark.timeout(240)

THERE = "acacias.mssante.example"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    folder = tmp_path_factory.mktemp("correspondence")
    here = Instance(folder / "here").init()
    there = Instance(folder / "there").init("--domain", THERE, "--beside", str(here.directory))
    for each in (here, there):
        each.start(workers=2)
    yield here, there
    for each in (here, there):
        assert each.stop() == 0
        assert each.json("audit", "verify")["intact"] is True
        text = each.log.read_text()
        for account in each.accounts("patient"):
            assert account["ins"] not in text
        assert "Traceback" not in text


def written(instance, sender, recipient, subject="Bonjour", **fields):
    message = a_message(sender, recipient["address"], subject)
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    submit(instance, sender, [recipient["address"]], message)
    return message


def received(instance, sender, recipient, subject="Bonjour", *, at=None, **fields):
    """Write and wait until it is there."""
    message = written(instance, sender, recipient, subject, **fields)
    until(itself(at or instance, recipient, message))
    return message


def refusal(instance, sender, recipient, envelope_from=None):
    """What RCPT answers to a refused recipient."""
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        submit(
            instance, sender, [recipient], a_message(sender, recipient, "x"),
            envelope_from=envelope_from,
        )  # fmt: skip
    code, text = caught.value.recipients[recipient]
    return f"{code} {text.decode()}"


def people(instance):
    return instance.accounts("professional")[0], instance.accounts("patient")[0]


def contacts_of(instance, patient):
    lines = instance.json("patient", "contact", "list", "--ins", "-", stdin=patient["ins"])
    return {line["address"]: line for line in lines}


NOT_A_CONTACT = "550 5.7.1 A patient may write to who has written and not closed"


def test_a_patient_answers_the_doctor_until_the_doctor_closes_in_either_form(operators):
    here, _ = operators
    doctor, patient = people(here)
    assert refusal(here, patient, doctor["address"]) == NOT_A_CONTACT

    received(here, doctor, patient)
    received(here, patient, doctor, "Merci")
    received(here, doctor, patient, "Fini", X_MSS_MES="FIN")
    assert refusal(here, patient, doctor["address"]) == NOT_A_CONTACT
    assert contacts_of(here, patient)[doctor["address"]]["cause"] == "X-MSS-MES: FIN"

    received(here, doctor, patient)
    received(here, patient, doctor, "Encore")
    received(here, doctor, patient, "[FIN]")
    assert refusal(here, patient, doctor["address"]) == NOT_A_CONTACT
    assert contacts_of(here, patient)[doctor["address"]]["cause"] == "[FIN]"


def test_reply_to_is_answered_and_the_application_that_wrote_is_not(operators):
    here, _ = operators
    [application], patient = here.accounts("application"), here.accounts("patient")[1]
    [secretariat] = here.accounts("organisation")

    received(here, application, patient, "Résultats", Reply_To=secretariat["address"])

    assert refusal(here, patient, application["address"]) == NOT_A_CONTACT
    received(here, patient, secretariat, "Question")
    received(here, application, patient, "[FIN]")
    assert refusal(here, patient, secretariat["address"]) == NOT_A_CONTACT


def test_a_doctor_elsewhere_is_answered_through_the_relay_until_the_end(operators):
    here, there = operators
    doctor, patient = here.accounts("professional")[1], there.accounts("patient")[0]
    assert refusal(there, patient, doctor["address"]) == NOT_A_CONTACT

    received(here, doctor, patient, at=there)
    answer = received(there, patient, doctor, "Réponse", at=here)
    assert itself(here, doctor, answer)()[0]["From"].addresses[0].addr_spec == patient["address"]

    received(here, doctor, patient, "Fin", at=there, X_MSS_MES="FIN")
    assert refusal(there, patient, doctor["address"]) == NOT_A_CONTACT


def test_patients_of_two_operators_do_not_write_to_each_other(operators):
    here, there = operators
    one, other = here.accounts("patient")[0], there.accounts("patient")[0]

    refused = "550 5.7.1 This sender may not write to that recipient"
    assert refusal(here, one, other["address"]) == refused
    assert refusal(here, one, here.accounts("patient")[1]["address"]) == refused


def test_a_patient_sends_the_read_receipt_that_was_asked_with_the_last_message(operators):
    here, _ = operators
    doctor, patient = here.accounts("professional")[2], here.accounts("patient")[0]
    message = received(
        here, doctor, patient, "Dernier",
        X_MSS_MES="FIN", Disposition_Notification_To=doctor["address"],
    )  # fmt: skip
    assert refusal(here, patient, doctor["address"]) == NOT_A_CONTACT
    assert (
        refusal(here, patient, here.accounts("professional")[1]["address"], "<>") == NOT_A_CONTACT
    )

    receipt = a_receipt(patient, doctor["address"], message["Message-ID"])
    submit(here, patient, [doctor["address"]], receipt, envelope_from="<>")

    [found] = until(itself(here, doctor, receipt))
    assert found["Return-Path"] == "<>"


def test_a_blocked_sender_hears_of_a_closed_mailbox_here_and_elsewhere(operators):
    here, there = operators
    doctor, patient = there.accounts("professional")[0], here.accounts("patient")[1]
    colleague = here.accounts("professional")[0]
    for blocked in (doctor, colleague):
        here.run(
            "patient", "contact", "block", blocked["address"], "--ins", "-", "-c", str(here.config),
            stdin=patient["ins"],
        )  # fmt: skip

    assert refusal(here, colleague, patient["address"]).startswith("550 5.2.1")
    message = written(there, doctor, patient)
    [report] = until(about(there, doctor, message))
    assert statuses(report) == {f"rfc822; {patient['address']}": "failed"}
    assert "5.2.1" in report.as_string()
    assert "block" not in report.as_string().lower()

    for blocked in (doctor, colleague):
        here.run(
            "patient", "contact", "unblock", blocked["address"], "--ins", "-",
            "-c", str(here.config), stdin=patient["ins"],
        )  # fmt: skip
    received(there, doctor, patient, at=here)


def test_a_block_that_only_the_header_meets_is_told_after_acceptance_and_audited(operators):
    here, _ = operators
    doctor, patient = here.accounts("professional")[1], here.accounts("patient")[0]
    [secretariat] = here.accounts("organisation")
    here.run(
        "patient", "contact", "block", secretariat["address"], "--ins", "-", "-c", str(here.config),
        stdin=patient["ins"],
    )  # fmt: skip

    message = written(here, doctor, patient, Reply_To=secretariat["address"])

    [report] = until(about(here, doctor, message))
    assert statuses(report) == {f"rfc822; {patient['address']}": "failed"}
    assert itself(here, patient, message)() == []
    [entry] = [
        line
        for line in here.json("audit", "show", "--kind", "refusal")
        if line["database"] == "mail"
    ]
    assert entry["facts"] == {"detail": "the patient has blocked the sender"}
    assert secretariat["address"] not in contacts_of(here, patient) or (
        not contacts_of(here, patient)[secretariat["address"]]["open"]
    )


def test_a_patient_who_is_not_activated_receives_is_invited_and_the_sender_is_told(operators):
    here, _ = operators
    doctor = here.accounts("professional")[0]
    [waiting] = [one for one in here.accounts("patient") if not one["activated"]]

    message = written(here, doctor, waiting)

    [report] = until(about(here, doctor, message))
    assert "messagerie non activée" in report["Subject"]
    [invitation] = here.json("patient", "invitations", "--take")
    assert invitation["messages"] == 1
    assert waiting["ins"] not in str(invitation)
    assert here.json("patient", "invitations") == []
    assert len(here.json("patient", "invitations", "--all")) == 1


def test_closed_and_objected_spaces_refuse_alike_and_open_again(operators):
    here, _ = operators
    doctor, patient = here.accounts("professional")[0], here.accounts("patient")[3]

    def do(verb):
        here.run("patient", verb, "--ins", "-", "-c", str(here.config), stdin=patient["ins"])

    answers = set()
    for verb in ("close", "object"):
        do(verb)
        answers.add(refusal(here, doctor, patient["address"]))
    assert answers == {"550 5.2.1 This mailbox does not take messages"}
    do("activate")
    received(here, doctor, patient)


def test_a_pharmacy_that_opens_its_mailbox_is_written_to_first(operators):
    here, _ = operators
    patient = here.accounts("patient")[3]
    [secretariat] = here.accounts("organisation")
    assert refusal(here, patient, secretariat["address"]) == NOT_A_CONTACT

    here.run("mailbox", "set", secretariat["address"], "--open-to-patients", "-c", str(here.config))
    received(here, patient, secretariat, "Ordonnance")

    here.run(
        "mailbox", "set", secretariat["address"], "--no-open-to-patients", "-c", str(here.config)
    )
    assert refusal(here, patient, secretariat["address"]) == NOT_A_CONTACT


def test_the_postmaster_is_reached_from_here_and_from_elsewhere(operators):
    here, there = operators
    [secretariat] = here.accounts("organisation")
    for instance in operators:
        doctor = instance.accounts("professional")[0]
        to = {"address": f"postmaster@{here.demo['domain']}"}
        message = written(instance, doctor, to, "Abus")
        until(itself(here, secretariat, message))


FIELDS = (
    b"X-MSS-CODECDA: 34112-3,PRESC-BIO\r\n"
    b"x-mss-ins:O\r\n"
    b"X-Mss-NIL:\r\n\t EDITEUR-0001  \r\n"
    b"X-MSS-MES : \t FIN\r\n"
    b"X-MSS-AUTRE: =?utf-8?q?=C3=A9?= brut \xc3\xa9\xe9\r\n"
)


def test_the_fields_of_mssante_are_carried_byte_for_byte_here_and_elsewhere(operators):
    here, there = operators
    doctor = here.accounts("professional")[0]
    colleague = there.accounts("professional")[0]
    head = f"From: {doctor['address']}\r\nTo: x\r\nSubject: Champs\r\nMessage-ID: <m{time.time()}@x>\r\n"
    content = head.encode() + FIELDS + b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nCorps\r\n"
    with here.smtp(doctor) as client:
        client.sendmail(
            doctor["address"], [doctor["address"], colleague["address"]], content,
            mail_options=["BODY=8BITMIME"],
        )  # fmt: skip

    for instance, account in ((here, doctor), (there, colleague)):
        [raw] = until(lambda: [one for one in raw_inbox(instance, account) if FIELDS in one])
        # The seal wraps the body; of the fields outside nothing moves.
        assert content.partition(b"Date:")[0] in raw


def test_the_monthly_file_equals_an_independent_recount_of_the_logs(operators):
    for instance in operators:
        instance.wait_until_carried()
        month = f"{datetime.now(ZoneInfo('Europe/Paris')):%Y-%m}"
        lines = instance.json("indicators", "--month", month)
        counted = {(one["domain"], one["indicator"], one["detail"]): one["value"] for one in lines}
        assert {key: value for key, value in counted.items() if key[1] in RECOUNTED} == recount(
            instance
        )
        written = instance.run(
            "indicators", "--month", month, "--csv", "-c", str(instance.config),
            "--columns", "domain=Domaine,indicator,detail,value",
        )  # fmt: skip
        rows = list(csv.reader(io.StringIO(written)))
        assert rows[0] == ["Domaine", "indicator", "detail", "value"]
        assert {tuple(row[:3]): int(row[3]) for row in rows[1:]} == counted
        assert counted[instance.demo["domain"], "mailboxes", "PER"] == 3
    assert instance.run(
        "indicators", "--month", "2020-01", "--csv", "-c", str(instance.config)
    ) == ("month,domain,indicator,detail,value\n")


RECOUNTED = (
    "exchanges-received", "exchanges-sent", "messages-sent", "mailboxes-active", "octets-sent",
    "messages-by-document-code", "messages-by-product", "messages-by-ins", "accounts-signed-in",
    "messages-ending", "receipts-sent",
)  # fmt: skip


def recount(instance):
    """Counted again from what `audit show` and `mailbox list` print, in another way."""
    boxes = {box["id"]: box for box in instance.json("mailbox", "list")}
    entries = instance.json("audit", "show", "--limit", "100000")
    found, active, signed_in = Counter(), set(), set()
    for entry in entries:
        box = boxes.get(entry["subject"])
        facts = entry["facts"]
        if box is None or entry["outcome"] != "done":
            continue
        domain = box["address"].rpartition("@")[2]
        if entry["kind"] == "sign-in":
            day = datetime.fromisoformat(entry["time"]).astimezone(ZoneInfo("Europe/Paris"))
            active.add((domain, box["type"], box["id"]))
            signed_in.add((domain, f"{day:%Y-%m-%d} {facts['service']}", entry["actor"]))
        elif entry["kind"] == "delivery" and "receipt" not in facts:
            to = "patient" if box["patient"] else "pro"
            found[domain, "exchanges-received", f"{facts['from']}-{to} {facts['way']}"] += 1
        elif entry["kind"] == "admission" and "receipt" in facts:
            found[domain, "receipts-sent", ""] += 1
        elif entry["kind"] == "admission":
            found[domain, "messages-sent", ""] += 1
            found[domain, "octets-sent", ""] += facts["size"]
            for kind, way in (("here", "local"), ("elsewhere", "out")):
                for to in ("pro", "patient"):
                    if f"{to}_{kind}" in facts:
                        detail = f"{facts['from']}-{to} {way}"
                        found[domain, "exchanges-sent", detail] += facts[f"{to}_{kind}"]
            for code in filter(None, facts.get("codecda", "").split(",")):
                found[domain, "messages-by-document-code", code] += 1
            for fact, name in (("nil", "messages-by-product"), ("ins", "messages-by-ins")):
                if fact in facts:
                    found[domain, name, facts[fact]] += 1
            if "fin" in facts:
                found[domain, "messages-ending", ""] += 1
    for domain, kind, _ in active:
        found[domain, "mailboxes-active", kind] += 1
    for domain, detail, _ in signed_in:
        found[domain, "accounts-signed-in", detail] += 1
    return dict(found)
