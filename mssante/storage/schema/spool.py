"""Tables of a slot's spool: messages that could not be done at once, those on their way to other
operators, and where the journal begins.
"""

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
    Column("state", Text, nullable=False, comment="due, aside, drop or discard"),
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

RELAY: Final = Table(
    "relay_order",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True),
    Column("spool_id", LargeBinary(16), nullable=False),
    Column("domain", Text, nullable=False),
    Column("accepted_at", BigInteger, nullable=False, comment="milliseconds, UTC"),
    Column("state", Text, nullable=False, comment="due or done"),
    Column("wish", Text, comment="an administrator's: hold, drop or discard"),
    Column("urgency", Integer, nullable=False, comment="0 first"),
    Column(
        "due_at", BigInteger, nullable=False, comment="milliseconds, UTC; when done: since when"
    ),
    Column("attempts", Integer, nullable=False),
    Column("waiting", Integer, nullable=False, comment="recipients that are still to be tried"),
    Column("size", BigInteger, nullable=False),
    Column("why", Text, nullable=False, comment="of the last attempt; free of content"),
    Column("wrapped_key", LargeBinary, nullable=False, comment="of this row"),
    Column("sealed", LargeBinary, nullable=False, comment="envelope, outcomes, and the body's key"),
    Index("ix_relay_due", "state", "urgency", "due_at"),
    Index("ix_relay_spool_id", "spool_id"),
)
