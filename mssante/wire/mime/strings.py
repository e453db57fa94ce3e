"""IMAP strings as the server sends them (RFC 9051 section 4.3)."""

import re
from typing import Final

_NOT_PLAIN: Final = re.compile(rb'[\x00\r\n"\\\x80-\xff]')
_NOT_QUOTED: Final = re.compile(rb"[\x00\r\n\x80-\xff]")
_ESCAPED: Final = re.compile(rb'(["\\])')

NIL: Final = b"NIL"


def string(value: bytes) -> bytes:
    """A quoted string, or a literal where octets need one (8-bit, CR, LF).

    NUL exists in neither form (RFC 9051: CHAR8 is %x01-ff) and is left out.
    """
    if _NOT_PLAIN.search(value) is None:
        return b'"' + value + b'"'
    if _NOT_QUOTED.search(value) is None:
        return b'"' + _ESCAPED.sub(rb"\\\1", value) + b'"'
    value = value.replace(b"\0", b"")
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return NIL if value is None else string(value)
