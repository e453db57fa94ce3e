r"""Mail data after DATA: finds its end, takes the transparency dots out, judges its lines.

Only ``<CRLF>.<CRLF>`` ends mail data (RFC 5321 section 4.1.1.4). A bare CR or LF is neither an end
of line nor repaired (section 2.3.8; a repair would break signatures): the whole message is refused
once its true end has come, so that no other reading of the bytes can smuggle a second message.

Bytes are searched in pieces as they come, never line by line, and how they were cut does not
matter. Once something is wrong with the data, nothing more of it is kept.
"""

from dataclasses import dataclass
from typing import Final

from mssante.kernel.reasons import Reason

MAX_LINE: Final = 998
"""Octets of a text line without its CRLF (RFC 5321 section 4.5.3.1.6: 1000 with it)."""

_END: Final = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class MailData:
    """All of a message's data has come."""

    content: bytes
    """The message, empty when there is a fault."""
    fault: Reason | None
    """MESSAGE_TOO_LARGE, BARE_LINE_ENDING, NUL_BYTE or LINE_TOO_LONG."""
    rest: bytes
    """What came after the end of data: the next commands."""


class DataReader:
    """Takes the bytes after the 354 reply of one DATA command."""

    def __init__(self, max_size: int) -> None:
        """Args:
        max_size: octets of content (RFC 1870 section 3: with CRLFs, without transparency dots).
        """
        self._max_size = max_size
        self._pieces: list[bytes] = []
        self._size = 0
        self._faults: set[Reason] = set()
        self._pending = bytearray()
        """Begins at the start of a line, unless `_inside_line`; holds no whole line."""
        self._inside_line = False
        """The beginning of the pending line was judged and dropped, being too long."""

    @property
    def held(self) -> int:
        """Octets kept in memory."""
        return len(self._pending) + (0 if self._faults else self._size)

    def discard(self, reason: Reason) -> None:
        """Keep nothing more: the message is refused for `reason` when its end has come."""
        self._fault(reason)

    def receive(self, chunk: bytes | bytearray) -> MailData | None:
        """Take more bytes; gives the result when the end of data is among them."""
        pending = self._pending
        pending += chunk
        if not self._inside_line and pending.startswith(b".\r\n"):
            return self._result(bytes(pending[3:]))
        # Base64 has no dot: one octet is found much faster than five.
        end = pending.find(_END) if b"." in pending else -1
        if end >= 0:
            rest = bytes(pending[end + len(_END) :])
            self._take_lines(_copied(pending, end + 2))
            return self._result(rest)
        after_last_line = pending.rfind(b"\r\n") + 2
        if after_last_line >= 2:
            self._take_lines(_copied(pending, after_last_line))
            del pending[:after_last_line]
        # One octet more for a transparency dot, one for a CR whose LF is still to come.
        if len(pending) > MAX_LINE + 2:
            self._drop_long_line()
        return None

    def _take_lines(self, lines: bytes) -> None:
        """Judge whole lines; `lines` ends with CRLF."""
        if self._inside_line:
            self._inside_line = False
        elif lines.startswith(b"."):
            lines = lines[1:]
        if b"\0" in lines:
            self._fault(Reason.NUL_BYTE)
        if b"." in lines:
            # RFC 5321 section 4.5.2: of each line that begins with a dot, the dot is deleted.
            lines = lines.replace(b"\r\n.", b"\r\n")
        lengths = list(map(len, lines.splitlines()))
        # `splitlines` ends a line at CR, LF or CRLF. If every end took two octets, all are CRLF.
        if sum(lengths) + 2 * len(lengths) != len(lines):
            self._fault(Reason.BARE_LINE_ENDING)
        if max(lengths) > MAX_LINE:
            self._fault(Reason.LINE_TOO_LONG)
        self._count(len(lines))
        if not self._faults:
            self._pieces.append(lines)

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
        dot = 0 if self._inside_line or not dropped.startswith(b".") else 1
        self._count(len(dropped) - dot)
        self._inside_line = True

    def _count(self, octets: int) -> None:
        self._size += octets
        if self._size > self._max_size:
            self._fault(Reason.MESSAGE_TOO_LARGE)

    def _fault(self, reason: Reason) -> None:
        self._faults.add(reason)
        self._pieces.clear()

    def _result(self, rest: bytes) -> MailData:
        self._pending.clear()
        fault = next((reason for reason in _GRAVEST_FIRST if reason in self._faults), None)
        content = b"" if fault is not None else b"".join(self._pieces)
        self._pieces.clear()
        return MailData(content, fault, rest)


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
