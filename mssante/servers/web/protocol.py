"""One connection: uvicorn's HTTP/1.1 (h11), with the bounds that it leaves to a proxy in front.

A connection is counted in where the other listeners count theirs. A request has to be whole within a
deadline, however slowly it trickles. Requests whose end two readers could see at different places
(RFC 9112 section 11.2) are refused, and the connection with them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mssante.servers.limits import ConnectionLimits
from mssante.servers.web.limits import WebLimits

_BAD_REQUEST: Final = b"The request is not understood\n"


@dataclass(frozen=True, slots=True)
class Door:
    """What all connections share."""

    connections: ConnectionLimits
    limits: WebLimits
    headers: tuple[tuple[bytes, bytes], ...]
    """Of every answer, those of the protocol itself included."""
    on_malformed: Callable[[], None]


class WebProtocol(H11Protocol):
    """The server's end of one connection."""

    def __init__(
        self, door: Door, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self._door = door
        self._peer = ""
        self._admitted = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection in; the first request has to come now."""
        peername = transport.get_extra_info("peername")
        self._peer = peername[0] if isinstance(peername, tuple) else "local"
        self._admitted = self._door.connections.admit(self._peer)
        super().connection_made(transport)
        if not self._admitted:
            transport.abort()
            return
        self._watch(arrived=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        if self._admitted:
            self._admitted = False
            self._door.connections.release(self._peer)
        self._forget_deadline()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it cannot be HTTP any more."""
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            # Garbage behind a request that is being answered: there is no way to say so any more.
            self._door.on_malformed()
            self.transport.abort()
            return
        self._watch(arrived=True)

    def handle_events(self) -> None:
        """Go through what is there, also after an answer, when a pipelined request waited."""
        super().handle_events()
        self._watch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours is the same for all causes
        """Refuse what is not HTTP, and close."""
        self._door.on_malformed()
        self._forget_deadline()
        headers = [
            *self.server_state.default_headers,
            *self._door.headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(_BAD_REQUEST)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=_BAD_REQUEST),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """After an answer the next request may take its time to begin (`idle_seconds`)."""
        self._forget_deadline()
        super().on_response_complete()
        self._watch()

    def _watch(self, *, arrived: bool = False) -> None:
        """Keep a deadline while a request is coming in, and none while it is being answered.

        Args:
            arrived: the connection, or something on it, has just come: a request has begun.
        """
        if self.transport.is_closing():
            self._forget_deadline()
            return
        state = self.conn.their_state
        begun = arrived or self._deadline is not None
        if state is h11.SEND_BODY or (state is h11.IDLE and begun):
            if self._deadline is None:
                seconds = self._door.limits.request_seconds
                self._deadline = self.loop.call_later(seconds, self.transport.abort)
        else:
            self._forget_deadline()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
