"""What TLS has to be, whoever begins the connection: versions and suites in one place."""

import ssl
from typing import Final

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites with forward secrecy and authenticated encryption only; TLS 1.3 has no others."""


def harden(context: ssl.SSLContext) -> None:
    """TLS 1.2 or newer (RFC 8996), these suites, no compression, no renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
