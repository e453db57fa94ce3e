"""One connection to another server: answers in, commands and mail data out, STARTTLS.

The peer is trusted for nothing: its answers are bounded, each wait has its time, and what it sends
before TLS cannot be taken for what it says after (RFC 3207 section 5).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from mssante.trust.peer_tls import PeerTls, TlsFailed
from mssante.trust.tls_filter import TlsFilter, start_tls
from mssante.wire.smtp.answers import Answer, AnswerError, AnswerReader

HANDSHAKE_SECONDS: Final = 30.0
_SHUTDOWN_SECONDS: Final = 5.0
_MOST_UNREAD: Final = 64 * 1024
"""Octets of answers that nobody has asked for yet; more is no SMTP."""


class PeerLost(Exception):
    """The connection cannot be used any more; `why` is a word of ours, free of the peer's, and
    `answer` what it said before it left.
    """

    def __init__(self, why: str, answer: Answer | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.answer = answer


class PeerConnection(asyncio.Protocol):
    """A client's end of an SMTP connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answers = AnswerReader()
        self._unread = 0
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._lost = ""
        """Why nothing more will come; empty while the connection lives."""

    @classmethod
    async def open(cls, host: str, port: int, seconds: float) -> "PeerConnection":
        """Connect to the first address of a host that answers.

        Raises:
            PeerLost: none does, within the time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(cls, host, port)
        except TimeoutError:
            raise PeerLost("connecting takes too long") from None
        except OSError as error:
            raise PeerLost(f"cannot connect: {error.strerror or type(error).__name__}") from None
        return connection

    # --- from the event loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; after STARTTLS it is another one."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Read the answers that came."""
        self._unread += len(data)
        if self._unread > _MOST_UNREAD:
            self._lose("answers that nobody asked for")
            return
        try:
            self._answers.receive(data)
        except AnswerError as error:
            self._lose(str(error))
        self._wake()

    def eof_received(self) -> bool:
        """The peer says no more; nor do we."""
        self._lose("the peer closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """End all waits."""
        self._lost = self._lost or (
            f"the connection broke: {type(error).__name__}" if error else "the connection ended"
        )
        self._transport = None
        self._wake()
        self._release_writer()

    def pause_writing(self) -> None:
        """The peer does not read."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._release_writer()
        self._writable = None

    # --- for the session -------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the peer has neither closed nor broken the connection, as far as we know."""
        return not self._lost and self._transport is not None

    async def answer(self, seconds: float) -> Answer:
        """The next answer.

        Raises:
            PeerLost: it does not come in time, or not at all.
        """
        try:
            async with asyncio.timeout(seconds):
                while (found := self._answers.next()) is None:
                    if self._lost:
                        raise PeerLost(self._lost)
                    self._arrival = asyncio.get_running_loop().create_future()
                    await self._arrival
        except TimeoutError:
            self.abort()
            raise PeerLost("an answer takes too long") from None
        self._unread = 0
        return found

    def say(self, *lines: str) -> None:
        """Send commands. What they are made of was checked to be printable ASCII.

        Raises:
            PeerLost: the connection is gone.
        """
        self.write("".join(f"{line}\r\n" for line in lines).encode("ascii"))

    def write(self, octets: bytes) -> None:
        """Send octets as they are.

        Raises:
            PeerLost: the connection is gone.
        """
        if self._lost or self._transport is None:
            raise PeerLost(self._lost or "the connection ended")
        self._transport.write(octets)

    async def drain(self, seconds: float) -> None:
        """Wait until the peer has read enough of what was sent.

        Raises:
            PeerLost: it does not in time, or the connection is gone.
        """
        if self._writable is not None:
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self._writable)
            except TimeoutError:
                self.abort()
                raise PeerLost("the peer does not read") from None
        if self._lost:
            raise PeerLost(self._lost)

    async def start_tls(self, own: PeerTls, host: str) -> None:
        """Turn the connection into TLS; the peer's certificate is not judged yet.

        Args:
            own: our certificate, which is shown.
            host: the name that is asked for.

        Raises:
            PeerLost: the handshake failed, or the peer said more before it than it should.
        """
        if not self._answers.is_empty or self._transport is None:
            self.abort()
            raise PeerLost("the peer spoke between STARTTLS and TLS")
        try:
            self._transport = await start_tls(
                self._transport,
                own.connect(host),
                self,
                handshake_seconds=HANDSHAKE_SECONDS,
                shutdown_seconds=_SHUTDOWN_SECONDS,
            )
        except TlsFailed as failed:
            raise PeerLost(f"TLS: {failed.reason}") from None

    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the peer showed, in DER, its own first; it holds the key of that.

        Raises:
            PeerLost: there is no TLS.
        """
        if not isinstance(self._transport, TlsFilter):
            raise PeerLost("the peer showed no certificate")
        return self._transport.engine.peer_chain()

    def close(self, last_words: Sequence[str] = ()) -> None:
        """Say goodbye, if that is still possible, and close; the answer is not waited for."""
        if self._transport is not None and not self._lost:
            if last_words:
                self.say(*last_words)
            self._transport.close()
        self._lose("closed")

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._lose("aborted")

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        self._wake()
        self._release_writer()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _release_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
