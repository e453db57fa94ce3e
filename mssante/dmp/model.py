"""Filed and held documents as values."""

from dataclasses import dataclass
from enum import StrEnum, unique

from mssante.dmp.lineage import Version
from mssante.kernel.opaque import OpaqueId
from mssante.wire.cda.model import ClinicalDocument, Private
from mssante.wire.xds.model import AvailabilityStatus, EntryMetadata, SubmissionSet


@dataclass(frozen=True, slots=True)
class EffectKey:
    """What makes the filing of one document of one message happen once."""

    spool_id: OpaqueId
    index: int
    """Place of the document in the message, from 0."""


@unique
class Verdict(StrEnum):
    """What became of one document of a message."""

    FILED = "filed"
    ALREADY_FILED = "already-filed"
    HELD = "held"


@dataclass(frozen=True, slots=True, repr=False)
class Recorded(Private):
    """The recorded effect: what a repeat of the same effect finds instead of acting again."""

    key: EffectKey
    at: int
    """Milliseconds, UTC."""
    verdict: Verdict
    cause: str | None
    """Why it is held: a word of the clerk's table or a `Conflict`; `None` when it is filed."""
    detail: str
    """A word that makes the cause precise (the trait, the parser's word); free of content."""
    unique_id: str
    """As the document says; empty where it could not be read."""
    flags: tuple[str, ...]
    """Such as ``replaced-document-unknown``."""
    entry_id: OpaqueId | None
    held_id: OpaqueId | None
    patient_id: OpaqueId | None


@dataclass(frozen=True, slots=True, repr=False)
class Listing(Private):
    """The fields of a document that lists show, as the document has them."""

    set_id: str | None
    version: str | None
    """The versionNumber as written."""
    type_code: str
    type_display: str
    creation_time: str
    """ISO 8601 with the document's own offset and precision."""
    author_id: str
    """Of the first person among the authors, else of the first author: the extension, or the root."""
    author_name: str
    level: int


@dataclass(frozen=True, slots=True, repr=False)
class Deposit(Private):
    """One document for one patient's record."""

    key: EffectKey
    version: Version
    logical_id: OpaqueId
    submission_set_id: OpaqueId
    submission_set: SubmissionSet
    metadata: EntryMetadata
    listing: Listing
    sender_id: OpaqueId | None
    """Mailbox of the sender."""
    content: bytes
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Hold(Private):
    """One document that a person must look at."""

    key: EffectKey
    held_id: OpaqueId
    cause: str
    detail: str
    unique_id: str
    patient_id: OpaqueId | None
    """The patient it was matched with, if any."""
    sender_id: OpaqueId | None
    """Mailbox of the sender."""
    content: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Entry(Private):
    """A filed document."""

    id: OpaqueId
    """Its entryUUID."""
    logical_id: OpaqueId
    patient_id: OpaqueId
    status: AvailabilityStatus
    metadata: EntryMetadata
    listing: Listing
    unresolved: bool
    """It replaces a document that is not known."""
    filed_at: int
    """Milliseconds, UTC."""


@dataclass(frozen=True, slots=True, repr=False)
class HeldDocument(Private):
    """A document that waits for a person."""

    id: OpaqueId
    key: EffectKey
    at: int
    """Milliseconds, UTC."""
    cause: str
    detail: str
    unique_id: str
    patient_id: OpaqueId | None
    sender_id: OpaqueId | None
    size: int


def listing_of(document: ClinicalDocument, type_display: str) -> Listing:
    """The listed fields of a document; `type_display` stands in where the document has no label."""
    first = document.first_person
    identifier = first.entity.id if first else None
    code = document.code
    return Listing(
        set_id=document.set_id.text if document.set_id and document.set_id.root else None,
        version=document.version,
        type_code=(code.code if code else None) or "",
        type_display=(code.display if code else None) or type_display,
        creation_time=document.effective_time.iso() or "",
        author_id=(identifier.extension or identifier.root or "") if identifier else "",
        author_name=_author_name(document),
        level=document.body.level,
    )


def _author_name(document: ClinicalDocument) -> str:
    first = document.first_person
    if first is None:
        return ""
    entity = first.entity
    if entity.name is not None:
        parts = (entity.name.any_given, entity.name.any_family)
        return " ".join(part for part in parts if part) or entity.name.text or ""
    return (entity.device.software or entity.device.model or "") if entity.device else ""
