"""The spool: what was accepted and is not yet wholly done.

Bodies go to the mail segments, where a delivered message stays without being copied; the entry's
row holds the wrapped key and the sealed envelope. Admission is audited in the same transaction.
"""

import json
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId, new_id
from mssante.mail.model import BlobRef, Envelope, SpoolEntry
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.encryption import seal, unseal
from mssante.storage.schema.spool import SPOOL
from mssante.storage.segments import SegmentBlobs

_DUE: Final = (
    select(SPOOL)
    .where(
        SPOOL.c.slot == bindparam("slot"),
        SPOOL.c.state == "due",
        SPOOL.c.due_at <= bindparam("now"),
    )
    .order_by(SPOOL.c.due_at, SPOOL.c.id)
    .limit(bindparam("limit"))
)
_INSERT: Final = insert(SPOOL)
_DELETE: Final = delete(SPOOL).where(SPOOL.c.id == bindparam("entry"))
_WHY_LENGTH: Final = 200


class StoredSpool:
    """The `Spool` port: the entries of one slot."""

    def __init__(self, database: Database, blobs: SegmentBlobs, slot: str, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._slot = slot
        self._clock = clock
        self._carried: set[OpaqueId] = set()
        """Entries that a task of this process carries; another start finds them due again."""

    async def accept(self, envelope: Envelope, content: bytes) -> SpoolEntry:
        """Keep a message; durable on return: 250 may be said."""
        ref = await self._blobs.put(content)
        accepted_at = self._clock.now()
        entry = SpoolEntry(new_id(), accepted_at, envelope, ref)
        now = to_milliseconds(accepted_at)
        values = {
            "id": entry.id,
            "slot": self._slot,
            "accepted_at": now,
            "sealed": seal(self._blobs.key_of(ref), encode_envelope(envelope)),
            "segment": ref.segment,
            "offset": ref.offset,
            "length": ref.length,
            "wrapped_key": ref.wrapped_key,
            "state": "due",
            "attempts": 0,
            "due_at": now,
        }
        admission = AuditEntry(
            AuditKind.ADMISSION,
            "DATA",
            "done",
            actor=envelope.account_id,
            subject=envelope.mailbox_id,
            correlation=entry.id,
            facts={"size": len(content), "recipients": len(envelope.recipients)},
        )
        self._carried.add(entry.id)
        try:
            await self._database.write(lambda conn: _insert(conn, values, now, admission))
        except BaseException:
            self._carried.discard(entry.id)
            raise
        return entry

    async def due(self, limit: int) -> list[SpoolEntry]:
        """Entries whose time has come and that this process does not carry yet, oldest first."""
        now = to_milliseconds(self._clock.now())
        wanted = limit + len(self._carried)
        rows = await self._database.read(
            lambda conn: conn.execute(_DUE, {"slot": self._slot, "now": now, "limit": wanted}).all()
        )
        entries = [self._entry(row) for row in rows if OpaqueId(bytes(row.id)) not in self._carried]
        self._carried.update(entry.id for entry in entries[:limit])
        return entries[:limit]

    async def finish(self, entry_id: OpaqueId) -> None:
        """Forget an entry whose effects are all recorded."""
        await self._database.write(lambda conn: conn.execute(_DELETE, {"entry": entry_id}) and None)
        self._carried.discard(entry_id)

    async def defer(self, entry_id: OpaqueId, delay: timedelta, why: str) -> None:
        """Try again later."""
        due_at = to_milliseconds(self._clock.now() + delay)
        await self._change(entry_id, why, {"due_at": due_at})

    async def set_aside(self, entry_id: OpaqueId, why: str) -> None:
        """Stop trying until a person decides."""
        await self._change(entry_id, why, {"state": "aside"})

    def release(self, entry_id: OpaqueId) -> None:
        """No task of this process carries the entry any more; it stays due."""
        self._carried.discard(entry_id)

    async def _change(self, entry_id: OpaqueId, why: str, values: dict[str, object]) -> None:
        changed = {**values, "why": why[:_WHY_LENGTH]}
        await self._database.write(
            lambda conn: (
                conn.execute(
                    update(SPOOL)
                    .where(SPOOL.c.id == entry_id)
                    .values(attempts=SPOOL.c.attempts + 1, **changed)
                )
                and None
            )
        )
        self._carried.discard(entry_id)

    def _entry(self, row: Row[Any]) -> SpoolEntry:
        ref = BlobRef(row.segment, row.offset, row.length, bytes(row.wrapped_key))
        envelope = decode_envelope(unseal(self._blobs.key_of(ref), bytes(row.sealed)))
        return SpoolEntry(
            OpaqueId(bytes(row.id)), from_milliseconds(row.accepted_at), envelope, ref, row.attempts
        )


def _insert(conn: Connection, values: dict[str, object], now: int, admission: AuditEntry) -> None:
    conn.execute(_INSERT, values)
    audit.record(conn, now, admission)


def encode_envelope(envelope: Envelope) -> bytes:
    """An envelope as JSON, for its sealed column."""
    return json.dumps(
        {
            "sender": str(envelope.sender) if envelope.sender else None,
            "recipients": [str(recipient) for recipient in envelope.recipients],
            "account": envelope.account_id.hex() if envelope.account_id else None,
            "mailbox": envelope.mailbox_id.hex() if envelope.mailbox_id else None,
            "client": envelope.client,
            "protocol": envelope.protocol,
            "tls": envelope.tls,
            "body_8bit": envelope.body_8bit,
            "smtputf8": envelope.smtputf8,
        }
    ).encode()


def decode_envelope(encoded: bytes) -> Envelope:
    """The envelope that `encode_envelope` wrote."""
    values = json.loads(encoded)

    def opaque(name: str) -> OpaqueId | None:
        return OpaqueId(bytes.fromhex(values[name])) if values[name] else None

    return Envelope(
        sender=Address.split(values["sender"]) if values["sender"] else None,
        recipients=tuple(map(Address.split, values["recipients"])),
        account_id=opaque("account"),
        mailbox_id=opaque("mailbox"),
        client=values["client"],
        protocol=values["protocol"],
        tls=values["tls"],
        body_8bit=values["body_8bit"],
        smtputf8=values["smtputf8"],
    )
