"""The connection under an SMTP dialogue: aiosmtpd's protocol with another way to read and write.

aiosmtpd reads through a stream, a line at a time, and does STARTTLS with asyncio's own TLS (278 kB a
connection). Here bytes gather in one buffer from which lines and mail data are taken, replies
gather until the peer has to be waited for (RFC 2920), and TLS is the event loop's (24 kB a
connection on uvloop). What each peer can make us hold is bounded: reading stops when its input is
not taken, the dialogue stops when it does not read our replies, and silence ends the connection.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol, cast

from aiosmtpd.smtp import SMTP

from mssante.servers.tls import HANDSHAKE_SECONDS, SHUTDOWN_SECONDS
from mssante.wire.smtp.replies import with_enhanced_code

MOST_INPUT: Final = 256 * 1024
"""Reading pauses when so many octets wait to be taken; what one read gives may come on top."""
_MOST_REPLIES: Final = 200
"""Lines of replies that may gather."""
_GOODBYE_SECONDS: Final = 5.0
"""How long a peer may take to read our last reply and close."""


class TlsObject(Protocol):
    """What the dialogue asks of a TLS layer, whichever library it is."""

    def cipher(self) -> tuple[str, str, int] | None:
        """Cipher suite, protocol version, bits."""
        ...


class PeerGone(Exception):
    """The peer closed the connection, or we had to."""


class _NoHooks:
    """The handler that aiosmtpd asks for hooks: the dialogue overrides its commands instead."""

    def __dir__(self) -> list[str]:
        return []


_NO_HOOKS: Final = _NoHooks()


class SmtpConnection(SMTP):
    """Lines and octets in, replies out, TLS, timeouts; no SMTP command."""

    transport: asyncio.Transport | None
    _commands: ClassVar[Mapping[str, str]] = {}
    """Which method does which command."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        names = [name for name in dir(cls) if name.startswith("smtp_")]
        cls._commands = {name.removeprefix("smtp_"): name for name in names}

    def __init__(self, *, idle_seconds: float, **options: Any) -> None:
        super().__init__(_NO_HOOKS, timeout=idle_seconds, **options)
        self._inbox = bytearray()
        self._outbox: list[str] = []
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._ended = False
        """Nothing more will come."""
        self._leaving = False
        """We have said goodbye."""
        self._deadline = 0.0

    def __dir__(self) -> list[str]:
        # aiosmtpd searches all names of each new connection for its commands and mechanisms, and those
        # of its handler for hooks: half a millisecond. We know our commands, see above.
        return []

    # --- from the event loop ---------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Keep what came; stop reading while too much of it is not taken."""
        if self._leaving:
            return
        self._inbox += data
        if len(self._inbox) > MOST_INPUT and not self._reading_paused and self.transport:
            self.transport.pause_reading()
            self._reading_paused = True
        self._wake()

    def eof_received(self) -> bool:
        """Let the dialogue answer what came before; nothing more will."""
        self._ended = True
        self._wake()
        # Plain connections stay open for our replies; TLS closes both ways at once.
        return self._tls_object() is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the dialogue, without aiosmtpd's reader, writer, session and envelope: ours uses none of
        them.
        """
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._reset_timeout()
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (it does not matter why)
        """End the dialogue."""
        self._ended = True
        self._release_writer()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        self.transport = None

    def pause_writing(self) -> None:
        """The peer does not read."""
        super().pause_writing()
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        self._release_writer()
        self._writable = None

    def _release_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # --- reading ---------------------------------------------------------------------

    async def _more_input(self) -> None:
        """Wait until the inbox has more than now.

        Raises:
            PeerGone: nothing more will come.
        """
        if self._ended or self._writable is not None:
            await self._flush()
        elif self._outbox:
            # Together with the replies to others that came in this round: each wakes its client,
            # which would take the processor from us in between.
            self.loop.call_soon(self._write_outbox)
        if self._ended or self.transport is None:
            raise PeerGone
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        self._arrival = self.loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    async def _read_line(self, most: int) -> bytes | None:
        """The next line without its CRLF; None for one longer than `most` octets, which is gone.

        A bare CR or LF does not end a line (RFC 5321 section 2.3.8).

        Raises:
            PeerGone: see :meth:`_more_input`.
        """
        inbox = self._inbox
        too_long = False
        while (end := inbox.find(b"\r\n")) < 0:
            if len(inbox) > most:
                too_long = True
                # A CR may be the first half of the end of line.
                del inbox[: len(inbox) - 1]
            await self._more_input()
        line = bytes(inbox[:end])
        del inbox[: end + 2]
        return None if too_long or len(line) > most else line

    # --- writing ---------------------------------------------------------------------

    async def push(self, status: str | bytes) -> None:
        """Queue a reply of one line, with an enhanced status code if it has none.

        It is sent when the peer has to be waited for, or when many have gathered.
        """
        text = status.decode("ascii") if isinstance(status, bytes) else status
        await self._push_as_it_is([with_enhanced_code(text)])

    async def _push_as_it_is(self, lines: list[str]) -> None:
        """Queue a reply that has no enhanced code: greeting, EHLO, challenges (RFC 2034)."""
        self._outbox += lines
        if len(self._outbox) > _MOST_REPLIES:
            await self._flush()

    async def _flush(self) -> None:
        """Send the queued replies and wait until the peer reads.

        Raises:
            PeerGone: the connection is lost.
        """
        self._write_outbox()
        if self._writable is not None:
            await self._writable
            if self._leaving or self.transport is None:
                raise PeerGone

    def _write_outbox(self) -> None:
        if self._outbox and self.transport is not None:
            self.transport.write(("\r\n".join(self._outbox) + "\r\n").encode("ascii"))
        self._outbox.clear()

    # --- TLS -------------------------------------------------------------------------

    def _tls_object(self) -> TlsObject | None:
        """The TLS layer, None on a plain connection."""
        if self.transport is None:
            return None
        found: TlsObject | None = self.transport.get_extra_info("ssl_object")
        return found

    async def _start_tls(self) -> None:
        """Turn the connection into TLS; forgets what came before (RFC 3207 section 4.2).

        Raises:
            PeerGone: the handshake failed.
        """
        assert self.transport is not None
        await self._flush()
        self._inbox.clear()
        self.transport = await self._upgraded(self.transport)
        self._reading_paused = False

    async def _upgraded(self, plain: asyncio.Transport) -> asyncio.Transport:
        """The connection with TLS on it.

        Raises:
            PeerGone: the handshake failed, for the cause that it is raised from.
        """
        assert self.tls_context is not None
        try:
            upgraded = await self.loop.start_tls(
                plain,
                self,
                self.tls_context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except (OSError, EOFError) as error:
            plain.abort()
            raise PeerGone from error
        if upgraded is None:
            raise PeerGone
        return upgraded

    # --- the end ---------------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Allow the peer another time of silence.

        The timer is not moved at each command; it looks at the deadline when it fires.
        """
        self._deadline = self.loop.time() + (duration or self._timeout_duration)
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_at(self._deadline, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self.loop.time() < self._deadline:
            self._timeout_handle = self.loop.call_at(self._deadline, self._timeout_cb)
            return
        if self._writable is not None:
            # A peer that does not read would not read a last word either.
            self.cut_off()
        else:
            self._hang_up("421 4.4.2 Idle for too long, closing")

    def _hang_up(self, reply: str | None = None) -> None:
        """Say a last word, if any, and close; by force if the peer does not let us."""
        if self._leaving:
            return
        self._leaving = self._ended = True
        transport = self.transport
        if transport is not None:
            if reply is not None:
                self._outbox.append(reply)
            self._write_outbox()
            transport.close()
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._timeout_handle = self.loop.call_later(_GOODBYE_SECONDS, transport.abort)
        self._wake()
        self._release_writer()

    def cut_off(self) -> None:
        """End the connection at once."""
        self._leaving = self._ended = True
        self._outbox.clear()
        if self.transport is not None:
            self.transport.abort()
        self._wake()
        self._release_writer()
