"""Parting a message into the fields that stay outside and the entity that is signed.

RFC 8551 section 3.1: what is signed is a MIME entity; the message's own fields are not part of it.
The octets of the entity stay as they are, so that what another signature covers is not touched.
"""

from dataclasses import dataclass

from mssante.wire.mime.headers import fields

_INSIDE = b"content-"
_REWRITTEN = b"mime-version"


@dataclass(frozen=True, slots=True, repr=False)
class SplitMessage:
    """A message in two pieces."""

    outer_fields: bytes
    """Complete fields, in their order; without Content-* and MIME-Version."""
    entity: bytes
    """The Content-* fields, an empty line, the body."""

    @property
    def is_seven_bit(self) -> bool:
        """Whether any relay passes the entity unchanged; if not, encode it before signing."""
        return self.entity.isascii() and b"\0" not in self.entity


def split_message(message: bytes, body_start: int) -> SplitMessage:
    """Part a message in CRLF.

    Args:
        message: header and body.
        body_start: where the body begins, as the scanner found it.

    A message without Content-Type gets the one that is implied (RFC 2045 section 5.2): an entity
    without any header reads differently to some programs.
    """
    header = message[:body_start]
    outer: list[bytes] = []
    inner: list[bytes] = []
    for field in fields(header):
        name = field.name.lower()
        if name == _REWRITTEN:
            continue
        (inner if name.startswith(_INSIDE) else outer).append(header[field.start : field.stop])
    if not any(one.lower().startswith(b"content-type") for one in inner):
        inner.insert(0, b"Content-Type: text/plain; charset=us-ascii\r\n")
    body = message[body_start:]
    return SplitMessage(b"".join(outer), b"".join(inner) + b"\r\n" + body)
