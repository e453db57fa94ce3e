"""Bytes to a clinical document: the complete header, the outline of the body, the problems.

Everything is kept as received. What breaks a rule of the profile becomes a problem in the list; only
bytes that are not a clinical document at all are refused.
"""

from dataclasses import replace
from typing import Final

from mssante.wire.cda import elements as cda
from mssante.wire.cda import header
from mssante.wire.cda.elements import Element
from mssante.wire.cda.model import ClinicalDocument, Identifier
from mssante.wire.cda.outline import outline
from mssante.wire.cda.rules import problems_of
from mssante.wire.cda.times import Timestamp
from mssante.wire.xml import DEFAULT_LIMITS, XmlLimits, XmlRefused, parse_xml

ROOT: Final = cda.V3 + "ClinicalDocument"


class NotClinicalDocument(ValueError):
    """The XML is well formed, but its root is not ClinicalDocument in urn:hl7-org:v3."""


def read_document(content: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> ClinicalDocument:
    """Read a clinical document.

    Raises:
        XmlRefused: the bytes are not XML that we accept.
        NotClinicalDocument: another kind of XML.
    """
    root = parse_xml(content, limits)
    if root.tag != ROOT:
        raise NotClinicalDocument("the root element is not ClinicalDocument in urn:hl7-org:v3")
    return read_root(root)


def read_root(root: Element) -> ClinicalDocument:
    """Read a document from its parsed root element, which must be ClinicalDocument."""

    def first(name: str) -> Element | None:
        return cda.child(root, name)

    def code_value(name: str) -> str | None:
        return cda.attribute(first(name), "code")

    def optional_id(name: str) -> Identifier | None:
        found = first(name)
        return None if found is None else cda.identifier(found)

    without_problems = ClinicalDocument(
        id=optional_id("id") or Identifier(None),
        code=cda.code(first("code")),
        title=cda.text_of(first("title")),
        effective_time=cda.timestamp(first("effectiveTime")) or Timestamp(None),
        confidentiality=cda.code(first("confidentialityCode")),
        language=code_value("languageCode"),
        set_id=optional_id("setId"),
        version=cda.attribute(first("versionNumber"), "value"),
        realm=code_value("realmCode"),
        type_id=optional_id("typeId"),
        template_ids=tuple(cda.identifier(found) for found in cda.each(root, "templateId")),
        patient=header.patient(first("recordTarget")),
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
        body=outline(first("component")),
        problems=(),
    )
    return replace(without_problems, problems=problems_of(root, without_problems))


__all__ = ["NotClinicalDocument", "XmlRefused", "read_document", "read_root"]
