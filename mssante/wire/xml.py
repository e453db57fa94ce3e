"""XML from strangers: parsed with limits, without DTD, entities or network.

A document type declaration can stand only before the root element (XML 1.0 section 2.8), and all
encodings accepted here keep ASCII bytes for ASCII characters, so reading the prolog's bytes finds
it for certain before any parser runs. The number of `<` and `=` bounds the number of nodes and
attributes before a tree is built. Comments and processing instructions are dropped while parsing:
a comment in the middle of a name does not cut it in two.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from lxml import etree

_BOM: Final = b"\xef\xbb\xbf"
_WIDE_STARTS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00", b"<\x00")
"""First bytes of UTF-16 and UTF-32, with and without byte order mark."""

_DECLARATION: Final = re.compile(
    rb"<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:'1\.[0-9]'|\"1\.[0-9]\")"
    rb"(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:'(?P<single>[A-Za-z0-9._-]{1,40})'|\"(?P<double>[A-Za-z0-9._-]{1,40})\"))?"
    rb"(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:'(?:yes|no)'|\"(?:yes|no)\"))?[ \t\r\n]*\?>"
)
_DECLARED: Final = re.compile(rb"<\?xml[ \t\r\n]")
_BLANK: Final = re.compile(rb"[ \t\r\n]*")

_CODECS: Final = {
    b"utf-8": "utf-8",
    b"utf8": "utf-8",
    b"us-ascii": "ascii",
    b"ascii": "ascii",
    b"iso-8859-1": "latin-1",
    b"latin1": "latin-1",
    b"iso-8859-15": "iso8859-15",
    b"windows-1252": "cp1252",
    b"cp1252": "cp1252",
}

_OPTIONS: Final[dict[str, Any]] = {
    "encoding": "utf-8",
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "remove_comments": True,
    "remove_pis": True,
}
_PARSER_TEXT_LIMIT: Final = 9_000_000
"""Below this size, in UTF-8, no text node can reach the parser's own limit of 10 MB."""


class XmlRefused(ValueError):
    """The bytes are not XML that we accept.

    Attributes:
        word: ``doctype``, ``too-large``, ``too-many-nodes``, ``too-many-attributes``, ``too-deep``,
            ``encoding`` or ``malformed``.
        where: a position (line and column) or an empty text; never content.
    """

    def __init__(self, word: str, where: str = "") -> None:
        super().__init__(f"{word} ({where})" if where else word)
        self.word = word
        self.where = where


@dataclass(frozen=True, slots=True)
class XmlLimits:
    """What one document may cost."""

    size: int = 100_000_000
    """Bytes."""
    nodes: int = 200_000
    """Elements, closing tags, comments and instructions together."""
    attributes: int = 200_000
    depth: int = 100
    """Elements inside each other, at most 256: there the parser itself stops."""


DEFAULT_LIMITS: Final = XmlLimits()


def parse_xml(content: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> etree._Element:
    """Parse a whole document and return its root.

    Accepted encodings: UTF-8 (with or without BOM), US-ASCII, ISO-8859-1, ISO-8859-15,
    Windows-1252; the bytes must be what the declaration says.

    Raises:
        XmlRefused: says why in one word, without content.
    """
    return parse_utf8(in_utf8(content, limits), limits)


def in_utf8(content: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> bytes:
    """A document in UTF-8, as `parse_utf8` and its like take it; see `parse_xml`.

    Raises:
        XmlRefused: what can be refused before any parser runs.
    """
    if len(content) > limits.size:
        raise XmlRefused("too-large")
    if content.startswith(_WIDE_STARTS):
        raise XmlRefused("encoding")
    # What is shorter than so many signs need not be counted.
    if len(content) > limits.nodes and content.count(b"<") > limits.nodes:
        raise XmlRefused("too-many-nodes")
    if len(content) > limits.attributes and content.count(b"=") > limits.attributes:
        raise XmlRefused("too-many-attributes")
    start = len(_BOM) if content.startswith(_BOM) else 0
    declaration = _DECLARATION.match(content, start)
    if declaration is None and _DECLARED.match(content, start):
        raise XmlRefused("malformed", "line 1")
    _refuse_doctype(content, declaration.end() if declaration else start)
    return _in_utf8(content, declaration, has_bom=start > 0)


def parse_utf8(encoded: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> etree._Element:
    """The root of a document from `in_utf8`.

    Raises:
        XmlRefused: ``malformed`` or ``too-deep``.
    """
    # Latin-1 may double on its way to UTF-8, Windows-1252 may become three times as long.
    parser = etree.XMLParser(**_OPTIONS, huge_tree=is_huge(encoded))
    try:
        root = etree.fromstring(encoded, parser)
    except etree.XMLSyntaxError as error:
        raise _translated(error) from None
    check_depth(root, limits)
    return root


def is_well_formed(encoded: bytes) -> bool:
    """Whether a parser has nothing to say about a document from `in_utf8` that is not huge.

    Nothing is built, which takes half of the time of `parse_utf8`; what is wrong, that will say.
    """
    parser = etree.XMLParser(**_OPTIONS, target=_NOTHING)
    try:
        etree.fromstring(encoded, parser)
    except etree.XMLSyntaxError:
        return False
    # What a tree is refused for, as a prefix that means nothing, may here be noted only.
    return not parser.error_log


def parse_beginning(encoded: bytes, stop: int, tag: str) -> etree._Element | None:
    """The element whose start tag ends at `stop`, below a root in which nothing follows it.

    Args:
        encoded: a document from `in_utf8` that is not huge; it need not be well-formed.
        stop: just after a ``>``.
        tag: the element's, with its namespace.

    Returns:
        None where no such start tag ends there, or it is not the first of its kind.
    """
    parser = etree.XMLPullParser(events=("start",), tag=tag, **_OPTIONS)
    try:
        parser.feed(encoded[:stop])
    except etree.XMLSyntaxError:
        return None
    found: list[Any] = [element for _, element in parser.read_events()]
    return found[0] if len(found) == 1 else None


def is_huge(encoded: bytes) -> bool:
    """Whether the parser must be told to take larger texts, and then deeper trees, than it likes to."""
    return len(encoded) > _PARSER_TEXT_LIMIT


def check_depth(root: etree._Element, limits: XmlLimits) -> None:
    """Check that a tree is not too deep.

    Raises:
        XmlRefused: ``too-deep``.
    """
    if _deeper_than(limits.depth)(root):
        raise XmlRefused("too-deep")


class _Nothing:
    """What a parser tells that builds nothing: no event is asked for."""

    def close(self) -> None:
        """The end of the document."""


def _in_utf8(content: bytes, declaration: re.Match[bytes] | None, *, has_bom: bool) -> bytes:
    """The same document in UTF-8, having checked that the bytes are what the declaration says."""
    name = (declaration["single"] or declaration["double"]) if declaration else None
    codec = _CODECS.get(name.lower()) if name else "utf-8"
    if codec is None or (has_bom and codec != "utf-8"):
        raise XmlRefused("encoding")
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise XmlRefused("encoding", f"line {line}") from None
    return content if codec in ("utf-8", "ascii") else text.encode()


def _refuse_doctype(content: bytes, position: int) -> None:
    """Walk over blanks, comments and instructions up to the root element.

    Raises:
        XmlRefused: ``doctype``, or ``malformed`` when something else stands there.
    """
    while True:
        blank = _BLANK.match(content, position)
        position = blank.end() if blank else position
        if content.startswith(b"<!--", position):
            position = _after(content, b"-->", position + 4)
        elif content.startswith(b"<?", position):
            position = _after(content, b"?>", position + 2)
        elif content.startswith(b"<!", position):
            raise XmlRefused("doctype", f"line {_line(content, position)}")
        elif content.startswith(b"<", position):
            return
        else:
            raise XmlRefused("malformed", f"line {_line(content, position)}")


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def _after(content: bytes, end: bytes, position: int) -> int:
    found = content.find(end, position)
    if found < 0:
        raise XmlRefused("malformed", f"line {_line(content, position)}")
    return found + len(end)


def _translated(error: etree.XMLSyntaxError) -> XmlRefused:
    """Keep only the kind and the position: the parser's text quotes the document."""
    line, column = error.position
    where = f"line {line}, column {column}"
    if "depth" in (error.msg or "").lower():
        return XmlRefused("too-deep", where)
    return XmlRefused("malformed", where)


# The library asks a target for the methods that it wants, though its type names all.
_NOTHING: Final[Any] = _Nothing()


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> etree.XPath:
    """A test for an element below `depth` levels, run by the parser's library in one pass."""
    return etree.XPath("boolean(" + "/*" * (depth + 1) + ")")
