"""An encrypted message as its reader sees it: the outer fields, then what was inside.

Fields that the inner entity protects come in place of the outer ones where the judgement believes
them. The signature inside is taken off: its verdict stands beside the message, its bytes in the
original.
"""

import re
from typing import Final

from mssante.trust.judgement import Judgement, Verdict
from mssante.wire.mime.builder import header_field
from mssante.wire.mime.headers import Field, fields
from mssante.wire.mime.limits import MimeError
from mssante.wire.mime.scanner import scan

_BREAK: Final = re.compile(rb"\r\n|\r|\n")
_HEADER_END: Final = re.compile(rb"\A\r\n|\r\n\r\n")
_STRUCTURE: Final = (b"content-", b"mime-version", b"hp-outer")
_NEVER: Final = frozenset((b"bcc", b"resent-bcc", b"return-path", b"authentication-results"))
_OURS: Final = b"x-mss-"
_AUTHOR: Final = frozenset((b"from", b"sender"))


def as_read(message: bytes, judgement: Judgement) -> bytes | None:
    """The opened message in CRLF; None where it cannot be one, and the original must serve.

    Args:
        message: as it was accepted.
        judgement: of this message, opened.
    """
    entity = judgement.plaintext
    if entity is None or b"\0" in entity:
        return None
    entity = _BREAK.sub(b"\r\n", entity)
    inner, body = _cut(entity)
    outer, _ = _cut(message)
    replaced = _replaced(inner, judgement)
    kept: list[bytes] = []
    for field in fields(outer):
        name = field.name.lower()
        if name.startswith(_STRUCTURE):
            continue
        # Of a repeated field the first is replaced and the others go.
        kept.append(replaced.get(name, outer[field.start : field.stop]))
        if name in replaced:
            replaced[name] = b""
    kept += replaced.values()
    content = [
        inner[field.start : field.stop]
        for field in fields(inner)
        if field.name.lower().startswith(b"content-")
    ]
    if not any(one.lower().startswith(b"content-type") for one in content):
        content.insert(0, b"Content-Type: text/plain; charset=us-ascii\r\n")
    opened = b"".join((*kept, b"MIME-Version: 1.0\r\n", *content, b"\r\n", body))
    try:
        scan(opened)
    except MimeError:
        return None
    return opened


def _replaced(inner: bytes, judgement: Judgement) -> dict[bytes, bytes]:
    """Complete fields that come in place of the outer ones, by lower-case name."""
    found: dict[bytes, bytes] = {}
    written = {field.name.lower(): field for field in reversed(list(fields(inner)))}
    for name, value in (judgement.protected_headers or {}).items():
        key = name.encode("ascii")
        if key in _NEVER or key.startswith((_OURS, b"resent-")) or key not in written:
            continue
        # Without a signature nothing vouches for another author than the one outside.
        if key in _AUTHOR and judgement.verdict is not Verdict.VALID:
            continue
        field = _clean(inner, written[key], value)
        if field is not None:
            found[key] = field
    return found


def _clean(inner: bytes, field: Field, value: str) -> bytes | None:
    raw = inner[field.start : field.stop]
    if raw.isascii() and raw.endswith(b"\r\n"):
        return raw
    try:
        return header_field(field.name.decode("ascii"), value)
    except ValueError:
        return None


def _cut(entity: bytes) -> tuple[bytes, bytes]:
    """Header block without its empty line, body."""
    found = _HEADER_END.search(entity)
    if found is None:
        return entity, b""
    return entity[: max(found.end() - 2, 0)], entity[found.end() :]
