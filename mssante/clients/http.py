"""Fetches a file over HTTP, bounded in size and time.

Only addresses of the settings are asked. A redirection is followed on the same host alone. Proxies,
cookies and the system's authorities play no part.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import urllib3

_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 15.0
_REDIRECTIONS: Final = 3
_PIECE: Final = 65_536
_MOVED: Final = frozenset((301, 302, 303, 307, 308))
_NOT_MODIFIED: Final = 304
_OK: Final = 200


class FetchFailed(Exception):
    """The file could not be had.

    Attributes:
        word: ``unreachable``, ``tls``, ``timed-out``, ``too-large``, ``truncated``,
            ``redirected-elsewhere`` or ``status-NNN``.
    """

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch, from whom, and how much of it."""

    url: str
    authorities: Sequence[Path] = ()
    """PEM files of those who certify an ``https`` server; nobody else is believed."""
    max_octets: int = 50_000_000
    seconds: float = 120.0
    """For everything."""
    etag: str = ""
    """Of the answer that we have: it is not sent again if it is still the present one."""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came."""

    content: bytes | None
    """None: what we have is still the present one."""
    etag: str
    last_modified: str


def fetch(request: Request) -> Answer:
    """Fetch a file.

    Raises:
        FetchFailed: says why.
        OSError: a file of `authorities` cannot be read.
    """
    deadline = time.monotonic() + request.seconds
    with urllib3.PoolManager(
        num_pools=1,
        retries=False,
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_SILENCE_SECONDS),
        ssl_context=_context(request),
    ) as pool:
        try:
            return _fetch(pool, request, deadline)
        except urllib3.exceptions.NewConnectionError:  # a kind of TimeoutError by its class
            raise FetchFailed("unreachable") from None
        except urllib3.exceptions.SSLError:
            raise FetchFailed("tls") from None
        except urllib3.exceptions.TimeoutError:
            raise FetchFailed("timed-out") from None
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError):
            raise FetchFailed("truncated") from None
        except urllib3.exceptions.HTTPError:
            raise FetchFailed("unreachable") from None


async def fetch_aside(request: Request) -> Answer:
    """As `fetch`, in a thread of its own that no stop of the process waits for.

    Raises:
        FetchFailed: says why.
        OSError: a file of `authorities` cannot be read.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()

    def tell(outcome: Answer | Exception) -> None:
        if answer.done():  # nobody waits any more
            return
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def work() -> None:
        try:
            outcome: Answer | Exception = fetch(request)
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            outcome = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=work, name="fetch", daemon=True).start()
    try:
        async with asyncio.timeout(request.seconds + _SILENCE_SECONDS):
            return await answer
    except TimeoutError:  # the server lets each line of its header drip
        raise FetchFailed("timed-out") from None


def _context(request: Request) -> ssl.SSLContext | None:
    if urlsplit(request.url).scheme != "https":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in request.authorities:
        context.load_verify_locations(file)
    return context


def _fetch(pool: urllib3.PoolManager, request: Request, deadline: float) -> Answer:
    url = request.url
    for _ in range(_REDIRECTIONS + 1):
        response = pool.request(
            "GET", url, headers=_headers(request), redirect=False, preload_content=False
        )
        try:
            if response.status not in _MOVED:
                return _answer(response, request, deadline)
            url = urljoin(url, response.headers.get("Location", ""))
            if _host(url) != _host(request.url):
                break
        finally:
            response.close()
    raise FetchFailed("redirected-elsewhere")


def _headers(request: Request) -> dict[str, str]:
    headers = {"User-Agent": "mssante", "Accept-Encoding": "identity"}
    if request.etag:
        headers["If-None-Match"] = request.etag
    if request.last_modified:
        headers["If-Modified-Since"] = request.last_modified
    return headers


def _host(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _answer(response: urllib3.BaseHTTPResponse, request: Request, deadline: float) -> Answer:
    etag = response.headers.get("ETag", "")[:200]
    last_modified = response.headers.get("Last-Modified", "")[:100]
    if response.status == _NOT_MODIFIED and (request.etag or request.last_modified):
        return Answer(None, etag or request.etag, last_modified or request.last_modified)
    if response.status != _OK:
        raise FetchFailed(f"status-{response.status}")
    gathered = bytearray()
    while piece := response.read1(_PIECE, decode_content=False):
        gathered += piece
        if len(gathered) > request.max_octets:
            raise FetchFailed("too-large")
        if time.monotonic() > deadline:
            raise FetchFailed("timed-out")
    return Answer(bytes(gathered), etag, last_modified)
