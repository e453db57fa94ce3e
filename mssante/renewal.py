"""What is renewed while the server runs: certificates and keys, revocation lists, the white list.

Every worker loads changed files, asked by a signal or on its own within seconds; what is broken
changes nothing. One worker fetches for all: the others read what it wrote.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from mssante.clients.http import FetchFailed, Request, fetch_aside
from mssante.directory.ports import Act
from mssante.kernel.clock import Clock
from mssante.settings import Settings
from mssante.storage import trust_files
from mssante.storage.whitelist import Origin, StoredWhiteList
from mssante.trust.anchors import Unreadable
from mssante.trust.whitelist import Difference
from mssante.wire.whitelist.reader import WhiteListRefused

MAX_WHITE_LIST: Final = 50_000_000
MAX_REVOCATION_LIST: Final = 32 << 20
_LOG: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0
"""Between two looks at the files."""
_FETCH_SECONDS: Final = 900.0
"""Between two looks at which revocation lists are due."""
_SERVER: Final = "the server itself"


@dataclass(frozen=True, slots=True)
class Renewable:
    """Something that is loaded from files and can be loaded again."""

    what: str
    """For the log."""
    files: Callable[[], Sequence[Path]]
    load: Callable[[], Callable[[], None]]
    """Reads the files, in any thread; what it gives puts them in force, in the event loop's.

    Raises:
        Unreadable, OSError: the files cannot be used; nothing has changed.
    """


class FileWatch:
    """Loads again what has changed."""

    def __init__(
        self,
        items: Sequence[Renewable],
        on_looked: Callable[[float], object] = lambda _: None,
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """Args:
        items: what is loaded.
        on_looked: told after each look when it began, by the monotonic clock: what changed until
            then is in force, unless it is broken.
        look_seconds: between two looks.
        """
        self._items = items
        self._on_looked = on_looked
        self._look_seconds = look_seconds
        # Nothing was seen yet: what changed while the process started is loaded at the first look.
        self._seen: list[_Fingerprint] = [()] * len(items)
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Load everything again now, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            everything = True
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._asked.wait()
            except TimeoutError:
                everything = False
            self._asked.clear()
            await self.look(everything=everything)

    async def look(self, *, everything: bool = False) -> None:
        """Load what has changed since the last look, or everything."""
        began = time.monotonic()
        for number, item in enumerate(self._items):
            now = _fingerprint(item)
            if now == self._seen[number] and not everything:
                continue
            first, self._seen[number] = not self._seen[number], now
            try:
                put = await asyncio.to_thread(item.load)
                put()
            except (Unreadable, OSError) as error:
                _LOG.error(
                    "new files cannot be used, the former ones stay in force",
                    extra={"what": item.what, "why": str(error)},
                )
            except Exception:  # noqa: BLE001 - whatever is wrong with a file, the next look comes
                _LOG.exception(
                    "new files cannot be used, the former ones stay in force",
                    extra={"what": item.what},
                )
            else:
                level = logging.DEBUG if first and not everything else logging.INFO
                _LOG.log(level, "files were loaded again", extra={"what": item.what})
        self._on_looked(began)


_Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Of each file: name, inode, size, time of change in nanoseconds."""


def _fingerprint(item: Renewable) -> _Fingerprint:
    found = []
    for file in item.files():
        try:
            status = file.stat()
        except OSError:
            found.append((str(file), 0, 0, 0))
        else:
            found.append((str(file), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


async def refresh_white_list(
    settings: Settings, white_list: StoredWhiteList, act: Act, *, force: bool = False
) -> Difference | None:
    """Fetch the white list and put it in force; None where ours is still the present one.

    Raises:
        FetchFailed: it could not be had.
        WhiteListRefused: it was had, and is refused; the present one stays, and the audit has it.
        Unreadable, OSError: a file that the settings name cannot be read.
    """
    url = settings.trust.white_list_url
    standing = await white_list.standing()
    # A list that was refused under other settings must be looked at again.
    known = standing if standing is not None and standing.source == url and not force else None
    policy = await asyncio.to_thread(trust_files.list_policy, settings)
    if known is not None and policy.required and not known.signer:
        known = None
    answer = await fetch_aside(
        Request(
            url,
            settings.trust.white_list_ca,
            max_octets=MAX_WHITE_LIST,
            etag=known.etag if known else "",
            last_modified=known.last_modified if known else "",
        )
    )
    origin = Origin(url, answer.etag, answer.last_modified)
    if answer.content is None:
        await white_list.confirm(origin)
        return None
    return await white_list.replace(answer.content, act, policy, force=force, origin=origin)


async def fetch_revocation_list(settings: Settings, url: str) -> None:
    """Fetch one revocation list and keep it.

    Raises:
        FetchFailed: it could not be had.
        Unreadable: it was had, and is not believed; the former one stays.
        OSError: it cannot be kept.
    """
    request = Request(url, settings.trust.white_list_ca, max_octets=MAX_REVOCATION_LIST)
    answer = await fetch_aside(request)
    assert answer.content is not None  # nothing was said of what we have
    await asyncio.to_thread(trust_files.keep_fetched_list, settings, url, answer.content)


class Fetcher:
    """The one worker's part: fetches what the settings name, and warns of what gets old."""

    def __init__(self, settings: Settings, white_list: StoredWhiteList, clock: Clock) -> None:
        self._settings = settings
        self._white_list = white_list
        self._clock = clock
        self._warned: dict[tuple[str, Path, datetime], int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        for work in (self._refresh, self._revocation, self._warn_of_ends):
            self._tasks.append(asyncio.create_task(work()))

    async def close(self) -> None:
        """Stop; what was not fetched is fetched another time."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _refresh(self) -> None:
        period = self._settings.trust.refresh_minutes * 60.0
        pause = random.uniform(1.0, min(60.0, period))  # noqa: S311 (spreads the load)
        while True:
            await asyncio.sleep(pause)
            await self._guarded(self.refresh_once())
            pause = period * random.uniform(0.9, 1.1)  # noqa: S311 (spreads the load)

    async def refresh_once(self) -> None:
        """Fetch the white list if the settings say from where; log what is wrong, and its age."""
        if self._settings.trust.white_list_url:
            act = Act("trust refresh", _SERVER)
            try:
                changed = await refresh_white_list(self._settings, self._white_list, act)
            except (FetchFailed, WhiteListRefused, Unreadable, OSError) as error:
                _LOG.warning(
                    "the white list could not be refreshed, the former one stays in force",
                    extra={"why": str(error)},
                )
            else:
                if changed is not None and changed != Difference((), (), ()):
                    counts = {
                        "added": len(changed.added),
                        "removed": len(changed.removed),
                        "changed": len(changed.changed),
                    }
                    _LOG.info("a new white list is in force", extra=counts)
        await self._warn_of_age()

    async def _warn_of_age(self) -> None:
        known = await self._white_list.known_until()
        if known is None:
            return
        age = self._clock.now() - known
        if age > timedelta(hours=self._settings.trust.warn_hours):
            _LOG.warning("the white list is old", extra={"hours": int(age.total_seconds() // 3600)})

    async def _revocation(self) -> None:
        while True:
            for url in self._settings.trust.revocation_urls:
                await self._guarded(self.fetch_if_due(url))
            await asyncio.sleep(_FETCH_SECONDS)

    async def fetch_if_due(self, url: str) -> None:
        """Fetch a revocation list at half of the life of the one that is kept."""
        settings = self._settings
        if not await asyncio.to_thread(trust_files.fetch_due, settings, url, self._clock.now()):
            return
        try:
            await fetch_revocation_list(settings, url)
        except (FetchFailed, Unreadable, OSError) as error:
            _LOG.warning(
                "a revocation list could not be fetched", extra={"url": url, "why": str(error)}
            )

    async def _warn_of_ends(self) -> None:
        while True:
            await self._guarded(self.warn_of_ends_once())
            await asyncio.sleep(3600.0)

    async def warn_of_ends_once(self) -> None:
        """Log each certificate that expires soon, once for each of 30, 14, 7 and 1 days before."""
        now = self._clock.now()
        for shown in await asyncio.to_thread(trust_files.shown_certificates, self._settings):
            due = shown.certificate.warning_due(now)
            key = (shown.use, shown.file, shown.certificate.not_after)
            if due is None or self._warned.get(key) == due:
                continue
            self._warned[key] = due
            _LOG.warning(
                "a certificate expires soon" if due else "a certificate has expired",
                extra={
                    "use": shown.use,
                    "file": str(shown.file),
                    "subject": str(shown.certificate.subject),
                    "not_after": shown.certificate.not_after.isoformat(),
                },
            )

    @staticmethod
    async def _guarded(work: Awaitable[None]) -> None:
        try:
            await work
        except Unreadable as error:
            _LOG.warning("a certificate file cannot be read", extra={"why": str(error)})
        except Exception:  # noqa: BLE001 - background work goes on
            _LOG.exception("background work failed; trying again later")
