"""Which documents are in a message: read step without effect, pure, may run in a thread.

First cut: CDA documents attached alone. Archives (XDM) and readable copies (PDF) come later. A part is
judged by its bytes: XML whose root is ClinicalDocument in urn:hl7-org:v3, under any of the types that
senders use for it. Other XML is left alone. What stands inside an attached message was sent to
somebody else at another time, and is left alone too.
"""

import binascii
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

from mssante.wire.cda.embedded import EmbeddedFile, look_inside
from mssante.wire.cda.model import ClinicalDocument, Private
from mssante.wire.cda.reader import NotClinicalDocument, read_document
from mssante.wire.mime.limits import MimeError, MimeFault
from mssante.wire.mime.summary import MessageSummary, PartSpan
from mssante.wire.mime.transfer import decode_body
from mssante.wire.xds.entry import entry_from_cda
from mssante.wire.xds.model import EntryMetadata
from mssante.wire.xml import XmlLimits, XmlRefused

_TYPES: Final = frozenset(
    {
        "text/xml",
        "application/xml",
        "application/hl7-v3+xml",
        "application/cda+xml",
        "application/octet-stream",
    }
)
_LOOK_AT: Final = 65_536
"""Encoded bytes in which a document that cannot be read must show that it means to be a CDA."""
_MARK: Final = b"ClinicalDocument"


@dataclass(frozen=True, slots=True)
class InspectLimits:
    """What the documents of one message may cost."""

    document_bytes: int = 26_214_400
    """Of one document, decoded."""
    embedded_bytes: int = 26_214_400
    """Of the file inside a level 1 document, decoded."""
    header_items: int = 200
    """Authors, acts, orders or replaced documents of one document, each."""
    metadata_characters: int = 200_000
    """Of all metadata of one document."""
    documents: int = 50
    """More than these in one message are not read, and held."""
    xml: XmlLimits = field(default_factory=XmlLimits)


@dataclass(frozen=True, slots=True, repr=False)
class FoundDocument(Private):
    """One document of a message. Its `index` is the second half of the effect key."""

    index: int
    section: str
    """IMAP section number of the part."""
    content: bytes
    """The document's exact bytes; the part as it came where it cannot be decoded."""
    document: ClinicalDocument | None
    """`None` where it cannot be read: `fault` says why."""
    metadata: EntryMetadata | None
    embedded: EmbeddedFile | None
    """The file inside a level 1 document."""
    fault: str | None = None
    """A word of `filing.causes.DETAILS`."""


def inspect(
    content: bytes, summary: MessageSummary, limits: InspectLimits
) -> tuple[FoundDocument, ...]:
    """The documents of a message, in the order of its parts.

    Args:
        content: the whole message.
        summary: of this message.
        limits: what it may cost.
    """
    found: list[FoundDocument] = []
    for part in _candidates(summary):
        document = _judge(content, part, len(found), limits)
        if document is not None:
            found.append(document)
    return tuple(found)


def _candidates(summary: MessageSummary) -> Iterator[PartSpan]:
    attached: list[str] = []
    for part in summary.iter_parts():
        if part.section.startswith(tuple(attached)):
            continue
        if part.message_text is not None:
            attached.append(f"{part.section}.")
        elif part.media_type in _TYPES:
            yield part


def _judge(
    message: bytes, part: PartSpan, index: int, limits: InspectLimits
) -> FoundDocument | None:
    start, stop = part.body
    encoded = message[start:stop]
    if not _may_be_xml(encoded, part.encoding):
        return None
    try:
        content = decode_body(encoded, part.encoding, max_bytes=limits.document_bytes)
    except MimeError as error:
        word = "too-large" if error.fault is MimeFault.BODY_TOO_LARGE else "transfer"
        return _unreadable(index, part, encoded, word) if _claims(encoded, part.encoding) else None
    if index >= limits.documents:
        return _unreadable(index, part, content, "too-many") if _shows(content) else None
    try:
        document = read_document(content, limits.xml)
    except NotClinicalDocument:
        return _unreadable(index, part, content, "namespace") if _is_root(content) else None
    except XmlRefused as refusal:
        return _unreadable(index, part, content, refusal.word) if _shows(content) else None
    if _is_crowded(document, limits):
        return _unreadable(index, part, content, "too-complex")
    metadata = entry_from_cda(document, content)
    if _characters(document, metadata) > limits.metadata_characters:
        return _unreadable(index, part, content, "too-complex")
    return FoundDocument(
        index=index,
        section=part.section,
        content=content,
        document=document,
        metadata=metadata,
        embedded=look_inside(document.body, limits.embedded_bytes),
    )


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
    return set_id + sum(map(len, document.replaced_ids)) + _text_length(asdict(metadata))


def _text_length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_text_length, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_text_length, value))
    return 0


def _unreadable(index: int, part: PartSpan, content: bytes, word: str) -> FoundDocument:
    return FoundDocument(index, part.section, content, None, None, None, word)


def _start_of(encoded: bytes, encoding: str) -> bytes:
    """The first bytes of a part, decoded as far as that is possible."""
    piece = encoded[:_LOOK_AT]
    if encoding != "base64":
        return piece
    clean = bytes(byte for byte in piece if byte in _BASE64_ALPHABET)
    return binascii.a2b_base64(clean[: len(clean) // 4 * 4])


_BASE64_ALPHABET: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)


def _may_be_xml(encoded: bytes, encoding: str) -> bool:
    """Whether the part begins as XML does: spares decoding images and archives."""
    start = _start_of(encoded[:400], encoding).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    return start.startswith((b"<", b"=3C", b"=EF=BB=BF"))


def _claims(encoded: bytes, encoding: str) -> bool:
    return _shows(_start_of(encoded, encoding))


def _shows(content: bytes) -> bool:
    """Whether bytes that cannot be read mean to be a clinical document, also in UTF-16."""
    start = content[:_LOOK_AT]
    return _MARK in start or _MARK in start.replace(b"\0", b"")


def _is_root(content: bytes) -> bool:
    """Whether the first element is named ClinicalDocument, in whatever namespace."""
    position = content.find(_MARK)
    before = content[max(0, position - 1) : position]
    return position > 0 and before in (b"<", b":")
