"""Message-ID (RFC 5322 section 3.6.4), fit to be referred to."""

import re
from typing import Final

from mssante.wire.mime.headers import first

_MESSAGE_ID: Final = re.compile(rb"<[!-;=?-~]{1,200}@[!-;=?-~]{1,200}>\Z")


def message_id_of(header: bytes) -> str:
    """The Message-ID of a header block with its angle brackets; empty where there is none that could
    stand in In-Reply-To.
    """
    return message_id_in(first(header, b"Message-ID") or b"")


def message_id_in(value: bytes) -> str:
    """The same of the field's value, unfolded."""
    return value.decode("ascii") if _MESSAGE_ID.match(value) else ""
