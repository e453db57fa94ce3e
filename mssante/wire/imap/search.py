"""What a SEARCH asks for: a tree of keys (RFC 3501 section 6.4.4), and its parser.

Depth and number of keys are limited; a flat list of keys is one conjunction, not a nest.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum, unique
from typing import Final

from mssante.kernel.opaque import OpaqueId
from mssante.wire.imap.cursor import Cursor, without_nul
from mssante.wire.imap.errors import GrammarError, UnknownCharset
from mssante.wire.imap.flags import canonical_flags
from mssante.wire.imap.object_ids import parse_email_id
from mssante.wire.imap.sequence_set import SequenceSet

MAX_DEPTH: Final = 32
MAX_KEYS: Final = 2_000
MAX_TEXT: Final = 1_024
"""Octets of one searched text."""
CHARSETS: Final = {b"US-ASCII": "ascii", b"UTF-8": "utf-8"}


@dataclass(frozen=True, slots=True)
class Everything:
    """ALL."""


@dataclass(frozen=True, slots=True)
class RecentKey:
    """RECENT: of which no earlier session was told."""


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """A set of sequence numbers, or of UIDs."""

    numbers: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class FlagKey:
    """A flag or keyword is there."""

    name: str


@unique
class DateRelation(Enum):
    """How a day is compared."""

    BEFORE = "before"
    ON = "on"
    SINCE = "since"


@dataclass(frozen=True, slots=True)
class DateKey:
    """The day of the internal date, or of the Date field, disregarding time and zone."""

    relation: DateRelation
    day: date
    sent: bool


@dataclass(frozen=True, slots=True)
class SizeKey:
    """RFC822.SIZE is larger, or smaller, than this."""

    size: int
    larger: bool


@dataclass(frozen=True, slots=True)
class ModseqKey:
    """The modseq is this or greater (RFC 7162 section 3.1.5).

    The entry name and type that may stand before it are not kept: with one modseq for all flags
    of a message they MUST be ignored.
    """

    modseq: int


@dataclass(frozen=True, slots=True)
class EmailIdKey:
    """The content has this EMAILID (RFC 8474 section 6); None is an identifier that none has."""

    message_id: OpaqueId | None


@dataclass(frozen=True, slots=True, repr=False)
class HeaderKey:
    """A header field contains a text (an empty text: the field is there); case does not matter."""

    field: str
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class TextKey:
    """The body, or header and body, contain a text; case does not matter."""

    text: str
    with_header: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every key holds."""

    keys: tuple["SearchKey", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of two keys holds (OR)."""

    left: "SearchKey"
    right: "SearchKey"


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The key does not hold (NOT)."""

    key: "SearchKey"


SearchKey = (
    Everything
    | RecentKey
    | SequenceKey
    | FlagKey
    | DateKey
    | SizeKey
    | ModseqKey
    | EmailIdKey
    | HeaderKey
    | TextKey
    | AllOf
    | AnyOf
    | NoneOf
)  # fmt: skip

_WORD: Final = re.compile(rb"[A-Za-z0-9]+")
_OBJECT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
_FLAG_WORDS: Final = {
    b"ANSWERED": "\\Answered",
    b"DELETED": "\\Deleted",
    b"DRAFT": "\\Draft",
    b"FLAGGED": "\\Flagged",
    b"SEEN": "\\Seen",
}
_ADDRESS_WORDS: Final = {b"BCC": "Bcc", b"CC": "Cc", b"FROM": "From", b"TO": "To"}
_DATE_WORDS: Final = {
    b"BEFORE": (DateRelation.BEFORE, False),
    b"ON": (DateRelation.ON, False),
    b"SINCE": (DateRelation.SINCE, False),
    b"SENTBEFORE": (DateRelation.BEFORE, True),
    b"SENTON": (DateRelation.ON, True),
    b"SENTSINCE": (DateRelation.SINCE, True),
}


def parse_search(cursor: Cursor) -> SearchKey:
    """Read ``[CHARSET name] key *(SP key)`` up to the end of the command.

    Raises:
        UnknownCharset: the charset is none of `CHARSETS`.
        GrammarError: anything else.
    """
    return _Parser(cursor).program()


def names_modseq(key: SearchKey) -> bool:
    """Whether a MODSEQ criterion is anywhere in a search (RFC 7162 section 3.1.6)."""
    match key:
        case ModseqKey():
            return True
        case AllOf():
            return any(map(names_modseq, key.keys))
        case AnyOf():
            return names_modseq(key.left) or names_modseq(key.right)
        case NoneOf():
            return names_modseq(key.key)
        case _:
            return False


class _Parser:
    """One search command in work: charset, and how many keys it has had."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._charset = "utf-8"
        self._keys = 0

    def program(self) -> SearchKey:
        cursor = self._cursor
        if cursor.text[cursor.position : cursor.position + 8].upper() == b"CHARSET ":
            cursor.position += 8
            name = cursor.astring().upper()
            if name not in CHARSETS:
                raise UnknownCharset("Unknown charset")
            self._charset = CHARSETS[name]
            cursor.space()
        keys = [self._key(0)]
        while cursor.accept(b" "):
            keys.append(self._key(0))
        cursor.end()
        return _conjunction(keys)

    def _key(self, depth: int) -> SearchKey:
        self._keys += 1
        if depth > MAX_DEPTH or self._keys > MAX_KEYS:
            raise GrammarError("Search too complex")
        cursor = self._cursor
        if cursor.accept(b"("):
            keys = [self._key(depth + 1)]
            while cursor.accept(b" "):
                keys.append(self._key(depth + 1))
            cursor.expect(b")")
            return _conjunction(keys)
        if cursor.at_sequence_set:
            return SequenceKey(cursor.sequence_set(), uid=False)
        match = cursor.match(_WORD)
        if match is None:
            raise GrammarError("Missing search key")
        return self._named(match[0].upper(), depth)

    def _named(self, word: bytes, depth: int) -> SearchKey:
        cursor = self._cursor
        if word in _FLAG_WORDS:
            return FlagKey(_FLAG_WORDS[word])
        if word.startswith(b"UN") and word[2:] in _FLAG_WORDS:
            return NoneOf(FlagKey(_FLAG_WORDS[word[2:]]))
        if word in _PLAIN:
            return _PLAIN[word]
        if word not in _WITH_ARGUMENT:
            raise GrammarError("Unknown search key")
        cursor.space()
        if word in _ADDRESS_WORDS:
            return HeaderKey(_ADDRESS_WORDS[word], self._text())
        if word in _DATE_WORDS:
            relation, sent = _DATE_WORDS[word]
            return DateKey(relation, cursor.day(), sent)
        return _ARGUMENTS[word](self, depth)

    def _text(self) -> str:
        raw = without_nul(self._cursor.astring())
        if len(raw) > MAX_TEXT:
            raise GrammarError("Search text too long")
        try:
            return raw.decode(self._charset)
        except UnicodeDecodeError as error:
            raise GrammarError("Search text is not in its charset") from error

    def subject(self, _depth: int) -> SearchKey:
        return HeaderKey("Subject", self._text())

    def body(self, _depth: int) -> SearchKey:
        return TextKey(self._text(), with_header=False)

    def whole_text(self, _depth: int) -> SearchKey:
        return TextKey(self._text(), with_header=True)

    def header(self, _depth: int) -> SearchKey:
        field = self._cursor.astring()
        try:
            name = field.decode("ascii")
        except UnicodeDecodeError as error:
            raise GrammarError("Invalid header field name") from error
        self._cursor.space()
        return HeaderKey(name, self._text())

    def keyword(self, _depth: int) -> SearchKey:
        name = self._cursor.atom().decode("ascii")
        return FlagKey((*canonical_flags([name]), name)[0])

    def unkeyword(self, depth: int) -> SearchKey:
        return NoneOf(self.keyword(depth))

    def larger(self, _depth: int) -> SearchKey:
        return SizeKey(self._cursor.number(), larger=True)

    def smaller(self, _depth: int) -> SearchKey:
        return SizeKey(self._cursor.number(), larger=False)

    def modseq(self, _depth: int) -> SearchKey:
        cursor = self._cursor
        if cursor.text.startswith(b'"', cursor.position):
            if not cursor.string().lower().startswith(b"/flags/"):
                raise GrammarError("Unknown entry")
            cursor.space()
            if cursor.keyword() not in (b"PRIV", b"SHARED", b"ALL"):
                raise GrammarError("Unknown entry type")
            cursor.space()
        return ModseqKey(cursor.number())

    def email_id(self, _depth: int) -> SearchKey:
        return EmailIdKey(parse_email_id(self._object_id()))

    def thread_id(self, _depth: int) -> SearchKey:
        self._object_id()
        return NoneOf(Everything())

    def _object_id(self) -> str:
        text = self._cursor.atom().decode("ascii")
        if _OBJECT_ID.match(text) is None:
            raise GrammarError("Invalid object identifier")
        return text

    def uids(self, _depth: int) -> SearchKey:
        return SequenceKey(self._cursor.sequence_set(), uid=True)

    def negation(self, depth: int) -> SearchKey:
        return NoneOf(self._key(depth + 1))

    def alternative(self, depth: int) -> SearchKey:
        left = self._key(depth + 1)
        self._cursor.space()
        return AnyOf(left, self._key(depth + 1))


_PLAIN: Final[dict[bytes, SearchKey]] = {
    b"ALL": Everything(),
    b"OLD": NoneOf(RecentKey()),
    b"RECENT": RecentKey(),
    b"NEW": AllOf((RecentKey(), NoneOf(FlagKey("\\Seen")))),
}
_ARGUMENTS: Final[dict[bytes, Callable[[_Parser, int], SearchKey]]] = {
    b"SUBJECT": _Parser.subject,
    b"BODY": _Parser.body,
    b"TEXT": _Parser.whole_text,
    b"HEADER": _Parser.header,
    b"KEYWORD": _Parser.keyword,
    b"UNKEYWORD": _Parser.unkeyword,
    b"LARGER": _Parser.larger,
    b"SMALLER": _Parser.smaller,
    b"MODSEQ": _Parser.modseq,
    b"EMAILID": _Parser.email_id,
    b"THREADID": _Parser.thread_id,
    b"UID": _Parser.uids,
    b"NOT": _Parser.negation,
    b"OR": _Parser.alternative,
}
_WITH_ARGUMENT: Final = _ADDRESS_WORDS.keys() | _DATE_WORDS.keys() | _ARGUMENTS.keys()


def _conjunction(keys: list[SearchKey]) -> SearchKey:
    return keys[0] if len(keys) == 1 else AllOf(tuple(keys))
