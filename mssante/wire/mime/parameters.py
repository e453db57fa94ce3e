"""Structured values of MIME fields: ``type/subtype; name=value`` (RFC 2045 section 5.1).

Continuations and character sets of parameters follow RFC 2231. Reading is tolerant: what does not
fit the grammar is passed over, because a message is delivered as it came.
"""

import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from mssante.wire.mime.encoded_words import decode_encoded_words, decode_text
from mssante.wire.mime.headers import unfold
from mssante.wire.mime.limits import DEFAULT_LIMITS, MimeError, MimeFault, MimeLimits

Parameters = tuple[tuple[bytes, bytes], ...]
"""Pairs (lower-case name, value). Continuations are joined; a name that ends in ``*`` has a value
in the extended form charset'language'percent-encoded, as RFC 2231 section 6 wants for IMAP."""

# Names of types are at most 127 characters long (RFC 6838 section 4.2).
_TOKEN: Final = rb"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,127}+"
_TYPE: Final = re.compile(rb"\s*+(" + _TOKEN + rb")\s*+/\s*+(" + _TOKEN + rb")")
_FIRST_TOKEN: Final = re.compile(rb"[\s\"]*+(" + _TOKEN + rb")")
_PARAMETER: Final = re.compile(
    rb';\s*+([^\s=;"()]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)|([^;]*+))', re.DOTALL
)
_OUTSIDE: Final = re.compile(
    rb'(?:"(?:[^"\\]++|\\.)*+(?:"|\\?+\Z)|\\.|[^"\\()]++|\\\Z)++', re.DOTALL
)
_INSIDE: Final = re.compile(rb"(?:\\.|[^\\()]++|\\\Z)++", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_CONTINUED: Final = re.compile(rb"([^*]++)(?:\*([0-9]{1,5}))?+(\*)?+\Z")


def strip_comments(value: bytes) -> bytes:
    """A structured value with its comments, nested or not, replaced by a blank."""
    if b"(" not in value:
        return value
    kept = []
    depth = position = 0
    while position < len(value):
        # Quotes mean nothing inside a comment, and parentheses nothing inside quotes.
        found = (_INSIDE if depth else _OUTSIDE).match(value, position)
        if found is not None:
            if not depth:
                kept.append(found[0])
            position = found.end()
            continue
        if value.startswith(b"(", position):
            depth += 1
        else:
            depth = max(0, depth - 1)
            kept.append(b" ")
        position += 1
    return b"".join(kept)


def token(value: bytes) -> bytes:
    """The first token of a value, lower-case, at most 127 octets; empty where there is none."""
    found = _FIRST_TOKEN.match(strip_comments(unfold(value)))
    return found[1].lower() if found else b""


def content_type(
    value: bytes, limits: MimeLimits = DEFAULT_LIMITS
) -> tuple[bytes, bytes, Parameters] | None:
    """Type, subtype (lower-case) and parameters of a Content-Type; None where it breaks the syntax.

    Raises:
        MimeError: TOO_MANY_PARAMETERS.
    """
    text = strip_comments(unfold(value))
    found = _TYPE.match(text)
    if found is None:
        return None
    return found[1].lower(), found[2].lower(), _parameters(text, found.end(), limits)


def disposition(
    value: bytes, limits: MimeLimits = DEFAULT_LIMITS
) -> tuple[bytes, Parameters] | None:
    """Disposition (lower-case) and parameters (RFC 2183); None where it breaks the syntax.

    Raises:
        MimeError: TOO_MANY_PARAMETERS.
    """
    text = strip_comments(unfold(value))
    found = _FIRST_TOKEN.match(text)
    if found is None:
        return None
    return found[1].lower(), _parameters(text, found.end(), limits)


def _parameters(text: bytes, position: int, limits: MimeLimits) -> Parameters:
    found = _PARAMETER.findall(text, position)
    if not found:
        return ()
    if len(found) > limits.max_parameters:
        raise MimeError(MimeFault.TOO_MANY_PARAMETERS)
    values: dict[bytes, bytes] = {}
    continued = False
    for name, quoted, plain in found:
        continued = continued or b"*" in name
        value = _ESCAPE.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        values.setdefault(name.lower(), value or plain.rstrip())
    return _joined(values) if continued else tuple(values.items())


def _joined(values: dict[bytes, bytes]) -> Parameters:
    """Put the sections of continued parameters together (RFC 2231 section 3)."""
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    joined: dict[bytes, bytes] = {}
    for name, value in values.items():
        found = _CONTINUED.match(name)
        if found is None or found[2] is None:
            joined.setdefault(name, value)
        else:
            base = sections.setdefault(found[1], {})
            base.setdefault(int(found[2]), (value, found[3] is not None))
    for base_name, numbered in sections.items():
        extended = any(encoded for _, encoded in numbered.values())
        pieces = []
        expected = 0
        while (section := numbered.get(expected)) is not None:
            value, encoded = section
            # A plain section among extended ones is literal text: "%" in it means itself.
            pieces.append(value if encoded or not extended else _percent(value, first=not expected))
            expected += 1
        if pieces:
            joined.setdefault(base_name + (b"*" if extended else b""), b"".join(pieces))
    return tuple(joined.items())


def _percent(value: bytes, *, first: bool) -> bytes:
    encoded = quote_from_bytes(value, safe="").encode("ascii")
    # Only the first section carries the charset; when it is plain, there is none.
    return b"''" + encoded if first else encoded


def raw_parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """The octets of a parameter, percent-decoded where extended; None without it."""
    for key, value in parameters:
        if key == name:
            return value
        if key == name + b"*":
            return _extended(value)[1]
    return None


def text_parameter(parameters: Parameters, name: bytes) -> str | None:
    """A parameter as text for people: extended form first, then encoded words; None without it.

    RFC 2047 forbids encoded words in parameters, and many clients write them there.
    """
    extended = name + b"*"
    plain: bytes | None = None
    for key, value in parameters:
        if key == extended:
            charset, octets = _extended(value)
            return decode_text(octets, charset)
        if key == name:
            plain = value
    return None if plain is None else decode_encoded_words(plain)


def _extended(value: bytes) -> tuple[bytes, bytes]:
    """Charset and octets of charset'language'percent-encoded; UTF-8 where the quotes lack."""
    pieces = value.split(b"'", 2)
    return (pieces[0] if len(pieces) == 3 else b"utf-8"), unquote_to_bytes(pieces[-1])
