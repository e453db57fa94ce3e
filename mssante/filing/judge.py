"""Bytes to a document that can be filed, or the word for why not."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Final

from mssante.filing.limits import InspectLimits
from mssante.wire.cda.embedded import EmbeddedFile, look_inside
from mssante.wire.cda.model import ClinicalDocument, Private
from mssante.wire.cda.reader import NotClinicalDocument, read_document
from mssante.wire.xds.entry import entry_from_cda
from mssante.wire.xds.model import EntryMetadata, SubmissionSet
from mssante.wire.xml import XmlRefused

NOT_CDA: Final = "not-cda"
"""XML of another kind, or no XML at all."""
_LOOK_AT: Final = 65_536
"""Bytes in which a document that cannot be read must show that it means to be a CDA."""
_MARK: Final = b"ClinicalDocument"


@dataclass(frozen=True, slots=True, repr=False)
class Judged(Private):
    """A document that was read, or its fault."""

    document: ClinicalDocument | None = None
    metadata: EntryMetadata | None = None
    embedded: EmbeddedFile | None = None
    """The file inside a level 1 document."""
    fault: str | None = None
    """A word of `filing.causes.DETAILS`; `NOT_CDA` for what does not mean to be a document."""


def judge(content: bytes, limits: InspectLimits) -> Judged:
    """Read a document within limits."""
    if len(content) > limits.document_bytes:
        return Judged(fault="too-large")
    try:
        document = read_document(content, limits.xml)
    except NotClinicalDocument:
        return Judged(fault="namespace" if _is_root(content) else NOT_CDA)
    except XmlRefused as refusal:
        return Judged(fault=refusal.word if shows_cda(content) else NOT_CDA)
    if _is_crowded(document, limits):
        return Judged(fault="too-complex")
    metadata = entry_from_cda(document, content)
    if _characters(document, metadata) > limits.metadata_characters:
        return Judged(fault="too-complex")
    return Judged(document, metadata, look_inside(document.body, limits.embedded_bytes))


def shows_cda(content: bytes) -> bool:
    """Whether bytes that cannot be read mean to be a clinical document, also in UTF-16."""
    start = content[:_LOOK_AT]
    return _MARK in start or _MARK in start.replace(b"\0", b"")


def _is_root(content: bytes) -> bool:
    """Whether the first element is named ClinicalDocument, in whatever namespace."""
    position = content.find(_MARK)
    before = content[max(0, position - 1) : position]
    return position > 0 and before in (b"<", b":")


def _is_crowded(document: ClinicalDocument, limits: InspectLimits) -> bool:
    """Whether a list of the header is longer than any real document's."""
    structures = (author.entity.organization for author in document.authors)
    lists = (
        document.authors,
        document.service_events,
        document.orders,
        document.replaced_ids,
        document.patient.ids,
        document.custodian.ids if document.custodian else (),
        *(author.entity.ids for author in document.authors),
        *(structure.ids for structure in structures if structure is not None),
    )
    return any(len(items) > limits.header_items for items in lists)


def _characters(document: ClinicalDocument, metadata: EntryMetadata) -> int:
    """How much text the record would have to keep beside the document."""
    set_id = len(document.set_id.text) if document.set_id else 0
    return set_id + sum(map(len, document.replaced_ids)) + text_length(metadata)


def text_length(value: EntryMetadata | SubmissionSet) -> int:
    """Characters of all texts in metadata."""
    return _text_length(value)


def _text_length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, tuple):
        return sum(map(_text_length, value))
    if is_dataclass(value):
        return sum(_text_length(getattr(value, field.name)) for field in fields(value))
    return 0
