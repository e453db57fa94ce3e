"""A bounded walk over an encoding (X.690, BER and DER) before anything in it is read.

Reading is lazy. This walk is not: after it, every length is known to fit, the depth and the number
of elements are bounded, and nothing follows the outermost element.
"""

from typing import Final

from mssante.wire.smime.errors import Malformed

_SEQUENCE: Final = 0x30
_CONSTRUCTED: Final = 0x20
_HIGH_TAG: Final = 0x1F
_CONTINUES: Final = 0x80
_END: Final = b"\0\0"
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
    """The two below, of each open element around the innermost."""
    bound, indefinite = len(data), False
    """Where the innermost open element must have ended, and whether its length is indefinite."""
    position = 0
    for _ in range(max_elements):
        first = data[position] if position + 2 <= bound else _HIGH_TAG
        if first & _HIGH_TAG != _HIGH_TAG and (short := data[position + 1]) < _CONTINUES:
            # Nearly all elements have a header of two octets: it is not worth a call.
            position += 2
            length: int | None = short
            if position + short > bound:
                raise _overrun(data, bound)
        else:
            first, position, length = _header(data, position, bound)
        if first & _CONSTRUCTED:
            opened.append((bound, indefinite))
            if len(opened) > max_depth:
                raise Malformed("nesting-limit")
            indefinite = length is None
            if length is not None:
                bound = position + length
        elif length is None:
            raise Malformed("asn1-garbage")
        else:
            position += length
        while position == bound if not indefinite else data.startswith(_END, position, bound):
            if indefinite:
                position += len(_END)
            bound, indefinite = opened.pop()
            if not opened:
                if position != len(data):
                    raise Malformed("asn1-trailing")
                return
    raise Malformed("too-many")


def _header(data: bytes, position: int, bound: int) -> tuple[int, int, int | None]:
    """The first octet, where the contents begin, their length (None: indefinite)."""
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
        return first, position, None
    if length & _CONTINUES:
        octets = length & ~_CONTINUES
        if octets > _MAX_LENGTH_OCTETS:
            raise Malformed("asn1-garbage")
        _octet(data, position + octets - 1, bound)
        length = int.from_bytes(data[position : position + octets], "big")
        position += octets
    if position + length > bound:
        raise _overrun(data, bound)
    return first, position, length


def _octet(data: bytes, position: int, bound: int) -> int:
    if position >= bound:
        raise _overrun(data, bound)
    return data[position]


def _overrun(data: bytes, bound: int) -> Malformed:
    return Malformed("asn1-truncated" if bound == len(data) else "asn1-garbage")
