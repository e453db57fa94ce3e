"""S/MIME from outside, on a real instance: clients that sign, encrypt, or leave it to the server."""

import asyncio
import email
import imaplib
import json
import shutil
import subprocess
import time
from datetime import UTC, datetime
from email.policy import SMTP, default
from pathlib import Path

import make_samples
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.composition.stores import open_stores
from mssante.kernel.address import Address
from mssante.settings import load
from mssante.trust import pki
from mssante.trust.path import Purpose
from tests.journeys.instance import Instance, a_message
from tests.journeys.people import documents_of, inbox, raw_inbox, subject_of
from tests.support import mail_pki
from tests.support.enveloping import by_ecdh, enveloped_cbc, enveloped_gcm
from tests.support.mail_pki import Party

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    made = Instance(tmp_path_factory.mktemp("smime") / "instance").init()
    made.start(workers=2)
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def doctor(instance):
    return instance.accounts("professional")[0]


@pytest.fixture(scope="module")
def nurse(instance):
    return instance.accounts("professional")[1]


@pytest.fixture(scope="module")
def signer(instance):
    """The professional whose client has a pair of its own."""
    return instance.accounts("professional")[2]


@pytest.fixture(scope="module")
def patient(instance):
    return instance.accounts("patient")[0]


def authority(instance) -> pki.Credential:
    tls = instance.directory / "tls"
    return pki.Credential.read(tls / "mailbox-ca.pem", tls / "mailbox-ca.key")


def own_pair(instance, account) -> Party:
    pair = account["smime"]
    read = pki.Credential.read(Path(pair["certificate"]), Path(pair["key"]))
    return Party(read.certificate, read.key)


def certificate_of(instance, account) -> x509.Certificate:
    """What a correspondent asks for to encrypt."""
    text = instance.run(
        *("-c", str(instance.config), "smime", "certificate", account["address"]),
        *("--purpose", "encrypt", "--issue"),
    )
    return x509.load_pem_x509_certificate(text.encode())


def fields_of(sender, recipients, subject="Essai", **more):
    """The outer fields; Message-ID first."""
    number = f"{time.time_ns()}@client.example"
    lines = [
        f"Message-ID: <{number}>",
        f"From: {sender['name']} <{sender['address']}>",
        f"To: {', '.join(recipients)}",
        f"Subject: {subject}",
        "Date: Mon, 23 Nov 2026 10:00:00 +0100",
        "MIME-Version: 1.0",
    ]
    return number, "".join(f"{line}\r\n" for line in lines).encode()


def an_entity(text="Bonjour,\r\n", *documents) -> bytes:
    """A MIME entity as a client writes it before signing."""
    message = email.message.EmailMessage(policy=SMTP)
    message.set_content(text, cte="7bit")
    for n, document in enumerate(documents):
        message.add_attachment(
            document, maintype="text", subtype="xml", filename=f"d{n}.xml", cte="base64"
        )
    del message["MIME-Version"]
    return message.as_bytes()


def submit(instance, sender, recipients, content):
    with instance.smtp(sender) as client:
        client.sendmail(sender["address"], recipients, content)
    instance.wait_until_carried()


def delivered(instance, account, number) -> bytes | None:
    """The octets of the message with this Message-ID, prefix included; the last one of several."""
    found = raw_inbox(instance, account, "HEADER", "Message-ID", f'"{number}"')
    return found[-1] if found else None


def reports_to(instance, account, number) -> list[email.message.EmailMessage]:
    return inbox(instance, account, "HEADER", "In-Reply-To", f'"{number}"')


def verdict_in(raw: bytes) -> tuple[str, str]:
    """(result in Authentication-Results, X-MSS-Smime on one line)."""
    header = email.message_from_bytes(raw, policy=default)
    [results] = [each for each in header.get_all("Authentication-Results") if "smime=" in each]
    [verdict] = header.get_all("X-MSS-Smime")
    return results.partition("smime=")[2].split()[0], " ".join(verdict.split())


def a_document(patient, number, **changes):
    version = make_samples.Version(
        unique_id=f"1.2.250.1.999.70.{number}", set_id=f"1.2.250.1.999.70.{number}.0"
    )
    import dataclasses

    subject = dataclasses.replace(subject_of(patient), **changes)
    return make_samples.level1(subject, version=version), version.unique_id


def openssl(*arguments, check=True, **options):
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("NO OPENSSL: no other implementation takes part")
    return subprocess.run(
        [command, *map(str, arguments)], capture_output=True, check=check, **options
    )


# --- sealing ---------------------------------------------------------------------------------


def test_what_a_member_submits_is_sealed_and_good_for_another_implementation(
    instance, doctor, nurse, tmp_path
):
    number, fields = fields_of(doctor, [nurse["address"]], "Été")
    body = "Content-Type: text/plain; charset=utf-8\r\n\r\nDéjà vu. \r\nFrom here.\r\n".encode()
    submit(instance, doctor, [nurse["address"]], fields + body)

    raw = delivered(instance, nurse, number)
    result, verdict = verdict_in(raw)
    assert result == "pass"
    assert verdict.startswith(f"valid; by=sealed; address={doctor['address']}; serial=")
    assert fields.replace(b"MIME-Version: 1.0\r\n", b"") in raw
    read = email.message_from_bytes(raw, policy=default)
    assert read.get_content_type() == "multipart/signed"
    [text, _] = read.iter_parts()
    assert text.get_content().splitlines() == ["Déjà vu. ", "From here."]
    (tmp_path / "mail.eml").write_bytes(raw)
    done = openssl(
        "cms", "-verify", "-in", tmp_path / "mail.eml", "-CAfile", instance.demo["ca_file"]
    )
    assert b"successful" in done.stderr


def test_a_receipt_and_the_null_reverse_path_are_not_sealed(instance, doctor, nurse):
    number, fields = fields_of(doctor, [nurse["address"]])
    content = fields + b"\r\nOne.\r\n"
    with instance.smtp(doctor) as client:
        client.sendmail("", [nurse["address"]], content)
    other, fields = fields_of(doctor, [nurse["address"]])
    report = (
        fields + b"Content-Type: multipart/report; report-type=disposition-notification;"
        b' boundary="b"\r\n\r\n--b\r\n\r\nRead.\r\n--b\r\n'
        b"Content-Type: message/disposition-notification\r\n\r\nFinal-Recipient: x\r\n--b--\r\n"
    )
    submit(instance, doctor, [nurse["address"]], report)

    assert delivered(instance, nurse, number).endswith(content)
    assert verdict_in(delivered(instance, nurse, number))[0] == "none"
    assert delivered(instance, nurse, other).endswith(report)


def test_a_verdict_that_a_client_writes_itself_is_taken_away(instance, doctor, nurse):
    number, fields = fields_of(doctor, [nurse["address"]])
    forged = b"X-MSS-Smime: valid; by=signed; address=boss@x.example\r\nX-mss-smime : valid\r\n"
    submit(instance, doctor, [nurse["address"]], forged + fields + b"\r\nOne.\r\n")

    raw = delivered(instance, nurse, number)
    assert b"boss@" not in raw
    assert raw.lower().count(b"x-mss-smime") == 1


# --- clients that sign -----------------------------------------------------------------------


def test_what_a_client_signed_keeps_its_bytes(instance, signer, nurse, tmp_path):
    pair = signer["smime"]
    number, fields = fields_of(signer, [nurse["address"]])
    (tmp_path / "in").write_bytes(an_entity("Signé chez moi : oui\r\n".replace("é", "e")))
    made = openssl(
        *("cms", "-sign", "-in", tmp_path / "in", "-signer", pair["certificate"]),
        *("-inkey", pair["key"], "-certfile", instance.directory / "tls" / "mailbox-ca.pem"),
    ).stdout
    made = (
        made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").removeprefix(b"MIME-Version: 1.0\r\n")
    )
    content = fields + made
    submit(instance, signer, [nurse["address"]], content)

    raw = delivered(instance, nurse, number)
    assert raw.endswith(content)
    result, verdict = verdict_in(raw)
    assert result == "pass"
    assert verdict.startswith(f"valid; by=signed; address={signer['address']}")


def signed_by_client(instance, signer, entity) -> bytes:
    issuing = Party(authority(instance).certificate, None)
    return mail_pki.clear_signed(entity, own_pair(instance, signer), chain=[issuing])


def test_a_changed_text_and_anothers_signature_are_told_to_the_reader(
    instance, signer, doctor, nurse
):
    number, fields = fields_of(signer, [nurse["address"]])
    signed = signed_by_client(instance, signer, an_entity("Trois fois par jour\r\n"))
    submit(instance, signer, [nurse["address"]], fields + signed.replace(b"Trois", b"Douze"))
    other, fields = fields_of(doctor, [nurse["address"]])
    submit(instance, doctor, [nurse["address"]], fields + signed)

    assert verdict_in(delivered(instance, nurse, number))[0] == "fail"
    result, verdict = verdict_in(delivered(instance, nurse, other))
    assert result == "fail"
    assert verdict.startswith("address-mismatch; by=signed")


def test_a_certificate_that_is_not_for_signing_is_told_so(instance, signer, nurse):
    issuing = authority(instance)
    wrong = pki.issue_mailbox(
        issuing, signer["address"], "Wrong", Purpose.ENCRYPT, datetime.now(UTC)
    )
    signed = mail_pki.clear_signed(
        an_entity(), Party(wrong.certificate, wrong.key), chain=[Party(issuing.certificate, None)]
    )
    number, fields = fields_of(signer, [nurse["address"]])
    submit(instance, signer, [nurse["address"]], fields + signed)

    result, verdict = verdict_in(delivered(instance, nurse, number))
    assert (result, verdict.partition(";")[0]) == ("policy", "wrong-usage")


# --- documents -------------------------------------------------------------------------------


def opaque(instance, signer, entity) -> bytes:
    issuing = Party(authority(instance).certificate, None)
    return mail_pki.opaque_signed(entity, own_pair(instance, signer), chain=[issuing])


def test_a_document_inside_an_opaque_signature_is_filed(instance, signer, patient):
    document, unique_id = a_document(patient, 1)
    number, fields = fields_of(signer, [patient["address"]])
    content = fields + opaque(instance, signer, an_entity("Bonjour\r\n", document))
    submit(instance, signer, [patient["address"]], content)

    assert documents_of(instance, patient)[unique_id]["size"] == len(document)
    assert delivered(instance, patient, number).endswith(content)
    assert reports_to(instance, signer, number) == []


def test_a_document_of_another_person_inside_an_opaque_signature_keeps_the_message_back(
    instance, signer, patient
):
    other = instance.accounts("patient")[1]
    document, unique_id = a_document(other, 2)
    number, fields = fields_of(signer, [patient["address"]])
    content = fields + opaque(instance, signer, an_entity("Bonjour\r\n", document))
    submit(instance, signer, [patient["address"]], content)

    assert delivered(instance, patient, number) is None
    assert unique_id not in documents_of(instance, other)
    [report] = reports_to(instance, signer, number)
    assert "904" in report["Subject"]


def test_a_document_under_a_signature_that_is_not_valid_is_held_and_the_sender_told(
    instance, signer, patient
):
    document, unique_id = a_document(patient, 3)
    number, fields = fields_of(signer, [patient["address"]])
    signed = signed_by_client(instance, signer, an_entity("Bonjour\r\n", document))
    submit(instance, signer, [patient["address"]], fields + signed.replace(b"Bonjour", b"Bonsoir"))

    assert unique_id not in documents_of(instance, patient)
    [held] = [one for one in instance.json("dmp", "held", "list") if one["uniqueId"] == unique_id]
    assert held["cause"] == "signature-not-valid"
    [report] = reports_to(instance, signer, number)
    assert "la signature du message n'est pas valide" in report.get_body().get_content()
    assert verdict_in(delivered(instance, patient, number))[0] == "fail"


# --- encryption ------------------------------------------------------------------------------


def test_mail_that_openssl_encrypted_for_a_mailbox_is_opened_and_the_original_kept(
    instance, signer, nurse, tmp_path
):
    certificate_of(instance, nurse)
    pem = instance.run(
        *("-c", str(instance.config), "smime", "certificate", nurse["address"]),
        *("--purpose", "encrypt"),
    )
    (tmp_path / "nurse.pem").write_text(
        pem.partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )
    (tmp_path / "in").write_bytes(signed_by_client(instance, signer, an_entity("Un secret\r\n")))
    made = openssl(
        *("cms", "-encrypt", "-aes-256-cbc", "-binary", "-in", tmp_path / "in"),
        tmp_path / "nurse.pem",
    ).stdout
    made = (
        made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").removeprefix(b"MIME-Version: 1.0\r\n")
    )
    number, fields = fields_of(signer, [nurse["address"]])
    submit(instance, signer, [nurse["address"]], fields + made)

    raw = delivered(instance, nurse, number)
    result, verdict = verdict_in(raw)
    assert result == "pass"
    assert "decrypt=ok" in verdict
    assert verdict.startswith(f"valid; by=signed; address={signer['address']}")
    read = email.message_from_bytes(raw, policy=default)
    assert read.get_content().strip() == "Un secret"
    assert read["Message-ID"] == f"<{number}>"
    evidence, original = asyncio.run(kept(instance, nurse, number))
    assert original == fields + made
    assert (evidence.verdict, evidence.decryption) == ("valid", "ok")


async def kept(instance, account, number):
    """The evidence beside a delivered message, and the original that it names."""
    async with open_stores(load(instance.config), owner="look") as stores:
        mailbox = await stores.directory.mailbox_by_address(Address.split(account["address"]))
        inbox = await stores.mailboxes.folder(mailbox.id, "INBOX")
        changes = await stores.mailboxes.changes(inbox.number, None)
        async for row, message in stores.mailboxes.messages(inbox.number, changes.rows):
            if number.encode() in message.summary:
                evidence = await stores.mailboxes.evidence(row.message_id)
                return evidence, stores.mail_blobs.read(evidence.original)
    raise AssertionError("the message is not there")


def encrypted(entity, *certificates, make=enveloped_gcm) -> bytes:
    recipients = [lambda key, one=one: by_ecdh(Party(one, None), key) for one in certificates]
    return mail_pki.cms_entity(make(entity, recipients), "enveloped-data")


def test_a_document_that_was_signed_and_encrypted_is_filed(instance, signer, nurse, patient):
    certificate = certificate_of(instance, nurse)
    document, unique_id = a_document(patient, 4)
    signed = signed_by_client(instance, signer, an_entity("Bonjour\r\n", document))
    to = [nurse["address"], patient["address"]]
    number, fields = fields_of(signer, to)
    content = fields + encrypted(signed, certificate)
    submit(instance, signer, to, content)

    assert unique_id in documents_of(instance, patient)
    assert b"pkcs7-mime" not in delivered(instance, nurse, number)
    assert delivered(instance, patient, number).endswith(content)
    assert reports_to(instance, signer, number) == []


def told(report) -> tuple[str, str, dict]:
    """A report without what tells one message from another: times."""
    [text, machine] = report.iter_parts()
    values = json.loads(machine.get_content())
    for name in ("acceptedAt", "reportedAt"):
        del values[name]
    lines = [line for line in text.get_content().splitlines() if "accept" not in line]
    return report["Subject"], "\n".join(lines), values


def test_whatever_is_wrong_with_an_encrypted_content_the_sender_learns_the_same(
    instance, signer, nurse, patient
):
    """No oracle: not even whether a key opened it, or a document was inside, for whom."""
    certificate = certificate_of(instance, nurse)
    document, unique_id = a_document(patient, 5)
    foreign, _ = a_document(instance.accounts("patient")[1], 6)
    signed = signed_by_client(instance, signer, an_entity("Bonjour\r\n", document))
    damaged = bytearray(enveloped_gcm(signed, [lambda key: by_ecdh(Party(certificate, None), key)]))
    damaged[-1] ^= 1
    unnamed = an_entity("Bonjour\r\n", foreign)
    contents = {
        "damaged": mail_pki.cms_entity(bytes(damaged)),
        "unsigned, without integrity": encrypted(
            an_entity("B\r\n", document), certificate, make=enveloped_cbc
        ),
        "signature inside broken": encrypted(signed.replace(b"Bonjour", b"Bonsoir"), certificate),
        "another person's, unsigned": encrypted(unnamed, certificate),
        "no document, without integrity": encrypted(
            an_entity("Rien\r\n"), certificate, make=enveloped_cbc
        ),
        "garbage": encrypted(b"\xff\xfe\0garbage" * 9, certificate, make=enveloped_cbc),
        "signed outside": signed_by_client(
            instance, signer, encrypted(an_entity("B\r\n", document), certificate)
        ),
    }
    to = [nurse["address"], patient["address"]]
    found = {}
    for name, content in contents.items():
        number, fields = fields_of(signer, to)
        submit(instance, signer, to, fields + content)
        [report] = reports_to(instance, signer, number)
        found[name] = told(report)
        assert delivered(instance, nurse, number) is not None

    assert len({json.dumps(one) for one in found.values()}) == 1, found
    assert unique_id not in documents_of(instance, patient)


def test_mail_that_only_its_recipient_can_open_passes_untouched_and_the_sender_is_told_so(
    instance, signer, patient
):
    elsewhere = mail_pki.MailPki()
    document, unique_id = a_document(patient, 7)
    content = mail_pki.cms_entity(
        enveloped_gcm(an_entity("B\r\n", document), [lambda key: by_ecdh(elsewhere.alice, key)])
    )
    number, fields = fields_of(signer, [patient["address"]])
    submit(instance, signer, [patient["address"]], fields + content)

    raw = delivered(instance, patient, number)
    assert raw.endswith(fields + content)
    assert verdict_in(raw)[1] == "none; reason=no-recipient-key; decrypt=no-recipient"
    assert unique_id not in documents_of(instance, patient)
    [report] = reports_to(instance, signer, number)
    assert told(report)[2]["protection"] == "no-key"


# --- revocation ------------------------------------------------------------------------------


def test_a_revocation_list_that_is_replaced_counts_without_a_restart(instance, signer, nurse):
    issuing, now = authority(instance), datetime.now(UTC)
    serial = own_pair(instance, signer).certificate.serial_number
    path = instance.directory / "tls" / "mailbox-ca.crl"
    before = path.read_bytes()
    try:
        pki.replace_file(path, pki.revocation_list(issuing, [(serial, now)], 9, now))
        time.sleep(4)  # the server looks every two seconds
        number, fields = fields_of(signer, [nurse["address"]])
        signed = signed_by_client(instance, signer, an_entity("Trop tard\r\n"))
        submit(instance, signer, [nurse["address"]], fields + signed)
    finally:
        pki.replace_file(path, before)

    result, verdict = verdict_in(delivered(instance, nurse, number))
    assert (result, verdict.partition(";")[0]) == ("fail", "revoked")


def test_after_all_this_the_audit_verifies_and_no_key_or_name_is_in_the_log(instance, signer):
    assert instance.json("audit", "verify")["intact"] is True
    log = instance.log.read_text()
    assert "PRIVATE KEY" not in log
    assert signer["address"] not in log
