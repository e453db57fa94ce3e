"""The queue of messages to other operators: the `RelayQueue` port over the spool's database.

A row is found by its columns and opened by its own key; what names a person is sealed in it. Rows
stay for a while after they are done, so that a journey that is repeated finds its order; the key of
the message's body is gone from them by then.
"""

import json
import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.mail.model import BlobRef, Wish
from mssante.mail.relay import Action, RelayOrder, RelayRecipient, Stage
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.encryption import KEY_BYTES, Keyring, Tampered, seal, unseal
from mssante.storage.envelopes import decode_request, encode_request
from mssante.storage.prepared import Prepared
from mssante.storage.schema.spool import RELAY
from mssante.wire.smtp.notifications import Return

_LOG: Final = logging.getLogger(__name__)

DUE: Final = "due"
DONE: Final = "done"
_WHY_LENGTH: Final = 200
_NO_BLOB: Final = BlobRef("", 0, 0, b"")

_DUE_NOW: Final = (
    select(RELAY)
    .where(
        RELAY.c.state == DUE,
        or_(
            and_(
                RELAY.c.wish.is_(None),
                RELAY.c.due_at <= bindparam("now"),
                RELAY.c.domain.not_in(bindparam("passing_over", expanding=True)),
            ),
            RELAY.c.wish.in_((Wish.DROP.value, Wish.DISCARD.value)),
        ),
    )
    .order_by(RELAY.c.urgency, RELAY.c.due_at)
    .limit(bindparam("limit"))
)
_CENSUS: Final = (
    select(
        RELAY.c.wish, func.count().label("number"), func.min(RELAY.c.accepted_at).label("oldest")
    )
    .where(RELAY.c.state == DUE)
    .group_by(RELAY.c.wish)
)
_ADD: Final = Prepared(sqlite_insert(RELAY).on_conflict_do_nothing())
_RECORD: Final = Prepared(
    update(RELAY)
    .where(RELAY.c.id == bindparam("order"))
    .values(
        state=bindparam("new_state"),
        due_at=bindparam("new_due_at"),
        attempts=bindparam("new_attempts"),
        waiting=bindparam("new_waiting"),
        why=bindparam("new_why"),
        sealed=bindparam("new_sealed"),
    )
)


class StoredRelays:
    """One slot's orders."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        """`database` is the slot's spool."""
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._carried: dict[OpaqueId, bytes] = {}
        """Orders that a task of this process carries, with the wrapped keys of their rows."""

    async def order(self, orders: Sequence[RelayOrder]) -> None:
        """Keep new orders."""
        rows = [self._new_row(order) for order in orders]
        await self._database.write(lambda conn: _ADD.do(conn, rows), brief=True)

    async def census(self) -> tuple[int, int, int | None]:
        """How many orders are due, how many are held, and when the oldest due one was accepted
        (milliseconds, UTC).
        """
        rows = await self._database.read(lambda conn: conn.execute(_CENSUS).all())
        due = [row for row in rows if row.wish != Wish.HOLD.value]
        return (
            sum(row.number for row in due),
            sum(row.number for row in rows if row.wish == Wish.HOLD.value),
            min((row.oldest for row in due), default=None),
        )

    async def due(self, limit: int, passing_over: Collection[str] = ()) -> list[RelayOrder]:
        """Orders whose time has come."""
        now = to_milliseconds(self._clock.now())
        most = limit + len(self._carried)
        asked = {"now": now, "limit": most, "passing_over": list(passing_over)}
        rows = await self._database.read(lambda conn: conn.execute(_DUE_NOW, asked).all())
        orders: list[RelayOrder] = []
        for row in rows:
            order_id = OpaqueId(bytes(row.id))
            if len(orders) >= limit or order_id in self._carried:
                continue
            self._carried[order_id] = bytes(row.wrapped_key)
            try:
                orders.append(order_of_row(row, self._keyring))
            except (Tampered, ValueError, KeyError):
                # It stays where it is, out of the way of the others until the next start.
                _LOG.error(
                    "a message to another operator cannot be opened; a person must look at it",
                    extra={"order_id": id_text(order_id)},
                )
        return orders

    async def record(self, order: RelayOrder, *, tried: bool) -> None:
        """Keep what became of an order."""
        now = to_milliseconds(self._clock.now())
        key = self._keyring.unwrap(self._carried[order.id])
        done = order.is_done
        due_at = to_milliseconds(order.due_at) if order.due_at and not done else now
        values = {
            "order": order.id,
            "new_state": DONE if done else DUE,
            "new_due_at": due_at,
            "new_attempts": order.attempts,
            "new_waiting": len(order.waiting),
            "new_why": order.why,
            # A body's key goes with its last use: what is deleted elsewhere must not live on here.
            "new_sealed": seal(key, _encoded(replace(order, blob=_NO_BLOB) if done else order)),
        }
        entry = _audited(order) if tried and not order.waiting else None

        def work(conn: Connection) -> None:
            _RECORD.do(conn, values)
            if entry is not None:
                audit.record(conn, now, entry)

        await self._database.write(work, brief=True)
        if not order.untold:
            self._carried.pop(order.id, None)

    async def set_aside(self, order_id: OpaqueId, why: str) -> None:
        """Hold an order that fails by our own fault."""
        now = to_milliseconds(self._clock.now())

        def work(conn: Connection) -> None:
            held = update(RELAY).where(RELAY.c.id == order_id)
            conn.execute(held.values(wish=Wish.HOLD.value, why=why[:_WHY_LENGTH]))
            entry = AuditEntry(
                AuditKind.ADMINISTRATION, "set aside", why[:_WHY_LENGTH], correlation=order_id
            )
            audit.record(conn, now, entry)

        await self._database.write(work, brief=True)
        self._carried.pop(order_id, None)

    def release(self, order_id: OpaqueId) -> None:
        """No task of this process carries the order any more."""
        self._carried.pop(order_id, None)

    async def forget(self, before: int, needed: set[OpaqueId]) -> int:
        """Forget what was done before an instant (milliseconds) and that no journey can repeat."""

        def work(conn: Connection) -> int:
            old = conn.execute(
                select(RELAY.c.id, RELAY.c.spool_id).where(
                    RELAY.c.state == DONE, RELAY.c.due_at < before
                )
            ).all()
            ids = [bytes(row.id) for row in old if bytes(row.spool_id) not in needed]
            for start in range(0, len(ids), 500):
                conn.execute(delete(RELAY).where(RELAY.c.id.in_(ids[start : start + 500])))
            return len(ids)

        return await self._database.write(work)

    def _new_row(self, order: RelayOrder) -> dict[str, object]:
        key = os.urandom(KEY_BYTES)
        return {
            "id": order.id,
            "spool_id": order.spool_id,
            "domain": order.domain,
            "accepted_at": to_milliseconds(order.accepted_at),
            "state": DUE,
            "wish": None,
            # Reports wait behind what people wrote.
            "urgency": 0 if order.sender is not None else 1,
            "due_at": to_milliseconds(order.due_at or order.accepted_at),
            "attempts": order.attempts,
            "waiting": len(order.waiting),
            "size": len(order.prefix) + order.blob.length,
            "why": order.why,
            "wrapped_key": self._keyring.wrap(key),
            "sealed": seal(key, _encoded(order)),
        }


def _audited(order: RelayOrder) -> AuditEntry:
    """One entry for an order whose last recipient has an outcome."""
    failed = sum(one.stage is Stage.FAILED for one in order.recipients)
    facts: dict[str, str | int] = {
        "domain": order.domain,
        "sent": len(order.recipients) - failed,
        "failed": failed,
        "attempts": order.attempts,
        "status": ",".join(sorted({one.status for one in order.recipients})),
    }
    return AuditEntry(
        AuditKind.RELAY if order.sender is not None else AuditKind.REPORT,
        "relay",
        "failed" if failed else "done",
        subject=order.mailbox_id,
        correlation=order.spool_id,
        facts=facts,
    )


def order_of_row(row: Row[Any], keyring: Keyring) -> RelayOrder:
    """The order that a row holds.

    Raises:
        Tampered: it was changed, or sealed by a key that this instance does not hold.
    """
    values = json.loads(unseal(keyring.unwrap(bytes(row.wrapped_key)), bytes(row.sealed)))
    segment, offset, length, wrapped_key = values["blob"]
    return RelayOrder(
        id=OpaqueId(bytes(row.id)),
        spool_id=OpaqueId(bytes(row.spool_id)),
        domain=row.domain,
        sender=Address.split(values["sender"]) if values["sender"] else None,
        mailbox_id=OpaqueId(bytes.fromhex(values["mailbox"])) if values["mailbox"] else None,
        recipients=tuple(map(_recipient, values["recipients"])),
        blob=BlobRef(segment, offset, length, bytes.fromhex(wrapped_key)),
        prefix=values["prefix"].encode("latin-1"),
        accepted_at=from_milliseconds(row.accepted_at),
        returns=Return(values["returns"]) if values["returns"] else None,
        envid=values["envid"],
        is_8bit=values["is_8bit"],
        is_utf8=values.get("is_utf8", False),  # absent in what an older version wrote
        require_tls=values.get("require_tls", False),
        attempts=row.attempts,
        reports=values["reports"],
        warned=values["warned"],
        due_at=from_milliseconds(row.due_at),
        wish=Wish(row.wish) if row.wish else None,
        why=row.why,
    )


def _encoded(order: RelayOrder) -> bytes:
    ref = order.blob
    return json.dumps(
        {
            "sender": str(order.sender) if order.sender else None,
            "mailbox": order.mailbox_id.hex() if order.mailbox_id else None,
            "recipients": [
                {
                    "address": str(one.address),
                    "request": encode_request(one.request),
                    "stage": one.stage,
                    "status": one.status,
                    "diagnostic": one.diagnostic,
                    "remote": one.remote,
                    "at": to_milliseconds(one.at) if one.at else None,
                    "untold": one.untold,
                }
                for one in order.recipients
            ],
            "blob": [ref.segment, ref.offset, ref.length, ref.wrapped_key.hex()],
            "prefix": order.prefix.decode("latin-1"),
            "returns": order.returns,
            "envid": order.envid,
            "is_8bit": order.is_8bit,
            "is_utf8": order.is_utf8,
            "require_tls": order.require_tls,
            "reports": order.reports,
            "warned": order.warned,
        }
    ).encode()


def _recipient(values: dict[str, Any]) -> RelayRecipient:
    at: datetime | None = from_milliseconds(values["at"]) if values["at"] is not None else None
    return RelayRecipient(
        address=Address.split(values["address"]),
        request=decode_request(values["request"]),
        stage=Stage(values["stage"]),
        status=values["status"],
        diagnostic=values["diagnostic"],
        remote=values["remote"],
        at=at,
        untold=Action(values["untold"]) if values["untold"] else None,
    )
