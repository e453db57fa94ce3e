"""The file inside a level 1 document: decoded with a limit, measured, and looked at.

A PDF is searched for what an archived document must not have: encryption, scripts, launch actions
(ISO 32000-1 sections 7.6, 12.6.4.5, 12.6.4.16; PDF/A forbids all three). Names may hide behind #xx
escapes (7.3.5) or in compressed object streams (7.5.7); both are looked into, within a limit.
"""

import binascii
import re
import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from mssante.wire.cda.model import Body
from mssante.wire.cda.problems import Problem, Severity

WHERE: Final = "component/nonXMLBody/text"
_BLANKS: Final = str.maketrans("", "", " \t\r\n\xa0")

_STREAM: Final = re.compile(rb">>[ \t\r\n]{0,8}stream\r?\n")
_DICTIONARY_BYTES: Final = 400
"""How far before its data the dictionary of an object stream is looked for."""
_OBJECT_STREAMS: Final = 2_000
_INFLATE_LIMIT: Final = 4_000_000
"""Object streams of one PDF that are inflated, and the bytes that they may inflate to together."""


def _names(*names: str) -> re.Pattern[bytes]:
    """Finds PDF names, each character as itself or as its #xx escape."""
    spelled = [
        "".join(f"(?:{letter}|#(?i:{ord(letter):02x}))" for letter in name) for name in names
    ]
    return re.compile(f"/(?:{'|'.join(spelled)})(?![A-Za-z])".encode())


_FORBIDDEN: Final = (
    ("pdf-encrypted", _names("Encrypt"), "the PDF is encrypted"),
    ("pdf-script", _names("JavaScript", "JS"), "the PDF contains a script"),
    ("pdf-launch", _names("Launch"), "the PDF starts a program"),
)

_MAGIC: Final = {
    "application/pdf": (b"%PDF-",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/tiff": (b"II*\0", b"MM\0*"),
    "text/rtf": (b"{\\rtf",),
}


class EmbeddedRefused(ValueError):
    """The embedded file cannot be decoded, or is larger than allowed."""


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """What is inside a level 1 document."""

    media_type: str
    size: int
    """Bytes, decoded."""
    sha256: str
    """Hexadecimal."""
    problems: tuple[Problem, ...]


def decode_embedded(body: Body, limit: int) -> bytes:
    """The bytes of the embedded file. Blanks and line breaks in base64 are accepted (RFC 2045 6.8).

    Raises:
        EmbeddedRefused: not base64, or more than `limit` bytes.
    """
    text = body.embedded or ""
    if len(text) > limit * 2:
        raise EmbeddedRefused(f"larger than {limit} bytes")
    if (body.representation or "TXT") != "B64":
        content = text.encode()
    else:
        try:
            content = binascii.a2b_base64(text.translate(_BLANKS), strict_mode=True)
        except (binascii.Error, ValueError):
            raise EmbeddedRefused("not base64") from None
    if len(content) > limit:
        raise EmbeddedRefused(f"larger than {limit} bytes")
    return content


def look_inside(body: Body, limit: int) -> EmbeddedFile | None:
    """Decode and examine the file of a level 1 body; `None` for a structured body.

    What cannot be decoded gives an empty file with its problem.
    """
    if body.level != 1:
        return None
    try:
        content = decode_embedded(body, limit)
    except EmbeddedRefused as refusal:
        problem = Problem(Severity.ERROR, "body-unreadable", WHERE, str(refusal))
        return EmbeddedFile(body.media_type, 0, sha256(b"").hexdigest(), (problem,))
    return EmbeddedFile(
        body.media_type,
        len(content),
        sha256(content).hexdigest(),
        tuple(_problems(body.media_type, content)),
    )


def _problems(media_type: str, content: bytes) -> list[Problem]:
    if not content:
        return [Problem(Severity.ERROR, "body-empty", WHERE, "the body is empty")]
    magic = _MAGIC.get(media_type)
    # Up to 1024 bytes may stand before the header of a PDF in practice; readers accept them.
    start = content[:1024].lstrip() if media_type == "application/pdf" else content
    if magic is not None and not start.startswith(magic):
        return [
            Problem(Severity.ERROR, "body-type", WHERE, "the content is not of its declared type")
        ]
    if media_type != "application/pdf":
        return []
    objects = _pdf_objects(content)
    return [
        Problem(Severity.ERROR, code, WHERE, text)
        for code, pattern, text in _FORBIDDEN
        if pattern.search(objects)
    ]


def _pdf_objects(content: bytes) -> bytes:
    """The dictionaries of a PDF without the data of its streams, object streams inflated.

    One pass: an unfinished stream, however often it is begun, is searched for its end once.
    """
    pieces: list[bytes] = []
    position, left, streams = 0, _INFLATE_LIMIT, 0
    while (begun := _STREAM.search(content, position)) is not None:
        end = content.find(b"endstream", begun.end())
        if end < 0:
            break
        pieces.append(content[position : begun.start()])
        dictionary = content[max(position, begun.start() - _DICTIONARY_BYTES) : begun.start()]
        if b"/ObjStm" in dictionary and left > 0 and streams < _OBJECT_STREAMS:
            pieces.append(_inflated(content[begun.end() : end], left))
            left -= len(pieces[-1])
            streams += 1
        position = end
    pieces.append(content[position:])
    return b"\n".join(pieces)


def _inflated(data: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, limit)
    except zlib.error:
        return b""
