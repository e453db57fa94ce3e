"""Writes what the server says (RFC 3501 section 7 and the strings of section 4.3)."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from mssante.wire.imap import mutf7

_QUOTABLE: Final = re.compile(rb"[\x20-\x7e]{0,1000}\Z")
_SPECIAL: Final = re.compile(rb'["\\]')
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = 86_400


def quoted(raw: bytes) -> bytes:
    """A quoted string; `raw` is printable ASCII."""
    return b'"' + _SPECIAL.sub(rb"\\\g<0>", raw) + b'"'


def string(raw: bytes) -> bytes:
    """A quoted string where that is possible, else a literal; empty is always ``""``."""
    return quoted(raw) if _QUOTABLE.match(raw) else literal(raw)


def literal(raw: bytes) -> bytes:
    """A literal, or ``""`` for nothing: iOS 18.2 hangs on ``{0}``."""
    return b"{%d}\r\n%b" % (len(raw), raw) if raw else b'""'


def literal_head(size: int) -> bytes:
    """What stands before the `size` octets of a literal that is written in pieces."""
    return b"{%d}\r\n" % size if size else b'""'


def mailbox(name: str) -> bytes:
    """A mailbox name: always quoted, in modified UTF-7."""
    return quoted(mutf7.encode(name))


def flag_list(names: Iterable[str]) -> str:
    """Flags between parentheses."""
    return f"({' '.join(names)})"


def internal_date(milliseconds: int) -> str:
    """``" 1-Nov-2026 21:00:00 +0000"``, quotes included, of an instant since the epoch, in UTC."""
    days, seconds = divmod(milliseconds // 1000, _DAY)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f'"{_day_text(days)} {hour:02}:{minute:02}:{second:02} +0000"'


@lru_cache(maxsize=4096)
def _day_text(days: int) -> str:
    day = _EPOCH + timedelta(days=days)
    return f"{day.day:2}-{_MONTHS[day.month - 1]}-{day.year:04}"


def completion(tag: str, status: str, text: str, code: str = "") -> bytes:
    """A tagged answer, or an untagged one with the tag ``*``."""
    bracketed = f"[{code}] " if code else ""
    return f"{tag} {status} {bracketed}{text}\r\n".encode("ascii")


def untagged(text: str) -> bytes:
    """``* text``."""
    return f"* {text}\r\n".encode("ascii")


def continuation(text: str = "") -> bytes:
    """A continuation request; the space is there even without a text."""
    return f"+ {text}\r\n".encode("ascii")
