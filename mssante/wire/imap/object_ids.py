"""Identifiers of mailboxes and contents (OBJECTID, RFC 8474).

The letter keeps the two kinds apart and spares clients names that begin with a digit (section 8.1).
Messages are not put into threads: THREADID is NIL, which the RFC allows (section 5.2).
"""

import re
from typing import Final

from mssante.kernel.opaque import OpaqueId, id_text, parse_id

_EMAIL_ID: Final = re.compile(r"M[0-9a-f]{32}\Z")
NO_THREAD: Final = "NIL"
"""THREADID of every message."""


def mailbox_id(folder_id: OpaqueId) -> str:
    """MAILBOXID."""
    return f"F{id_text(folder_id)}"


def email_id(message_id: OpaqueId) -> str:
    """EMAILID."""
    return f"M{id_text(message_id)}"


def parse_email_id(text: str) -> OpaqueId | None:
    """The content that an EMAILID names; None for an identifier that is none of ours."""
    return parse_id(text[1:]) if _EMAIL_ID.match(text) else None
