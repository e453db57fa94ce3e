"""Header fields that an S/MIME layer protects (RFC 9788), read from the root of what it covers.

``protected-headers="v1"``, the draft's form that clients in use still write, is read as well.
"""

from collections.abc import Mapping
from typing import Final

from mssante.wire.mime.encoded_words import decode_encoded_words
from mssante.wire.mime.headers import fields, unfold
from mssante.wire.mime.parameters import raw_parameter
from mssante.wire.mime.scanner import Part

_STRUCTURAL: Final = (b"content-", b"mime-version", b"hp-outer")
_TRACE: Final = frozenset((b"received", b"return-path", b"authentication-results"))


def protects_headers(root: Part) -> bool:
    """Whether the root of a protected entity says that its fields are the message's."""
    mode = (raw_parameter(root.parameters, b"hp") or b"").lower()
    draft = (raw_parameter(root.parameters, b"protected-headers") or b"").lower()
    return mode in (b"clear", b"cipher") or draft == b"v1"


def user_fields(header: bytes) -> dict[str, str]:
    """The fields of a header that belong to the message and not to its structure or its way.

    Names in lower case, values decoded; of fields that repeat, the first.
    """
    found: dict[str, str] = {}
    for field in fields(header):
        name = field.name.lower()
        if name.startswith(_STRUCTURAL) or name in _TRACE:
            continue
        value = decode_encoded_words(unfold(header[field.value_start : field.stop]))
        found.setdefault(name.decode("ascii"), value)
    return found


def to_show_instead(protected: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    """The protected fields that differ from the outer ones, or lack there."""
    return {name: value for name, value in protected.items() if outer.get(name) != value}
