"""``mssante dmp`` on a real instance, documents filed through the real clerk."""

import asyncio
import json

import pytest
from make_samples import Subject, Version, a_matricule, biology, level1

from mssante.app import open_stores
from mssante.directory.model import MailboxState
from mssante.filing.clerk import Clerk
from mssante.filing.inspect import InspectLimits, inspect
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import Envelope, SpoolEntry
from mssante.settings import load
from mssante.wire.mime.builder import (
    attachment_entity,
    build_message,
    header_field,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.summary import summarise

INS = a_matricule(215001)


def a_message(*documents):
    parts = [text_entity("Bonjour")]
    parts += [attachment_entity(one, "text/xml", "doc.xml") for one in documents]
    return build_message(
        [header_field("Subject", "x")], multipart_entity("mixed", "b0undary", parts)
    )


def file_documents(demo, *documents):
    """File documents to the patient's mailbox by the clerk, as the courier does."""

    async def work():
        settings = load(demo / "mssante.toml")
        async with open_stores(settings, owner="test") as stores:
            clerk = Clerk(stores.directory, stores.documents, source_id="1.2.3", sandbox=True)
            address = Address(INS, settings.operator.patient_domains[0])
            mailbox = await stores.directory.mailbox_by_address(address)
            assert mailbox.state is MailboxState.ACTIVE
            sender = Address("doctor", "tests.example")
            envelope = Envelope(sender, (address,), None, None, "client", "ESMTPSA", "TLS")
            content = a_message(*documents)
            entry = SpoolEntry(
                new_id(), stores.clock.now(), envelope, await stores.mail_blobs.put(content)
            )
            found = inspect(content, summarise(content), InspectLimits())
            plan = await clerk.plan(entry, found, [mailbox], None)
            return await clerk.file(entry, plan)

    return asyncio.run(work())


@pytest.fixture
def patient(mssante):
    created = mssante(
        "patient", "create", "--ins", INS, "--birth-name", "Patient Deux", "--given", "Alix Marie-Louise",
        "--sex", "F", "--birth-date", "1979-03-28", "--birth-place", "51215", "--json",
    )  # fmt: skip
    assert created.code == 0, created.err
    return created.json


def test_all_versions_are_listed_newest_first_in_the_shape_of_the_contract(mssante, demo, patient):
    first = biology(version=Version(5, at="20210104160527+0100"))
    second = biology(version=Version(5, version=2, replaces=Version(5).id, at="20210105"))
    file_documents(demo, first, second)

    listed = mssante("dmp", "list", "--patient", "-", "--json", stdin=INS)

    assert listed.code == 0, listed.err
    new, old = listed.json
    assert (new["status"], old["status"]) == ("Approved", "Deprecated")
    assert (new["version"], old["version"]) == (2, 1)
    assert (new["creationTime"], old["creationTime"]) == ("2021-01-05", "2021-01-04T16:05:27+01:00")
    assert list(old) == [
        "uniqueId", "setId", "version", "status", "typeCode", "typeDisplay", "title", "creationTime",
        "authorId", "authorName", "mimeType", "size", "hash", "patient",
    ]  # fmt: skip
    assert old["uniqueId"] == Version(5).id
    assert old["typeCode"] == "11502-2"
    assert old["typeDisplay"] == "CR d'examens biologiques"
    assert old["authorId"].startswith("8100")
    assert old["size"] == len(first)
    assert old["patient"] == INS


def test_a_listing_leaves_a_trace(mssante, patient):
    assert mssante("dmp", "list", "--patient", INS, "--reason", "support call").code == 0

    shown = mssante("audit", "show", "--kind", "consultation", "--json")

    assert [entry["action"] for entry in shown.json] == ["dmp list"]
    assert INS not in shown.out


def test_an_unknown_patient_is_an_error(mssante):
    outcome = mssante("dmp", "list", "--patient", INS)

    assert outcome.code == 1
    assert INS not in outcome.err
    assert outcome.out == ""


def test_held_documents_are_listed_under_a_pseudonym_and_shown(mssante, demo, patient):
    [outcome] = file_documents(demo, level1(Subject(sex="M")))
    assert outcome.verdict == "held"

    [line] = mssante("dmp", "held", "list", "--json").json
    shown = mssante("dmp", "held", "show", line["id"], "--json")

    assert (line["code"], line["cause"], line["detail"]) == (904, "trait-differs", "sex")
    assert line["patient"].startswith("pat-")
    assert shown.code == 0
    assert shown.json["content"]["documents"][0]["patientTraits"]["sex"] == "M"
    assert mssante("dmp", "held", "show", "00" * 16).code == 1
    assert mssante("dmp", "held", "show", "nonsense").code == 1


def test_outside_a_sandbox_a_reason_is_asked(mssante, demo, patient):
    settings = demo / "mssante.toml"
    settings.write_text(settings.read_text().replace("sandbox = true", "sandbox = false"))

    refused = mssante("dmp", "list", "--patient", INS, "--ins-oid", "1.2.250.1.213.1.4.10")

    assert refused.code == 1
    assert "--reason" in refused.err


def test_check_reads_a_document_without_an_instance(run, tmp_path):
    path = tmp_path / "document.xml"
    path.write_bytes(level1())

    outcome = run("dmp", "check", path, "--json")

    assert outcome.code == 0
    assert outcome.json["kind"] == "cda"
    [document] = outcome.json["documents"]
    assert document["problems"] == []
    assert document["level"] == 1
    assert document["patientTraits"] == {
        "birthName": "PATIENT-DEUX", "given": "ALIX MARIE-LOUISE", "sex": "F", "birthDate": "1979-03-28",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<!DOCTYPE a []><a/>", "xml-doctype"),
        (b"<a/>", "not-cda"),
        (b"\xff\xd8\xff jpeg", "xml-malformed"),
        (level1(Subject(ins=INS[:13] + "00")), "ins-wrong"),
        (level1(pdf=b"not a pdf"), "body-type"),
    ],
)
def test_check_says_what_is_wrong_and_exits_0(run, tmp_path, content, code):
    path = tmp_path / "document.xml"
    path.write_bytes(content)

    outcome = run("dmp", "check", path, "--json")

    assert outcome.code == 0
    [document] = outcome.json["documents"]
    assert code in [problem["code"] for problem in document["problems"]]
    assert run("dmp", "check", path).code == 0


def test_check_says_that_archives_are_not_read_yet(run, tmp_path):
    path = tmp_path / "IHE_XDM.ZIP"
    path.write_bytes(b"PK\x03\x04...")

    outcome = run("dmp", "check", path, "--json")

    assert outcome.code == 0
    assert json.loads(outcome.out)["kind"] == "xdm"
    assert outcome.json["problems"][0]["code"] == "archive-unsupported"


def test_check_of_a_missing_file_fails(run, tmp_path):
    assert run("dmp", "check", tmp_path / "nothing.xml").code == 1


def test_a_version_of_thousands_of_digits_stays_a_text(run, tmp_path):
    digits = "9" * 5000
    path = tmp_path / "odd.xml"
    path.write_bytes(biology().replace(b'Number value="1"', b'Number value="%b"' % digits.encode()))

    [document] = run("dmp", "check", path, "--json").json["documents"]

    assert document["version"] == digits
