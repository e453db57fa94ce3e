"""``mssante dmp`` on a real instance, documents filed through the real clerk."""

import asyncio
import os
import re

import pytest
from make_samples import Subject, Version, a_matricule, biology, level1

from mssante.composition.stores import open_stores
from mssante.cli.dmp_export import write_private
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
from tests.support.archives import LAYOUTS, an_archive, files_of, zipped

INS = a_matricule(215001)


def a_message(*documents):
    parts = [text_entity("Bonjour")]
    attached = [
        one if isinstance(one, tuple) else (one, "text/xml", "doc.xml") for one in documents
    ]
    parts += [attachment_entity(*one) for one in attached]
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
    assert (document["level"], document["sections"], document["entries"]) == (1, [], 0)
    assert document["patientTraits"] == {
        "birthName": "PATIENT-DEUX", "given": "ALIX MARIE-LOUISE", "sex": "F", "birthDate": "1979-03-28",
    }  # fmt: skip


def test_check_tells_what_is_in_a_structured_body(run, tmp_path):
    path = tmp_path / "document.xml"
    path.write_bytes(biology())

    [document] = run("dmp", "check", path, "--json").json["documents"]

    assert document["level"] == 3
    assert document["entries"] == len(document["sections"]) > 0
    assert {section["level"] for section in document["sections"]} == {1}
    assert document["sections"][0] == {"level": 1, "code": "18719-5", "title": "Biochimie"}
    assert document["media"] == []


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


def checked(run, tmp_path, content):
    path = tmp_path / "IHE_XDM.ZIP"
    path.write_bytes(content)
    outcome = run("dmp", "check", path, "--json")
    assert outcome.code == 0, outcome.err
    assert run("dmp", "check", path).code == 0
    return outcome.json


def test_check_reads_an_archive_in_any_layout(run, tmp_path):
    archive = an_archive(level1(), biology())

    ours = checked(run, tmp_path, archive)
    odd = checked(run, tmp_path, LAYOUTS["all-at-once"](archive))

    assert ours["kind"] == "xdm"
    assert ours["problems"] == []
    assert [one["problems"] for one in ours["documents"]] == [[], []]
    assert [one["typeCode"] for one in ours["documents"]] == ["34112-3", "11502-2"]
    assert ours["documents"][0]["patientTraits"]["birthName"] == "PATIENT-DEUX"
    assert [one["hash"] for one in odd["documents"]] == [one["hash"] for one in ours["documents"]]
    assert [one["code"] for one in odd["problems"]] == [
        "top-folder", "separators", "name-case", "index-missing", "readme-missing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("archive", "severity", "code"),
    [
        (an_archive(level1(), hash="0" * 40), "error", "hash-differs"),
        (an_archive(level1(), size=3), "error", "size-differs"),
        (an_archive(level1(), patient_id=None), "warning", "patient-missing"),
        (
            an_archive(level1(), patient_id=f"{INS}^^^&1.2.250.1.213.1.4.8&ISO^NH"),
            "warning",
            "patient-authority",
        ),
        (an_archive(level1(), patient_id=INS), "warning", "patient-authority"),
        (an_archive(level1(), patient_id="4711"), "error", "patient-differs"),
        (an_archive(level1(), class_code=None), "warning", "metadata-differs"),
        (
            an_archive(level1(), level1(Subject(ins=a_matricule(3)), version=Version(3))),
            "error",
            "patients-mixed",
        ),
        (zipped({"IHE_XDM/A/../../x": b""}), "error", "zip-path"),
        (zipped({"photo.jpg": b""}), "error", "not-xdm"),
        (b"PK\x03\x04...", "error", "zip-damaged"),
    ],
)
def test_check_says_what_is_wrong_with_an_archive(run, tmp_path, archive, severity, code):
    said = checked(run, tmp_path, archive)

    problems = said["problems"] + [p for one in said["documents"] for p in one["problems"]]
    assert (severity, code) in [(one["severity"], one["code"]) for one in problems]


def test_an_export_is_an_archive_without_problems_that_its_owner_alone_reads(
    mssante, run, demo, patient, tmp_path
):
    documents = [level1(), biology(version=Version(5))]
    replaced = biology(version=Version(5, version=2, replaces=Version(5).id))
    file_documents(demo, *documents, replaced)
    path = tmp_path / "EXPORT.ZIP"
    path.write_bytes(b"an older one")
    path.chmod(0o644)

    exported = mssante("dmp", "export", "--patient", "-", "--out", path, "--json", stdin=INS)
    listed = mssante("dmp", "list", "--patient", "-", "--json", stdin=INS).json
    said = run("dmp", "check", path, "--json").json

    assert exported.code == 0, exported.err
    assert exported.json == {"file": str(path), "documents": 2, "size": path.stat().st_size}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    assert said["problems"] == []
    assert [one["problems"] for one in said["documents"]] == [[], []]
    current = [one | {"status": None} for one in listed if one["status"] == "Approved"]
    assert [{name: one[name] for name in current[0]} for one in said["documents"]] == current
    files = files_of(path.read_bytes())
    assert files["IHE_XDM/SUBSET01/DOC00001.XML"] in (level1(), replaced)
    assert all(re.fullmatch(r"([A-Z0-9_]{1,8}/)*[A-Z0-9_]{1,8}\.[A-Z]{3}", name) for name in files)


def test_an_export_can_be_sent_and_is_filed_once(mssante, demo, patient, tmp_path):
    file_documents(demo, level1())
    path = tmp_path / "EXPORT.ZIP"
    assert mssante("dmp", "export", "--patient", INS, "--out", path).code == 0

    [outcome] = file_documents(demo, (path.read_bytes(), "application/zip", "IHE_XDM.zip"))

    assert outcome.verdict == "already-filed"


def test_an_export_is_a_consultation(mssante, demo, patient, tmp_path):
    file_documents(demo, level1())
    path = tmp_path / "EXPORT.ZIP"

    mssante("dmp", "export", "--patient", INS, "--out", path, "--reason", "asked by the patient")
    shown = mssante("audit", "show", "--kind", "consultation", "--json")

    assert [entry["action"] for entry in shown.json] == ["dmp export"]


def test_an_export_asks_for_a_reason_outside_a_sandbox(mssante, demo, patient, tmp_path):
    file_documents(demo, level1())
    settings = demo / "mssante.toml"
    settings.write_text(settings.read_text().replace("sandbox = true", "sandbox = false"))
    path = tmp_path / "EXPORT.ZIP"
    wanted = ("dmp", "export", "--patient", INS, "--ins-oid", "1.2.250.1.213.1.4.10", "--out", path)

    refused = mssante(*wanted)

    assert (refused.code, path.exists()) == (1, False)
    assert "--reason" in refused.err


def test_an_export_that_cannot_be_written_leaves_nothing(mssante, demo, patient, tmp_path):
    nothing = mssante("dmp", "export", "--patient", INS, "--out", tmp_path / "EXPORT.ZIP")
    file_documents(demo, level1())
    nowhere = mssante("dmp", "export", "--patient", INS, "--out", tmp_path / "no" / "EXPORT.ZIP")

    assert (nothing.code, nowhere.code) == (1, 1)
    assert "no current document" in nothing.err
    assert list(tmp_path.glob("*.ZIP")) == []


def test_a_private_file_is_private_from_its_first_byte_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_private(tmp_path / "A.ZIP", b"x")
    finally:
        os.umask(before)

    assert (tmp_path / "A.ZIP").stat().st_mode & 0o777 == 0o600


def test_a_held_archive_is_shown(mssante, demo, patient):
    archive = an_archive(level1(), hash="0" * 40)
    file_documents(demo, (archive, "application/zip", "IHE_XDM.zip"))

    [line] = mssante("dmp", "held", "list", "--json").json
    shown = mssante("dmp", "held", "show", line["id"], "--json")

    assert (line["cause"], line["detail"]) == ("archive-refused", "the hash differs")
    assert shown.json["content"]["kind"] == "xdm"
    assert len(shown.json["content"]["documents"]) == 1


def test_check_of_a_missing_file_fails(run, tmp_path):
    assert run("dmp", "check", tmp_path / "nothing.xml").code == 1


def test_a_version_of_thousands_of_digits_stays_a_text(run, tmp_path):
    digits = "9" * 5000
    path = tmp_path / "odd.xml"
    path.write_bytes(biology().replace(b'Number value="1"', b'Number value="%b"' % digits.encode()))

    [document] = run("dmp", "check", path, "--json").json["documents"]

    assert document["version"] == digits
