"""The way of messages on disk: what finds them, what others confirmed, and the timeline of each.

Addresses and Message-IDs stand here as keyed tokens (RFC 2104); the timeline is made of what the audit
chains of all databases say about one message.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.address import Address
from mssante.kernel.clock import to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.mail.tracing import Asked, Confirmation, Confirmed, Traced, Wanted
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.encryption import Keyring
from mssante.storage.prepared import Prepared
from mssante.storage.schema.audit import AuditTables
from mssante.storage.schema.mail import (
    CONFIRMATION,
    ENTRY,
    EVIDENCE,
    FOLDER,
    TRACE,
    TRACE_RECIPIENT,
)

_NOBODY: Final = bytes(16)
_ASKED_BITS: Final = {Asked.DELIVERY: 1, Asked.READING: 2}
_FINAL: Final = tuple(
    one.value for one in (Confirmed.DELIVERED, Confirmed.FAILED, Confirmed.READ, Confirmed.REJECTED)
)

_KEEP: Final = Prepared(
    sqlite_insert(TRACE).on_conflict_do_nothing(),
    postgresql=postgres_insert(TRACE).on_conflict_do_nothing(),
)
_KEEP_RECIPIENT: Final = Prepared(
    sqlite_insert(TRACE_RECIPIENT).on_conflict_do_nothing(),
    postgresql=postgres_insert(TRACE_RECIPIENT).on_conflict_do_nothing(),
)
_SENT: Final = Prepared(
    select(TRACE.c.spool_id).where(
        TRACE.c.message_token == bindparam("message"), TRACE.c.mailbox_id == bindparam("mailbox")
    )
)
_CONFIRM: Final = Prepared(
    sqlite_insert(CONFIRMATION).on_conflict_do_nothing(),
    postgresql=postgres_insert(CONFIRMATION).on_conflict_do_nothing(),
)


class TraceBook:
    """Tokens, and the part of a delivery that concerns traces."""

    def __init__(self, keyring: Keyring) -> None:
        self._key = keyring.derive("traces: tokens")

    def token(self, kind: str, text: str) -> bytes:
        """What stands for an address or a Message-ID."""
        return hmac.digest(self._key, f"{kind}\0{text}".encode(), "sha256")[:16]

    def of_address(self, address: Address | None) -> bytes:
        """The token of an address; zeros for the null reverse-path."""
        return self.token("address", address.key) if address is not None else _NOBODY

    def of_message(self, message_id: str) -> bytes:
        """The token of a Message-ID; zeros for none."""
        return self.token("message", message_id) if message_id else _NOBODY

    def keep(self, conn: Connection, spool_id: OpaqueId, at: int, traced: Traced) -> None:
        """Keep what a message is found by."""
        _KEEP.do(
            conn,
            {
                "spool_id": spool_id,
                "at": at,
                "message_token": self.of_message(traced.message_id),
                "sender_token": self.of_address(traced.sender),
                "mailbox_id": traced.mailbox_id,
                "asked": sum(_ASKED_BITS[one] for one in traced.asked),
            },
        )
        recipients = {self.of_address(one) for one in traced.recipients}
        _KEEP_RECIPIENT.do(conn, [{"spool_id": spool_id, "token": one} for one in recipients])

    def confirm(
        self,
        conn: Connection,
        report: OpaqueId,
        mailbox_id: OpaqueId,
        said: Confirmation,
        now: int,
    ) -> None:
        """Keep what a report says about a message that this mailbox sent; about any other, nothing: a
        report is heard only by who it is about.
        """
        wanted = {"message": self.of_message(said.original), "mailbox": mailbox_id}
        for row in _SENT.all(conn, wanted):
            spool_id = OpaqueId(bytes(row.spool_id))
            for recipient, outcome in said.outcomes:
                _CONFIRM.do(
                    conn,
                    {
                        "spool_id": spool_id,
                        "token": self.of_address(recipient),
                        "outcome": outcome.value,
                        "report": report,
                        "at": now,
                    },
                )
                entry = AuditEntry(
                    AuditKind.RECEIPT,
                    said.kind.value,
                    outcome.value,
                    subject=mailbox_id,
                    correlation=spool_id,
                    facts={"report": report.hex()},
                )
                audit.record(conn, now, entry)


@dataclass(frozen=True, slots=True)
class FoundTrace:
    """A message that was looked for."""

    spool_id: OpaqueId
    at: int
    """Milliseconds, UTC."""
    mailbox_id: OpaqueId | None
    asked: frozenset[Asked]
    confirmed: tuple[Confirmed, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands."""

    mailbox_id: OpaqueId
    folder: OpaqueId
    """MAILBOXID (RFC 8474), as the audit of consultations names it."""
    uid: int


class StoredTraces:
    """Looks messages up."""

    def __init__(self, mail: Database, keyring: Keyring) -> None:
        """`mail` is the mail database."""
        self._mail = mail
        self._book = TraceBook(keyring)

    async def find(self, wanted: Wanted, limit: int) -> list[FoundTrace]:
        """The messages that match, newest first."""
        query = self._query(wanted).order_by(TRACE.c.at.desc()).limit(limit)

        def work(conn: Connection) -> list[FoundTrace]:
            rows = conn.execute(query).all()
            confirmed = _confirmations(conn, [bytes(row.spool_id) for row in rows])
            return [
                FoundTrace(
                    OpaqueId(bytes(row.spool_id)),
                    row.at,
                    OpaqueId(bytes(row.mailbox_id)) if row.mailbox_id else None,
                    frozenset(one for one, bit in _ASKED_BITS.items() if row.asked & bit),
                    confirmed.get(bytes(row.spool_id), ()),
                )
                for row in rows
            ]

        return await self._mail.read(work)

    async def places(self, spool_id: OpaqueId) -> list[Place]:
        """Where a message stands now, whatever form of it was delivered."""

        def work(conn: Connection) -> list[Place]:
            forms = select(EVIDENCE.c.message_id).where(EVIDENCE.c.spool_id == spool_id)
            found = (
                select(FOLDER.c.mailbox_id, FOLDER.c.id, ENTRY.c.uid)
                .join(FOLDER, FOLDER.c.number == ENTRY.c.folder)
                .where((ENTRY.c.message_id == spool_id) | ENTRY.c.message_id.in_(forms))
            )
            return [
                Place(OpaqueId(bytes(row.mailbox_id)), OpaqueId(bytes(row.id)), row.uid)
                for row in conn.execute(found)
            ]

        return await self._mail.read(work)

    def _query(self, wanted: Wanted) -> Select[Any]:
        query = select(TRACE)
        if wanted.spool_id is not None:
            query = query.where(TRACE.c.spool_id == wanted.spool_id)
        if wanted.message_id is not None:
            query = query.where(TRACE.c.message_token == self._book.of_message(wanted.message_id))
        if wanted.sender is not None:
            query = query.where(TRACE.c.sender_token == self._book.of_address(wanted.sender))
        if wanted.recipient is not None:
            token = self._book.of_address(wanted.recipient)
            to = select(TRACE_RECIPIENT.c.spool_id).where(TRACE_RECIPIENT.c.token == token)
            query = query.where(TRACE.c.spool_id.in_(to))
        if wanted.since is not None:
            query = query.where(TRACE.c.at >= to_milliseconds(wanted.since))
        if wanted.before is not None:
            query = query.where(TRACE.c.at <= to_milliseconds(wanted.before))
        if wanted.unconfirmed:
            answered = select(CONFIRMATION.c.spool_id).where(CONFIRMATION.c.outcome.in_(_FINAL))
            query = query.where(TRACE.c.asked != 0, TRACE.c.spool_id.not_in(answered))
        return query


def _confirmations(conn: Connection, ids: Sequence[bytes]) -> dict[bytes, tuple[Confirmed, ...]]:
    found: dict[bytes, tuple[Confirmed, ...]] = {}
    for start in range(0, len(ids), 500):
        query = (
            select(CONFIRMATION.c.spool_id, CONFIRMATION.c.outcome)
            .where(CONFIRMATION.c.spool_id.in_(ids[start : start + 500]))
            .order_by(CONFIRMATION.c.at)
        )
        for row in conn.execute(query):
            key = bytes(row.spool_id)
            found[key] = (*found.get(key, ()), Confirmed(row.outcome))
    return found


async def consultations(
    database: Database, tables: AuditTables, subject: OpaqueId, since: int
) -> list[audit.AuditLine]:
    """Who read what in a mailbox since an instant (milliseconds, UTC), oldest first."""
    lines = await database.read(
        lambda conn: audit.show(
            conn,
            tables,
            "mail",
            limit=100_000,
            subject=subject,
            kind=AuditKind.CONSULTATION,
            since=since,
        )
    )
    return sorted(lines, key=lambda line: line.at)
