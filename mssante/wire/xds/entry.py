"""From a clinical document to the metadata of its DocumentEntry (French profile of the DMP).

The metadata is computed from the document alone. Codes are trusted with their system; labels and
codes that the nomenclatures do not have are kept, and `code_problems` says so.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha1
from typing import Final

from mssante.wire.cda.model import ClinicalDocument, Code, Participation, Patient
from mssante.wire.cda.outline import CDA_MEDIA_TYPE
from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.cda.times import Interval
from mssante.wire.xds import codes
from mssante.wire.xds.hl7 import cx, escaped, reference, xcn, xon
from mssante.wire.xds.model import Author, Coded, EntryMetadata, SubmissionSet

VISIBILITY_SYSTEM: Final = "1.2.250.1.213.1.1.4.13"
"""Code system of MASQUE_PS, INVISIBLE_PATIENT… (TRE_A07)."""
_RESTRICTED: Final = (
    Coded("R", "2.16.840.1.113883.5.25", "Restreint"),
    Coded("INVISIBLE_PATIENT", VISIBILITY_SYSTEM, "Non visible par le patient"),
)
UNRESTRICTED: Final = "N"
"""The one level that keeps a document from nobody."""
_CONTENT_TYPE_SYSTEM: Final = "1.2.250.1.213.2.2"
_CONTENT_TYPES: Final = {"IMP": "03", "AMB": "07", "EMER": "07"}
"""contentTypeCode (JDV_J03) by kind of encounter (JDV_J142)."""
_NO_ENCOUNTER: Final = "97"
_IMAGING_CLASS: Final = "31"
_ORDER: Final = "urn:ihe:iti:xds:2013:order"
_ACCESSION: Final = "urn:ihe:iti:xds:2013:accession"
_STUDY: Final = "urn:ihe:iti:xds:2016:studyInstanceUID"


def entry_from_cda(document: ClinicalDocument, content: bytes) -> EntryMetadata:
    """The metadata of a document; `content` is its exact bytes."""
    type_code = _coded(document.code, "types") or Coded("", "", "")
    class_code = _class_of(type_code)
    start, stop = _service_times(document)
    practice = document.main_act.practice_setting if document.main_act else None
    facility = document.encounter.facility_code if document.encounter else None
    legal = document.legal_authenticator
    patient = document.patient
    return EntryMetadata(
        unique_id=document.unique_id,
        authors=tuple(_author(author) for author in document.authors),
        class_code=class_code,
        type_code=type_code,
        format_code=_format_of(document),
        confidentiality=_confidentiality(document.confidentiality),
        facility_type=_coded(facility, "facility_types"),
        practice_setting=_coded(practice, "practice_settings"),
        event_codes=tuple(
            coded
            for event in document.service_events
            if (coded := _coded(event.code, None)) is not None
        ),
        creation_time=document.effective_time.dtm() or "",
        service_start=start,
        service_stop=stop,
        hash=sha1(content, usedforsecurity=False).hexdigest(),
        size=len(content),
        language=document.language or "",
        legal_authenticator=None if legal is None else xcn(legal.entity),
        mime_type=CDA_MEDIA_TYPE,
        patient_id=None if patient.ins is None else cx(patient.ins, "NH"),
        source_patient_id=_source_patient_id(patient),
        source_patient_info=tuple(_source_patient_info(patient)),
        title=document.title or type_code.display or type_code.code,
        reference_ids=tuple(_references(document, class_code)),
    )


def submission_set_of(
    document: ClinicalDocument,
    entry: EntryMetadata,
    *,
    unique_id: str,
    source_id: str,
    submission_time: str,
) -> SubmissionSet:
    """The lot that one document is deposited in.

    Raises:
        ValueError: the document names no patient.
    """
    if entry.patient_id is None:
        raise ValueError("a submission set has a patient")
    encounter = document.encounter
    kind = encounter.code.code if encounter and encounter.code and encounter.code.code else ""
    first = document.first_person
    return SubmissionSet(
        unique_id=unique_id,
        source_id=source_id,
        submission_time=submission_time,
        content_type=Coded(_CONTENT_TYPES.get(kind, _NO_ENCOUNTER), _CONTENT_TYPE_SYSTEM, ""),
        author=Author("", None, (), ()) if first is None else _author(first),
        patient_id=entry.patient_id,
        title=entry.title,
    )


def code_problems(entry: EntryMetadata) -> Iterator[Problem]:
    """Codes that the nomenclatures shipped here do not have: accepted, but a person should know."""
    checks = (
        ("type-unknown", "code", entry.type_code, "types"),
        ("facility-unknown", "componentOf", entry.facility_type, "facility_types"),
        ("practice-unknown", "documentationOf", entry.practice_setting, "practice_settings"),
    )
    for problem, where, coded, name in checks:
        if coded is not None and (coded.code, coded.system) not in codes.labels(name):
            text = "the code is not in the nomenclature of this version"
            yield Problem(Severity.WARNING, problem, where, text)
    if entry.class_code is None:
        text = "no nomenclature gives the class of this type of document"
        yield Problem(Severity.WARNING, "class-unknown", "code", text)


def _coded(code: Code | None, name: str | None) -> Coded | None:
    """A code with the label of its nomenclature, else the document's own."""
    if code is None or code.code is None:
        return None
    system = code.system or ""
    label = codes.labels(name).get((code.code, system)) if name else None
    return Coded(code.code, system, label or code.display or "")


def _class_of(type_code: Coded) -> Coded | None:
    found = codes.class_of(type_code.code, type_code.system)
    if found is None:
        return None
    return Coded(
        found, codes.CLASS_SYSTEM, codes.labels("classes").get((found, codes.CLASS_SYSTEM), "")
    )


def _format_of(document: ClinicalDocument) -> Coded:
    """Level 1: by the media type of the body. Structured: by the templates, the last one first,
    because the model is declared last.
    """
    if document.body.level == 1:
        keys = [document.body.media_type]
    else:
        keys = [template.root or "" for template in reversed(document.template_ids)]
    found = next((one for key in keys if (one := codes.format_of(key))), None)
    code, system = found or codes.FORMAT_OUTSIDE_MODELS
    return Coded(code, system, codes.labels("formats").get((code, system), ""))


def _confidentiality(given: Sequence[Code]) -> tuple[Coded, ...]:
    """The document's own level; where it has several codes, all that they restrict. None, and one that is
    not known, count as the most restrictive.
    """
    known = codes.labels("confidentiality")
    found = [_coded(one, "confidentiality") for one in given]
    read = [one for one in found if one is not None and (one.code, one.system) in known]
    if not read or len(read) < len(found):
        read = [*_RESTRICTED, *read]
    restricting = [one for one in read if one.code != UNRESTRICTED]
    if any(one.system != VISIBILITY_SYSTEM for one in restricting):
        read = restricting
    return tuple(dict.fromkeys(read))


def _author(author: Participation) -> Author:
    entity, function, specialty = author.entity, author.function, author.entity.code
    role = function.display or function.code if function else None
    organization = entity.organization
    return Author(
        person=xcn(entity),
        institution=xon(organization) if organization else None,
        roles=(role,) if role else (),
        specialties=(
            f"{escaped(specialty.code)}^{escaped(specialty.display)}^{escaped(specialty.system)}",
        )
        if specialty and specialty.code
        else (),
    )


def _service_times(document: ClinicalDocument) -> tuple[str | None, str | None]:
    """Start and stop of the first act that has a start, else of the encounter, else the creation."""
    intervals = [event.time for event in document.service_events]
    if document.encounter is not None:
        intervals.append(document.encounter.time)
    for interval in intervals:
        start = _start(interval)
        if start is not None:
            return start, interval.high.dtm() if interval.high else None
    return document.effective_time.dtm(), None


def _start(interval: Interval) -> str | None:
    moment = interval.low or interval.value
    return moment.dtm() if moment else None


def _source_patient_id(patient: Patient) -> str | None:
    local = next(iter(patient.other_ids), None)
    if local is not None:
        return cx(local, "PI")
    return None if patient.ins is None else cx(patient.ins, "NH")


def _source_patient_info(patient: Patient) -> Iterator[str]:
    names = (patient.birth_name, patient.first_given, patient.given_names)
    yield f"PID-5|{'^'.join(map(escaped, names))}^^^^L"
    used = patient.name.family_name("CL", "SP")
    if used is not None:
        yield f"PID-5|{escaped(used)}^{escaped(patient.used_given)}^^^^^D"
    if patient.birth_time is not None and patient.birth_time.value:
        yield f"PID-7|{escaped(patient.birth_time.value)}"
    if patient.sex:
        yield f"PID-8|{escaped(patient.sex)}"


def _references(document: ClinicalDocument, class_code: Coded | None) -> Iterator[str]:
    for order in document.orders:
        yield from (reference(found, _ORDER) for found in order.ids if found.root)
        if order.accession_number is not None and order.accession_number.root:
            yield reference(order.accession_number, _ACCESSION)
    if class_code is not None and class_code.code == _IMAGING_CLASS:
        for event in document.service_events:
            yield from (reference(found, _STUDY) for found in event.ids if found.root)
