"""Tables of the mail database: folders, messages, flags, tombstones, effects, patients' contacts.

Who writes to a patient tells about the patient's health: addresses stand there sealed, and are found by
a token that only this instance can compute, different for each patient.
"""

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
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from mssante.storage.schema.audit import audit_tables

METADATA: Final = MetaData()
AUDIT: Final = audit_tables(METADATA, "mail")

_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers INTEGER keys only

MAILBOX: Final = Table(
    "mailbox_counter",
    METADATA,
    Column("mailbox_id", LargeBinary(16), primary_key=True),
    Column("uidvalidity", BigInteger, nullable=False, comment="last one given, never used again"),
    Column(
        "vacated",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="greatest UIDVALIDITY of a folder that left its name: was deleted or renamed",
    ),
)

SUBSCRIPTION: Final = Table(
    "subscription",
    METADATA,
    Column("mailbox_id", LargeBinary(16), primary_key=True),
    Column(
        "name",
        Text,
        primary_key=True,
        comment="subscribed by a client, whether or not a folder has it",
    ),
    sqlite_with_rowid=False,
)

FOLDER: Final = Table(
    "folder",
    METADATA,
    Column("number", _Key, primary_key=True, autoincrement=True),
    Column("id", LargeBinary(16), nullable=False, unique=True, comment="MAILBOXID, RFC 8474"),
    Column("mailbox_id", LargeBinary(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("uidvalidity", BigInteger, nullable=False),
    Column("uidnext", BigInteger, nullable=False),
    Column("modseq", BigInteger, nullable=False, comment="HIGHESTMODSEQ, RFC 7162"),
    Column(
        "flag_modseq",
        BigInteger,
        nullable=False,
        comment="last modseq of a change that was no addition: spares readers a search by modseq",
    ),
    Column(
        "recent_from",
        BigInteger,
        nullable=False,
        server_default="1",
        comment="least UID of which no session was told: Recent, RFC 3501 section 2.3.2",
    ),
    Column("special_use", Text),
    Column("subscribed", Boolean, nullable=False),
    UniqueConstraint("mailbox_id", "name"),
    sqlite_autoincrement=True,
)

FOLDER_KEYWORD: Final = Table(
    "folder_keyword",
    METADATA,
    Column("folder", BigInteger, ForeignKey("folder.number", ondelete="CASCADE"), primary_key=True),
    Column("bit", SmallInteger, primary_key=True),
    Column("name", Text, nullable=False),
)

MESSAGE: Final = Table(
    "message",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True, comment="EMAILID, RFC 8474"),
    Column(
        "sealed", LargeBinary, nullable=False, comment="prefix and summary, with the blob's key"
    ),
    Column("segment", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
)

ENTRY: Final = Table(
    "entry",
    METADATA,
    Column("folder", BigInteger, ForeignKey("folder.number", ondelete="CASCADE"), primary_key=True),
    Column("uid", BigInteger, primary_key=True),
    Column("message_id", LargeBinary(16), nullable=False),
    Column("internal_date", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("size", BigInteger, nullable=False, comment="RFC822.SIZE, prefix included"),
    Column("flags", BigInteger, nullable=False, comment="bits 0-4 system flags, 8-61 keywords"),
    Column("modseq", BigInteger, nullable=False),
    Index("ix_entry_message", "message_id"),
    sqlite_with_rowid=False,
)

READER_FLAG: Final = Table(
    "reader_flag",
    METADATA,
    Column("folder", BigInteger, ForeignKey("folder.number", ondelete="CASCADE"), primary_key=True),
    Column("reader", LargeBinary(16), primary_key=True, comment="account id"),
    Column("uid", BigInteger, primary_key=True),
    Column("seen", Boolean, nullable=False),
    Column("modseq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

TOMBSTONE: Final = Table(
    "tombstone",
    METADATA,
    Column("folder", BigInteger, ForeignKey("folder.number", ondelete="CASCADE"), primary_key=True),
    Column("modseq", BigInteger, primary_key=True),
    Column("uid", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

EFFECT: Final = Table(
    "mail_effect",
    METADATA,
    Column("spool_id", LargeBinary(16), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("target", LargeBinary(16), primary_key=True, comment="mailbox id"),
    Column("at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    sqlite_with_rowid=False,
)

EVIDENCE: Final = Table(
    "evidence",
    METADATA,
    Column(
        "message_id",
        LargeBinary(16),
        ForeignKey("message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("spool_id", LargeBinary(16), nullable=False),
    Column("judged_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decryption", Text, comment="ok, no-recipient, fail, refuse; NULL: nothing encrypted"),
    Column(
        "sealed",
        LargeBinary,
        nullable=False,
        comment="signer and warnings, with the message's blob key",
    ),
    Column("segment", Text, comment="of the original, where another message was delivered"),
    Column("offset", BigInteger),
    Column("length", BigInteger),
    Column("wrapped_key", LargeBinary),
    Index("ix_evidence_spool", "spool_id"),
)

PATIENT_CONTACT: Final = Table(
    "patient_contact",
    METADATA,
    Column("mailbox_id", LargeBinary(16), primary_key=True),
    Column(
        "contact", LargeBinary(16), primary_key=True, comment="keyed token of the address; 0: any"
    ),
    Column("author", LargeBinary(16), primary_key=True, comment="who opened or closed; 0: anybody"),
    Column("opened_at", BigInteger, comment="latest opening: when its message was accepted"),
    Column("opened_by", LargeBinary(16), comment="spool id"),
    Column("closed_at", BigInteger),
    Column("closed_by", LargeBinary(16)),
    Column("cause", Text, comment="of the closing"),
    Column("receipt_asked_at", BigInteger),
    Column("sealed", LargeBinary, nullable=False, comment="the contact's and the author's address"),
    sqlite_with_rowid=False,
)

PATIENT_BLOCK: Final = Table(
    "patient_block",
    METADATA,
    Column("mailbox_id", LargeBinary(16), primary_key=True),
    Column("sender", LargeBinary(16), primary_key=True, comment="keyed token of the address"),
    Column("since", BigInteger, primary_key=True, comment="milliseconds, UTC"),
    Column("until", BigInteger, comment="null: still blocked"),
    Column("sealed", LargeBinary, nullable=False, comment="the address"),
    sqlite_with_rowid=False,
)

INVITATION: Final = Table(
    "invitation",
    METADATA,
    Column("mailbox_id", LargeBinary(16), primary_key=True),
    Column("asked_at", BigInteger, nullable=False, comment="of the first message that waits"),
    Column("asked_by", LargeBinary(16), nullable=False, comment="spool id"),
    Column("last_at", BigInteger, nullable=False),
    Column("messages", Integer, nullable=False, comment="delivered before activation"),
    Column("sent_at", BigInteger, comment="when somebody took it over to send it"),
    sqlite_with_rowid=False,
)

TRACE: Final = Table(
    "message_trace",
    METADATA,
    Column("spool_id", LargeBinary(16), primary_key=True),
    Column("at", BigInteger, nullable=False, comment="of the acceptance; milliseconds, UTC"),
    Column("message_token", LargeBinary(16), nullable=False, comment="keyed, of the Message-ID"),
    Column("sender_token", LargeBinary(16), nullable=False, comment="keyed, of the reverse-path"),
    Column("mailbox_id", LargeBinary(16), comment="of the member that sent it"),
    Column("asked", SmallInteger, nullable=False, comment="1 delivery, 2 reading"),
    Index("ix_trace_at", "at"),
    Index("ix_trace_message", "message_token"),
    Index("ix_trace_sender", "sender_token", "at"),
    sqlite_with_rowid=False,
)

TRACE_RECIPIENT: Final = Table(
    "message_trace_recipient",
    METADATA,
    Column("spool_id", LargeBinary(16), primary_key=True),
    Column("token", LargeBinary(16), primary_key=True, comment="keyed, of the address"),
    Index("ix_trace_recipient", "token"),
    sqlite_with_rowid=False,
)

CONFIRMATION: Final = Table(
    "message_confirmation",
    METADATA,
    Column("spool_id", LargeBinary(16), primary_key=True),
    Column(
        "token", LargeBinary(16), primary_key=True, comment="keyed, of the recipient; 0: unsaid"
    ),
    Column("outcome", Text, primary_key=True),
    Column("report", LargeBinary(16), primary_key=True, comment="spool id of the report"),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
