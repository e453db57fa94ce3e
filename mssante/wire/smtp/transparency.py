"""Mail data on its way out: dots doubled (RFC 5321 section 4.5.2), the end written once.

The message comes in pieces; how it is cut does not matter.
"""

from typing import Final

_LINE_START: Final = b"\r\n"


class Stuffing:
    """Doubles the dot at the beginning of each line of one message."""

    def __init__(self) -> None:
        self._tail = _LINE_START
        """The last octets so far: the next piece may begin a line."""

    def take(self, piece: bytes) -> bytes:
        """The next piece as it goes over the wire."""
        if not piece:
            return b""
        stuffed = piece.replace(b"\r\n.", b"\r\n..") if b"." in piece else piece
        if self._tail == _LINE_START and piece[:1] == b".":
            stuffed = b"." + stuffed
        elif self._tail[-1:] == b"\r" and piece[:2] == b"\n.":
            stuffed = b"\n." + stuffed[1:]
        self._tail = (self._tail + piece[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """The end of data, with an end of line where the message lacks one."""
        return b".\r\n" if self._tail == _LINE_START else b"\r\n.\r\n"
