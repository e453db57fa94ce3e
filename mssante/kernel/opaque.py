"""Opaque 128-bit identifiers: the only identity that patients, mailboxes, messages and documents
carry in keys, file names, logs and protocols (EMAILID, MAILBOXID, entryUUID).

They say nothing about what they name; INS, RPPS and addresses are attributes with a history.
"""

import re
import secrets
import uuid
from typing import Final, NewType

OpaqueId = NewType("OpaqueId", bytes)
"""Sixteen bytes, laid out as an RFC 9562 UUID so that it can serve as an entryUUID."""

_HEX: Final = re.compile(r"[0-9a-f]{32}\Z")


def new_id() -> OpaqueId:
    """Draw a new random identifier (RFC 9562 version 4)."""
    raw = bytearray(secrets.token_bytes(16))
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    return OpaqueId(bytes(raw))


def new_ordered_id(at: int) -> OpaqueId:
    """Draw a new identifier that sorts by an instant (RFC 9562 version 7).

    What one instant brings lies side by side in every index: as these grow, a new row meets pages that
    are at hand. It tells nobody more than the date that goes with the message.

    Args:
        at: milliseconds since 1970, UTC.
    """
    raw = bytearray(at.to_bytes(6, "big") + secrets.token_bytes(10))
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return OpaqueId(bytes(raw))


def id_text(opaque: OpaqueId) -> str:
    """Write an identifier as 32 lower-case hexadecimal digits (safe in IMAP, URLs and logs)."""
    return opaque.hex()


def parse_id(text: str) -> OpaqueId:
    """Read what :func:`id_text` wrote.

    Raises:
        ValueError: the text is not 32 lower-case hexadecimal digits.
    """
    if _HEX.match(text) is None:
        raise ValueError("an opaque identifier has 32 lower-case hexadecimal digits")
    return OpaqueId(bytes.fromhex(text))


def entry_uuid(opaque: OpaqueId) -> str:
    """Write an identifier as ``urn:uuid:…``, the form of an XDS entryUUID (IHE ITI TF-3 4.2.3.2)."""
    return uuid.UUID(bytes=opaque).urn
