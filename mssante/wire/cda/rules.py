"""The rules of the French header that a received document is held against.

Source: CI-SIS "structuration minimale" (order and cardinality of the header, allowed values). A rule
never changes the document; it adds a :class:`Problem` whose text has no value of the document.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from mssante.kernel.ins import Ins, InsError
from mssante.kernel.luhn import luhn_valid
from mssante.kernel.oid import PS_ID_NAT, STRUCT_ID_NAT
from mssante.wire.cda.model import ClinicalDocument, Entity, Identifier, Patient
from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.cda.times import Interval, Timestamp

_MANY: Final = 1_000_000

HEADER: Final = (
    ("realmCode", 1, 1),
    ("typeId", 1, 1),
    ("templateId", 3, _MANY),
    ("id", 1, 1),
    ("code", 1, 1),
    ("title", 1, 1),
    ("effectiveTime", 1, 1),
    ("confidentialityCode", 1, 1),
    ("languageCode", 1, 1),
    ("setId", 0, 1),
    ("versionNumber", 1, 1),
    ("copyTime", 0, 0),
    ("recordTarget", 1, 1),
    ("author", 1, _MANY),
    ("dataEnterer", 0, 1),
    ("informant", 0, _MANY),
    ("custodian", 1, 1),
    ("informationRecipient", 0, _MANY),
    ("legalAuthenticator", 1, 1),
    ("authenticator", 0, _MANY),
    ("participant", 0, _MANY),
    ("inFulfillmentOf", 0, _MANY),
    ("documentationOf", 1, _MANY),
    ("relatedDocument", 0, 1),
    ("authorization", 0, _MANY),
    ("componentOf", 1, 1),
    ("component", 1, 1),
)
"""Children of ClinicalDocument in the order of the schema: name, least, most. The title is optional
in CDA and required here, because an XDS entry needs one."""

_PLACE: Final = {name: place for place, (name, _, _) in enumerate(HEADER)}
_REQUIRED_TEMPLATES: Final = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1")
_TYPE_ID: Final = ("2.16.840.1.113883.1.3", "POCD_HD000040")
_CONFIDENTIALITY: Final = ("2.16.840.1.113883.5.25", frozenset("NRV"))
_MAX_UNIQUE_ID: Final = 128
"""Characters of an XDS uniqueId (IHE ITI TF-3 table 4.2.3.2-1)."""

_TIME_TEXTS: Final = {
    "time-malformed": "not a time that CDA can write",
    "time-offset": "the offset is not a sign and four digits; civil time in Europe/Paris is assumed",
}


def problems_of(document: ClinicalDocument) -> tuple[Problem, ...]:
    """All findings in a document, in the order of the header."""
    return (
        *_structure(document.elements),
        *_identity(document),
        *_patient(document.patient),
        *_people(document),
        *_acts(document),
        *_times(document),
    )


def _error(code: str, where: str, text: str) -> Problem:
    return Problem(Severity.ERROR, code, where, text)


def _warning(code: str, where: str, text: str) -> Problem:
    return Problem(Severity.WARNING, code, where, text)


def _structure(names: Sequence[str]) -> Iterator[Problem]:
    counts = Counter(names)
    for name, least, most in HEADER:
        if counts[name] < least:
            text = f"expected at least {least}, found {counts[name]}"
            yield _error("missing", name, text)
        elif counts[name] > most:
            text = "obsolete, never written" if most == 0 else f"expected at most {most}"
            yield _warning("repeated" if most else "obsolete", name, text)
    places = [_PLACE[name] for name in names if name in _PLACE]
    if places != sorted(places):
        yield _error("order", "", "the elements are not in the order of the schema")
    if len(places) != len(names):
        yield _warning("unknown-element", "", "an element that the header does not have")


def _identity(document: ClinicalDocument) -> Iterator[Problem]:
    if not document.id.root:
        yield _error("id-missing", "id", "the document has no identifier")
    elif len(document.unique_id) > _MAX_UNIQUE_ID:
        yield _warning("id-long", "id", f"longer than {_MAX_UNIQUE_ID} characters")
    if document.realm not in (None, "FR"):
        yield _warning("realm", "realmCode", "not FR")
    type_id = document.type_id
    if type_id is not None and (type_id.root, type_id.extension) != _TYPE_ID:
        yield _warning("type-id", "typeId", "not the one of CDA Release 2")
    roots = {template.root for template in document.template_ids}
    if document.template_ids and not roots.issuperset(_REQUIRED_TEMPLATES):
        text = "the templates of HL7 France and of the structuration minimale are expected"
        yield _warning("template", "templateId", text)
    if document.code is not None and not (document.code.code and document.code.system):
        yield _error("code-missing", "code", "the type of the document is not given")
    if document.version is not None and document.version_number is None:
        yield _error("version", "versionNumber", "not a positive integer")
    system, known = _CONFIDENTIALITY
    for confidentiality in document.confidentiality:
        if confidentiality.system != system or confidentiality.code not in known:
            text = "neither N, R nor V: counts as a visibility flag, else hides the document"
            yield _warning("confidentiality", "confidentialityCode", text)
    for related in document.related_documents:
        if not any(found.root for found in related.ids):
            yield _error("parent-missing", "relatedDocument/parentDocument/id", "no identifier")


def _patient(patient: Patient) -> Iterator[Problem]:
    where = "recordTarget/patientRole"
    if not patient.ins_ids:
        yield _error("ins-missing", f"{where}/id", "no identifier under an INS authority")
    elif len({found.text for found in patient.ins_ids}) > 1:
        yield _error("ins-several", f"{where}/id", "several identifiers under INS authorities")
    for found in patient.ins_ids:
        try:
            Ins.parse(found.extension or "", found.root or "")
        except InsError as error:
            yield _error("ins-wrong", f"{where}/id", str(error))
    traits = (
        ("patient/name/family[@qualifier='BR']", patient.birth_name),
        ("patient/name/given", patient.given_names),
        ("patient/name/given[@qualifier='BR']", patient.first_given),
        ("patient/administrativeGenderCode", patient.sex),
        ("patient/birthTime", patient.birth_time and patient.birth_time.value),
        ("patient/birthplace/place/addr/county", patient.birth_place_code),
    )
    for path, value in traits:
        if not value:
            yield _warning("trait-missing", f"{where}/{path}", "an identity trait is missing")
    if patient.sex not in (None, "M", "F", "U"):
        yield _warning("sex", f"{where}/patient/administrativeGenderCode", "not M, F or U")
    for address in (
        *patient.addresses,
        *(() if patient.birth_place is None else (patient.birth_place,)),
    ):
        names = {name for name, _ in address.parts}
        if "streetAddressLine" in names and "streetName" in names:
            yield _warning("address", f"{where}/addr", "structured parts beside streetAddressLine")


def _people(document: ClinicalDocument) -> Iterator[Problem]:
    for author in document.authors:
        entity = author.entity
        if entity.name is None and entity.device is None:
            yield _warning("author-empty", "author/assignedAuthor", "neither a person nor a system")
        yield from _national_ids("author/assignedAuthor", entity)
    legal = document.legal_authenticator
    if legal is not None:
        where = "legalAuthenticator/assignedEntity"
        if legal.entity.id is None:
            yield _warning("id-missing", f"{where}/id", "no identifier")
        yield from _national_ids(where, legal.entity)
    custodian = document.custodian
    if custodian is not None:
        where = "custodian/assignedCustodian/representedCustodianOrganization"
        if custodian.id is None:
            yield _warning("id-missing", f"{where}/id", "no identifier")
        yield from (found for one in custodian.ids for found in _national_id(f"{where}/id", one))


def _national_ids(where: str, entity: Entity) -> Iterator[Problem]:
    for one in entity.ids:
        yield from _national_id(f"{where}/id", one)
    if entity.organization is not None:
        for one in entity.organization.ids:
            yield from _national_id(f"{where}/representedOrganization/id", one)


def _national_id(where: str, identifier: Identifier) -> Iterator[Problem]:
    """A wrong key of an RPPS number (8 + 11 digits) or of a FINESS number (1 + 9 characters)."""
    extension = identifier.extension or ""
    digits = extension[1:].upper().replace("2A", "20", 1).replace("2B", "20", 1)
    if not (digits.isascii() and digits.isdigit()):
        return
    is_rpps = identifier.root == PS_ID_NAT and extension.startswith("8") and len(digits) == 11
    is_finess = identifier.root == STRUCT_ID_NAT and extension.startswith("1") and len(digits) == 9
    if (is_rpps or is_finess) and not luhn_valid(digits):
        word = "RPPS" if is_rpps else "FINESS"
        yield _warning(f"{word.lower()}-key", where, f"the key of the {word} number is wrong")


def _acts(document: ClinicalDocument) -> Iterator[Problem]:
    if document.service_events and document.main_act is None:
        text = "no act whose performer's structure has a practice setting"
        yield _warning("main-act", "documentationOf/serviceEvent", text)
    encounter = document.encounter
    if encounter is not None and (
        encounter.facility_code is None or not encounter.facility_code.code
    ):
        where = "componentOf/encompassingEncounter/location/healthCareFacility/code"
        yield _warning("facility", where, "the kind of place of care is missing")


def _times(document: ClinicalDocument) -> Iterator[Problem]:
    for where, time in _all_times(document):
        fault = time.fault
        if fault is not None:
            yield _warning(fault, where, _TIME_TEXTS[fault])
        elif time.lacks_zone:
            text = "no offset: civil time in Europe/Paris is assumed"
            yield Problem(Severity.NOTE, "time-zone", where, text)


def _all_times(document: ClinicalDocument) -> Iterator[tuple[str, Timestamp]]:
    yield "effectiveTime", document.effective_time
    if document.patient.birth_time is not None:
        yield "recordTarget/patientRole/patient/birthTime", document.patient.birth_time
    intervals = [("author/time", author.time) for author in document.authors]
    if document.legal_authenticator is not None:
        intervals.append(("legalAuthenticator/time", document.legal_authenticator.time))
    intervals += [("authenticator/time", one.time) for one in document.authenticators]
    intervals += [("participant/time", one.time) for one in document.participants]
    intervals += [
        ("documentationOf/serviceEvent/effectiveTime", event.time)
        for event in document.service_events
    ]
    if document.encounter is not None:
        where = "componentOf/encompassingEncounter/effectiveTime"
        intervals.append((where, document.encounter.time))
    for where, interval in intervals:
        yield from _bounds(where, interval)


def _bounds(where: str, interval: Interval | None) -> Iterator[tuple[str, Timestamp]]:
    if interval is None:
        return
    if interval.value is not None:
        yield where, interval.value
    if interval.low is not None:
        yield f"{where}/low", interval.low
    if interval.high is not None:
        yield f"{where}/high", interval.high
