"""Who read which messages, for the audit, without a durable write for every read.

What one reader reads in one folder is gathered for a short time and recorded as one entry with the
ranges of UIDs. The gathering never drops anything; what it costs is that a crash of this process
within `GATHERED_SECONDS` loses the entries of these seconds. When the process stops in order, the
rest is flushed.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mssante.access.audit import AuditEntry, AuditKind
from mssante.access.audit_log import AuditLog
from mssante.access.identity import Identity
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.mail.uid_ranges import uid_ranges

GATHERED_SECONDS: Final = 2.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Reading:
    identity: Identity
    folder: OpaqueId
    uids: set[int] = field(default_factory=set)


class Consultations:
    """Gathers reads and records them."""

    def __init__(self, log: AuditLog, *, gathered_seconds: float = GATHERED_SECONDS) -> None:
        self._log = log
        self._seconds = gathered_seconds
        self._readings: dict[tuple[OpaqueId, OpaqueId], _Reading] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, identity: Identity, folder: OpaqueId, uids: Iterable[int]) -> None:
        """`identity` was sent content of these messages of a folder."""
        key = (identity.account_id, folder)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = _Reading(identity, folder)
        reading.uids.update(uids)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush_later())

    async def flush(self) -> None:
        """Record what was gathered; on return it is durable."""
        while self._readings:
            key, reading = next(iter(self._readings.items()))
            del self._readings[key]
            try:
                for entry in _entries(reading):
                    await self._log.record(entry)
            except BaseException:
                # Kept for the next attempt: recording a UID twice is harmless, losing it is not.
                kept = self._readings.setdefault(key, reading)
                kept.uids |= reading.uids
                raise

    async def close(self) -> None:
        """Record the rest and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    async def _flush_later(self) -> None:
        while self._readings:
            await asyncio.sleep(self._seconds)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001 - background work goes on
                _LOG.exception("the audit of consultations could not be written; trying again")


def _entries(reading: _Reading) -> Iterable[AuditEntry]:
    for uids in uid_ranges(reading.uids):
        yield AuditEntry(
            AuditKind.CONSULTATION,
            "FETCH",
            "done",
            actor=reading.identity.account_id,
            subject=reading.identity.mailbox.id,
            facts={"folder": id_text(reading.folder), "uids": uids},
        )
