"""TLS of our listeners, in one place."""

import ssl
from pathlib import Path
from typing import Final

from mssante.trust.peer_tls import TlsFailed
from mssante.trust.tls import OnHandshake, harden

HANDSHAKE_SECONDS: Final = 20.0
"""How long a client may take for its handshake."""
SHUTDOWN_SECONDS: Final = 5.0
"""How long a client may take to answer our closing of TLS."""


def server_context(
    certificate: Path,
    key: Path,
    *,
    returning: bool = False,
    on_handshake: OnHandshake | None = None,
) -> ssl.SSLContext:
    """A context for listeners: TLS 1.2 or newer (RFC 8996), no compression, no renegotiation.

    Members only: other operators show certificates of their own, see `mssante.trust.peer_tls`.

    Args:
        certificate: PEM file, our certificate first, then its chain.
        key: PEM file of the private key, unencrypted.
        returning: clients come back again and again within a minute, as browsers do: each TLS 1.3
            handshake gives them a ticket. It costs a tenth of the handshake, and spares who comes back
            no round trip (RFC 8446 section 2.2), only the certificate, and that only at the same worker,
            whose key it is. In TLS 1.2, where it spares a round trip, who asks gets one in any case.
        on_handshake: told of each handshake how it ended.

    Raises:
        OSError: a file cannot be read (also ssl.SSLError: it is not what it should be).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1 if returning else 0
    context.load_cert_chain(certificate, key)
    if on_handshake is not None:
        context.sslobject_class = _telling(on_handshake)
    return context


def why_no_handshake(cause: BaseException | None) -> str:
    """Why a handshake failed, in the fixed words of the TLS library that ended it or in ours."""
    if isinstance(cause, TlsFailed):
        return cause.reason
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.lower().replace("_", " ")
    # Asyncio's loops abort a handshake that takes too long.
    return (
        "handshake timed out" if isinstance(cause, ConnectionAbortedError) else "connection ended"
    )


def _telling(on_handshake: OnHandshake) -> type[ssl.SSLObject]:
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
