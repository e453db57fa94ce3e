"""What TLS has to be, whoever begins the connection: versions and suites in one place."""

import ssl
from collections.abc import Callable
from typing import Final, TypeAlias

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites with forward secrecy and authenticated encryption only; TLS 1.3 has no others."""

OnHandshake: TypeAlias = Callable[[str | None], None]
"""Told of each handshake how it ended: the version, or None. What ends without a word of TLS (a
time-out, a connection that breaks) is not told."""


def harden(context: ssl.SSLContext) -> None:
    """TLS 1.2 or newer (RFC 8996), these suites, no compression, no renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
