"""Accepts HTTPS connections on bound sockets, and ends them in order."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from starlette.types import ASGIApp
from uvicorn import Config, Server

from mssante.servers.limits import ConnectionLimits
from mssante.servers.metrics import Meters
from mssante.servers.tls import HANDSHAKE_SECONDS, SHUTDOWN_SECONDS
from mssante.servers.web.guard import RAW_HEADERS, Guard
from mssante.servers.web.limits import MAX_HEADER, WebLimits
from mssante.servers.web.protocol import Door, WebProtocol

_BACKLOG: Final = 512
PROTOCOLS: Final = ("http/1.1",)
"""Offered by ALPN: a client that believes it speaks another protocol learns it before it speaks."""


class WebServer:
    """The web role of one process."""

    def __init__(
        self,
        app: ASGIApp,
        tls: ssl.SSLContext,
        *,
        limits: WebLimits | None = None,
        connections: ConnectionLimits | None = None,
        meters: Meters | None = None,
    ) -> None:
        """Args:
        app: the pages.
        tls: of every socket; to renew the certificate, load it into this context.
        limits: of one connection.
        connections: counts, where several listeners share them.
        meters: where it is counted.
        """
        self._tls = tls
        self._tls.set_alpn_protocols(list(PROTOCOLS))
        limits = limits or WebLimits()
        meters = meters or Meters()
        guard = Guard(app, seconds=limits.request_seconds, on_answer=_counting(meters))
        # Its information is noise here, and a request that is no HTTP is counted, not logged.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Server(
            Config(
                guard,
                http=WebProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,  # its lines have the query
                proxy_headers=False,  # what a header says of the peer is never believed
                server_header=False,
                h11_max_incomplete_event_size=MAX_HEADER,
                timeout_keep_alive=limits.idle_seconds,
            ),
            Door(connections or ConnectionLimits(), limits, RAW_HEADERS, meters.malformed.add),
            tls,
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def open_sessions(self) -> int:
        """Connections open now."""
        return len(self._server.server_state.connections)

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept on bound sockets."""
        self._serving = asyncio.create_task(self._server.serve(list(sockets)), name="web")
        started = asyncio.create_task(self._server.accepting.wait())
        await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await self._serving  # tells why
            raise RuntimeError("the web listener ended before it began")

    async def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Accept nobody more, let answers under way end, close the rest."""
        if self._serving is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await asyncio.shield(self._serving)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.force_exit = True
        await self._serving


class _Server(Server):
    """uvicorn's server, embedded: the worker has the loop, the signals and the sockets."""

    def __init__(self, config: Config, door: Door, tls: ssl.SSLContext) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._door = door
        self._tls = tls

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the worker."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen with time limits for TLS, which uvicorn does not know."""
        loop = asyncio.get_running_loop()

        def connection() -> WebProtocol:
            return WebProtocol(self._door, self.config, self.server_state, {})

        self.servers = [
            await loop.create_server(
                connection,
                sock=each,
                backlog=_BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
            for each in sockets or ()
        ]
        self.started = True
        self.accepting.set()


def _counting(meters: Meters) -> Callable[[int], None]:
    def count(status: int) -> None:
        counter = meters.requests.get(f"{status // 100}xx")
        if counter is not None:
            counter.add()

    return count
