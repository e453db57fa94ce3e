"""One connection: bytes in and out, timers and budgets, and the task that runs its commands.

A protocol with callbacks, not streams: pipelined commands cost a few microseconds each. Answers are
gathered and written together when no further command waits. A client that does not read stops its
own task (`drain`), and one that sends ahead is no longer read from; neither makes the server hold
more than its buffers.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final, cast

from mssante.servers.acknowledging import acknowledge
from mssante.servers.imap.commands.capability import capabilities
from mssante.servers.imap.limits import ImapLimits
from mssante.servers.imap.session import Session
from mssante.servers.imap.state import State
from mssante.servers.limits import ByteBudget
from mssante.wire.imap.errors import GrammarError, UnknownCharset
from mssante.wire.imap.grammar import command_tag, parse_command
from mssante.wire.imap.reader import (
    CommandReader,
    CommandReceived,
    CommandRefused,
    ContinuationNeeded,
    RefusedFor,
    limits_after_login,
)
from mssante.wire.imap.responses import completion, continuation

_LOG: Final = logging.getLogger(__name__)
_GATHERED: Final = 65_536
"""Octets of answers that are gathered before they are handed to the transport."""
_HIGH_WATER: Final = 262_144
_FREE: Final = 393_216
"""Octets that a connection may hold without a share of the memory: a long line and what is read
ahead of it."""
_TURN: Final = 64
"""Pipelined commands after which other connections get their turn."""
_LONGEST_TICK: Final = 15.0
_CLOSING_SECONDS: Final = 10.0
_STRAY_DONE: Final = (b"DONE",)

SessionMaker = Callable[["Connection"], Session]


class Connection(asyncio.Protocol):
    """The server's end of one connection; also the `Wire` of its session."""

    def __init__(
        self,
        make_session: SessionMaker,
        limits: ImapLimits,
        tls: ssl.SSLContext,
        *,
        implicit_tls: bool,
        memory: ByteBudget,
        opened: Callable[["Connection"], bool],
        closed: Callable[["Connection"], None],
    ) -> None:
        """`opened` says whether there is room for one more; `closed` is called once in any case.
        `memory` is what the messages that all connections send may take together.
        """
        self._session = make_session(self)
        self._limits = limits
        self._tls = tls
        self._is_tls = implicit_tls
        self._opened = opened
        self._closed = closed
        self._reader = CommandReader()
        self._share = memory.share()
        self._in_work = 0
        """Octets of the command that is being run."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._woken = False
        self._reading_paused = False
        self._lost = False
        self._closing_since: float | None = None
        self._stalled_since: float | None = None
        self._last_data = self._connected_at = self._loop.time()
        self._out: list[bytes] = []
        self._out_size = 0
        self._bad_commands = 0
        self._timer: asyncio.TimerHandle | None = None

    # --- callbacks of the loop -----------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands (and its TLS, where that is implicit)."""
        self._take(cast("asyncio.Transport", transport))
        self._connected_at = self._last_data = self._loop.time()
        if not self._opened(self):
            self.write(completion("*", "BYE", "Too many connections", "UNAVAILABLE"))
            self._close()
            return
        self._arm()
        self._task = self._loop.create_task(self._run())

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        self._last_data = self._loop.time()
        self._reader.feed(data)
        if not self._account():
            self._reader.give_up_literal()
            self._account()
        if self._reader.has_enough and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._resume_task()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._stalled_since = self._loop.time()
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stalled_since = None
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it broke is all one
        """The connection is gone: stop the task wherever it stands."""
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        # This object and its session know each other: it would keep the octets until the garbage
        # collector comes.
        self._reader.close()
        self._share.resize(0)
        self._closed(self)

    # --- the wire of the session ---------------------------------------------

    @property
    def peer(self) -> str:
        """IP address of the client; empty where the socket has none."""
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self._is_tls

    @property
    def may_start_tls(self) -> bool:
        """Whether STARTTLS is offered."""
        return not self._is_tls

    @property
    def buffered(self) -> int:
        """Octets received and not yet understood."""
        return self._reader.buffered

    @property
    def is_stalled(self) -> bool:
        """Whether the client reads slower than we write."""
        return self._writable is not None

    def write(self, data: bytes) -> None:
        """Queue octets for the client."""
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size >= _GATHERED:
            self._flush()

    async def drain(self) -> None:
        """Send what is queued, wait until the client reads."""
        self._flush()
        while self._writable is not None and not self._lost:
            await asyncio.shield(self._writable)
        if self._lost:
            raise ConnectionResetError

    async def give_way(self) -> None:
        """Let other connections have their turn; wait if the client does not read."""
        if self._writable is not None:
            await self.drain()
        else:
            await asyncio.sleep(0)

    async def read_line(self) -> bytes:
        """The next line, outside commands.

        Raises:
            ConnectionError: the line is no line; the connection is being closed.
        """
        while (line := self._next_line()) is None:
            await self._wait()
        return line

    async def read_line_or_wake(self, seconds: float) -> bytes | None:
        """The next line; or None after `wake`, or after that time."""
        line = self._next_line()
        if line is None and not self._woken:
            timer = self._loop.call_later(seconds, self.wake)
            try:
                await self._wait()
            finally:
                timer.cancel()
            line = self._next_line()
        self._woken = False
        return line

    def wake(self) -> None:
        """End a `read_line_or_wake`."""
        self._woken = True
        self._resume_task()

    async def start_tls(self) -> None:
        """Do the handshake; what the client sent before it must have been nothing."""
        self._flush()
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=self._limits.seconds_of_handshake,
            )
        except OSError as error:  # SSLError is one, too
            raise ConnectionAbortedError from error
        if transport is None:
            raise ConnectionResetError
        self._take(transport)
        self._is_tls = True

    def signed_in(self) -> None:
        """Lift the limits for strangers."""
        self._reader.limits = limits_after_login(self._limits.max_message)

    # --- orderly end ---------------------------------------------------------

    def shut_down(self) -> None:
        """The server stops: say so between two commands, or at once to who waits."""
        if self._waiter is not None:
            self._say_bye("Server is shutting down")
        elif not self._lost:
            self._loop.call_later(0.05, self.shut_down)

    def abort(self) -> None:
        """Break the connection."""
        if not self._lost:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Until the task is over."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    # --- the task ------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._serve()
        except ConnectionError:
            self._close()
        except Exception:  # noqa: BLE001 - the last guard of a connection
            _LOG.exception("an IMAP connection failed")
            self._transport.abort()
        else:
            self._close()
        finally:
            self._session.end()

    async def _serve(self) -> None:
        session = self._session
        code = f"CAPABILITY {capabilities(session)}"
        self.write(completion("*", "OK", "mssante ready", code))
        done = 0
        while session.state is not State.LOGOUT:
            event = self._reader.next_event()
            if event is None:
                if self._reader.is_inside_command:
                    acknowledge(self._transport)
                await self._wait()
                continue
            match event:
                case ContinuationNeeded():
                    self.write(continuation("OK"))
                case CommandReceived():
                    self._in_work = sum(map(len, event.fragments))
                    await self._command(event)
                    self._in_work = 0
                    self._account()
                case CommandRefused():
                    self._refuse(event)
            done += 1
            if self._writable is not None or done % _TURN == 0:
                await self.give_way()

    async def _command(self, event: CommandReceived) -> None:
        if event.fragments == _STRAY_DONE:
            # The end of an IDLE that we had already ended: some clients send it all the same.
            return
        try:
            tagged = parse_command(event.fragments)
        except UnknownCharset as error:
            tag = error.tag or "*"
            self.write(completion(tag, "NO", str(error), "BADCHARSET (US-ASCII UTF-8)"))
        except GrammarError as error:
            self.write(completion(error.tag or "*", "BAD", str(error)))
            self._count_bad_command()
        else:
            if not await self._session.execute(tagged):
                self._count_bad_command()
            if self._session.failed_logins >= self._limits.max_failed_logins:
                self._end("Too many failed logins")

    def _refuse(self, event: CommandRefused) -> None:
        tag = command_tag(event.line) or "*"
        text = event.reason.value
        if event.reason is RefusedFor.LITERAL_TOO_LARGE:
            self.write(completion(tag, "NO", text, "TOOBIG"))
        elif event.reason is RefusedFor.NO_ROOM:
            # Not the client's fault, so it does not count as a bad command.
            self.write(completion(tag, "NO", text, "UNAVAILABLE"))
            self._account()
            return
        else:
            self.write(completion(tag, "BAD", text))
        if event.fatal:
            self._end(text)
        self._count_bad_command()

    def _account(self) -> bool:
        """Book what this connection holds; whether there is room for it.

        Commands of an ordinary size are free: only messages can fill a server.
        """
        held = self._reader.held + self._in_work
        return self._lost or self._share.resize(held if held > _FREE else 0)

    def _count_bad_command(self) -> None:
        self._bad_commands += 1
        if self._bad_commands >= self._limits.max_bad_commands:
            self._end("Too many bad commands")

    def _end(self, text: str) -> None:
        self.write(completion("*", "BYE", text))
        raise ConnectionAbortedError(text)

    def _next_line(self) -> bytes | None:
        event = self._reader.next_line()
        if isinstance(event, CommandRefused):
            self._end(event.reason.value)
        return event.line if event is not None and not isinstance(event, CommandRefused) else None

    async def _wait(self) -> None:
        """Until data came, `wake` was called, or (as an exception) the connection ended."""
        self._flush()
        if self._writable is not None:
            await self.drain()
        if self._lost:
            raise ConnectionResetError
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _resume_task(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- output and end ------------------------------------------------------

    def _take(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)

    def _flush(self) -> None:
        if self._out and not self._lost:
            self._transport.write(b"".join(self._out) if len(self._out) > 1 else self._out[0])
        self._out.clear()
        self._out_size = 0

    def _close(self) -> None:
        if not self._lost:
            self._flush()
            self._closing_since = self._loop.time()
            self._transport.close()

    def _say_bye(self, text: str) -> None:
        if self._closing_since is None and not self._lost:
            self.write(completion("*", "BYE", text))
            self._close()

    def _arm(self) -> None:
        limits = self._limits
        tick = min(
            limits.seconds_before_login / 4,
            limits.seconds_of_silence / 4,
            limits.seconds_stalled / 4,
            _LONGEST_TICK,
        )
        self._timer = self._loop.call_later(tick, self._tick)

    def _tick(self) -> None:
        now, limits = self._loop.time(), self._limits
        if self._closing_since is not None:
            if now - self._closing_since > _CLOSING_SECONDS:
                self._transport.abort()
        elif self._stalled_since is not None and now - self._stalled_since > limits.seconds_stalled:
            self._transport.abort()
        elif (
            self._session.state is State.NOT_AUTHENTICATED
            and now - self._connected_at > limits.seconds_before_login
        ):
            self._say_bye("Too slow to log in")
        elif self._waiter is not None and now - self._last_data > limits.seconds_of_silence:
            self._say_bye("Autologout, silent for too long")
        self._arm()
