"""TLS of our listeners, in one place."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mssante.trust.tls import harden

HANDSHAKE_SECONDS: Final = 20.0
"""How long a client may take for its handshake."""
SHUTDOWN_SECONDS: Final = 5.0
"""How long a client may take to answer our closing of TLS."""


def server_context(
    certificate: Path,
    key: Path,
    *,
    client_ca: Path | None = None,
    on_handshake: Callable[[str | None], None] | None = None,
) -> ssl.SSLContext:
    """A context for listeners: TLS 1.2 or newer (RFC 8996), no compression, no renegotiation.

    Session tickets stay on, but for client certificates: a phone that comes back saves the
    asymmetric part of the handshake.

    Args:
        certificate: PEM file, our certificate first, then its chain.
        key: PEM file of the private key, unencrypted.
        client_ca: PEM file of the authorities whose client certificates are asked for. A client
            without certificate is let in, so that the protocol can refuse it in its own words; a
            certificate that does not verify ends the handshake.
        on_handshake: told of each handshake how it ended: the version, or None. What ends without a
            word of TLS (a time-out, a connection that breaks) is not told.

    Raises:
        OSError: a file cannot be read (also ssl.SSLError: it is not what it should be).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        # A resumed session would bring the certificate of an earlier day, unverified today.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if on_handshake is not None:
        context.sslobject_class = _telling(on_handshake)
    return context


def _telling(on_handshake: Callable[[str | None], None]) -> type[ssl.SSLObject]:
    """TLS objects that tell how their handshake ended: the event loop keeps it to itself."""

    class Telling(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError:
                on_handshake(None)
                raise
            on_handshake(self.version())

    return Telling
