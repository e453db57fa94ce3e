"""Values to METADATA.XML (IHE ITI TF-3 4.2; child order of the ebRIM 3.0 schema)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from mssante.wire.xds import ebrim
from mssante.wire.xds.model import AssociationType, Author, Coded, EntryMetadata, SubmissionSet

_NAMESPACES: Final = {"lcm": ebrim.LCM[1:-1], "rim": ebrim.RIM[1:-1]}
_SET_ID: Final = "SubmissionSet01"
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry (section 2.2)."""


def write_metadata(
    submission_set: SubmissionSet, entries: Sequence[tuple[EntryMetadata, str]]
) -> bytes:
    """A SubmitObjectsRequest in UTF-8.

    Args:
        submission_set: the lot.
        entries: each with the URI of its file, relative to METADATA.XML.
    """
    root = etree.Element(ebrim.LCM + "SubmitObjectsRequest", nsmap=_NAMESPACES)
    writer = _Writer(etree.SubElement(root, ebrim.RIM + "RegistryObjectList"))
    for number, (entry, uri) in enumerate(entries, start=1):
        writer.entry(entry, f"Document{number:02d}", uri)
    writer.submission_set(submission_set)
    for number in range(1, len(entries) + 1):
        writer.membership(number)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


@dataclass(slots=True)
class _Writer:
    """Appends registry objects to a list; numbers classifications and identifiers."""

    objects: etree._Element
    _numbers: dict[str, int] = field(default_factory=dict)

    def entry(self, entry: EntryMetadata, name: str, uri: str) -> None:
        element = self._object(
            "ExtrinsicObject", id=name, mimeType=entry.mime_type, objectType=ebrim.DOCUMENT_ENTRY
        )
        single = {
            "creationTime": entry.creation_time,
            "languageCode": entry.language,
            "legalAuthenticator": entry.legal_authenticator,
            "serviceStartTime": entry.service_start,
            "serviceStopTime": entry.service_stop,
            "sourcePatientId": entry.source_patient_id,
            "hash": entry.hash,
            "size": str(entry.size),
            "URI": uri,
        }
        for slot, value in single.items():
            _slot(element, slot, (value,))
        _slot(element, "sourcePatientInfo", entry.source_patient_info)
        _slot(element, ebrim.REFERENCE_IDS, entry.reference_ids)
        _name(element, entry.title)
        for author in entry.authors:
            self._author(element, name, ebrim.ENTRY_AUTHOR, author)
        for scheme, codes in (
            (ebrim.CLASS_CODE, (entry.class_code,)),
            (ebrim.CONFIDENTIALITY_CODE, entry.confidentiality),
            (ebrim.EVENT_CODE, entry.event_codes),
            (ebrim.FORMAT_CODE, (entry.format_code,)),
            (ebrim.FACILITY_TYPE_CODE, (entry.facility_type,)),
            (ebrim.PRACTICE_SETTING_CODE, (entry.practice_setting,)),
            (ebrim.TYPE_CODE, (entry.type_code,)),
        ):
            self._codes(element, name, scheme, codes)
        self._identifier(
            element, name, (ebrim.ENTRY_PATIENT_ID, "XDSDocumentEntry.patientId"), entry.patient_id
        )
        self._identifier(
            element, name, (ebrim.ENTRY_UNIQUE_ID, "XDSDocumentEntry.uniqueId"), entry.unique_id
        )

    def submission_set(self, lot: SubmissionSet) -> None:
        element = self._object("RegistryPackage", id=_SET_ID)
        _slot(element, "submissionTime", (lot.submission_time,))
        _name(element, lot.title)
        etree.SubElement(
            element,
            ebrim.RIM + "Classification",
            id=self._next("cl"),
            classifiedObject=_SET_ID,
            classificationNode=ebrim.SUBMISSION_SET,
        )
        self._author(element, _SET_ID, ebrim.SET_AUTHOR, lot.author)
        self._codes(element, _SET_ID, ebrim.CONTENT_TYPE_CODE, (lot.content_type,))
        for scheme, name, value in (
            (ebrim.SET_PATIENT_ID, "patientId", lot.patient_id),
            (ebrim.SET_SOURCE_ID, "sourceId", lot.source_id),
            (ebrim.SET_UNIQUE_ID, "uniqueId", lot.unique_id),
        ):
            self._identifier(element, _SET_ID, (scheme, f"XDSSubmissionSet.{name}"), value)

    def membership(self, number: int) -> None:
        element = self._object(
            "Association",
            id=f"as{number:02d}",
            associationType=AssociationType.HAS_MEMBER.value,
            sourceObject=_SET_ID,
            targetObject=f"Document{number:02d}",
        )
        _slot(element, "SubmissionSetStatus", ("Original",))

    def _object(self, kind: str, **attributes: str) -> etree._Element:
        return etree.SubElement(self.objects, ebrim.RIM + kind, attributes)

    def _next(self, kind: str) -> str:
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return f"{kind}{self._numbers[kind]:02d}"

    def _author(self, parent: etree._Element, owner: str, scheme: str, author: Author) -> None:
        element = self._classification(parent, owner, scheme, "")
        _slot(element, "authorPerson", (author.person,))
        _slot(element, "authorInstitution", (author.institution,))
        _slot(element, "authorRole", author.roles)
        _slot(element, "authorSpecialty", author.specialties)

    def _codes(
        self, parent: etree._Element, owner: str, scheme: str, codes: Iterable[Coded | None]
    ) -> None:
        for code in codes:
            if code is not None and code.code:
                element = self._classification(parent, owner, scheme, code.code)
                _slot(element, "codingScheme", (code.system,))
                _name(element, code.display)

    def _classification(
        self, parent: etree._Element, owner: str, scheme: str, node: str
    ) -> etree._Element:
        return etree.SubElement(
            parent,
            ebrim.RIM + "Classification",
            id=self._next("cl"),
            classificationScheme=scheme,
            classifiedObject=owner,
            nodeRepresentation=_clean(node),
        )

    def _identifier(
        self, parent: etree._Element, owner: str, scheme: tuple[str, str], value: str | None
    ) -> None:
        if value:
            element = etree.SubElement(
                parent,
                ebrim.RIM + "ExternalIdentifier",
                id=self._next("ei"),
                identificationScheme=scheme[0],
                registryObject=owner,
                value=_clean(value),
            )
            _name(element, scheme[1])


def _slot(parent: etree._Element, name: str, values: Iterable[str | None]) -> None:
    """A slot with its values; none where there is no value."""
    present = [value for value in values if value]
    if not present:
        return
    slot = etree.SubElement(parent, ebrim.RIM + "Slot", name=name)
    listed = etree.SubElement(slot, ebrim.RIM + "ValueList")
    for value in present:
        etree.SubElement(listed, ebrim.RIM + "Value").text = _clean(value)


def _name(parent: etree._Element, text: str | None) -> None:
    if text:
        name = etree.SubElement(parent, ebrim.RIM + "Name")
        etree.SubElement(name, ebrim.RIM + "LocalizedString", value=_clean(text))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
