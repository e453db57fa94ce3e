"""How complex a message may be. Beyond a limit it is refused with a word, never half-read."""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final


@unique
class MimeFault(StrEnum):
    """Why a message, or one of its parts, cannot be read. The words are stable."""

    HEADER_TOO_LARGE = "header-too-large"
    TOO_MANY_FIELDS = "too-many-fields"
    FIELD_TOO_LONG = "field-too-long"
    TOO_MANY_ADDRESSES = "too-many-addresses"
    TOO_MANY_PARAMETERS = "too-many-parameters"
    TOO_MANY_PARTS = "too-many-parts"
    TOO_DEEP = "too-deep"
    TOO_MANY_NESTED_MESSAGES = "too-many-nested-messages"
    TOO_MANY_BOUNDARIES = "too-many-boundaries"
    BODY_TOO_LARGE = "body-too-large"
    BASE64_ALPHABET = "base64-alphabet"
    BASE64_TRUNCATED = "base64-truncated"
    UNKNOWN_ENCODING = "unknown-encoding"


class MimeError(ValueError):
    """A message goes over a limit, or a body cannot be decoded.

    Attributes:
        fault: the stable machine word, which is also the exception's text: no content is repeated.
    """

    def __init__(self, fault: MimeFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class MimeLimits:
    """Bounds of one message. Everything that costs time or memory to a scan is counted here."""

    max_header_bytes: int = 256 * 1024
    """Of one header block: the message's, a part's, an attached message's."""
    max_total_header_bytes: int = 1024 * 1024
    """Of all header blocks of the message together; reading them is the costly part of a scan."""
    max_fields: int = 1000
    """Fields of one header block."""
    max_field_bytes: int = 128 * 1024
    """One field value, folded; some two thousand recipients fit in one To field."""
    max_address_separators: int = 10_000
    """The characters , ; : < in all address fields of the message: a bound on their addresses that
    costs nothing to check. ENVELOPE writes an address of two octets in a hundred."""
    max_parameters: int = 256
    """Parameters of one field, RFC 2231 continuations counted one by one."""
    max_parts: int = 1000
    """Nodes of the tree: multiparts, leaves and attached messages."""
    max_depth: int = 30
    """Levels of multipart and attached message, together; bounds the recursion of readers."""
    max_nested_messages: int = 10
    """Attached messages inside attached messages."""
    max_boundary_lines: int = 10_000
    """Lines that begin as a boundary does, whether they are one or not."""


DEFAULT_LIMITS: Final = MimeLimits()
