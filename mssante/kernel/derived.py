"""Identifiers that follow from others, so that a repeated attempt makes the same bytes."""

from hashlib import sha256

from mssante.kernel.opaque import OpaqueId


def derived_id(source: OpaqueId, purpose: str) -> OpaqueId:
    """An opaque id for something that `source` gives rise to once (RFC 9562 layout, version 8).

    It sorts beside its source, which may stand for an instant: see `new_ordered_id`.
    """
    raw = bytearray(sha256(b"mssante derived id\x00" + source + purpose.encode()).digest()[:16])
    raw[:6] = source[:6]
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return OpaqueId(bytes(raw))
