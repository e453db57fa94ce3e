"""The audit chain's tables, the same in each database."""

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from mssante.storage.prepared import Prepared


@dataclass(frozen=True, slots=True)
class AuditTables:
    """The chain, its head, and the statements that each transaction runs on them."""

    entries: Table
    head: Table
    read_head: Prepared
    write_head: Prepared
    add: Prepared


def audit_tables(metadata: MetaData, database: str) -> AuditTables:
    """Define the tables of one database's chain; `database` is part of their names, because in
    PostgreSQL the databases share one schema.
    """
    entries = Table(
        f"{database}_audit",
        metadata,
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False, comment="milliseconds, UTC"),
        Column("kind", Text, nullable=False),
        Column("actor", LargeBinary(16)),
        Column("subject", LargeBinary(16)),
        Column("correlation", LargeBinary(16), comment="spool id"),
        Column("leaf", LargeBinary, nullable=False, comment="what the chain commits to"),
        Column("head", LargeBinary(32), nullable=False, comment="the chain's head with this leaf"),
        Column("salt", LargeBinary(16)),
        Column("personal", Text, comment="erasable; its salted hash is in the leaf"),
        Index(f"ix_{database}_audit_subject", "subject", "at"),
        Index(f"ix_{database}_audit_correlation", "correlation"),
    )
    head = Table(
        f"{database}_audit_head",
        metadata,
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("sequence", BigInteger, nullable=False),
        Column("head", LargeBinary(32), nullable=False),
    )
    return AuditTables(
        entries,
        head,
        read_head=Prepared(
            select(head.c.sequence, head.c.head).where(head.c.number == 1).with_for_update()
        ),
        write_head=Prepared(
            update(head)
            .where(head.c.number == 1)
            .values(sequence=bindparam("new_sequence"), head=bindparam("new_head"))
        ),
        add=Prepared(insert(entries)),
    )
