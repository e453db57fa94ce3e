"""Whether the instance can do its work: checks with one public word each, and no detail beyond it.

A worker asks for the whole instance: the disk and the databases are shared, and what the others know
of themselves stands in the shared numbers.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from mssante.kernel.clock import Clock
from mssante.kernel.reasons import Refusal
from mssante.servers.metrics import HEARTBEAT, JOURNAL, OLDEST, Memory
from mssante.trust.anchors import Unreadable, read_certificates
from mssante.trust.whitelist import AgeLimit

_LOG: Final = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 5.0
"""What does not answer within so long does not work."""
_SILENT_SECONDS: Final = 20.0
"""A worker tells of itself every two seconds."""
_NEARLY_FULL: Final = 0.95
_REMEMBERED_SECONDS: Final = 1.0
"""Checks write to the disk: many who ask at once get the same answer."""
_PROBE: Final = b"mssante\n" * 512


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the instance calls itself not ready."""

    least_free_octets: int
    late: timedelta
    """Of the oldest message that waits here and is not held."""
    certificate: timedelta
    """Before a certificate expires."""
    white_list: bool
    """Whether a white list must be there: other operators are served."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is looked at."""

    data: Path
    """The folder of the stores."""
    slot: str
    """Of this worker: its probe has a name of its own."""
    databases: Mapping[str, Callable[[], Awaitable[None]]]
    """By name: begins and ends a transaction that would write."""
    certificates: Mapping[str, Path]
    """By name, PEM files."""
    white_list: AgeLimit
    """The list in force, and the age from which it is believed no more."""


class Health:
    """Answers for the instance."""

    def __init__(
        self, subjects: Subjects, thresholds: Thresholds, memory: Memory, clock: Clock
    ) -> None:
        self._subjects = subjects
        self._thresholds = thresholds
        self._memory = memory
        self._clock = clock
        self._stopping = False
        self._last: tuple[float, list[str]] = (float("-inf"), [])
        self._asking: asyncio.Task[list[str]] | None = None

    def stopping(self) -> None:
        """From now on the answer is no."""
        self._stopping = True

    async def reasons(self) -> list[str]:
        """Why the instance is not ready, in words that do not change; empty: it is."""
        if self._stopping:
            return ["stopping"]
        at, known = self._last
        if time.monotonic() - at < _REMEMBERED_SECONDS:
            return known
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        try:
            return await asyncio.shield(asking)
        finally:
            if asking.done():
                self._asking = None

    async def _ask(self) -> list[str]:
        found = [*self._of_numbers(), *self._of_certificates()]
        names = list(self._subjects.databases)
        checks = [
            self._works("disk-unwritable", asyncio.to_thread(self._write_probe)),
            *(
                self._works(f"store-unwritable: {name}", self._subjects.databases[name]())
                for name in names
            ),
            self._white_list(),
        ]
        for answer in await asyncio.gather(*checks):
            found += answer
        if self.disk_free() < self._thresholds.least_free_octets:
            found.append("disk-low")
        reasons = sorted(found)
        if reasons != self._last[1]:  # who asks every few seconds fills no log
            _LOG.warning("readiness changed", extra={"reasons": ", ".join(reasons) or "none"})
        self._last = (time.monotonic(), reasons)
        return reasons

    def disk_free(self) -> int:
        """Octets that the service may still write where the stores are; 0 where that is unknown."""
        try:
            return shutil.disk_usage(self._subjects.data).free
        except OSError:
            return 0

    def certificate_expiries(self) -> dict[str, datetime | None]:
        """By name, when each of our certificates ends; None where it cannot be read."""
        return {name: _expiry(path) for name, path in self._subjects.certificates.items()}

    async def white_list_known_until(self) -> datetime | None:
        """When the white list in force was last certainly current; None where there is none."""
        return await self._subjects.white_list.space.known_until()

    def _of_numbers(self) -> list[str]:
        found = []
        now = time.monotonic()
        silent = [now - beat for beat in self._memory.of_each_worker(HEARTBEAT)]
        if max(silent) > _SILENT_SECONDS:
            found.append("worker-silent")
        if self._memory.values(JOURNAL)[()][0] >= _NEARLY_FULL:
            found.append("spool-full")
        if self._memory.values(OLDEST)[("here",)][0] > self._thresholds.late.total_seconds():
            found.append("queue-late")
        return found

    def _of_certificates(self) -> list[str]:
        found = []
        last = self._clock.now() + self._thresholds.certificate
        for name, expiry in self.certificate_expiries().items():
            if expiry is None:
                found.append(f"certificate-unreadable: {name}")
            elif expiry <= last:
                found.append(f"certificate-expired: {name}")
        return found

    async def _white_list(self) -> list[str]:
        if not self._thresholds.white_list:
            return []
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                if await self.white_list_known_until() is None:
                    return ["white-list-missing"]
                await self._subjects.white_list.check()
        except Refusal as refusal:
            return [refusal.reason.value]
        except Exception:  # noqa: BLE001 - whatever it is, the list cannot be asked
            return ["white-list-unreadable"]
        return []

    @staticmethod
    async def _works(reason: str, work: Awaitable[None]) -> list[str]:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await work
        except Exception as failure:  # noqa: BLE001 - whatever it is, it does not work
            _LOG.info("a check failed", extra={"check": reason, "why": type(failure).__name__})
            return [reason]
        return []

    def _write_probe(self) -> None:
        """A file that is written, synced and removed: what accepting a message needs."""
        path = self._subjects.data / f".probe-{self._subjects.slot}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, _PROBE) != len(_PROBE):
                raise OSError("short write")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()


def _expiry(path: Path) -> datetime | None:
    """When the first certificate of a PEM file ends."""
    try:
        return read_certificates(path.read_bytes())[0].not_valid_after_utc
    except (OSError, Unreadable, IndexError):
        return None
