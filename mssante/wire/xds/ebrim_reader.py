"""METADATA.XML to values, whatever its producer left out; nothing is believed here.

What is absent is empty: the reader of an archive decides what to do about it. Wrappers around the
objects are looked through, because senders differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from mssante.wire.cda.model import Private
from mssante.wire.xds import ebrim
from mssante.wire.xds.model import Author, Coded, EntryMetadata, SubmissionSet
from mssante.wire.xml import XmlLimits, parse_xml

_ACTION: Final = "action"
_NO_CODE: Final = Coded("", "", "")
_LARGEST: Final = 18
"""Digits of a size."""


class NotMetadata(ValueError):
    """The XML has no registry objects of ebRIM 3.0."""


@dataclass(frozen=True, slots=True, repr=False)
class ReceivedEntry(Private):
    """A DocumentEntry as received."""

    metadata: EntryMetadata
    """Texts that are absent are empty, and so is the hash; `size` is then 0."""
    has_size: bool
    """Whether `size` was given as a number."""
    uri: str | None
    """Of the file, relative to METADATA.XML."""
    action: str | None
    """The French extra metadata: ``C`` to replace, ``D`` to delete (CI-SIS, volet "transmission
    d'un document CDA-R2 en HL7v2")."""


@dataclass(frozen=True, slots=True, repr=False)
class ReceivedMetadata(Private):
    """The content of one METADATA.XML."""

    entries: tuple[ReceivedEntry, ...]
    submission_sets: tuple[SubmissionSet, ...]
    """One, where the producer follows the rules."""


def read_metadata(content: bytes, limits: XmlLimits) -> ReceivedMetadata:
    """Read the registry objects.

    Raises:
        XmlRefused: the bytes are not XML that we accept.
        NotMetadata: another kind of XML.
    """
    root = parse_xml(content, limits)
    packages = [_Object(found) for found in root.iter(ebrim.RIM + "RegistryPackage")]
    documents = [_Object(found) for found in root.iter(ebrim.RIM + "ExtrinsicObject")]
    if not packages and not documents:
        raise NotMetadata("no registry object of ebRIM 3.0")
    named = {
        classified
        for found in root.iter(ebrim.RIM + "Classification")
        if (found.get("classificationNode") or "").lower() == ebrim.SUBMISSION_SET
        and (classified := found.get("classifiedObject"))
    }
    sets = [one for one in packages if one.is_set or one.identifier in named]
    # The action stands with the document or with the set.
    action = next((one.action for one in sets if one.action), None)
    return ReceivedMetadata(
        entries=tuple(_entry(one, action) for one in documents),
        submission_sets=tuple(_submission_set(one) for one in sets),
    )


class _Object:
    """A registry object: slots, classifications, identifiers, name."""

    def __init__(self, element: etree._Element) -> None:
        self.identifier = element.get("id") or ""
        self.mime_type = (element.get("mimeType") or "").strip()
        self.slots = dict(_slots(element))
        self.name = _label(element)
        self.is_set = False
        self.ids: dict[str, str] = {}
        self._classified: list[tuple[str, etree._Element]] = []
        for found in element.iterchildren(ebrim.RIM + "Classification"):
            if (found.get("classificationNode") or "").lower() == ebrim.SUBMISSION_SET:
                self.is_set = True
            scheme = (found.get("classificationScheme") or "").lower()
            self._classified.append((scheme, found))
        for found in element.iterchildren(ebrim.RIM + "ExternalIdentifier"):
            scheme = (found.get("identificationScheme") or "").lower()
            self.ids.setdefault(scheme, (found.get("value") or "").strip())

    def slot(self, name: str) -> str:
        return next(iter(self.slots.get(name, ())), "")

    def codes(self, scheme: str) -> tuple[Coded, ...]:
        return tuple(
            Coded(
                (found.get("nodeRepresentation") or "").strip(),
                next(iter(dict(_slots(found)).get("codingScheme", ())), ""),
                _label(found),
            )
            for one, found in self._classified
            if one == scheme
        )

    def code(self, scheme: str) -> Coded | None:
        return next(iter(self.codes(scheme)), None)

    def authors(self, scheme: str) -> tuple[Author, ...]:
        return tuple(_author(found) for one, found in self._classified if one == scheme)

    @property
    def action(self) -> str | None:
        """The value of the slot "action", which must have a prefix of the producer's."""
        for name, values in self.slots.items():
            if name.rpartition(":")[2].lower() == _ACTION and values:
                return values[0].upper()
        return None


def _slots(element: etree._Element) -> Iterator[tuple[str, tuple[str, ...]]]:
    for slot in element.iterchildren(ebrim.RIM + "Slot"):
        values = tuple(
            text
            for found in slot.iter(ebrim.RIM + "Value")
            if (text := "".join(map(str, found.itertext())).strip())
        )
        yield (slot.get("name") or "").strip(), values


def _label(element: etree._Element) -> str:
    for name in element.iterchildren(ebrim.RIM + "Name"):
        for found in name.iterchildren(ebrim.RIM + "LocalizedString"):
            return (found.get("value") or "").strip()
    return ""


def _author(element: etree._Element) -> Author:
    slots = dict(_slots(element))
    return Author(
        person=next(iter(slots.get("authorPerson", ())), ""),
        institution=next(iter(slots.get("authorInstitution", ())), None),
        roles=slots.get("authorRole", ()),
        specialties=slots.get("authorSpecialty", ()),
    )


def _entry(one: _Object, action: str | None) -> ReceivedEntry:
    size = one.slot("size")
    has_size = size.isascii() and size.isdigit() and len(size) <= _LARGEST
    return ReceivedEntry(
        metadata=EntryMetadata(
            unique_id=one.ids.get(ebrim.ENTRY_UNIQUE_ID, ""),
            authors=one.authors(ebrim.ENTRY_AUTHOR),
            class_code=one.code(ebrim.CLASS_CODE),
            type_code=one.code(ebrim.TYPE_CODE) or _NO_CODE,
            format_code=one.code(ebrim.FORMAT_CODE) or _NO_CODE,
            confidentiality=one.codes(ebrim.CONFIDENTIALITY_CODE),
            facility_type=one.code(ebrim.FACILITY_TYPE_CODE),
            practice_setting=one.code(ebrim.PRACTICE_SETTING_CODE),
            event_codes=one.codes(ebrim.EVENT_CODE),
            creation_time=one.slot("creationTime"),
            service_start=one.slot("serviceStartTime") or None,
            service_stop=one.slot("serviceStopTime") or None,
            hash=one.slot("hash").lower(),
            size=int(size) if has_size else 0,
            language=one.slot("languageCode"),
            legal_authenticator=one.slot("legalAuthenticator") or None,
            mime_type=one.mime_type,
            patient_id=one.ids.get(ebrim.ENTRY_PATIENT_ID) or None,
            source_patient_id=one.slot("sourcePatientId") or None,
            source_patient_info=one.slots.get("sourcePatientInfo", ()),
            title=one.name,
            reference_ids=one.slots.get(ebrim.REFERENCE_IDS, ()),
        ),
        has_size=has_size,
        uri=one.slot("URI") or None,
        action=one.action or action,
    )


def _submission_set(one: _Object) -> SubmissionSet:
    return SubmissionSet(
        unique_id=one.ids.get(ebrim.SET_UNIQUE_ID, ""),
        source_id=one.ids.get(ebrim.SET_SOURCE_ID, ""),
        submission_time=one.slot("submissionTime"),
        content_type=one.code(ebrim.CONTENT_TYPE_CODE) or _NO_CODE,
        author=next(iter(one.authors(ebrim.SET_AUTHOR)), Author("", None, (), ())),
        patient_id=one.ids.get(ebrim.SET_PATIENT_ID, ""),
        title=one.name or None,
    )
