"""How large and how complex an S/MIME message may be."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SmimeLimits:
    """Bounds of one message; what passes one is malformed, never half-read."""

    max_layers: int = 8
    """CMS layers inside one another."""
    max_content_bytes: int = 100_000_000
    """Octets of one CMS object and of one decrypted content."""
    max_expanded_bytes: int = 64 * 1024 * 1024
    """Octets of one decompressed content."""
    max_ratio: int = 200
    """Octets out for one octet in, once `ratio_applies_above` octets came out."""
    ratio_applies_above: int = 1024 * 1024
    max_signers: int = 8
    max_recipients: int = 1000
    """Also of those that a content key is for by key agreement, however many share one."""
    max_certificates: int = 32
    """Embedded certificates; embedded revocation lists are counted apart, with the same bound."""
    max_encoding_depth: int = 32
    """Constructed ASN.1 elements inside one another."""
    max_encoding_elements: int = 80_000
    """ASN.1 elements, each of which may cost ten microseconds. Programs stream contents in chunks of 1 to 4
    kB: 25 MB are 25 000."""
    max_beside: int = 8
    """CMS objects beside other parts that are read to tell what they are."""


DEFAULT_LIMITS: Final = SmimeLimits()
