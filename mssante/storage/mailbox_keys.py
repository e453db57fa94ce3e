"""Mailboxes' certificates and private keys on disk: the `KeyStore` port.

Each private key is sealed with a key of its own, wrapped by the instance key. Rows are never
deleted: an old decryption key opens old mail.
"""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.encryption import KEY_BYTES, Keyring, seal, unseal
from mssante.storage.prepared import Prepared
from mssante.storage.schema.directory import MAILBOX, MAILBOX_KEY
from mssante.trust.path import Purpose
from mssante.trust.ports import KeyAct, KeyOrigin, KeyState, StoredPair

_Rows = Select[Any]
_PAIRS: Final[_Rows] = select(MAILBOX_KEY).order_by(
    MAILBOX_KEY.c.mailbox_id, MAILBOX_KEY.c.created_at.desc(), MAILBOX_KEY.c.id
)
_OF_PURPOSE: Final = (
    MAILBOX_KEY.c.mailbox_id == bindparam("mailbox"),
    MAILBOX_KEY.c.purpose == bindparam("purpose"),
)
_ACTIVE: Final = Prepared(
    select(MAILBOX_KEY).where(*_OF_PURPOSE, MAILBOX_KEY.c.state == KeyState.ACTIVE.value)
)
_HISTORY: Final = Prepared(
    select(MAILBOX_KEY)
    .where(*_OF_PURPOSE)
    .order_by(MAILBOX_KEY.c.created_at.desc(), MAILBOX_KEY.c.id)
)
_HELD: Final = Prepared(
    select(MAILBOX_KEY.c.id).where(MAILBOX_KEY.c.fingerprint == bindparam("digest")).limit(1)
)
# Who makes pairs of one mailbox at the same time waits here for the other (PostgreSQL).
_LOCK: Final = select(MAILBOX.c.id).where(MAILBOX.c.id == bindparam("mailbox")).with_for_update()


class StoredMailboxKeys:
    """The `KeyStore` port over the directory's database."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock

    async def active(self, mailbox_id: OpaqueId, purpose: Purpose) -> StoredPair | None:
        """See the port."""
        wanted = _of(mailbox_id, purpose)
        row = await self._database.read(lambda conn: _ACTIVE.first(conn, wanted))
        return None if row is None else self._pair(row)

    async def history(self, mailbox_id: OpaqueId, purpose: Purpose) -> Sequence[StoredPair]:
        """See the port."""
        wanted = _of(mailbox_id, purpose)
        rows = await self._database.read(lambda conn: _HISTORY.all(conn, wanted))
        return [self._pair(row) for row in rows]

    async def add(
        self, pair: StoredPair, act: KeyAct, *, replaces: OpaqueId | None = None
    ) -> StoredPair:
        """See the port."""
        at = to_milliseconds(self._clock.now())
        values = self._values(pair, at)
        row = await self._database.write(lambda conn: _add(conn, pair, values, replaces, act, at))
        return pair if bytes(row.id) == pair.id else self._pair(row)

    async def holds(self, fingerprint: bytes) -> bool:
        """See the port."""
        found = await self._database.read(lambda conn: _HELD.first(conn, {"digest": fingerprint}))
        return found is not None

    async def revoke(self, pair_id: OpaqueId, act: KeyAct) -> None:
        """See the port."""
        at = to_milliseconds(self._clock.now())
        await self._database.write(lambda conn: _revoke(conn, pair_id, act, at))

    async def list_pairs(self, mailbox_id: OpaqueId | None = None) -> Sequence[StoredPair]:
        """See the port."""
        query = _PAIRS
        if mailbox_id is not None:
            query = query.where(MAILBOX_KEY.c.mailbox_id == mailbox_id)
        rows = await self._database.read(lambda conn: conn.execute(query).all())
        return [self._pair(row) for row in rows]

    def _values(self, pair: StoredPair, at: int) -> dict[str, object]:
        own = os.urandom(KEY_BYTES)
        return {
            "id": pair.id,
            "mailbox_id": pair.mailbox_id,
            "purpose": pair.purpose.value,
            "state": KeyState.ACTIVE.value,
            "origin": pair.origin.value,
            "fingerprint": sha256(pair.certificate).digest(),
            "certificate": pair.certificate,
            "chain": b"".join(len(one).to_bytes(4, "big") + one for one in pair.chain),
            "sealed": seal(own, pair.key),
            "wrapped_key": self._keyring.wrap(own),
            "not_before": to_milliseconds(pair.not_before),
            "not_after": to_milliseconds(pair.not_after),
            "created_at": at,
            "revoked_at": None,
        }

    def _pair(self, row: Any) -> StoredPair:
        own = self._keyring.unwrap(bytes(row.wrapped_key))
        return StoredPair(
            OpaqueId(bytes(row.id)),
            OpaqueId(bytes(row.mailbox_id)),
            Purpose(row.purpose),
            bytes(row.certificate),
            tuple(_chain(bytes(row.chain))),
            unseal(own, bytes(row.sealed)),
            from_milliseconds(row.not_before),
            from_milliseconds(row.not_after),
            KeyOrigin(row.origin),
            KeyState(row.state),
            None if row.revoked_at is None else from_milliseconds(row.revoked_at),
        )


def _chain(joined: bytes) -> list[bytes]:
    found = []
    while joined:
        stop = 4 + int.from_bytes(joined[:4], "big")
        found.append(joined[4:stop])
        joined = joined[stop:]
    return found


def _of(mailbox_id: OpaqueId, purpose: Purpose) -> dict[str, object]:
    return {"mailbox": mailbox_id, "purpose": purpose.value}


def _add(
    conn: Connection,
    pair: StoredPair,
    values: Mapping[str, object],
    replaces: OpaqueId | None,
    act: KeyAct,
    at: int,
) -> Any:
    if conn.dialect.name == "postgresql":
        conn.execute(_LOCK, {"mailbox": pair.mailbox_id})
    present = _ACTIVE.first(conn, _of(pair.mailbox_id, pair.purpose))
    if present is not None and bytes(present.id) != replaces:
        return present
    if present is not None:
        conn.execute(
            update(MAILBOX_KEY)
            .where(MAILBOX_KEY.c.id == replaces)
            .values(state=KeyState.RETIRED.value)
        )
    conn.execute(insert(MAILBOX_KEY).values(**values))
    audit.record(conn, at, _entry(act, pair.mailbox_id, pair.purpose.value, pair.id))
    return _ACTIVE.first(conn, _of(pair.mailbox_id, pair.purpose))


def _revoke(conn: Connection, pair_id: OpaqueId, act: KeyAct, at: int) -> None:
    done = conn.execute(
        update(MAILBOX_KEY)
        .where(MAILBOX_KEY.c.id == pair_id, MAILBOX_KEY.c.state != KeyState.REVOKED.value)
        .values(
            state=KeyState.REVOKED.value, revoked_at=func.coalesce(MAILBOX_KEY.c.revoked_at, at)
        )
        .returning(MAILBOX_KEY.c.mailbox_id, MAILBOX_KEY.c.purpose)
    )
    row: Row[Any] | None = done.one_or_none()
    if row is not None:
        mailbox_id = OpaqueId(bytes(row.mailbox_id))
        audit.record(conn, at, _entry(act, mailbox_id, row.purpose, pair_id))


def _entry(act: KeyAct, mailbox_id: OpaqueId, purpose: str, pair_id: OpaqueId) -> AuditEntry:
    return AuditEntry(
        AuditKind.CERTIFICATE,
        act.action,
        "done",
        subject=mailbox_id,
        facts={"purpose": purpose, "pair": pair_id.hex()},
        personal={"user": act.user} if act.user else {},
    )
