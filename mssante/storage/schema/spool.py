"""Tables of a slot's spool: messages that could not be done at once, and where the journal begins."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

from mssante.storage.schema.audit import audit_tables

METADATA: Final = MetaData()
AUDIT: Final = audit_tables(METADATA, "spool")

SPOOL: Final = Table(
    "spool_entry",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True),
    Column("accepted_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("sealed", LargeBinary, nullable=False, comment="the envelope, with the blob's key"),
    Column("segment", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, comment="due or aside"),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("why", Text, comment="of the last failure; free of content"),
    Index("ix_spool_due", "state", "due_at"),
)

JOURNAL_MARK: Final = Table(
    "journal_mark",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("segment", BigInteger, nullable=False, comment="first one with an entry not done"),
)
