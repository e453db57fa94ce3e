"""Tables of the DMP database: records, submission sets, entries, associations, held documents."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from mssante.storage.schema.audit import audit_tables

METADATA: Final = MetaData()
AUDIT: Final = audit_tables(METADATA, "dmp")


def _blob() -> tuple[Column[str], Column[int], Column[int], Column[bytes]]:
    """Where a document's ciphertext lies, and the key that opens it."""
    return (
        Column("segment", Text, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("length", BigInteger, nullable=False),
        Column("wrapped_key", LargeBinary, nullable=False),
    )


PATIENT_RECORD: Final = Table(
    "patient_record",
    METADATA,
    Column("patient_id", LargeBinary(16), primary_key=True),
    Column("opened_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    comment="locked during a deposit: those of one patient are serial",
)

SUBMISSION_SET: Final = Table(
    "submission_set",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True, comment="entryUUID"),
    Column("unique_id", Text, nullable=False, unique=True, comment="OID"),
    Column("patient_id", LargeBinary(16), ForeignKey("patient_record.patient_id"), nullable=False),
    Column("submitted_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("metadata", Text, nullable=False, comment="JSON"),
    Index("ix_submission_set_patient", "patient_id"),
)

ENTRY: Final = Table(
    "document_entry",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True, comment="entryUUID"),
    Column("logical_id", LargeBinary(16), nullable=False),
    Column("submission_set_id", LargeBinary(16), ForeignKey("submission_set.id"), nullable=False),
    Column("patient_id", LargeBinary(16), ForeignKey("patient_record.patient_id"), nullable=False),
    Column("document_key", Text, nullable=False, unique=True, comment="uniqueId, GUIDs upper case"),
    Column("hash", Text, nullable=False, comment="SHA-1, hexadecimal"),
    Column("set_key", Text),
    Column("number", BigInteger, comment="versionNumber"),
    Column("status", Text, nullable=False),
    Column("unresolved", Boolean, nullable=False, comment="replaces a document not known here"),
    Column("actors", Text, nullable=False, comment="JSON list: who may replace it"),
    Column("claims", Text, nullable=False, comment="JSON list: what it says it replaces"),
    Column("created", Text, nullable=False, comment="creationTime, DTM in UTC: the order of lists"),
    Column("filed_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("metadata", Text, nullable=False, comment="JSON: XDS metadata"),
    Column("listing", Text, nullable=False, comment="JSON: what lists show"),
    *_blob(),
    Index("ix_document_entry_patient", "patient_id", "created"),
    Index("ix_document_entry_set", "patient_id", "set_key"),
)

CLAIM: Final = Table(
    "document_claim",
    METADATA,
    Column(
        "entry_id",
        LargeBinary(16),
        ForeignKey("document_entry.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("document_key", Text, primary_key=True, comment="of the document it says it replaces"),
    Column("patient_id", LargeBinary(16), nullable=False),
    Index("ix_document_claim", "patient_id", "document_key"),
    comment="finds the successor of a document that comes late",
)

ASSOCIATION: Final = Table(
    "document_association",
    METADATA,
    Column("source", LargeBinary(16), primary_key=True, comment="entryUUID of set or newer entry"),
    Column(
        "target", LargeBinary(16), primary_key=True, comment="entryUUID of member or older entry"
    ),
    Column("type", Text, primary_key=True, comment="URN"),
    Index("ix_document_association_target", "target"),
)

HELD: Final = Table(
    "held_document",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True),
    Column("spool_id", LargeBinary(16), nullable=False),
    Column("place", Integer, nullable=False, comment="of the document in the message"),
    Column("at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("cause", Text, nullable=False),
    Column("detail", Text, nullable=False, comment="free of content"),
    Column("unique_id", Text, nullable=False, comment="as written; empty where it cannot be read"),
    Column("patient_id", LargeBinary(16)),
    Column("sender_id", LargeBinary(16), comment="mailbox"),
    *_blob(),
    Index("ix_held_document_at", "at"),
)

EFFECT: Final = Table(
    "dmp_effect",
    METADATA,
    Column("spool_id", LargeBinary(16), primary_key=True),
    Column("place", Integer, primary_key=True, comment="of the document in the message"),
    Column("at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("verdict", Text, nullable=False),
    Column("cause", Text),
    Column("detail", Text, nullable=False),
    Column("unique_id", Text, nullable=False),
    Column("flags", Text, nullable=False, comment="JSON list"),
    Column("entry_id", LargeBinary(16)),
    Column("held_id", LargeBinary(16)),
    Column("patient_id", LargeBinary(16)),
    sqlite_with_rowid=False,
)
