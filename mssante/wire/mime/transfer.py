"""Decoding Content-Transfer-Encoding (RFC 2045 section 6) of one part, within a size limit."""

import binascii
import re
from typing import Final

import pybase64

from mssante.wire.mime.limits import MimeError, MimeFault

_BLANKS: Final = b" \t\r\n"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*+(={0,2}+)\Z")
# The look-behind lets a run of blanks be tried once, not once per blank.
_BLANKS_AT_LINE_END: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_IDENTITY: Final = frozenset(("7bit", "8bit", "binary"))


def decode_body(encoded: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """The octets of a part's body.

    Args:
        encoded: the body as it stands in the message.
        encoding: lower-case, as `PartSpan.encoding` or `Attachment.encoding` give it.
        max_bytes: most octets that the result may have.

    Raises:
        MimeError: BODY_TOO_LARGE; BASE64_ALPHABET for characters (or padding) where none may be,
            BASE64_TRUNCATED for a last group that is not whole; UNKNOWN_ENCODING.
    """
    if encoding in _IDENTITY:
        decoded = encoded
    elif encoding == "base64":
        decoded = _decode_base64(encoded, max_bytes)
    elif encoding == "quoted-printable":
        decoded = _decode_quoted_printable(encoded)
    else:
        raise MimeError(MimeFault.UNKNOWN_ENCODING)
    if len(decoded) > max_bytes:
        raise MimeError(MimeFault.BODY_TOO_LARGE)
    return decoded


def _decode_base64(encoded: bytes, max_bytes: int) -> bytes:
    """Strict but for blanks: RFC 2045 would skip foreign characters, and hide a damaged document."""
    clean = encoded.translate(None, _BLANKS)
    if len(clean) // 4 * 3 - 2 > max_bytes:
        raise MimeError(MimeFault.BODY_TOO_LARGE)
    try:
        return pybase64.b64decode(clean, validate=True)
    except binascii.Error:
        raise _base64_fault(clean) from None


def _base64_fault(clean: bytes) -> MimeError:
    """What is wrong with base64 that cannot be decoded."""
    found = _BASE64.match(clean)
    if found is None:
        return MimeError(MimeFault.BASE64_ALPHABET)
    # Three characters and two paddings are padding in excess, the rest lacks something.
    excess = len(found[1]) > -(len(clean) - len(found[1])) % 4
    return MimeError(MimeFault.BASE64_ALPHABET if excess else MimeFault.BASE64_TRUNCATED)


def _decode_quoted_printable(encoded: bytes) -> bytes:
    """Tolerant, as RFC 2045 section 6.7 advises: a broken escape stands for itself."""
    return binascii.a2b_qp(_BLANKS_AT_LINE_END.sub(b"", encoded))
