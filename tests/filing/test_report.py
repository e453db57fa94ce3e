"""What the sender is told."""

import email.policy
import json
from email.parser import BytesParser

import pytest
from make_samples import Subject, a_matricule, level1

from mssante.dmp.model import EffectKey, Recorded, Verdict
from mssante.filing.causes import Cause
from mssante.filing.report import ReportRequest, build_report, needs_report
from mssante.kernel.address import Address
from mssante.kernel.clock import to_milliseconds
from mssante.kernel.opaque import OpaqueId, new_id
from mssante.mail.model import BlobRef, Envelope, SpoolEntry
from mssante.mail.smime import Reach

HEADER = b"Subject: Mme PATIENT-DEUX\r\nMessage-ID: <original@client.example>\r\n\r\n"
PATIENT = Address(a_matricule(215001), "patient.mssante.fr")


def an_outcome(clock, index=0, verdict=Verdict.HELD, cause=Cause.TRAIT_DIFFERS, **more):
    values = {
        "key": EffectKey(OpaqueId(bytes(16)), index),
        "at": to_milliseconds(clock.now()) + 5000,
        "verdict": verdict,
        "cause": cause if verdict is Verdict.HELD else None,
        "detail": "",
        "unique_id": "1.2.250.1.999.7",
        "flags": (),
        "entry_id": None,
        "held_id": None,
        "patient_id": new_id(),
    }
    return Recorded(**(values | more))


def a_request(clock, *outcomes, header=HEADER, **more):
    sender = Address("doctor", "hospital.mssante.fr")
    envelope = Envelope(
        sender, (PATIENT, Address("gone", "hospital.mssante.fr")), None, None, "c", "ESMTPSA", "TLS"
    )
    values = {
        "entry": SpoolEntry(OpaqueId(b"s" * 16), clock.now(), envelope, BlobRef("s", 0, 1, b"")),
        "header": header,
        "to": sender,
        "outcomes": outcomes,
        "withheld": frozenset(),
        "waiting": 0,
        "operator_name": "Opérateur d'essai",
        "operator_address": Address("postmaster", "hospital.mssante.fr"),
    }
    return ReportRequest(**(values | more))


def read(content):
    message = BytesParser(policy=email.policy.default).parsebytes(content)
    text, machine = message.iter_parts()
    return message, text.get_content(), json.loads(machine.get_content())


def test_a_held_document_is_told_with_its_code_in_two_languages(clock):
    request = a_request(clock, an_outcome(clock, detail="sex"))

    message, text, machine = read(build_report(request))

    assert message["Subject"] == "[KO Alimentation DMP][904] Message du 23/11/2026"
    assert message["To"] == "doctor@hospital.mssante.fr"
    assert message["In-Reply-To"] == "<original@client.example>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert "Code 904 : trait d'identité différent (sexe)." in text
    assert "Code 904: an identity trait differs (sex)." in text
    assert machine["documents"] == [
        {
            "ordinal": 1,
            "uniqueId": "1.2.250.1.999.7",
            "outcome": "held",
            "code": 904,
            "cause": "trait-differs",
            "detail": "sex",
            "flags": [],
            "entryUuid": None,
        }
    ]


def test_the_same_outcomes_give_the_same_bytes(clock):
    request = a_request(clock, an_outcome(clock))
    first = build_report(request)
    clock.advance(hours=1)

    assert build_report(request) == first
    assert b"Date: Mon, 23 Nov 2026 08:00:05 +0000" in first


def test_the_report_says_nothing_about_the_person(clock):
    outcomes = [an_outcome(clock, number, cause=cause) for number, cause in enumerate(Cause)]
    hidden = an_outcome(clock, 50, unique_id=f"1.2.3^{Subject().ins}")
    request = a_request(
        clock,
        *outcomes,
        hidden,
        withheld=frozenset({new_id()}),
    )

    content = build_report(request)
    _, text, machine = read(content)

    for secret in (Subject().ins, Subject().ins[:13], "PATIENT-DEUX", "ALIX"):
        assert secret not in text
        assert secret not in json.dumps(machine)
        assert secret.encode() not in content
    assert machine["documents"][-1]["uniqueId"] is None
    assert level1() not in content


def test_an_identifier_with_strange_characters_is_not_repeated(clock):
    _, text, machine = read(
        build_report(a_request(clock, an_outcome(clock, unique_id="1.2\r\nX: y")))
    )

    assert machine["documents"][0]["uniqueId"] is None
    assert "X: y" not in text


def test_all_that_went_well_is_said_too(clock):
    filed = an_outcome(
        clock,
        verdict=Verdict.FILED,
        entry_id=new_id(),
        flags=("replaced-document-unknown", "not-compared-sex"),
    )
    again = an_outcome(clock, 1, verdict=Verdict.ALREADY_FILED, entry_id=new_id())

    message, text, machine = read(build_report(a_request(clock, filed, again)))

    assert message["Subject"] == "[OK Alimentation DMP] Message du 23/11/2026"
    assert "déposé dans le DMP ; le document remplacé est inconnu ici." in text
    assert "was already in the DMP" in text
    assert machine["documents"][0]["flags"] == ["replaced-document-unknown"]
    assert machine["documents"][0]["entryUuid"].startswith("urn:uuid:")


def test_mailboxes_that_nobody_reads_yet_are_counted(clock):
    message, text, machine = read(build_report(a_request(clock, waiting=2)))

    assert message["Subject"] == "[Remis, messagerie non activée] Message du 23/11/2026"
    assert "Mailboxes not activated yet that keep the message: 2." in text
    assert machine["notActivated"] == 2


@pytest.mark.parametrize(
    "message_id", [b"", b"<a b@c>", b"<a@b> x", "<é@b>".encode(), b"<" + b"a" * 500 + b"@b>"]
)
def test_a_message_id_that_is_none_is_not_repeated(clock, message_id):
    header = b"Message-ID: " + message_id + b"\r\n\r\n"

    message, _, _ = read(build_report(a_request(clock, an_outcome(clock), header=header)))

    assert message["In-Reply-To"] is None


def test_when_a_report_is_due(clock):
    filed, held = an_outcome(clock, verdict=Verdict.FILED), an_outcome(clock)

    assert not needs_report(a_request(clock), "always")
    assert not needs_report(a_request(clock, filed), "problems")
    assert needs_report(a_request(clock, filed), "always")
    assert needs_report(a_request(clock, filed, held), "problems")
    assert needs_report(a_request(clock, withheld=frozenset({new_id()})), "problems")
    assert needs_report(a_request(clock, waiting=1), "problems")


def test_two_causes_with_one_public_text_have_one_public_word(clock):
    words = set()
    for cause in ("XDSNonIdenticalHash", "other-patient"):
        _, _, machine = read(build_report(a_request(clock, an_outcome(clock, cause=cause))))
        words.add(machine["documents"][0]["cause"])

    assert words == {"XDSNonIdenticalHash"}


# --- what cannot be told -------------------------------------------------------------------------


def test_a_content_that_could_not_be_used_is_told_in_one_way_whatever_was_found(clock):
    outcomes = (
        (),
        (an_outcome(clock),),
        (an_outcome(clock, verdict=Verdict.FILED), an_outcome(clock, 1, cause=Cause.INS_WRONG)),
    )
    requests = [a_request(clock, *each, reach=Reach.UNUSABLE) for each in outcomes]
    requests += [
        a_request(
            clock, an_outcome(clock), reach=Reach.UNUSABLE, invisible=True,
            withheld=frozenset({new_id()}),
        ),
        a_request(clock, an_outcome(clock), reach=Reach.UNVOUCHED),
        a_request(clock, reach=Reach.UNVOUCHED, withheld=frozenset({new_id()})),
    ]  # fmt: skip

    assert all(needs_report(each, "problems") for each in requests)
    [content] = {build_report(each) for each in requests}
    message, text, machine = read(content)
    assert message["Subject"] == "[KO Alimentation DMP][906] Message du 23/11/2026"
    assert "le contenu protégé (S/MIME) du message n'a pas pu être exploité" in text
    assert machine["documents"] == []
    assert machine["protection"] == "protection-unusable"


def test_what_was_encrypted_for_others_is_told_apart(clock):
    message, text, machine = read(build_report(a_request(clock, reach=Reach.NO_KEY)))

    assert "d'autres clés que celles tenues ici" in text
    assert "for other keys than those held here" in text
    assert machine["protection"] == "no-key"


@pytest.mark.parametrize("policy", ["problems", "always"])
def test_what_was_filed_from_an_encrypted_content_that_nobody_signed_is_not_told(clock, policy):
    request = a_request(clock, an_outcome(clock, verdict=Verdict.FILED), reach=Reach.UNVOUCHED)

    assert not needs_report(request, policy)


def test_a_bad_signature_is_told_with_the_documents_that_wait_for_it(clock):
    outcome = an_outcome(clock, cause=Cause.SIGNATURE_NOT_VALID)
    message, text, machine = read(
        build_report(a_request(clock, outcome, reach=Reach.SIGNATURE_BAD))
    )

    assert "Code 906 : la signature du message n'est pas valide." in text
    assert machine["documents"][0]["cause"] == "signature-not-valid"
    assert "protection" not in machine
