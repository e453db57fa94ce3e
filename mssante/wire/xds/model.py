"""XDS metadata as values (IHE ITI TF-3 section 4.2.3; French profile of the DMP)."""

from dataclasses import dataclass
from enum import StrEnum, unique

from mssante.wire.cda.model import Private


@unique
class AvailabilityStatus(StrEnum):
    """State of an entry in the registry (JDV_J52)."""

    APPROVED = "Approved"
    DEPRECATED = "Deprecated"
    ARCHIVED = "Archived"
    DELETED = "Deleted"

    @property
    def urn(self) -> str:
        """The identifier that the protocols use."""
        if self in (AvailabilityStatus.APPROVED, AvailabilityStatus.DEPRECATED):
            return f"urn:oasis:names:tc:ebxml-regrep:StatusType:{self.value}"
        return f"urn:asip:ci-sis:2010:StatusType:{self.value}"


@unique
class AssociationType(StrEnum):
    """Links between registry objects (IHE ITI TF-3 table 4.2.2-1 and 4.1)."""

    HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
    RPLC = "urn:ihe:iti:2007:AssociationType:RPLC"


@dataclass(frozen=True, slots=True, repr=False)
class Coded(Private):
    """A code with its system (OID) and label."""

    code: str
    system: str
    display: str


@dataclass(frozen=True, slots=True, repr=False)
class Author(Private):
    """An author group."""

    person: str
    """XCN."""
    institution: str | None
    """XON."""
    roles: tuple[str, ...]
    specialties: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class EntryMetadata(Private):
    """What the producer's document says about itself: a DocumentEntry without the registry's part
    (entryUUID, logicalId, availabilityStatus, repositoryUniqueId).
    """

    unique_id: str
    authors: tuple[Author, ...]
    class_code: Coded | None
    """`None` where no nomenclature gives the class of the type."""
    type_code: Coded
    format_code: Coded
    confidentiality: tuple[Coded, ...]
    facility_type: Coded | None
    practice_setting: Coded | None
    event_codes: tuple[Coded, ...]
    creation_time: str
    """DTM in UTC; empty where the document has no readable time."""
    service_start: str | None
    service_stop: str | None
    hash: str
    """SHA-1 of the bytes, 40 hexadecimal digits: the algorithm is fixed by XDS (4.2.3.2.10)."""
    size: int
    language: str
    legal_authenticator: str | None
    """XCN."""
    mime_type: str
    patient_id: str | None
    """CX; `None` without an INS."""
    source_patient_id: str | None
    """CX."""
    source_patient_info: tuple[str, ...]
    title: str
    reference_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SubmissionSet(Private):
    """A lot of entries sent together."""

    unique_id: str
    """OID."""
    source_id: str
    """OID of the sending system."""
    submission_time: str
    """DTM in UTC."""
    content_type: Coded
    author: Author
    patient_id: str
    """CX."""
    title: str | None
