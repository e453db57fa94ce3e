"""What a FETCH asks for: data items and body sections (RFC 3501 section 6.4.5), and their parser."""

import re
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from mssante.wire.imap.cursor import Cursor
from mssante.wire.imap.errors import GrammarError
from mssante.wire.imap.responses import quoted

MAX_ITEMS: Final = 200
MAX_FIELDS: Final = 200
MAX_PATH: Final = 50
"""Depth of a part number."""


@unique
class Attribute(Enum):
    """Data items without a section; the value is the name in the answer."""

    FLAGS = "FLAGS"
    UID = "UID"
    INTERNALDATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    MODSEQ = "MODSEQ"
    """RFC 7162 section 3.1.4.2."""
    EMAILID = "EMAILID"
    THREADID = "THREADID"
    """RFC 8474 section 5.3."""


@unique
class SectionText(Enum):
    """What of a message or part a section names (RFC 3501 section 9, ``section-text``)."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """A part number and what of it; an empty path is the whole message."""

    path: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[bytes, ...] = ()
    """Names of header fields as the client wrote them."""


@dataclass(frozen=True, slots=True)
class BodySection:
    """Octets of a message, all or from an offset."""

    label: bytes
    """How the answer names it: the client's own words, with the offset but not the count."""
    section: Section
    peek: bool
    r"""Whether \Seen stays as it is."""
    offset: int | None = None
    count: int | None = None


FetchItem = Attribute | BodySection

_MACROS: Final = {
    b"ALL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE),
    b"FAST": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE),
    b"FULL": (
        Attribute.FLAGS,
        Attribute.INTERNALDATE,
        Attribute.SIZE,
        Attribute.ENVELOPE,
        Attribute.BODY,
    ),
}
_RFC822: Final = {
    b"RFC822": BodySection(b"RFC822", Section(), peek=False),
    # Not in the standard, but Outlook asks for it and expects the data under the name RFC822.
    b"RFC822.PEEK": BodySection(b"RFC822", Section(), peek=True),
    b"RFC822.HEADER": BodySection(b"RFC822.HEADER", Section(text=SectionText.HEADER), peek=True),
    b"RFC822.TEXT": BodySection(b"RFC822.TEXT", Section(text=SectionText.TEXT), peek=False),
}
_NAMES: Final = {attribute.value.encode(): attribute for attribute in Attribute}
_WORD: Final = re.compile(rb"[A-Za-z0-9.]+")
_PATH: Final = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_TEXT: Final = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_PARTIAL: Final = re.compile(rb"<([0-9]{1,10})\.([0-9]{1,10})>")
_FIELD_ATOM: Final = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff]+\Z')


def parse_fetch_items(cursor: Cursor) -> tuple[FetchItem, ...]:
    """Read one item, a macro, or a list of items between parentheses; repetitions are dropped."""
    if cursor.accept(b"("):
        items = [_item(cursor)]
        while cursor.accept(b" "):
            items.append(_item(cursor))
            if len(items) > MAX_ITEMS:
                raise GrammarError("Too many items")
        cursor.expect(b")")
        return tuple(dict.fromkeys(items))
    start = cursor.position
    match = cursor.match(_WORD)
    if match is not None and match[0].upper() in _MACROS:
        return _MACROS[match[0].upper()]
    cursor.position = start
    return (_item(cursor),)


def _item(cursor: Cursor) -> FetchItem:
    match = cursor.match(_WORD)
    if match is None:
        raise GrammarError("Missing item")
    name = match[0].upper()
    if name in (b"BODY", b"BODY.PEEK") and cursor.accept(b"["):
        return _section(cursor, peek=name == b"BODY.PEEK")
    if name in _NAMES:
        return _NAMES[name]
    if name in _RFC822:
        return _RFC822[name]
    raise GrammarError("Unknown item")


def _section(cursor: Cursor, *, peek: bool) -> BodySection:
    path_match = cursor.match(_PATH)
    raw_path = path_match[0] if path_match else b""
    path = tuple(map(int, raw_path.split(b"."))) if raw_path else ()
    if len(path) > MAX_PATH:
        raise GrammarError("Part number too deep")
    text = SectionText.ALL
    fields: tuple[bytes, ...] = ()
    words = raw_path
    if not path or cursor.accept(b"."):
        text_match = cursor.match(_TEXT)
        if text_match is not None:
            text = SectionText(text_match[0].decode("ascii").upper())
        elif path:
            raise GrammarError("Invalid section")
        if text is SectionText.MIME and not path:
            raise GrammarError("Invalid section")
        words = b".".join(word for word in (raw_path, text.value.encode()) if word)
        if text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
            cursor.space()
            fields = _header_list(cursor)
            words += b" (" + b" ".join(map(_field_name, fields)) + b")"
    cursor.expect(b"]")
    label = b"BODY[" + words + b"]"
    partial = cursor.match(_PARTIAL)
    if partial is None:
        return BodySection(label, Section(path, text, fields), peek)
    offset, count = int(partial[1]), int(partial[2])
    if not count:
        raise GrammarError("Invalid partial range")
    return BodySection(label + b"<%d>" % offset, Section(path, text, fields), peek, offset, count)


def _header_list(cursor: Cursor) -> tuple[bytes, ...]:
    cursor.expect(b"(")
    fields = [cursor.astring()]
    while cursor.accept(b" "):
        fields.append(cursor.astring())
        if len(fields) > MAX_FIELDS:
            raise GrammarError("Too many header fields")
    cursor.expect(b")")
    if any(not field or b"\r" in field or b"\n" in field for field in fields):
        raise GrammarError("Invalid header field name")
    return tuple(fields)


def _field_name(field: bytes) -> bytes:
    """As the client wrote it: Apple Mail drops an answer whose label differs from its question."""
    return field if _FIELD_ATOM.match(field) else quoted(field)
