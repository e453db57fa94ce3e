"""Cuts the bytes of an IMAP client into commands; understands only lines and literals.

First of two stages: here it is found where a command ends (RFC 3501 section 4.3, RFC 7888 for
literals that do not wait), in ``grammar`` what it says. Bytes are fed as they come and events are
pulled one by one, so that the meaning of a line (a command, the answer to a SASL challenge, the
DONE of IDLE) can depend on the command before it, and pipelined bytes are never lost.

Every limit is an argument. A literal beyond its limit is refused before it is sent where the client
waits for a go-ahead; otherwise its octets are read and thrown away, up to `max_drain`.
"""

import re
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

_LITERAL: Final = re.compile(rb"\{([0-9]+)(\+?)\}\Z")
_APPEND: Final = re.compile(rb"[^ ]+ APPEND ", re.IGNORECASE)
_READ_AHEAD: Final = 65_536
"""How many pipelined octets may wait behind the command in work before reading should pause."""


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What one command may cost, in octets."""

    max_line: int
    """Text of a command, its literals apart."""
    max_literal: int
    """All literals of a command together."""
    max_append: int
    """The same for APPEND, whose literal is a message."""
    max_literals: int = 64
    """How many literals a command may have."""
    max_drain: int = 0
    """How much of refused literals is read and thrown away rather than closing the connection."""


BEFORE_LOGIN: Final = ReaderLimits(max_line=8_192, max_literal=4_096, max_append=4_096)
"""For whoever has not proved who it is (RFC 7888 section 6: 4096 octets)."""

DEFAULT_MAX_MESSAGE: Final = 25 * 1024 * 1024


def limits_after_login(max_message: int = DEFAULT_MAX_MESSAGE) -> ReaderLimits:
    """For members: long UID lists and messages of up to `max_message` octets.

    The text limit is well above the 8192 octets that RFC 7162 section 4 asks for, since clients
    send UID lists of more than 64 KiB.
    """
    return ReaderLimits(
        max_line=262_144,
        max_literal=262_144,
        max_append=max_message + 8_192,
        max_drain=1 << 28,
    )


@unique
class RefusedFor(Enum):
    """Why the reader gives up a command; the value is safe to show."""

    BARE_LINE_FEED = "Lines end with CRLF"
    LINE_TOO_LONG = "Command line too long"
    LITERAL_TOO_LARGE = "Literal too large"
    TOO_MANY_LITERALS = "Too many literals"
    NO_ROOM = "Too much is being sent at the moment, try again later"


@dataclass(frozen=True, slots=True)
class ContinuationNeeded:
    """The client waits for a go-ahead before it sends `size` octets."""

    size: int


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """One whole command: text, literal, text, literal … text.

    The announcements ``{n}`` and the line endings are taken off.
    """

    fragments: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LineReceived:
    """One line outside commands: the answer to a continuation request."""

    line: bytes


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """A command that was given up."""

    line: bytes
    """The beginning of the command: holds its tag, if it had one."""
    reason: RefusedFor
    fatal: bool
    """Whether the two sides no longer agree where the next command begins: close."""


Event = ContinuationNeeded | CommandReceived | CommandRefused


class CommandReader:
    """Turns received bytes into events; the caller owns the connection."""

    def __init__(self, limits: ReaderLimits = BEFORE_LOGIN) -> None:
        self.limits = limits
        """May be replaced between two commands."""
        self._buffer = bytearray()
        self._scanned = 0
        self._dead = False
        self._reset()

    def _reset(self) -> None:
        self._fragments: list[bytes] = []
        self._awaited: int | None = None
        self._text_size = 0
        self._literal_size = 0
        self._literals = 0
        self._discarding: RefusedFor | None = None

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        if not self._dead:
            self._buffer += data

    @property
    def buffered(self) -> int:
        """Octets received and not yet handed out; must be 0 when TLS starts (RFC 3501 6.2.1)."""
        return len(self._buffer)

    @property
    def held(self) -> int:
        """Octets in memory: received and not yet handed out."""
        return len(self._buffer) + sum(map(len, self._fragments))

    def give_up_literal(self) -> None:
        """Keep nothing of the command whose literal is being received: it will be refused.

        Its end is still looked for, so that both sides agree where the next command begins. Between
        literals nothing happens: lines are short.
        """
        if self._awaited is not None and self._discarding is None:
            self._discarding = RefusedFor.NO_ROOM
            del self._fragments[1:]
            self._take_literal(self._awaited)

    @property
    def is_inside_command(self) -> bool:
        """Whether a literal was announced, and the end of its command has not come."""
        return self._awaited is not None or bool(self._fragments)

    @property
    def has_enough(self) -> bool:
        """Whether more bytes than the command in work needs are waiting: reading can pause."""
        return len(self._buffer) > (self._awaited or self.limits.max_line) + _READ_AHEAD

    def close(self) -> None:
        """Forget everything: nothing more is read."""
        self._dead = True
        self._buffer.clear()
        self._reset()

    def next_event(self) -> Event | None:
        """The next event, or None when more bytes are needed."""
        while not self._dead:
            if self._awaited is not None:
                if not self._take_literal(self._awaited):
                    return None
                continue
            line = self._take_line()
            if not isinstance(line, bytes):
                return line
            event = self._add_text(line)
            if event is not None:
                return event
        return None

    def next_line(self) -> LineReceived | CommandRefused | None:
        """The next line as it stands, or None when more bytes are needed."""
        if self._dead:
            return None
        line = self._take_line()
        return LineReceived(line) if isinstance(line, bytes) else line

    def _take_line(self) -> bytes | CommandRefused | None:
        """Cut off a line without its CRLF."""
        end = self._buffer.find(b"\n", self._scanned)
        length = end if end >= 0 else len(self._buffer)
        if self._text_size + length > self.limits.max_line:
            return self._refuse(
                RefusedFor.LINE_TOO_LONG, bytes(self._buffer[:_TAG_SPAN]), fatal=True
            )
        if end < 0:
            self._scanned = length
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        if not line.endswith(b"\r"):
            return self._refuse(RefusedFor.BARE_LINE_FEED, line, fatal=False)
        return line[:-1]

    def _take_literal(self, awaited: int) -> bool:
        """Cut off the awaited literal if it is there; a refused one as far as it is there."""
        if self._discarding is not None:
            there = min(awaited, len(self._buffer))
            del self._buffer[:there]
            self._awaited = awaited - there if there < awaited else None
            return self._awaited is None
        if len(self._buffer) < awaited:
            return False
        with memoryview(self._buffer) as view:
            self._fragments.append(bytes(view[:awaited]))
        del self._buffer[:awaited]
        self._awaited = None
        return True

    def _add_text(self, line: bytes) -> Event | None:
        """Take in a piece of text: the end of the command, or the announcement of a literal."""
        self._text_size += len(line)
        announced = _LITERAL.search(line)
        if announced is None:
            if self._discarding is not None:
                return self._refuse(self._discarding, line, fatal=False)
            self._fragments.append(line)
            command = CommandReceived(tuple(self._fragments))
            self._reset()
            return command
        # A number too long to be read costs time quadratic in its digits; it is too large anyway.
        size = int(announced[1]) if len(announced[1]) <= _MAX_DIGITS else _TOO_LARGE
        waits = not announced[2]
        if self._discarding is None:
            self._fragments.append(line[: announced.start()])
        self._literals += 1
        self._literal_size += size
        refused = self._discarding or self._over_limit()
        if refused is None:
            self._awaited = size
            return ContinuationNeeded(size) if waits else None
        if waits:
            # The client sends nothing of it: the refusal is the end of the command.
            return self._refuse(refused, line, fatal=False)
        if self._literal_size > self.limits.max_drain:
            return self._refuse(refused, line, fatal=True)
        self._discarding = refused
        del self._fragments[1:]
        self._awaited = size
        return None

    def _over_limit(self) -> RefusedFor | None:
        limits = self.limits
        is_append = _APPEND.match(self._fragments[0]) is not None
        if self._literal_size > (limits.max_append if is_append else limits.max_literal):
            return RefusedFor.LITERAL_TOO_LARGE
        if self._literals > limits.max_literals:
            return RefusedFor.TOO_MANY_LITERALS
        return None

    def _refuse(self, reason: RefusedFor, line: bytes, *, fatal: bool) -> CommandRefused:
        refused = CommandRefused(self._fragments[0] if self._fragments else line, reason, fatal)
        self._reset()
        if fatal:
            self._dead = True
            self._buffer.clear()
        return refused


_TAG_SPAN: Final = 256
_MAX_DIGITS: Final = 18
_TOO_LARGE: Final = 1 << 62
