"""Reading an encoding (X.690, BER and DER) element by element, without copying or decoding ahead.

Every position is checked here: octets inside a string, which `check_encoding` takes as they are, may
be read too. What nobody asks for may be anything that fits.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from mssante.wire.smime.errors import Malformed

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31

_CONSTRUCTED: Final = 0x20
_CONTEXT: Final = 0x80
_NUMBER: Final = 0x1F
_HIGH_TAG: Final = 0x1F
_CONTINUES: Final = 0x80
_INDEFINITE: Final = 0x80
_END: Final = b"\0\0"
_UNIVERSAL: Final = frozenset((*range(1, 14), *range(16, 31)))
"""The numbers of the types of X.680 section 8.6 that a message may hold."""
_IDENTIFIERS: Final = (0x06, 0x0D)
"""The numbers of OBJECT IDENTIFIER and RELATIVE-OID."""
_MAX_INDEFINITE: Final = 10
"""Elements of indefinite length directly inside one another: each is searched for its end anew."""
_MAX_IDENTIFIER: Final = 256
"""Octets of an object identifier. Its numbers may be of any size, and long ones are slow to write."""


class Element(NamedTuple):
    """Where one element stands in the octets around it."""

    data: bytes
    tag: int
    """The identifier octet: class, whether constructed, number. Numbers over 30 look all alike."""
    start: int
    content: int
    stop: int
    """Where the contents end."""
    end: int
    """Where the element ends; behind `stop` where the length is indefinite."""

    def expect(self, tag: int) -> "Element":
        """The same, if it has this tag.

        Raises:
            Malformed: asn1-structure.
        """
        if self.tag != tag:
            raise broken()
        return self

    def chosen(self, tags: frozenset[int]) -> "Element":
        """The same, if it is one of a CHOICE, which is not taken in an indefinite length.

        Raises:
            Malformed: asn1-structure.
        """
        if self.tag not in tags or self.end != self.stop:
            raise broken()
        return self

    def contents(self) -> bytes:
        """The contents, as they stand."""
        return self.data[self.content : self.stop]

    def inside(self, tag: int) -> "list[Element]":
        """The elements in one that has this tag.

        Raises:
            Malformed: asn1-structure.
        """
        data, found_tag, _, position, stop, _ = self
        if found_tag != tag:
            raise broken()
        found = []
        while position < stop:
            one = element_at(data, position, stop)
            found.append(one)
            position = one.end
        return found

    def explicit(self, number: int) -> "Element":
        """What an explicit tag of the context stands around.

        Raises:
            Malformed: asn1-structure.
        """
        self.expect(_CONTEXT | _CONSTRUCTED | number)
        return element_at(self.data, self.content, self.stop)

    def untyped(self) -> "Element":
        """The same, if its number is that of a type at all; the class is not looked at.

        Raises:
            Malformed: asn1-structure.
        """
        if self.tag & _NUMBER not in _UNIVERSAL:
            raise broken()
        return self

    def encoding(self) -> bytes:
        """An untyped element with a definite length; what is inside it stays as it is.

        Raises:
            Malformed: asn1-structure.
        """
        return self.untyped().definite()

    def definite(self) -> bytes:
        """An element of any tag with a definite length; what is inside it stays as it is.

        Raises:
            Malformed: asn1-structure.
        """
        if self.end == self.stop:
            return self.data[self.start : self.end]
        if self.tag == OCTET_STRING | _CONSTRUCTED:
            return encoded(OCTET_STRING, self.octets())
        # An indefinite length is one octet, behind those of the tag.
        return self.data[self.start : self.content - 1] + _measured(self.contents())

    def string(self, tag: int = OCTET_STRING) -> "Element":
        """The same, if it is an OCTET STRING: constructed only where its length is indefinite.

        Raises:
            Malformed: asn1-structure.
        """
        if self.tag != tag and (self.tag != tag | _CONSTRUCTED or self.end == self.stop):
            raise broken()
        return self

    def octets(self, tag: int = OCTET_STRING) -> bytes:
        """The value of an OCTET STRING, its pieces joined (X.690 section 8.7).

        Raises:
            Malformed: asn1-structure.
        """
        if self.string(tag).tag == tag:
            return self.contents()
        return b"".join([one.octets() for one in self.inside(self.tag)])

    def integer(self) -> int:
        """The value of an INTEGER.

        Raises:
            Malformed: asn1-structure.
        """
        return int.from_bytes(self.expect(INTEGER).contents(), "big", signed=True)

    def identifier(self) -> str:
        """The value of an OBJECT IDENTIFIER, dotted.

        Raises:
            Malformed: asn1-structure, also for one that is longer than any in use.
        """
        return _dotted(self.expect(OBJECT_IDENTIFIER).contents())

    def untyped_identifier(self) -> str:
        """The same where the number of the tag alone is looked at.

        Raises:
            Malformed: asn1-structure, also for one that is longer than any in use.
        """
        if self.tag & _NUMBER not in _IDENTIFIERS:
            raise broken()
        return _dotted(self.contents())


class Fields:
    """The elements of a SEQUENCE, taken one after another. More than are asked for may follow."""

    __slots__ = ("_left",)

    def __init__(self, sequence: Element, tag: int = SEQUENCE) -> None:
        self._left = sequence.inside(tag)
        self._left.reverse()

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self) -> Element:
        """The next one.

        Raises:
            Malformed: asn1-structure, where none is left.
        """
        if not self._left:
            raise broken()
        return self._left.pop()

    def optional(self, number: int) -> Element | None:
        """The next one where it has this number of the context."""
        return self._if(_CONTEXT | number)

    def optional_sequence(self) -> Element | None:
        """The next one where it has the number of a SEQUENCE."""
        return self._if(SEQUENCE & ~_CONSTRUCTED)

    def _if(self, primitive: int) -> Element | None:
        if self._left and self._left[-1].tag & ~_CONSTRUCTED == primitive:
            return self._left.pop()
        return None


def element_of(encoding: bytes) -> Element:
    """The one element that octets are.

    Raises:
        Malformed: asn1-structure, also where something follows.
    """
    found = element_at(encoding, 0, len(encoding))
    if found.end != len(encoding):
        raise broken()
    return found


def element_at(data: bytes, position: int, bound: int, depth: int = 0) -> Element:
    """The element that begins at a position.

    Args:
        data: the octets.
        position: where it begins.
        bound: where it must have ended.
        depth: of elements of indefinite length directly around it.

    Raises:
        Malformed: asn1-structure.
    """
    content = position + 2
    if content > bound:
        raise broken()
    tag = data[position]
    length = data[position + 1]
    if length >= _CONTINUES or tag & _NUMBER == _HIGH_TAG:
        return _long(data, position, bound, depth)
    stop = content + length
    if stop > bound:
        raise broken()
    return Element(data, tag, position, content, stop, stop)


def _long(data: bytes, start: int, bound: int, depth: int) -> Element:
    """An element whose header is not of two octets, or whose length is indefinite."""
    tag = data[start]
    position = start + 1
    if tag & _NUMBER == _HIGH_TAG:
        position = _behind_number(data, position, bound)
    length = _octet(data, position, bound)
    position += 1
    if length == _INDEFINITE:
        if not tag & _CONSTRUCTED:
            raise broken()
        stop = _closing(data, position, bound, depth)
        return Element(data, tag, start, position, stop, stop + len(_END))
    if length & _CONTINUES:
        behind = position + (length & ~_CONTINUES)
        if behind > bound:
            raise broken()
        length = int.from_bytes(data[position:behind], "big")
        position = behind
    if position + length > bound:
        raise broken()
    return Element(data, tag, start, position, position + length, position + length)


def _behind_number(data: bytes, position: int, bound: int) -> int:
    """Past the further octets of a tag, which must be needed (X.690 section 8.1.2.4)."""
    first = _octet(data, position, bound)
    if first == _CONTINUES or first < _HIGH_TAG:
        raise broken()
    while _octet(data, position, bound) & _CONTINUES:
        position += 1
    return position + 1


def _closing(data: bytes, position: int, bound: int, depth: int) -> int:
    """Where the end-of-contents octets stand that belong to an indefinite length."""
    while not data.startswith(_END, position, bound):
        if depth == _MAX_INDEFINITE:
            raise broken()
        position = element_at(data, position, bound, depth + 1).end
    return position


def _octet(data: bytes, position: int, bound: int) -> int:
    if position >= bound:
        raise broken()
    return data[position]


@lru_cache(maxsize=256)
def _dotted(contents: bytes) -> str:
    """X.690 section 8.19; a number that is not finished is left out."""
    if len(contents) > _MAX_IDENTIFIER:
        raise broken()
    arcs: list[int] = []
    value = 0
    for octet in contents:
        value = value << 7 | octet & 0x7F
        if octet & _CONTINUES:
            continue
        if not arcs:
            arcs.append(min(value // 40, 2))
            value -= arcs[0] * 40
        arcs.append(value)
        value = 0
    return ".".join(map(str, arcs))


def encoded(tag: int, contents: bytes) -> bytes:
    """An element in DER."""
    return bytes((tag,)) + _measured(contents)


def _measured(contents: bytes) -> bytes:
    """Contents behind their length in DER (X.690 section 10.1)."""
    length = len(contents)
    if length < _CONTINUES:
        return bytes((length,)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((_CONTINUES | len(octets),)) + octets + contents


def broken() -> Malformed:
    """What an element of another form than was promised raises."""
    return Malformed("asn1-structure")
