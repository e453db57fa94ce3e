"""`TlsEngine` between an asyncio transport and an asyncio protocol.

The filter is the protocol of the plain transport and the transport of the protocol above it. It
opens no socket and keeps no octets beyond what one read gives: while the network does not take what
we write, nothing more is read, so that a peer cannot make us answer into memory.
"""

import asyncio
from typing import Any

from mssante.trust.peer_tls import TlsEngine, TlsFailed


class TlsFilter(asyncio.Transport, asyncio.Protocol):
    """One connection; see `start_tls`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plain: asyncio.Transport,
        engine: TlsEngine,
        protocol: asyncio.Protocol,
        *,
        shutdown_seconds: float,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._plain = plain
        self._engine = engine
        self._above = protocol
        self._shutdown_seconds = shutdown_seconds
        self._established: asyncio.Future[None] = loop.create_future()
        self._closing = False
        self._paused_above = False
        """The protocol above wants nothing now."""
        self._paused_below = False
        """The network takes nothing now."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def engine(self) -> TlsEngine:
        """For what is known of the peer."""
        return self._engine

    async def handshake(self, seconds: float) -> None:
        """Do the handshake.

        Raises:
            TlsFailed: it failed, the peer went away, or it took longer than `seconds`.
        """
        self._plain.set_protocol(self)
        try:
            self._go_on()
            async with asyncio.timeout(seconds):
                await self._established
        except TlsFailed:  # closed already, with the alert that tells the peer why
            raise
        except TimeoutError:
            self._plain.abort()
            raise TlsFailed("handshake timed out") from None
        except BaseException:
            self._plain.abort()
            raise

    # --- from the plain transport --------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Decrypt and hand on."""
        self._engine.receive(data)
        self._go_on()

    def eof_received(self) -> bool:
        """End; a missing close_notify makes no difference, since SMTP says where messages end."""
        if not self._engine.established:
            self._fail(TlsFailed("connection ended"))
        elif not self._engine.ended:
            self._above.eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the protocol above, or who waits for the handshake."""
        if self._timer is not None:
            self._timer.cancel()
        if self._engine.established:
            self._above.connection_lost(error)
        else:
            self._fail(TlsFailed("connection ended"))

    def pause_writing(self) -> None:
        """The network takes nothing now."""
        self._paused_below = True
        self._read_or_not()
        if self._engine.established:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """It takes octets again."""
        self._paused_below = False
        self._read_or_not()
        if self._engine.established:
            self._above.resume_writing()

    def _go_on(self) -> None:
        engine = self._engine
        try:
            if not engine.established:
                if not engine.handshake():
                    return
                if not self._established.done():
                    self._established.set_result(None)
            for octets in engine.plaintext():
                if not self._closing:
                    self._above.data_received(octets)
        except TlsFailed as failed:
            self._fail(failed)
            return
        finally:
            self._send()
        if engine.ended:
            self._peer_ended()

    def _read_or_not(self) -> None:
        if self._plain.is_closing():
            return
        if self._paused_below or (self._paused_above and not self._closing):
            self._plain.pause_reading()
        else:
            self._plain.resume_reading()

    def _send(self) -> None:
        octets = self._engine.outgoing()
        if octets and not self._plain.is_closing():
            self._plain.write(octets)

    def _peer_ended(self) -> None:
        """TLS closes both ways at once."""
        if not self._closing:
            self._above.eof_received()
        self.close()
        self._plain.close()

    def _fail(self, failed: TlsFailed) -> None:
        if not self._established.done():
            self._established.set_exception(failed)
        self._closing = True
        self._send()  # the alert
        self._plain.close()

    # --- for the protocol above ----------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``ssl_object`` is the engine; all else is the plain transport's."""
        return self._engine if name == "ssl_object" else self._plain.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self._closing or not data:
            return
        try:
            self._engine.encrypt(data)
        except TlsFailed as failed:
            self._fail(failed)
            return
        self._send()

    def close(self) -> None:
        """Send what was written, say goodbye, and wait a moment for the peer to do the same."""
        if self._closing:
            return
        self._closing = True
        self._engine.close()
        self._send()
        # Its answer is not needed; but a connection closed on unread octets is reset, and the peer
        # may lose our last words.
        self._read_or_not()
        self._timer = self._loop.call_later(self._shutdown_seconds, self._plain.abort)

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._plain.abort()

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing or self._plain.is_closing()

    def pause_reading(self) -> None:
        """Let the peer wait."""
        self._paused_above = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Read again."""
        self._paused_above = False
        self._read_or_not()

    def is_reading(self) -> bool:
        """Whether anything may still come."""
        return not self._paused_above and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes to another protocol."""
        assert isinstance(protocol, asyncio.Protocol)
        self._above = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what comes."""
        return self._above

    def get_write_buffer_size(self) -> int:
        """Octets that the network has not taken yet."""
        return self._plain.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When writing is paused and resumed."""
        self._plain.set_write_buffer_limits(high, low)


async def start_tls(
    plain: asyncio.Transport,
    engine: TlsEngine,
    protocol: asyncio.Protocol,
    *,
    handshake_seconds: float,
    shutdown_seconds: float,
) -> TlsFilter:
    """Turn a plain connection into TLS, as ``loop.start_tls`` does.

    Args:
        plain: the connection, between two messages of its protocol.
        engine: ours, `PeerTls.accept` or `PeerTls.connect`.
        protocol: gets what is decrypted; its ``connection_made`` is not called again.
        handshake_seconds: for the whole handshake.
        shutdown_seconds: for the peer's answer to our closing.

    Raises:
        TlsFailed: says why; the connection is closed then.
    """
    loop = asyncio.get_running_loop()
    upgraded = TlsFilter(loop, plain, engine, protocol, shutdown_seconds=shutdown_seconds)
    await upgraded.handshake(handshake_seconds)
    return upgraded
