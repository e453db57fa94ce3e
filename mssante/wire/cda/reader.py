"""Bytes to a clinical document: the complete header, and what kind of body it has.

Everything is kept as received. What breaks a rule of the profile is told by `rules.problems_of` to who
asks; only bytes that are not a clinical document at all are refused.
"""

from typing import Final

from mssante.wire.cda import elements as cda
from mssante.wire.cda import header
from mssante.wire.cda.beginning import read_beginning
from mssante.wire.cda.elements import Element
from mssante.wire.cda.model import ClinicalDocument, Identifier, Outline
from mssante.wire.cda.outline import body_of, outline
from mssante.wire.cda.times import Timestamp
from mssante.wire.xml import XmlLimits, XmlRefused, parse_xml

ROOT: Final = cda.V3 + "ClinicalDocument"
LIMITS: Final = XmlLimits(depth=256)
"""As deep as the parser goes: see `read_beginning`."""


class NotClinicalDocument(ValueError):
    """The XML is well formed, but its root is not ClinicalDocument in urn:hl7-org:v3."""


def read_document(content: bytes, limits: XmlLimits = LIMITS) -> ClinicalDocument:
    """Read a clinical document; all of it is checked to be well-formed.

    Raises:
        XmlRefused: the bytes are not XML that we accept.
        NotClinicalDocument: another kind of XML.
    """
    beginning = read_beginning(content, limits)
    return _read(_document(beginning.root), has_entries=beginning.has_entries)


def read_outline(content: bytes, limits: XmlLimits = LIMITS) -> Outline:
    """Read what is in the body of a clinical document.

    Raises:
        XmlRefused: the bytes are not XML that we accept.
        NotClinicalDocument: another kind of XML.
    """
    return outline(cda.child(_document(parse_xml(content, limits)), "component"))


def _document(root: Element) -> Element:
    if root.tag != ROOT:
        raise NotClinicalDocument("the root element is not ClinicalDocument in urn:hl7-org:v3")
    return root


def _read(root: Element, *, has_entries: bool) -> ClinicalDocument:

    def first(name: str) -> Element | None:
        return cda.child(root, name)

    def code_value(name: str) -> str | None:
        return cda.attribute(first(name), "code")

    def optional_id(name: str) -> Identifier | None:
        found = first(name)
        return None if found is None else cda.identifier(found)

    return ClinicalDocument(
        id=optional_id("id") or Identifier(None),
        code=cda.code(first("code")),
        title=cda.text_of(first("title")),
        effective_time=cda.timestamp(first("effectiveTime")) or Timestamp(None),
        confidentiality=cda.codes(root, "confidentialityCode"),
        language=code_value("languageCode"),
        set_id=optional_id("setId"),
        version=cda.attribute(first("versionNumber"), "value"),
        realm=code_value("realmCode"),
        type_id=optional_id("typeId"),
        template_ids=tuple(cda.identifier(found) for found in cda.each(root, "templateId")),
        patient=header.patient(root),
        authors=header.participations(root, "author", "assignedAuthor"),
        data_enterer=header.participation(first("dataEnterer"), "assignedEntity"),
        informants=tuple(header.informant(found) for found in cda.each(root, "informant")),
        custodian=header.organization(
            cda.child(root, "custodian", "assignedCustodian", "representedCustodianOrganization")
        ),
        recipients=tuple(
            header.entity(cda.child(found, "intendedRecipient"))
            for found in cda.each(root, "informationRecipient")
        ),
        legal_authenticator=header.participation(first("legalAuthenticator"), "assignedEntity"),
        authenticators=header.participations(root, "authenticator", "assignedEntity"),
        participants=header.participations(root, "participant", "associatedEntity"),
        orders=tuple(header.order(found) for found in cda.each(root, "inFulfillmentOf")),
        service_events=tuple(
            header.service_event(found) for found in cda.each(root, "documentationOf")
        ),
        related_documents=tuple(
            header.related_document(found) for found in cda.each(root, "relatedDocument")
        ),
        consents=tuple(
            consent
            for found in cda.each(root, "authorization")
            if (consent := cda.code(cda.child(found, "consent", "code"))) is not None
        ),
        encounter=header.encounter(first("componentOf")),
        body=body_of(first("component"), has_entries=has_entries),
        elements=tuple([found.tag.removeprefix(cda.V3) for found in root.iterchildren("{*}*")]),
    )


__all__ = ["NotClinicalDocument", "XmlRefused", "read_document", "read_outline"]
