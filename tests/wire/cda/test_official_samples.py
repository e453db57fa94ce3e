"""The public ANS samples, where they are at hand: everything the reader says is compared."""

import json
import os
from hashlib import sha1
from pathlib import Path

import pytest

from mssante.kernel.ins import Ins, InsError, matricule_key_valid
from mssante.wire.cda.embedded import look_inside
from mssante.wire.cda.model import Code, Identifier
from mssante.wire.cda.rules import problems_of
from mssante.wire.cda.reader import read_document, read_outline
from mssante.wire.xds.entry import entry_from_cda


def samples_directory() -> Path | None:
    named = os.environ.get("MSSANTE_SHARED")
    beside = Path(__file__).resolve().parents[4] / "shared"
    for base in ([Path(named)] if named else []) + [beside]:
        if (base / "data" / "cda" / "expected.json").is_file():
            return base / "data" / "cda"
    return None


SAMPLES = samples_directory()
EXPECTED = json.loads((SAMPLES / "expected.json").read_text()) if SAMPLES else {}

pytestmark = pytest.mark.skipif(
    SAMPLES is None,
    reason="THE OFFICIAL CDA SAMPLES ARE NOT HERE: set MSSANTE_SHARED to their directory",
)


def ii(found: Identifier | None) -> dict | None:
    return None if found is None else {"root": found.root, "extension": found.extension}


def cd(found: Code | None) -> dict | None:
    if found is None or found.code is None:
        return None
    return {"code": found.code, "system": found.system, "display": found.display}


def observed(content: bytes) -> dict:
    """The document in the words of expected.json."""
    document = read_document(content)
    patient = document.patient
    legal = document.legal_authenticator
    custodian = document.custodian
    body, outline = document.body, read_outline(content)
    entry = entry_from_cda(document, content)
    inside = look_inside(body, 50_000_000)
    return {
        "size": len(content),
        "sha1": sha1(content).hexdigest(),
        "patient": {
            "ins": patient.ins.extension,
            "ins_oid": patient.ins.root,
            "other_ids": [ii(found) for found in patient.other_ids],
            "birth_name": patient.birth_name,
            "used_name": patient.name.family_name("CL"),
            "unqualified_family": patient.name.family_name(None),
            "given_list": patient.given_names,
            "first_given": patient.first_given,
            "used_given": patient.used_given,
            "sex": patient.sex,
            "birth_date": patient.birth_time.value,
            "birth_place_insee": patient.birth_place_code,
            "birth_place_city": patient.birth_place.part("city"),
            "guardian": bool(patient.guardians),
            "mssante_mailbox": next(
                (
                    found.value
                    for found in patient.telecoms
                    if (found.value or "").endswith("@patient.mssante.fr")
                ),
                None,
            ),
            "nir_key_ok": matricule_key_valid(patient.ins.extension),
        },
        "authors": [
            {
                "time": author.at.value,
                "function": cd(author.function),
                "id": ii(author.entity.id),
                "specialty": cd(author.entity.code),
                "family": author.entity.name.any_family if author.entity.name else None,
                "given": author.entity.name.any_given if author.entity.name else None,
                "device": None
                if author.entity.device is None
                else {
                    "model": author.entity.device.model,
                    "software": author.entity.device.software,
                },
                "organization": None
                if author.entity.organization is None
                else {
                    "id": ii(author.entity.organization.id),
                    "name": author.entity.organization.name,
                },
            }
            for author in document.authors
        ],
        "legal_authenticator": {
            "id": ii(legal.entity.id),
            "family": legal.entity.name.any_family,
            "given": legal.entity.name.any_given,
            "time": legal.at.value,
        },
        "custodian": {"id": ii(custodian.id), "name": custodian.name},
        "type": cd(document.code),
        "title": document.title,
        "effective_time": document.effective_time.value,
        "confidentiality": document.confidentiality[0].code,
        "language": document.language,
        "unique_id": document.unique_id,
        "set_id": document.set_id.text if document.set_id else None,
        "version": document.version_number,
        "replaces": list(document.replaced_ids),
        "template_ids": [found.text for found in document.template_ids],
        "service_events": [
            {
                "code": cd(event.code),
                "start": event.time.low.value if event.time.low else None,
                "stop": event.time.high.value if event.time.high else None,
                "practice_setting": event.practice_setting.code if event.practice_setting else None,
            }
            for event in document.service_events
        ],
        "facility": {
            "id": ii(document.encounter.facility_id),
            "code": cd(document.encounter.facility_code),
        },
        "participants": [
            {"type": found.type_code, "id": ii(found.entity.id)} for found in document.participants
        ],
        "orders": [ii(found.ids[0]) for found in document.orders],
        "body": {
            "level": 1,
            "mime": body.media_type,
            "representation": body.representation,
            "size": inside.size,
            "sha256": inside.sha256,
        }
        if inside
        else {
            "level": body.level,
            "mime": body.media_type,
            "sections": [
                {"code": section.code.code if section.code else None, "title": section.title}
                for section in outline.sections
                if section.level == 1
            ],
            "entries": outline.entries,
            "embedded_media": [
                {"mime": media.media_type, "representation": media.representation}
                for media in outline.media
            ],
        },
        "xds": {
            "class_code": entry.class_code.code,
            "format_code": entry.format_code.code,
            "mime_type": entry.mime_type,
        },
    }


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_fact_of_an_official_sample_is_read(name):
    expected = EXPECTED[name]
    expected["patient"].pop("ins_kind")
    expected["body"].pop("magic", None)
    if expected["xds"]["format_code"] is None:
        expected["xds"]["format_code"] = "urn:asipSante:modelesHorsProfils:2011"

    assert observed((SAMPLES / name).read_bytes()) == expected


def test_there_are_fourteen_of_them():
    assert len(EXPECTED) == 14


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_only_the_sample_with_a_wrong_key_has_an_error(name):
    document = read_document((SAMPLES / name).read_bytes())
    errors = {problem.code for problem in problems_of(document) if problem.severity == "error"}

    try:
        Ins.parse(document.patient.ins.extension, document.patient.ins.root)
    except InsError:
        assert errors == {"ins-wrong"}
        assert name == "CSE-MDE_2023.01.xml"
    else:
        assert errors == set()
