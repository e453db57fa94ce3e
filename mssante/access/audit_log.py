"""Where the rooms and doors hand in audit entries, and how floods of equal ones are bounded."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from mssante.access.audit import AuditEntry
from mssante.kernel.clock import Clock


class AuditLog(Protocol):
    """The audit of one instance; ``storage`` keeps it."""

    async def record(self, entry: AuditEntry) -> None:
        """Add an entry to the chain; durable on return."""
        ...


@dataclass(slots=True)
class _Window:
    """Entries with one key since `began`; the first of them is recorded already."""

    began: datetime
    last: AuditEntry
    uncounted: int = 0


class CondensedAudit:
    """Writes one entry at once and counts its repeats, so that no peer can fill the disk.

    The first entry under a key is recorded when it happens. Those that follow within `period` are
    counted, and recorded as one entry with the fact ``count`` when the period is over. At most
    `max_keys` keys are told apart in one period; what comes above is counted under one key per kind
    and outcome, without actor and personal data. So a flood writes at most two entries per key and
    period. Counts not yet written are lost when the process dies; the first entries are not.
    """

    def __init__(
        self,
        log: AuditLog,
        clock: Clock,
        *,
        period: timedelta = timedelta(minutes=1),
        max_keys: int = 256,
    ) -> None:
        self._log = log
        self._clock = clock
        self._period = period
        self._max_keys = max_keys
        self._windows: dict[Hashable, _Window] = {}

    async def record(self, key: Hashable, entry: AuditEntry) -> None:
        """Record or count an entry.

        Args:
            key: what makes two entries equal, for example (login, peer).
            entry: the entry; of repeats, the last one is written with the count.
        """
        await self._write_ended()
        if key not in self._windows and len(self._windows) >= self._max_keys:
            key = (_OVERFLOW, entry.kind, entry.outcome)
            entry = replace(entry, actor=None, subject=None, correlation=None, personal={})
        window = self._windows.get(key)
        if window is not None:
            window.uncounted += 1
            window.last = entry
            return
        self._windows[key] = window = _Window(self._clock.now(), entry)
        try:
            await self._log.record(entry)
        except BaseException:
            # The next one must be written at once, not counted behind one that is not there.
            if self._windows.get(key) is window:
                del self._windows[key]
            raise

    async def flush(self) -> None:
        """Write all counts now (at the end of the process)."""
        for key in list(self._windows):
            await self._end(key)

    async def _write_ended(self) -> None:
        now = self._clock.now()
        # Insertion order is time order: the oldest windows stand first.
        for key, window in list(self._windows.items()):
            if abs(now - window.began) < self._period:
                break
            await self._end(key)

    async def _end(self, key: Hashable) -> None:
        """Close a window and write its count; one that cannot be written is kept."""
        window = self._windows.pop(key, None)
        if window is None or not window.uncounted:
            return
        facts = {**window.last.facts, "count": window.uncounted}
        try:
            await self._log.record(replace(window.last, facts=facts))
        except BaseException:
            kept = self._windows.setdefault(key, window)
            if kept is not window:
                kept.uncounted += window.uncounted
            raise


_OVERFLOW: Final = "overflow"
