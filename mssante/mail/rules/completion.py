"""What we put right in the header of a message that comes in, and nothing else: RFC 6409 section 8
for submissions, forged trace fields for all.

Only top-level fields are touched: a signed body keeps its bytes. The same message, time and id give
the same bytes.
"""

import re
from collections.abc import Set as AbstractSet
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from mssante.mail.rules.header import Header
from mssante.wire.mime.headers import Field, unfold

_BLIND: Final = frozenset({b"bcc", b"resent-bcc"})
"""They name recipients that the others must not see (RFC 5322 section 3.6.3)."""
VERDICT_FIELD: Final = b"x-mss-smime"
"""What we found out about S/MIME, lower case; see `mail.trace_fields`."""
_OURS: Final = frozenset({b"return-path", VERDICT_FIELD})
"""Only we write them."""
_COMMENT: Final = re.compile(rb"\((?:[^()\\]++|\\.)*+\)")
_NESTED_COMMENTS: Final = 5
_AUTHSERV_ID: Final = re.compile(rb'\s*+(?:"((?:[^"\\]++|\\.)*+)"|([^\s;]++))')


def completed(
    header: Header,
    *,
    now: datetime,
    message_id: str,
    authserv_id: str,
    private: AbstractSet[bytes] = frozenset(),
) -> bytes:
    """The header block with Date and Message-ID added where missing (RFC 6409 sections 8.2, 8.3)
    and with Bcc, Return-Path, forged Authentication-Results, a forged verdict and what is private
    removed.

    Args:
        header: of the message as it came.
        now: time of submission, for Date.
        message_id: without angle brackets, for Message-ID.
        authserv_id: ours; only we may write results under it (RFC 8601 section 5).
        private: names of fields, lower case, that tell of the member's inner network.
    """
    block = _without(header, header.of_any(_BLIND | private) + _forged(header, authserv_id))
    added: list[bytes] = []
    if not header.count(b"date"):
        added.append(b"Date: " + format_datetime(now).encode("ascii") + b"\r\n")
    if not header.count(b"message-id"):
        added.append(b"Message-ID: <" + message_id.encode("ascii") + b">\r\n")
    if added and block and not block.endswith(b"\r\n"):
        # BDAT may end anywhere: what we add must not become part of the last field.
        block += b"\r\n"
    stop = len(block) - 2 if block.endswith(b"\r\n\r\n") or block == b"\r\n" else len(block)
    # At the end: a field put at the beginning could change how a broken first line reads.
    return b"".join((block[:stop], *added, block[stop:]))


def without_forgeries(header: Header, authserv_id: str) -> bytes:
    """The header block without the fields that only we may write: Return-Path (RFC 5321 section
    4.4), Authentication-Results under our name (RFC 8601 section 5) and the verdict on S/MIME.
    """
    return _without(header, _forged(header, authserv_id))


def _without(header: Header, removed: list[Field]) -> bytes:
    kept: list[bytes] = []
    position = 0
    for start, stop in sorted({(field.start, field.stop) for field in removed}):
        kept.append(header.block[position:start])
        position = stop
    kept.append(header.block[position:])
    return b"".join(kept)


def _forged(header: Header, authserv_id: str) -> list[Field]:
    return header.of_any(_OURS) + [
        field
        for field in header.named(b"authentication-results")
        if _claims(header.value(field), authserv_id)
    ]


def _claims(value: bytes, authserv_id: str) -> bool:
    """Whether Authentication-Results are under our name; comments may stand before it (RFC 8601
    section 2.2). A value that cannot be read counts as ours.
    """
    text = unfold(value)
    for _ in range(_NESTED_COMMENTS):
        text = _COMMENT.sub(b" ", text)
    found = _AUTHSERV_ID.match(text)
    if found is None or found[0].lstrip().startswith(b"("):
        return True
    claimed = found[1] if found[1] is not None else found[2]
    return claimed.decode("latin-1").lower() == authserv_id.lower()
