"""Making an entity pass any relay unchanged before it is signed (RFC 8551 section 3.1.3).

Parts that are not 7-bit, or that relays are known to change (blanks at the end of a line, lines
that begin with ``From ``), get quoted-printable where they are texts, else base64. What decodes from
them stays the same. What another signature covers is never touched, nor is what is encoded already.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

import pybase64

from mssante.wire.mime.headers import fields
from mssante.wire.mime.limits import MimeError
from mssante.wire.mime.parameters import raw_parameter
from mssante.wire.mime.scanner import Part, scan

_IDENTITY: Final = frozenset((b"7bit", b"8bit", b"binary"))
_SIGNED: Final = frozenset(
    (b"pkcs7-mime", b"x-pkcs7-mime", b"pkcs7-signature", b"x-pkcs7-signature")
)
_FRAGILE: Final = ((b" ", (b" \r\n", b"\nFrom ")), (b"\t", (b"\t\r\n",)))
"""A blank, and what with it a relay may change."""
_BEFORE_BLANK: Final = len(b"\nFrom")
_WINDOW: Final = 4096
_BLANKS: Final = (b" ", b"\t")
_FROM_LINE: Final = re.compile(rb"(?m)^From ")
_LONE_FEED: Final = re.compile(rb"(?<!\r)\n")
_COLUMNS: Final = 76
_Edit = tuple[int, int, bytes]
"""Start, stop, what comes in place of what stands between."""


def seven_bit(entity: bytes) -> bytes:
    """The entity with every part in a form that any relay passes.

    The lines of `entity` end in CRLF. One whose structure passes the limits of MIME is given back
    as it is: it will be signed as it stands.
    """
    if not _is_fragile(entity, 0, len(entity)):
        return entity
    try:
        root = scan(entity)
    except MimeError:
        return entity
    edits: list[_Edit] = []
    _rewrite(entity, root, edits)
    if not edits:
        return entity
    pieces: list[bytes] = []
    position = 0
    for start, stop, instead in sorted(edits):
        pieces += (entity[position:start], instead)
        position = stop
    pieces.append(entity[position:])
    return b"".join(pieces)


def _is_fragile(entity: bytes, start: int, stop: int) -> bool:
    piece = entity[start:stop] if start or stop != len(entity) else entity
    if not piece.isascii() or b"\0" in piece:
        return True
    return piece.startswith(b"From ") or piece.endswith(_BLANKS) or _has_fragile_line(piece)


def _has_fragile_line(piece: bytes) -> bool:
    """Searched from blank to blank: base64, which is most of a large message, has none, and a single
    octet is found thirty times as fast as several.
    """
    for blank, marks in _FRAGILE:
        at = piece.find(blank)
        while at >= 0:
            window = piece[max(0, at - _BEFORE_BLANK) : at + _WINDOW]
            if any(mark in window for mark in marks):
                return True
            at = piece.find(blank, at + _WINDOW - _BEFORE_BLANK)
    return False


def _rewrite(entity: bytes, part: Part, edits: list[_Edit]) -> bool:
    """Note what to change in one part; whether the part is 7-bit then."""
    if _is_protected(part):
        return entity[part.header_start : part.body_stop].isascii()
    if part.type == b"multipart":
        if part.children[0].header_start == part.children[0].body_start == part.body_start:
            # No boundary line was found: what stands there is no part that could be encoded.
            return entity[part.header_start : part.body_stop].isascii()
        # Each of them, not only until one is not.
        clean = [_rewrite(entity, child, edits) for child in part.children]
        edits += _without_foreign_text(entity, part)
        return all(clean) and _relabelled(entity, part, b"7bit", edits)
    if part.message is not None and not part.is_closed_message:
        is_clean = _rewrite(entity, part.message, edits)
        return is_clean and _relabelled(entity, part, b"7bit", edits)
    if part.type == b"message" or part.encoding not in _IDENTITY:
        return entity[part.header_start : part.body_stop].isascii()
    if _is_fragile(entity, part.body_start, part.body_stop):
        body = entity[part.body_start : part.body_stop]
        is_text = part.type == b"text"
        edits.append(
            (part.body_start, part.body_stop, quoted_printable(body) if is_text else _base64(body))
        )
        _label(entity, part, b"quoted-printable" if is_text else b"base64", edits)
        return True
    return _relabelled(entity, part, b"7bit", edits)


def _is_protected(part: Part) -> bool:
    """Whether something in a part is signed or encrypted by others, so that its bytes must stay."""
    if part.type == b"multipart" and part.subtype in (b"signed", b"encrypted"):
        return True
    if part.type == b"application" and part.subtype in _SIGNED:
        return True
    if part.message is not None:
        return b"dkim-signature" in part.message.fields or _holds_protected(part.message)
    return False


def _holds_protected(part: Part) -> bool:
    return _is_protected(part) or any(map(_holds_protected, part.children))


def _relabelled(entity: bytes, part: Part, encoding: bytes, edits: list[_Edit]) -> bool:
    """Correct the label of a part that turned out to be 7-bit."""
    if part.encoding in (b"8bit", b"binary"):
        _label(entity, part, encoding, edits)
    return entity[part.header_start : part.body_start].isascii()


def _label(entity: bytes, part: Part, encoding: bytes, edits: list[_Edit]) -> None:
    written = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    header = entity[part.header_start : part.body_start]
    for field in fields(header):
        if field.name.lower() == b"content-transfer-encoding":
            start, stop = part.header_start + field.start, part.header_start + field.stop
            edits.append((start, stop, written))
            return
    # Before the empty line, which a part with a body has.
    edits.append((part.body_start - 2, part.body_start - 2, written))


def _without_foreign_text(entity: bytes, part: Part) -> Iterator[_Edit]:
    """Take away what is not 7-bit before the first and behind the last part: no reader shows it."""
    delimiter = b"--" + (raw_parameter(part.parameters, b"boundary") or b"").rstrip()
    first = entity.rfind(delimiter, part.body_start, part.children[0].header_start)
    if first > part.body_start and not entity[part.body_start : first].isascii():
        yield part.body_start, first, b""
    closing = entity.find(delimiter + b"--", part.children[-1].body_stop, part.body_stop)
    after = closing + len(delimiter) + 2
    if closing >= 0 and not entity[after : part.body_stop].isascii():
        yield after, part.body_stop, b"\r\n"


def quoted_printable(body: bytes) -> bytes:
    """A text in CRLF, in lines of at most 76 characters (RFC 2045 section 6.7)."""
    encoded = binascii.b2a_qp(body, quotetabs=False, istext=True)
    # Where the text has no line end of its own, the encoder breaks its lines at a bare line feed.
    encoded = _LONE_FEED.sub(b"\r\n", encoded)
    return _FROM_LINE.sub(b"=46rom=20=\r\n", encoded)


def _base64(body: bytes) -> bytes:
    encoded = pybase64.b64encode(body)
    lines = [encoded[at : at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS)]
    return b"\r\n".join(lines)
