"""Other operators from outside, on real instances: who is let in, and what becomes of its messages."""

import smtplib

import make_samples
import pytest

from tests.journeys.instance import Instance, a_message
from tests.journeys.test_main_job import documents_of, inbox, subject_of

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    made = Instance(tmp_path_factory.mktemp("operators") / "instance").init()
    made.start(workers=2)
    yield made
    assert made.stop() == 0


def connected(instance, operator=None) -> smtplib.SMTP:
    """A connection as another operator makes it, with its certificate after STARTTLS."""
    context = instance.tls()
    if operator is not None:
        context.load_cert_chain(operator["client_certificate"], operator["client_key"])
    client = smtplib.SMTP(instance.demo["host"], instance.demo["ports"]["smtp"], timeout=20)
    client.starttls(context=context)
    return client


def refusal_of(instance, operator, sender) -> tuple[int, bytes]:
    with connected(instance, operator) as client:
        client.ehlo("mx.remote.example")
        return client.mail(sender)


def test_a_listed_operators_message_reaches_the_patient_and_its_document_the_dmp(instance):
    patient = instance.accounts("patient")[0]
    operator = instance.demo["remote_operators"][0]
    sender = {"address": f"dr.ailleurs@{operator['domain']}", "name": "Dr AILLEURS"}
    version = make_samples.Version(unique_id="1.2.250.1.999.40.1", set_id="1.2.250.1.999.40")
    letter = make_samples.level1(subject_of(patient), version=version)
    message = a_message(sender, patient["address"], "Compte rendu", ("lettre.xml", letter))

    with connected(instance, operator) as client:
        content = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        client.sendmail(sender["address"], [patient["address"]], content)
    instance.wait_until_carried()

    [received] = [
        one for one in inbox(instance, patient) if one["Message-ID"] == message["Message-ID"]
    ]
    assert (
        f"x-mss-operator=pass smtp.mailfrom={sender['address']}"
        in received["Authentication-Results"]
    )
    assert "ESMTPS" in received["Received"]
    assert documents_of(instance, patient)["1.2.250.1.999.40.1"]["status"] == "Approved"
    assert instance.json("audit", "verify")["intact"] is True


def test_unlisted_foreign_and_anonymous_operators_are_refused(instance):
    listed, unlisted = instance.demo["remote_operators"]

    answers = [
        refusal_of(instance, unlisted, f"dr@{unlisted['domain']}"),
        refusal_of(instance, unlisted, f"dr@{listed['domain']}"),
        refusal_of(instance, listed, f"dr@{unlisted['domain']}"),
        refusal_of(instance, listed, instance.accounts("professional")[0]["address"]),
        refusal_of(instance, None, f"dr@{listed['domain']}"),
    ]

    assert [(code, text[:5]) for code, text in answers] == [(550, b"5.7.1")] * 5


def test_a_certificate_of_another_authority_is_refused_and_the_audit_says_why(instance, tmp_path):
    other = Instance(tmp_path / "other").init()
    impostor = other.demo["remote_operators"][0]

    code, text = refusal_of(instance, impostor, f"dr@{impostor['domain']}")

    assert (code, text[:5]) == (550, b"5.7.1")
    [entry] = [
        each
        for each in instance.json("audit", "show", "--kind", "refusal")
        if each["outcome"] == "certificate-refused"
    ]
    assert entry["facts"]["detail"] == "path-incomplete"


def test_mail_without_tls_is_refused(instance):
    with smtplib.SMTP(instance.demo["host"], instance.demo["ports"]["smtp"], timeout=20) as client:
        client.ehlo("mx.remote.example")
        assert client.mail("dr@hopital-voisin.example")[0] == 530
        assert not client.has_extn("auth")
