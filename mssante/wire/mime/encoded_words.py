"""Encoded words in header fields (RFC 2047), read as text for searching and showing."""

import binascii
import codecs
import re
from typing import Final

# Blanks inside a word are wrong and common.
_WORD: Final = re.compile(rb"=\?([!-<>@-~]{1,40}+)\?([BbQq])\?([\t ->@-~]*+)\?=", re.DOTALL)
_BETWEEN_WORDS: Final = re.compile(rb"[ \t\r\n]++\Z")
_Q_ESCAPE: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]++")
_MAX_CHARSET: Final = 40
_NOT_CHARSETS: Final = frozenset(
    ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")
)
"""Codecs of Python that no mail names; the first two take quadratic time."""


def decode_text(octets: bytes, charset: bytes = b"utf-8") -> str:
    """Octets as text in a named charset; an unknown charset or bad octets give U+FFFD, no error."""
    name = charset.partition(b"*")[0][:_MAX_CHARSET].decode("ascii", "replace").strip() or "utf-8"
    if name.lower() in {"us-ascii", "ascii"}:
        # What claims ASCII and is not is nearly always UTF-8 (RFC 6532).
        name = "utf-8"
    try:
        if codecs.lookup(name).name.replace("_", "-") in _NOT_CHARSETS:
            name = "ascii"
        # `bytes.decode` itself refuses the codecs that are not charsets, such as "hex" or "zlib".
        return octets.decode(name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return octets.decode("ascii", "replace")


def decode_encoded_words(value: bytes) -> str:
    """An unfolded field value as text; its length is at most that of the value, in characters.

    Blanks between two encoded words are dropped (RFC 2047 section 6.2). Octets split over several
    words of one charset are put together first, because clients cut inside a character.
    """
    if b"=?" not in value:
        return decode_text(value)
    pieces: list[str] = []
    run: list[bytes] = []
    run_charset = b""
    position = 0
    for word in _WORD.finditer(value):
        between = value[position : word.start()]
        adjacent = bool(run) and (not between or _BETWEEN_WORDS.match(between) is not None)
        charset = word[1].lower()
        if run and not (adjacent and charset == run_charset):
            pieces.append(decode_text(b"".join(run), run_charset))
            run.clear()
        if not adjacent and between:
            pieces.append(decode_text(between))
        run.append(_decoded(word[2], word[3]))
        run_charset = charset
        position = word.end()
    if run:
        pieces.append(decode_text(b"".join(run), run_charset))
    if position < len(value):
        pieces.append(decode_text(value[position:]))
    return "".join(pieces)


def _decoded(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"Qq":
        return _Q_ESCAPE.sub(_octet, text.replace(b"_", b" "))
    clean = _NOT_BASE64.sub(b"", text)
    # One leftover character holds no whole octet.
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def _octet(escape: re.Match[bytes]) -> bytes:
    return bytes((int(escape[1], 16),))
