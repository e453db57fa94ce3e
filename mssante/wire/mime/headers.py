"""Cutting a header block into its fields (RFC 5322 section 2.2), as exact bytes.

A *header block* runs from the first field to the empty line, which belongs to it. A line that is
neither a field nor the continuation of one belongs to no field and is passed over.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from mssante.wire.mime.limits import DEFAULT_LIMITS, MimeError, MimeFault, MimeLimits

# Possessive quantifiers keep every pattern linear: nothing is tried twice.
_FIELD: Final = re.compile(rb"(?m)^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)")
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")
_LINE_END: Final = re.compile(rb"[\r\n]+")

ADDRESS_FIELDS: Final = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))


class Field(NamedTuple):
    """Where one field stands in its header block."""

    name: bytes
    """As written, without blanks."""
    start: int
    value_start: int
    """Just after the colon."""
    stop: int
    """After the line end of the field's last line."""


def fields(block: bytes) -> Iterator[Field]:
    """Each field of a header block, in order."""
    length = len(block)
    for match in _FIELD.finditer(block):
        value_start, stop = match.span(2)
        # The pattern stops before the last line feed, if there is one.
        yield Field(match[1], match.start(), value_start, min(stop + 1, length))


def unfold(value: bytes) -> bytes:
    """A field value on one line (RFC 5322 section 2.2.3), without the blanks around it."""
    value = value.strip()
    if b"\n" in value or b"\r" in value:
        # What is left after unfolding can only be a stray line end: it must not start a new line.
        value = _LINE_END.sub(b" ", _FOLD.sub(b"", value))
    return value


def first(block: bytes, name: bytes) -> bytes | None:
    """The unfolded value of the first field called `name` (in any case), None without one."""
    wanted = name.lower()
    for match in _FIELD.finditer(block):
        if match[1].lower() == wanted:
            return unfold(match[2])
    return None


def collect(block: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> dict[bytes, bytes]:
    """Raw field values by lower-case name: the first of each, except addresses.

    Repeated address fields are joined with commas (RFC 5322 section 4.5.3), so that what is
    shown and what is checked cannot be two different fields.

    Raises:
        MimeError: HEADER_TOO_LARGE, TOO_MANY_FIELDS, FIELD_TOO_LONG.
    """
    if len(block) > limits.max_header_bytes:
        raise MimeError(MimeFault.HEADER_TOO_LARGE)
    pairs = _FIELD.findall(block)
    if len(pairs) > limits.max_fields:
        raise MimeError(MimeFault.TOO_MANY_FIELDS)
    if len(block) > limits.max_field_bytes and any(
        len(value) > limits.max_field_bytes for _, value in pairs
    ):
        raise MimeError(MimeFault.FIELD_TOO_LONG)
    values: dict[bytes, bytes] = {}
    repeated: dict[bytes, list[bytes]] = {}
    for written, value in pairs:
        name = written.lower()
        if name not in values:
            values[name] = value
        elif name in ADDRESS_FIELDS:
            repeated.setdefault(name, [values[name]]).append(value)
    for name, several in repeated.items():
        values[name] = b",".join(several)
    return values


@lru_cache(maxsize=256)
def _named(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Any of the fields called `names`, whole, with their last line end."""
    alternatives = b"|".join(re.escape(name) for name in names)
    return re.compile(rb"(?im)^(?:" + alternatives + rb")[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+\n?+")


def select_fields(block: bytes, names: Iterable[bytes], *, negate: bool = False) -> bytes:
    """The octets of HEADER.FIELDS, or of HEADER.FIELDS.NOT (RFC 9051 section 6.4.5.1).

    The fields stand in the order of the message, folded as they were. The empty line follows
    wherever the block has one; the RFC excepts "a message that has no body and no blank line".

    Args:
        block: a whole header block.
        names: field names in any case; a tuple that comes again is compiled once.
        negate: take the fields that are not named.
    """
    wanted = tuple(names)
    if negate:
        return _named(wanted).sub(b"", block) if wanted else block
    selected = b"".join(_named(wanted).findall(block)) if wanted else b""
    return selected + _empty_line(block)


def _empty_line(block: bytes) -> bytes:
    """The line that ends a header block, as it is written; nothing where there is none."""
    if block.endswith(b"\n\r\n") or block == b"\r\n":
        return b"\r\n"
    return b"\n" if block.endswith(b"\n\n") or block == b"\n" else b""
