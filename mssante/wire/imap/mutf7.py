"""Modified UTF-7, in which IMAP4rev1 writes mailbox names (RFC 3501 section 5.1.3)."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Final

_SHIFTED: Final = re.compile(r"[^\x20-\x7e]+|&")
_ENCODED: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")


def encode(name: str) -> bytes:
    """Write a name: printable ASCII as it is, ``&`` as ``&-``, the rest in shifted base64."""
    return _SHIFTED.sub(_shift, name).encode("ascii")


def _shift(match: re.Match[str]) -> str:
    text = match[0]
    if text == "&":
        return "&-"
    packed = b2a_base64(text.encode("utf-16-be", "surrogatepass"), newline=False).rstrip(b"=")
    return f"&{packed.decode('ascii').replace('/', ',')}-"


def decode(raw: bytes) -> str:
    """Read a name.

    Only the one spelling that :func:`encode` writes is taken, so that two spellings never name one
    folder.

    Raises:
        ValueError: it is not modified UTF-7, or not its canonical form.
    """
    pieces: list[str] = []
    position = 0
    for match in _ENCODED.finditer(raw):
        pieces.append(raw[position : match.start()].decode("ascii"))
        pieces.append(_unshift(match[1]))
        position = match.end()
    pieces.append(raw[position:].decode("ascii"))
    name = "".join(pieces)
    try:
        canonical = encode(name)
    except UnicodeError:
        canonical = b""
    if canonical != raw:
        raise ValueError("a mailbox name is written in modified UTF-7")
    return name


def _unshift(packed: bytes) -> str:
    if not packed:
        return "&"
    padded = packed.replace(b",", b"/") + b"=" * (-len(packed) % 4)
    try:
        return a2b_base64(padded).decode("utf-16-be")
    except (Base64Error, UnicodeDecodeError) as error:
        raise ValueError("a mailbox name is written in modified UTF-7") from error
