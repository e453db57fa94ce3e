"""A bounded walk over an encoding (X.690, BER and DER) before any decoder looks at it.

The decoder is recursive and lazy. This walk is neither: after it, every length is known to fit,
the depth and the number of elements are bounded, and nothing follows the outermost element.
"""

from typing import Final

from mssante.wire.smime.errors import Malformed

_SEQUENCE: Final = 0x30
_CONSTRUCTED: Final = 0x20
_HIGH_TAG: Final = 0x1F
_CONTINUES: Final = 0x80
_MAX_LENGTH_OCTETS: Final = 4
_MAX_TAG_OCTETS: Final = 4


def check_encoding(data: bytes, *, max_depth: int, max_elements: int) -> None:
    """Check that `data` is exactly one SEQUENCE whose elements all fit.

    Raises:
        Malformed: asn1-garbage, asn1-truncated, asn1-trailing, nesting-limit, too-many.
    """
    if not data or data[0] != _SEQUENCE:
        raise Malformed("asn1-garbage")
    opened: list[tuple[int, bool]] = []
    """Of each open element: where it must have ended, and whether its length is indefinite."""
    position = elements = 0
    while opened or not elements:
        bound, indefinite = opened[-1] if opened else (len(data), False)
        if opened and not indefinite and position == bound:
            opened.pop()
            continue
        if indefinite and data.startswith(b"\0\0", position, bound):
            opened.pop()
            position += 2
            continue
        elements += 1
        if elements > max_elements:
            raise Malformed("too-many")
        constructed, position, length = _header(data, position, bound)
        if constructed:
            opened.append((bound, True) if length is None else (position + length, False))
            if len(opened) > max_depth:
                raise Malformed("nesting-limit")
        elif length is None:
            raise Malformed("asn1-garbage")
        else:
            position += length
    if position != len(data):
        raise Malformed("asn1-trailing")


def _header(data: bytes, position: int, bound: int) -> tuple[bool, int, int | None]:
    """Whether constructed, where the contents begin, their length (None: indefinite)."""
    first = _octet(data, position, bound)
    position += 1
    if first & _HIGH_TAG == _HIGH_TAG:
        for _ in range(_MAX_TAG_OCTETS):
            following = _octet(data, position, bound)
            position += 1
            if not following & _CONTINUES:
                break
        else:
            raise Malformed("asn1-garbage")
    length = _octet(data, position, bound)
    position += 1
    if length == _CONTINUES:
        return bool(first & _CONSTRUCTED), position, None
    if length & _CONTINUES:
        octets = length & ~_CONTINUES
        if octets > _MAX_LENGTH_OCTETS:
            raise Malformed("asn1-garbage")
        _octet(data, position + octets - 1, bound)
        length = int.from_bytes(data[position : position + octets], "big")
        position += octets
    if position + length > bound:
        raise _overrun(data, bound)
    return bool(first & _CONSTRUCTED), position, length


def _octet(data: bytes, position: int, bound: int) -> int:
    if position >= bound:
        raise _overrun(data, bound)
    return data[position]


def _overrun(data: bytes, bound: int) -> Malformed:
    return Malformed("asn1-truncated" if bound == len(data) else "asn1-garbage")
