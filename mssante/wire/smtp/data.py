r"""The octets of a message on their way in: finds their end, judges their lines, hands them on.

After DATA only ``<CRLF>.<CRLF>`` ends mail data (RFC 5321 section 4.1.1.4), and transparency dots are
taken out; BDAT tells how many octets come (RFC 3030) and has no dots. A bare CR or LF is neither an end
of line nor repaired (section 2.3.8; a repair would break signatures): the whole message is refused once
its true end has come, so that no other reading of the bytes can smuggle a second message.

Bytes are searched in pieces as they come, never line by line, and how they were cut does not
matter. Once something is wrong with the data, nothing more of it is kept.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from mssante.kernel.reasons import Reason

MAX_LINE: Final = 998
"""Octets of a text line without its CRLF (RFC 5321 section 4.5.3.1.6: 1000 with it)."""

_DOT: Final = b"\r\n."
"""A line that begins with a dot comes: the end of data, or one dot more than the content has."""
_END: Final = _DOT + b"\r\n"


class Keeper(Protocol):
    """Where the octets of one message gather; in memory, or beyond."""

    @property
    def held(self) -> int:
        """Octets kept in memory."""
        ...

    def add(self, piece: bytes) -> None:
        """Keep more."""
        ...

    def drop(self) -> None:
        """Keep nothing of it."""
        ...

    def content(self) -> bytes:
        """All of it, in memory."""
        ...


class MemoryKeeper:
    """Keeps a message in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.held = 0

    def add(self, piece: bytes) -> None:
        """Keep more."""
        self._pieces.append(piece)
        self.held += len(piece)

    def drop(self) -> None:
        """Keep nothing of it."""
        self._pieces.clear()
        self.held = 0

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)


@dataclass(frozen=True, slots=True)
class MailData:
    """All of a message's data has come; the keeper has it, unless there is a fault."""

    size: int
    """Octets of content (RFC 1870 section 3: with CRLFs, without transparency dots)."""
    fault: Reason | None
    """TRY_LATER, MESSAGE_TOO_LARGE, BARE_LINE_ENDING, NUL_BYTE or LINE_TOO_LONG."""
    rest: bytes = b""
    """What came after the end of data: the next commands."""


class _Gathering:
    """Takes whole lines of one message, however they come."""

    def __init__(self, max_size: int, keeper: Keeper | None = None, *, dotted: bool) -> None:
        self._max_size = max_size
        self._dotted = dotted
        self.keeper = keeper or MemoryKeeper()
        self._size = 0
        self._faults: set[Reason] = set()
        self._pending = bytearray()
        """Begins at the start of a line, unless `_inside_line`; holds no whole line."""
        self._inside_line = False
        """The beginning of the pending line was judged and dropped, being too long."""

    @property
    def held(self) -> int:
        """Octets kept in memory."""
        return len(self._pending) + self.keeper.held

    def discard(self, reason: Reason) -> None:
        """Keep nothing more: the message is refused for `reason` when its end has come."""
        self._fault(reason)

    def _take_pending(self, first_dot: int = -1) -> None:
        """Take the whole lines that wait, and what is too long to wait; `first_dot`: see `_take_lines`."""
        pending = self._pending
        after_last_line = pending.rfind(b"\r\n") + 2
        if after_last_line >= 2:
            self._take_lines(_copied(pending, after_last_line), first_dot)
            del pending[:after_last_line]
        # One octet more for a transparency dot, one for a CR whose LF is still to come.
        if len(pending) > MAX_LINE + 2:
            self._drop_long_line()

    def _take_lines(self, lines: bytes, first_dot: int = -1) -> None:
        """Judge whole lines, of which the last ends with CRLF, too.

        Args:
            lines: what has come.
            first_dot: where the first `_DOT` begins, in `lines` or behind; -1: nowhere.
        """
        has_dots = 0 <= first_dot < len(lines) - len(_DOT)
        if self._inside_line:
            self._inside_line = False
        elif self._dotted and lines.startswith(b"."):
            lines = lines[1:]
        if b"\0" in lines:
            self._fault(Reason.NUL_BYTE)
        if has_dots:
            # RFC 5321 section 4.5.2: of each line that begins with a dot, the dot is deleted.
            lines = lines.replace(_DOT, b"\r\n")
        texts = lines.split(b"\r\n")
        if max(map(len, texts)) > MAX_LINE:
            self._fault(Reason.LINE_TOO_LONG)
        without_ends = b"".join(texts)
        if b"\r" in without_ends or b"\n" in without_ends:
            self._fault(Reason.BARE_LINE_ENDING)
        self._keep(lines)

    def _drop_long_line(self) -> None:
        """Forget the pending part of a line without end, but for a CR that may belong to CRLF."""
        pending = self._pending
        kept = 1 if pending.endswith(b"\r") else 0
        dropped = pending[: len(pending) - kept]
        del pending[: len(dropped)]
        self._fault(Reason.LINE_TOO_LONG)
        if b"\0" in dropped:
            self._fault(Reason.NUL_BYTE)
        if b"\r" in dropped or b"\n" in dropped:
            self._fault(Reason.BARE_LINE_ENDING)
        # A line's transparency dot is no content.
        dot = 1 if self._dotted and not self._inside_line and dropped.startswith(b".") else 0
        self._count(len(dropped) - dot)
        self._inside_line = True

    def _keep(self, octets: bytes) -> None:
        self._count(len(octets))
        if not self._faults:
            self.keeper.add(octets)

    def _count(self, octets: int) -> None:
        self._size += octets
        if self._size > self._max_size:
            self._fault(Reason.MESSAGE_TOO_LARGE)

    def _fault(self, reason: Reason) -> None:
        self._faults.add(reason)
        self.keeper.drop()

    def _result(self, rest: bytes = b"") -> MailData:
        self._pending.clear()
        fault = next((reason for reason in _GRAVEST_FIRST if reason in self._faults), None)
        return MailData(self._size, fault, rest)


class DataReader(_Gathering):
    """Takes the bytes after the 354 reply of one DATA command."""

    def __init__(self, max_size: int, keeper: Keeper | None = None) -> None:
        """Args:
        max_size: octets of content (RFC 1870 section 3: with CRLFs, without transparency dots).
        keeper: takes the content; by default it stays in memory.
        """
        super().__init__(max_size, keeper, dotted=True)

    def receive(self, chunk: bytes | bytearray) -> MailData | None:
        """Take more bytes; gives the result when the end of data is among them."""
        pending = self._pending
        pending += chunk
        if not self._inside_line and pending.startswith(b".\r\n"):
            return self._result(bytes(pending[3:]))
        # Base64 has no dot: one octet is found much faster than three.
        first_dot = pending.find(_DOT) if b"." in pending else -1
        end = pending.find(_END, first_dot) if first_dot >= 0 else -1
        if end >= 0:
            rest = bytes(pending[end + len(_END) :])
            self._take_lines(_copied(pending, end + 2), first_dot)
            return self._result(rest)
        self._take_pending(first_dot)
        return None


class ChunkReader(_Gathering):
    """Takes the octets of the BDAT commands of one message (RFC 3030)."""

    def __init__(self, max_size: int, keeper: Keeper | None = None, *, binary: bool) -> None:
        """Args:
        max_size: octets of content.
        keeper: takes the content; by default it stays in memory.
        binary: BODY=BINARYMIME: there are no lines to be judged.
        """
        super().__init__(max_size, keeper, dotted=False)
        self._binary = binary

    def receive(self, octets: bytes) -> None:
        """Take more octets of a chunk."""
        if self._binary:
            self._keep(octets)
            return
        self._pending += octets
        self._take_pending()

    def end(self) -> MailData:
        """The last chunk has come. A text that does not end with CRLF stays as it is."""
        if self._pending:
            # Judged as a line, kept as it came: what a client sent is what a signature covers.
            octets = bytes(self._pending)
            if len(octets) > MAX_LINE:
                self._fault(Reason.LINE_TOO_LONG)
            if b"\r" in octets or b"\n" in octets:
                self._fault(Reason.BARE_LINE_ENDING)
            if b"\0" in octets:
                self._fault(Reason.NUL_BYTE)
            self._keep(octets)
        return self._result()


def _copied(octets: bytearray, stop: int) -> bytes:
    """The first octets, copied once (a slice of a bytearray would be a copy more)."""
    with memoryview(octets) as view:
        return bytes(view[:stop])


_GRAVEST_FIRST: Final = (
    Reason.TRY_LATER,
    Reason.MESSAGE_TOO_LARGE,
    Reason.BARE_LINE_ENDING,
    Reason.NUL_BYTE,
    Reason.LINE_TOO_LONG,
)
"""Which fault is told where there are several; not the first met, which would depend on how the
bytes were cut."""
