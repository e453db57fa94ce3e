"""Writing the messages that the server itself sends: reports and receipts.

The same arguments give the same octets: ids, dates and boundaries come from the caller. Everything
is 7-bit, in lines of at most 78 characters where the text allows it, so that a report passes any
operator and its signature survives (RFC 8551 section 3.1.3).
"""

import base64
import email.utils
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.quoprimime import body_encode
from typing import Final
from urllib.parse import quote

from mssante.kernel.address import Address

_LINE: Final = 78
_ENCODED_WORD: Final = "=?utf-8?B?{}?="
_NAME: Final = re.compile(r"[!-9;-~]+\Z")
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The tokens that every reader takes for one; the rest is quoted, which never hurts.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._-]+\Z")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*\Z")
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=?]{1,70}\Z")
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")
_MAX_LINE: Final = 998
"""Without its line end (RFC 5322 section 2.1.1)."""
_PARAMETER_PIECE: Final = 60


@dataclass(frozen=True, slots=True, repr=False)
class Entity:
    """Content with its own MIME header: what a multipart is made of."""

    header: bytes
    """Complete fields, folded, without the empty line."""
    body: bytes

    def to_bytes(self) -> bytes:
        """As it stands between two boundaries."""
        return self.header + b"\r\n" + self.body


def header_field(name: str, value: str) -> bytes:
    """One unstructured field, folded, in encoded words where it is not ASCII (RFC 2047).

    Raises:
        ValueError: the name is not one, or the value has control characters.
    """
    if _UNSAFE.search(value):
        raise ValueError("a field value has control characters")
    if value.isascii() and "=?" not in value:
        return _folded(name, value.split(" "))
    return _folded(name, _encoded_words(value, _LINE - len(name) - len(": ")))


def date_field(name: str, moment: datetime) -> bytes:
    """A date (RFC 5322 section 3.3) with the offset of `moment`, which must have one."""
    if moment.tzinfo is None:
        raise ValueError("a date field needs an offset")
    return header_field(name, email.utils.format_datetime(moment))


def address_field(name: str, mailboxes: Sequence[tuple[str, Address]]) -> bytes:
    """An address list of (display name or empty, address), one mailbox a line.

    Raises:
        ValueError: no mailbox, or control characters.
    """
    if not mailboxes:
        raise ValueError("an address field needs a mailbox")
    words: list[str] = []
    for display, address in mailboxes:
        if _UNSAFE.search(display) or _UNSAFE.search(str(address)):
            raise ValueError("a mailbox has control characters")
        if display:
            words += _phrase(display)
        words.append(f"<{address}>," if display else f"{address},")
    words[-1] = words[-1].removesuffix(",")
    return _folded(name, words)


def text_entity(text: str, *, subtype: str = "plain") -> Entity:
    """A text in UTF-8, in quoted-printable where it is not plain ASCII in short lines."""
    body = _LINE_ENDS.sub("\r\n", text).encode("utf-8")
    charset = "us-ascii" if body.isascii() else "utf-8"
    return _transferred(f"text/{subtype}", (("charset", charset),), body)


def headers_entity(header_block: bytes) -> Entity:
    """The header of the message that a report is about (RFC 6522 section 4)."""
    return _transferred("text/rfc822-headers", (), header_block)


def fields_entity(media_type: str, groups: Iterable[Sequence[bytes]]) -> Entity:
    """Groups of fields for machines: message/delivery-status (RFC 3464), disposition-notification.

    Args:
        media_type: lower-case.
        groups: each a sequence of complete fields, as `header_field` makes them.
    """
    body = b"\r\n".join([b"".join(group) for group in groups])
    return Entity(_content_type(media_type, ()), body)


def attachment_entity(content: bytes, media_type: str, filename: str) -> Entity:
    """A file, in base64."""
    header = (
        _content_type(media_type, ())
        + _structured("Content-Disposition", "attachment", (("filename", filename),))
        + b"Content-Transfer-Encoding: base64\r\n"
    )
    return Entity(header, base64.encodebytes(content).replace(b"\n", b"\r\n"))


def multipart_entity(
    subtype: str,
    boundary: str,
    parts: Sequence[Entity],
    parameters: Sequence[tuple[str, str]] = (),
) -> Entity:
    """A multipart (RFC 2046 section 5.1).

    Args:
        subtype: ``mixed``, or ``report`` with the parameter report-type (RFC 6522).
        boundary: 1 to 70 of the characters that RFC 2046 allows; made once by the caller.
        parts: at least one.
        parameters: besides the boundary.

    Raises:
        ValueError: the boundary is malformed or occurs in a part; no part.
    """
    if not parts:
        raise ValueError("a multipart needs a part")
    if not _BOUNDARY.match(boundary):
        raise ValueError("the boundary has characters that RFC 2046 does not allow")
    delimiter = b"--" + boundary.encode("ascii")
    written = [part.to_bytes() for part in parts]
    if any(delimiter in part for part in written):
        raise ValueError("the boundary occurs in a part")
    body = b"".join([delimiter + b"\r\n" + part + b"\r\n" for part in written])
    header = _content_type(f"multipart/{subtype}", (*parameters, ("boundary", boundary)))
    return Entity(header, body + delimiter + b"--\r\n")


def build_message(fields: Sequence[bytes], entity: Entity) -> bytes:
    """A whole message: the caller's fields, MIME-Version, then the entity."""
    return b"".join(fields) + b"MIME-Version: 1.0\r\n" + entity.to_bytes()


def _transferred(media_type: str, parameters: Sequence[tuple[str, str]], body: bytes) -> Entity:
    header = _content_type(media_type, parameters)
    longest = max(map(len, body.split(b"\r\n")))
    if body.isascii() and b"\0" not in body and longest <= _MAX_LINE:
        return Entity(header + b"Content-Transfer-Encoding: 7bit\r\n", body)
    # `body_encode` wants one character per octet.
    encoded = body_encode(body.decode("latin-1"), maxlinelen=76, eol="\r\n").encode("ascii")
    return Entity(header + b"Content-Transfer-Encoding: quoted-printable\r\n", encoded)


def _content_type(media_type: str, parameters: Sequence[tuple[str, str]]) -> bytes:
    if not _MEDIA_TYPE.match(media_type):
        raise ValueError("not a media type")
    return _structured("Content-Type", media_type, parameters)


def _structured(name: str, value: str, parameters: Sequence[tuple[str, str]]) -> bytes:
    words = [value]
    for parameter, text in parameters:
        if _UNSAFE.search(text):
            raise ValueError("a parameter has control characters")
        for piece in _parameter(parameter, text):
            words[-1] += ";"
            words.append(piece)
    return _folded(name, words)


def _parameter(name: str, text: str) -> list[str]:
    """A parameter in one piece, or in the extended pieces of RFC 2231 section 4.1."""
    if text.isascii() and len(text) <= _PARAMETER_PIECE and "=?" not in text:
        return [f"{name}={text}" if _TOKEN.match(text) else f"{name}={_quoted(text)}"]
    encoded = re.findall(r"%..|.", "utf-8''" + quote(text, safe="", encoding="utf-8"))
    pieces = [
        "".join(encoded[start : start + _PARAMETER_PIECE // 3])
        for start in range(0, len(encoded), _PARAMETER_PIECE // 3)
    ]
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]


def _phrase(display: str) -> list[str]:
    if display.isascii() and "=?" not in display:
        return [_quoted(display)]
    return _encoded_words(display, _LINE - 1)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encoded_words(text: str, first_room: int) -> list[str]:
    """Words of at most 75 characters that end between characters (RFC 2047 section 5)."""
    words: list[str] = []
    frame = len(_ENCODED_WORD.format(""))
    room = min(max(first_room - frame, 8), 75 - frame) // 4 * 3
    octets = b""
    for character in text:
        coded = character.encode("utf-8")
        if len(octets) + len(coded) > room:
            words.append(_ENCODED_WORD.format(base64.b64encode(octets).decode("ascii")))
            octets = b""
            room = (75 - frame) // 4 * 3
        octets += coded
    words.append(_ENCODED_WORD.format(base64.b64encode(octets).decode("ascii")))
    return words


def _folded(name: str, words: Sequence[str]) -> bytes:
    """A field whose lines break at blanks, before the word that would pass the line's length."""
    if not _NAME.match(name):
        raise ValueError("not a field name")
    lines = [f"{name}:"]
    for word in words:
        # A line of blanks only would be the end of the header for some readers.
        if len(lines[-1]) + 1 + len(word) > _LINE and word and lines[-1].strip():
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines).encode("ascii") + b"\r\n"
