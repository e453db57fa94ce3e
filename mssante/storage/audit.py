"""The audit chain on disk: entries gather during a unit of work and are chained as it commits.

`record` only notes an entry on the connection; the `Database` calls `flush` just before COMMIT, so
that a batch of many units costs one reading and one writing of the chain's head, and the head is
locked (PostgreSQL: FOR UPDATE) only for that moment.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, select

from mssante.access.audit import (
    GENESIS,
    AuditEntry,
    AuditKind,
    canonical,
    leaf_bytes,
    leaf_hash,
    link,
    personal_digest,
)
from mssante.kernel.clock import Clock, to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.storage.database import Database
from mssante.storage.schema.audit import AuditTables

_PENDING: Final = "mssante audit entries of this transaction"
_NO_PERSONAL: Final = bytes(32)
_PAGE: Final = 1000


def record(conn: Connection, at: int, entry: AuditEntry) -> None:
    """Note an entry; it is written with the transaction. `at` is in milliseconds, UTC."""
    conn.info.setdefault(_PENDING, []).append((at, entry))


def forget(conn: Connection) -> None:
    """Drop what was noted: the transaction was rolled back."""
    conn.info.pop(_PENDING, None)


def flush(conn: Connection, tables: AuditTables) -> None:
    """Chain and write the noted entries; called by the database just before COMMIT."""
    pending: list[tuple[int, AuditEntry]] = conn.info.pop(_PENDING, [])
    if not pending:
        return
    found = tables.read_head.first(conn, {})
    sequence, head = int(found.sequence), bytes(found.head)
    rows: list[dict[str, object]] = []
    for at, entry in pending:
        sequence += 1
        row, head = _row(entry, sequence, at, head)
        rows.append(row)
    tables.add.do(conn, rows)
    tables.write_head.do(conn, {"new_sequence": sequence, "new_head": head})


def _row(entry: AuditEntry, sequence: int, at: int, head: bytes) -> tuple[dict[str, object], bytes]:
    salt, personal, digest = None, None, _NO_PERSONAL
    if entry.personal:
        salt, personal = os.urandom(16), canonical(entry.personal)
        digest = personal_digest(salt, personal)
    leaf = leaf_bytes(entry, sequence=sequence, at=at, personal_hash=digest)
    head = link(head, leaf_hash(leaf))
    row: dict[str, object] = {
        "sequence": sequence,
        "at": at,
        "kind": entry.kind.value,
        "actor": entry.actor,
        "subject": entry.subject,
        "correlation": entry.correlation,
        "leaf": leaf,
        "head": head,
        "salt": salt,
        "personal": personal,
    }
    return row, head


class StoredAuditLog:
    """The `AuditLog` port over one database, for what has no other effect to travel with."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def record(self, entry: AuditEntry) -> None:
        """Write one entry; durable on return."""
        at = to_milliseconds(self._clock.now())
        await self._database.write(lambda conn: record(conn, at, entry), brief=True)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What verification of one chain found."""

    database: str
    entries: int
    head: str
    """Hexadecimal; compare it with one written down elsewhere: see `cannot_see`."""
    erased: int
    """Entries whose personal part was erased (their leaf still stands)."""
    faults: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether no fault was found."""
        return not self.faults


CANNOT_SEE: Final = (
    "entries cut off at the end together with the head: compare the head with one kept elsewhere",
    "a chain rewritten as a whole by somebody who can write the database",
    "whether an entry tells the truth: the chain proves order and integrity only",
    "events that the software never recorded",
)
"""What `verify` cannot know; shown with every report."""


def verify(conn: Connection, tables: AuditTables, database: str) -> ChainReport:
    """Recompute a chain from its first entry and compare every link."""
    faults: list[str] = []
    head, sequence, erased = GENESIS, 0, 0
    for row in _all(conn, tables.entries):
        sequence += 1
        if row.sequence != sequence:
            faults.append(f"entry {sequence} is missing (found {row.sequence})")
            sequence = int(row.sequence)
        head = link(head, leaf_hash(bytes(row.leaf)))
        if head != bytes(row.head):
            faults.append(f"entry {sequence} was changed, or one before it was")
            head = bytes(row.head)
        try:
            fault, is_erased = _check_columns(row)
        except (ValueError, KeyError, TypeError):
            fault, is_erased = "its leaf cannot be read", False
        erased += is_erased
        if fault:
            faults.append(f"entry {sequence}: {fault}")
    stored = conn.execute(select(tables.head.c.sequence, tables.head.c.head)).one_or_none()
    if stored is None:
        faults.append("the head is missing")
    elif (int(stored.sequence), bytes(stored.head)) != (sequence, head):
        faults.append(f"the head says {stored.sequence} entries, the chain has {sequence}")
    return ChainReport(database, sequence, head.hex(), erased, tuple(faults))


def _all(conn: Connection, table: Table) -> Iterator[Row[Any]]:
    after = 0
    while True:
        page = conn.execute(
            select(table).where(table.c.sequence > after).order_by(table.c.sequence).limit(_PAGE)
        ).all()
        if not page:
            return
        yield from page
        after = page[-1].sequence


def _check_columns(row: Row[Any]) -> tuple[str | None, bool]:
    """Whether the columns beside the leaf say what the leaf says."""
    leaf = _decode(bytes(row.leaf))
    for name, value in (
        ("seq", row.sequence),
        ("at", row.at),
        ("kind", row.kind),
        ("actor", bytes(row.actor).hex() if row.actor else None),
        ("subject", bytes(row.subject).hex() if row.subject else None),
        ("correlation", bytes(row.correlation).hex() if row.correlation else None),
    ):
        if leaf.get(name) != value:
            return f"its column {name} does not say what its leaf says", False
    digest = bytes.fromhex(str(leaf["personal"]))
    if digest == _NO_PERSONAL:
        return (None if row.personal is None else "a personal part was added"), False
    if row.personal is None or row.salt is None:
        return None, True
    if personal_digest(bytes(row.salt), row.personal) != digest:
        return "its personal part was changed", False
    return None, False


def _decode(leaf: bytes) -> dict[str, object]:
    decoded: dict[str, object] = json.loads(leaf)
    return decoded


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One stored entry, for people to read."""

    database: str
    sequence: int
    at: int
    leaf: dict[str, object]
    personal: dict[str, str] | None


def show(
    conn: Connection,
    tables: AuditTables,
    database: str,
    *,
    limit: int,
    subject: OpaqueId | None = None,
    correlation: OpaqueId | None = None,
    kind: AuditKind | None = None,
    since: int | None = None,
) -> list[AuditLine]:
    """The newest entries that match, newest first. `since` is in milliseconds, UTC."""
    entries = tables.entries
    query = select(entries).order_by(entries.c.sequence.desc()).limit(limit)
    if subject is not None:
        query = query.where(entries.c.subject == subject)
    if correlation is not None:
        query = query.where(entries.c.correlation == correlation)
    if kind is not None:
        query = query.where(entries.c.kind == kind.value)
    if since is not None:
        query = query.where(entries.c.at >= since)
    lines = []
    for row in conn.execute(query):
        personal = _decode(row.personal.encode()) if row.personal else None
        lines.append(
            AuditLine(
                database,
                int(row.sequence),
                int(row.at),
                _decode(bytes(row.leaf)),
                {name: str(value) for name, value in personal.items()} if personal else None,
            )
        )
    return lines
