"""Reads tokens off a command, left to right (the small words of RFC 3501 section 9)."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from mssante.wire.imap import mutf7
from mssante.wire.imap.errors import GrammarError
from mssante.wire.imap.flags import canonical_flags
from mssante.wire.imap.sequence_set import SequenceSet, parse_sequence_set

_ATOM: Final = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_ASTRING: Final = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff]+')
_LIST_MAILBOX: Final = re.compile(rb'[^\x00-\x20(){"\\\x7f-\xff]+')
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_ESCAPE: Final = re.compile(rb"\\(.)")
_NUMBER: Final = re.compile(rb"[0-9]{1,19}(?![0-9])")
_SET: Final = re.compile(rb"[0-9:*,]+")
_FLAG: Final = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_DATE: Final = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
_DATE_TIME: Final = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (
            b"JAN",
            b"FEB",
            b"MAR",
            b"APR",
            b"MAY",
            b"JUN",
            b"JUL",
            b"AUG",
            b"SEP",
            b"OCT",
            b"NOV",
            b"DEC",
        ),
        1,
    )
}
MAX_MAILBOX_NAME: Final = 1_000
"""Octets of a mailbox name as it is written."""
MAX_FLAGS: Final = 100
"""Flags in one command."""
MAX_WORDS: Final = 100
"""Words of one list."""


class Cursor:
    """A position in the fragments of a command.

    Each method reads one thing at the position and moves behind it, or raises `GrammarError`.
    """

    __slots__ = ("_fragments", "_index", "position", "text")

    def __init__(self, fragments: tuple[bytes, ...]) -> None:
        self._fragments = fragments
        self._index = 0
        self.text = fragments[0]
        """The text fragment in work."""
        self.position = 0

    # --- small steps ---------------------------------------------------------

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Match a pattern here and move behind it, or stay and return None."""
        match = pattern.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        return match

    def accept(self, token: bytes) -> bool:
        """Move behind `token` if it stands here."""
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def expect(self, token: bytes) -> None:
        """Demand `token`."""
        if not self.accept(token):
            raise GrammarError("Syntax error")

    def space(self) -> None:
        """Demand one space."""
        if not self.accept(b" "):
            raise GrammarError("Missing argument" if self.at_end else "Missing space")

    @property
    def at_end(self) -> bool:
        """Whether nothing is left, no literal either."""
        return self.position == len(self.text) and self._index == len(self._fragments) - 1

    def end(self) -> None:
        """Demand the end of the command."""
        if not self.at_end:
            raise GrammarError("Too many arguments")

    # --- words ---------------------------------------------------------------

    def atom(self) -> bytes:
        """An atom."""
        match = self.match(_ATOM)
        if match is None:
            raise GrammarError("Missing word")
        return match[0]

    def keyword(self) -> bytes:
        """An atom whose case does not matter, in capitals."""
        return self.atom().upper()

    def words(self) -> list[bytes]:
        """Words between parentheses whose case does not matter, in capitals; possibly none."""
        self.expect(b"(")
        found: list[bytes] = []
        while not self.accept(b")"):
            if found:
                self.space()
            if len(found) == MAX_WORDS:
                raise GrammarError("Too many words")
            found.append(self.keyword())
        return found

    def number(self) -> int:
        """A number of at most 63 bits."""
        match = self.match(_NUMBER)
        if match is None or (number := int(match[0])) >= 1 << 63:
            raise GrammarError("Invalid number")
        return number

    def string(self) -> bytes:
        """A quoted string or a literal."""
        match = self.match(_QUOTED)
        if match is not None:
            inner = match[1]
            return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner
        return self._literal()

    def _literal(self) -> bytes:
        if self.position != len(self.text) or self._index == len(self._fragments) - 1:
            raise GrammarError("Missing or invalid string")
        literal = self._fragments[self._index + 1]
        self._index += 2
        self.text = self._fragments[self._index]
        self.position = 0
        return literal

    def message(self) -> bytes:
        """The literal of APPEND."""
        return self._literal()

    def astring(self) -> bytes:
        """An atom, a quoted string or a literal; free of NUL."""
        match = self.match(_ASTRING)
        if match is not None:
            return match[0]
        return without_nul(self.string())

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        if self.text[self.position : self.position + 3].upper() == b"NIL":
            self.position += 3
            return None
        return without_nul(self.string())

    # --- what commands name --------------------------------------------------

    def mailbox(self) -> str:
        """The name of a mailbox, decoded; INBOX in capitals, no separator at the end."""
        return mailbox_name(self.astring())

    def list_mailbox(self) -> str:
        """A name with wildcards, decoded."""
        match = self.match(_LIST_MAILBOX)
        return decoded_name(match[0] if match is not None else without_nul(self.string()))

    def sequence_set(self) -> SequenceSet:
        """A set of sequence numbers or UIDs."""
        match = self.match(_SET)
        if match is None:
            raise GrammarError("Invalid sequence set")
        return parse_sequence_set(match[0])

    @property
    def at_sequence_set(self) -> bool:
        """Whether a sequence set begins here."""
        return _SET.match(self.text, self.position) is not None

    def flag_list(self) -> tuple[str, ...]:
        """Flags between parentheses."""
        self.expect(b"(")
        names: list[str] = []
        if not self.accept(b")"):
            names.append(self._flag())
            while self.accept(b" "):
                names.append(self._flag())
            self.expect(b")")
        return _checked_flags(names)

    def flags(self) -> tuple[str, ...]:
        """Flags between parentheses, or bare and separated by spaces up to the end (STORE)."""
        if self.text.startswith(b"(", self.position):
            return self.flag_list()
        names = [self._flag()]
        while self.accept(b" "):
            names.append(self._flag())
        return _checked_flags(names)

    def _flag(self) -> str:
        match = self.match(_FLAG)
        if match is None:
            raise GrammarError("Invalid flag")
        return match[0].decode("ascii")

    def day(self) -> date:
        """A date: ``1-Nov-2026``, possibly quoted."""
        match = self.match(_DATE)
        if match is None:
            raise GrammarError("Invalid date")
        try:
            return date(int(match[4]), _month(match[3]), int(match[2]))
        except ValueError as error:
            raise GrammarError("Invalid date") from error

    def date_time(self) -> datetime:
        """A date and time with its offset: ``" 1-Nov-2026 21:00:00 +0100"``; in UTC."""
        match = self.match(_DATE_TIME)
        if match is None:
            raise GrammarError("Invalid date and time")
        day, month, year, hour, minute, second, sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            zone = timezone(-offset if sign == b"-" else offset)
            written = datetime(
                int(year), _month(month), int(day), int(hour), int(minute), min(int(second), 59),
                tzinfo=zone,
            )  # fmt: skip
            return written.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise GrammarError("Invalid date and time") from error


def _month(name: bytes) -> int:
    month = _MONTHS.get(name.upper())
    if month is None:
        raise GrammarError("Invalid month")
    return month


def _checked_flags(names: list[str]) -> tuple[str, ...]:
    if len(names) > MAX_FLAGS:
        raise GrammarError("Too many flags")
    return canonical_flags(names)


def without_nul(raw: bytes) -> bytes:
    """The bytes, unless they have a NUL (RFC 3501 section 9: CHAR8 excludes it)."""
    if b"\x00" in raw:
        raise GrammarError("NUL is not allowed")
    return raw


def decoded_name(raw: bytes) -> str:
    """A mailbox name from modified UTF-7, free of control characters."""
    if len(raw) > MAX_MAILBOX_NAME:
        raise GrammarError("Mailbox name too long")
    try:
        name = mutf7.decode(raw)
    except ValueError as error:
        raise GrammarError("Mailbox names are written in modified UTF-7") from error
    if any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in name):
        raise GrammarError("Mailbox names have no control characters")
    return name


def mailbox_name(raw: bytes) -> str:
    """A mailbox name as clients write it: INBOX in any case, at times with a last separator."""
    name = decoded_name(raw).removesuffix("/")
    first, slash, rest = name.partition("/")
    return f"INBOX{slash}{rest}" if first.upper() == "INBOX" else name
