"""Patients' contacts, blocks and invitations: the `Contacts` port, and what a delivery writes."""

import hmac
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mssante.access.audit import AuditEntry, AuditKind
from mssante.directory.ports import Act
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.mail.contacts import (
    ContactLine,
    Correspondence,
    KeptMarks,
    Mark,
    MarkKind,
    Moment,
    Standing,
    standing,
)
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.encryption import Keyring, seal, unseal
from mssante.storage.prepared import Prepared
from mssante.storage.schema.mail import INVITATION, PATIENT_BLOCK, PATIENT_CONTACT

_ANY: Final = bytes(16)
_C: Final = PATIENT_CONTACT.c

_MARKS_OF: Final = Prepared(
    select(
        _C.contact,
        _C.author,
        _C.opened_at,
        _C.opened_by,
        _C.closed_at,
        _C.closed_by,
        _C.receipt_asked_at,
        _C.cause,
    ).where(
        _C.mailbox_id == bindparam("mailbox"),
        or_(_C.contact == bindparam("token"), _C.contact == bindparam("any_contact")),
    )
)
_BLOCKED: Final = Prepared(
    select(PATIENT_BLOCK.c.sender).where(
        PATIENT_BLOCK.c.mailbox_id == bindparam("mailbox"),
        PATIENT_BLOCK.c.since <= bindparam("at"),
        or_(PATIENT_BLOCK.c.until.is_(None), PATIENT_BLOCK.c.until > bindparam("at")),
    )
)


def _keep_later(make: Callable[[Any], Any], when: str, by: str | None, *others: str) -> Any:
    """Insert a mark, or replace an older one of its kind."""
    statement = make(PATIENT_CONTACT)
    new, old = statement.excluded, PATIENT_CONTACT.c
    later: ColumnElement[bool] = new[when] > old[when]
    if by is not None:
        later = or_(later, and_(new[when] == old[when], new[by] > old[by]))
    columns = (when, *([by] if by else []), *others)
    return statement.on_conflict_do_update(
        index_elements=["mailbox_id", "contact", "author"],
        set_={name: new[name] for name in columns},
        where=or_(old[when].is_(None), later),
    )


def _prepared(when: str, by: str | None, *others: str) -> Prepared:
    return Prepared(
        _keep_later(sqlite_insert, when, by, *others),
        postgresql=_keep_later(postgres_insert, when, by, *others),
    )


_KEEP: Final = {
    MarkKind.OPENED: _prepared("opened_at", "opened_by"),
    MarkKind.CLOSED: _prepared("closed_at", "closed_by", "cause"),
    MarkKind.RECEIPT_ASKED: _prepared("receipt_asked_at", None),
}


def _invite(make: Callable[[Any], Any]) -> Any:
    statement = make(INVITATION)
    new, old = statement.excluded, INVITATION.c
    return statement.on_conflict_do_update(
        index_elements=["mailbox_id"],
        set_={"last_at": new.last_at, "messages": old.messages + literal(1)},
    )


_INVITE: Final = Prepared(_invite(sqlite_insert), postgresql=_invite(postgres_insert))


class ContactBook:
    """Tokens and seals of addresses, and the part of a delivery that concerns contacts."""

    def __init__(self, keyring: Keyring) -> None:
        self._token_key = keyring.derive("patients' contacts: tokens")
        self._seal_key = keyring.derive("patients' contacts: addresses")

    def token(self, mailbox_id: OpaqueId, address_key: str) -> OpaqueId:
        """What stands for an address in one patient's rows."""
        message = mailbox_id + address_key.encode()
        return OpaqueId(hmac.digest(self._token_key, message, "sha256")[:16])

    def sealed(self, *addresses: Address | None) -> bytes:
        """Addresses that only this instance reads."""
        texts = [str(one) if one is not None else None for one in addresses]
        return seal(self._seal_key, json.dumps(texts).encode())

    def opened(self, sealed: bytes) -> list[Address | None]:
        """What `sealed` made."""
        texts = json.loads(unseal(self._seal_key, sealed))
        return [Address.split(text) if text else None for text in texts]

    def standing(self, conn: Connection, mailbox_id: OpaqueId, address: Address) -> Standing:
        """See `Contacts.standing`."""
        token = self.token(mailbox_id, address.key)
        return standing(token, _read_marks(conn, mailbox_id, token))

    def apply(
        self,
        conn: Connection,
        mailbox_id: OpaqueId,
        correspondence: Correspondence,
        accepted_at: int,
        message: OpaqueId,
        now: int,
    ) -> None:
        """Keep what a delivered message says; the audit tells what it changed."""
        ends = correspondence.ending is not None
        concerned = dict.fromkeys(
            (*correspondence.contacts, *((correspondence.author,) if ends else ()))
        )
        known: dict[tuple[bytes, bytes], KeptMarks] = {}
        tokens: dict[Address, OpaqueId] = {}
        was_open: dict[Address, bool] = {}
        for address in dict.fromkeys(
            (*correspondence.contacts, correspondence.author, *correspondence.receipts)
        ):
            token = tokens[address] = self.token(mailbox_id, address.key)
            if address in concerned or address in correspondence.receipts:
                rows = _read_marks(conn, mailbox_id, token)
                known.update({(row.contact or _ANY, row.author or _ANY): row for row in rows})
                was_open[address] = standing(token, rows).is_open
        for mark in correspondence.marks():
            contact = tokens[mark.contact] if mark.contact else _ANY
            author = tokens[mark.author] if mark.author else _ANY
            row = known.get((contact, author))
            if mark.kind is MarkKind.RECEIPT_ASKED and row and row.receipt_asked_at is not None:
                continue  # that somebody asked is all that counts
            values = _mark_values(mark, correspondence, accepted_at, message)
            values |= {"mailbox_id": mailbox_id, "contact": contact, "author": author}
            # Most messages find their row: sealing would cost more than all the rest.
            sealed = b"" if row is not None else self.sealed(mark.contact, mark.author)
            _KEEP[mark.kind].do(conn, {**values, "sealed": sealed})
        for address in concerned:
            if was_open[address] and not ends:
                continue  # what was open stays so
            is_open = self.standing(conn, mailbox_id, address).is_open
            if is_open != was_open[address]:
                entry = AuditEntry(
                    AuditKind.CONTACT,
                    "open" if is_open else "close",
                    "done",
                    subject=mailbox_id,
                    correlation=message,
                    facts={"cause": correspondence.ending or "message"},
                    personal={"contact": str(address)},
                )
                audit.record(conn, now, entry)


def _mark_values(
    mark: Mark, correspondence: Correspondence, at: int, message: OpaqueId
) -> dict[str, object]:
    match mark.kind:
        case MarkKind.OPENED:
            return {"opened_at": at, "opened_by": message}
        case MarkKind.CLOSED:
            ending = correspondence.ending
            return {"closed_at": at, "closed_by": message, "cause": ending and ending.value}
        case MarkKind.RECEIPT_ASKED:
            return {"receipt_asked_at": at}


def _read_marks(conn: Connection, mailbox_id: OpaqueId, token: OpaqueId) -> list[KeptMarks]:
    """The marks on one contact and those on every contact."""
    values = {"mailbox": mailbox_id, "token": token, "any_contact": _ANY}
    return [_kept(row) for row in _MARKS_OF.all(conn, values)]


def invite(conn: Connection, mailbox_id: OpaqueId, message: OpaqueId, at: int, now: int) -> None:
    """Note that a message waits for a patient who is not activated: an invitation is due."""
    known = conn.execute(
        select(INVITATION.c.mailbox_id).where(INVITATION.c.mailbox_id == mailbox_id)
    ).first()
    _INVITE.do(
        conn,
        {
            "mailbox_id": mailbox_id,
            "asked_at": at,
            "asked_by": message,
            "last_at": at,
            "messages": 1,
        },
    )
    if known is None:
        entry = AuditEntry(
            AuditKind.CONTACT, "invite", "done", subject=mailbox_id, correlation=message
        )
        audit.record(conn, now, entry)


def _kept(row: Any) -> KeptMarks:
    def token(value: bytes) -> OpaqueId | None:
        return None if bytes(value) == _ANY else OpaqueId(bytes(value))

    return KeptMarks(
        contact=token(row.contact),
        author=token(row.author),
        opened=_moment(row.opened_at, row.opened_by),
        closed=_moment(row.closed_at, row.closed_by),
        receipt_asked_at=row.receipt_asked_at,
        cause=row.cause or "",
    )


def _moment(at: int | None, message: bytes | None) -> Moment | None:
    return None if at is None or message is None else Moment(at, bytes(message))


@dataclass(frozen=True, slots=True)
class Invitation:
    """A patient for whom messages wait, and who is to be invited to activate the space."""

    mailbox_id: OpaqueId
    asked_at: datetime
    """When the first message was accepted."""
    last_at: datetime
    messages: int
    sent_at: datetime | None
    """When somebody took it over."""


class StoredContacts:
    """The `Contacts` port over the mail database, and what administrators do for patients."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._book = ContactBook(keyring)
        self._clock = clock

    async def standing(self, mailbox_id: OpaqueId, address: Address) -> Standing:
        """See the port."""
        return await self._database.read(
            lambda conn: self._book.standing(conn, mailbox_id, address)
        )

    async def is_blocked(
        self, mailbox_id: OpaqueId, senders: Collection[str], at: datetime
    ) -> bool:
        """See the port."""
        values = {"mailbox": mailbox_id, "at": to_milliseconds(at)}
        blocked = await self._database.read(lambda conn: _BLOCKED.all(conn, values))
        # Most patients block nobody: then no token is computed.
        tokens = {bytes(row.sender) for row in blocked}
        return bool(tokens) and any(self._book.token(mailbox_id, one) in tokens for one in senders)

    async def block(self, mailbox_id: OpaqueId, address: Address, act: Act) -> bool:
        """Take nothing more from an address; False where it is blocked already."""
        token, now = self._book.token(mailbox_id, address.key), self._now()
        sealed = self._book.sealed(address)

        def work(conn: Connection) -> bool:
            if conn.execute(_present_block(mailbox_id, token)).first() is not None:
                return False
            row = {"mailbox_id": mailbox_id, "sender": token, "since": now, "sealed": sealed}
            # Blocked and unblocked within one millisecond: the row is there, and is put in force.
            make = postgres_insert if conn.dialect.name == "postgresql" else sqlite_insert
            conn.execute(
                make(PATIENT_BLOCK)
                .values(**row)
                .on_conflict_do_update(
                    index_elements=["mailbox_id", "sender", "since"], set_={"until": None}
                )
            )
            self._record(conn, now, mailbox_id, address, act)
            return True

        return await self._database.write(work)

    async def unblock(self, mailbox_id: OpaqueId, address: Address, act: Act) -> bool:
        """Take messages of an address again; False where it is not blocked."""
        token, now = self._book.token(mailbox_id, address.key), self._now()

        def work(conn: Connection) -> bool:
            found = conn.execute(_present_block(mailbox_id, token)).first()
            if found is None:
                return False
            conn.execute(
                update(PATIENT_BLOCK)
                .where(
                    PATIENT_BLOCK.c.mailbox_id == mailbox_id,
                    PATIENT_BLOCK.c.sender == token,
                    PATIENT_BLOCK.c.until.is_(None),
                )
                .values(until=now)
            )
            self._record(conn, now, mailbox_id, address, act)
            return True

        return await self._database.write(work)

    async def contacts_of(self, mailbox_id: OpaqueId) -> list[ContactLine]:
        """Contacts, open and closed, and blocked addresses; the latest first."""

        def work(conn: Connection) -> list[ContactLine]:
            marks = conn.execute(
                select(PATIENT_CONTACT).where(PATIENT_CONTACT.c.mailbox_id == mailbox_id)
            ).all()
            blocks = conn.execute(
                select(PATIENT_BLOCK).where(
                    PATIENT_BLOCK.c.mailbox_id == mailbox_id, PATIENT_BLOCK.c.until.is_(None)
                )
            ).all()
            return self._lines(marks, blocks)

        return await self._database.read(work)

    async def invitations(self) -> list[Invitation]:
        """All that were asked for, the oldest first; activation does not remove them."""

        def work(conn: Connection) -> list[Invitation]:
            rows = conn.execute(select(INVITATION).order_by(INVITATION.c.asked_at))
            return [
                Invitation(
                    mailbox_id=OpaqueId(bytes(row.mailbox_id)),
                    asked_at=from_milliseconds(row.asked_at),
                    last_at=from_milliseconds(row.last_at),
                    messages=row.messages,
                    sent_at=from_milliseconds(row.sent_at) if row.sent_at else None,
                )
                for row in rows
            ]

        return await self._database.read(work)

    async def mark_invitation_sent(self, mailbox_id: OpaqueId, act: Act) -> bool:
        """Note that somebody sends it; False where there is none."""
        now = self._now()

        def work(conn: Connection) -> bool:
            changed = conn.execute(
                update(INVITATION).where(INVITATION.c.mailbox_id == mailbox_id).values(sent_at=now)
            )
            if changed.rowcount:
                self._record(conn, now, mailbox_id, None, act)
            return bool(changed.rowcount)

        return await self._database.write(work)

    def _lines(self, marks: Iterable[Row[Any]], blocks: Iterable[Row[Any]]) -> list[ContactLine]:
        blocked = {bytes(row.sender): row for row in blocks}
        kept: list[KeptMarks] = []
        addresses: dict[OpaqueId, Address] = {}
        for row in marks:
            one = _kept(row)
            kept.append(one)
            address, _ = self._book.opened(bytes(row.sealed))
            if one.contact is not None and address is not None:
                addresses[one.contact] = address
        lines = []
        for token, address in addresses.items():
            found, block = standing(token, kept), blocked.pop(token, None)
            if found.since is None and found.closed is None and block is None:
                continue  # only a read receipt was asked for
            lines.append(
                ContactLine(
                    address=address,
                    is_open=found.is_open,
                    opened_at=from_milliseconds(found.since.at) if found.since else None,
                    closed_at=from_milliseconds(found.closed.at) if found.closed else None,
                    cause=found.cause,
                    blocked_at=from_milliseconds(block.since) if block is not None else None,
                )
            )
        for block in blocked.values():
            [blocked_address] = self._book.opened(bytes(block.sealed))
            assert blocked_address is not None
            since = from_milliseconds(block.since)
            lines.append(ContactLine(blocked_address, False, None, None, "", since))
        lines.sort(key=_latest, reverse=True)
        return lines

    def _record(
        self, conn: Connection, at: int, mailbox_id: OpaqueId, address: Address | None, act: Act
    ) -> None:
        personal = {"user": act.user, **({"contact": str(address)} if address else {})}
        entry = AuditEntry(
            AuditKind.ADMINISTRATION,
            act.command,
            "done",
            actor=act.account_id,
            subject=mailbox_id,
            personal=personal,
        )
        audit.record(conn, at, entry)

    def _now(self) -> int:
        return to_milliseconds(self._clock.now())


def _latest(line: ContactLine) -> datetime:
    moments = (line.opened_at, line.closed_at, line.blocked_at)
    return max(moment for moment in moments if moment is not None)


def _present_block(mailbox_id: OpaqueId, token: OpaqueId) -> Any:
    return select(PATIENT_BLOCK.c.since).where(
        PATIENT_BLOCK.c.mailbox_id == mailbox_id,
        PATIENT_BLOCK.c.sender == token,
        PATIENT_BLOCK.c.until.is_(None),
    )
