"""TLS as a client of other operators: their chain verified, our certificate shown."""

import ssl
from pathlib import Path

from mssante.trust.tls import harden


def client_context(certificate: Path, key: Path, peer_ca: Path) -> ssl.SSLContext:
    """A context for connections to other operators.

    Host names are not compared: DNS decides where to connect, and the name that counts is the whole
    distinguished name, which the white list has and which is compared after the handshake.

    Args:
        certificate: PEM file, our operator certificate first, then its chain.
        key: PEM file of its private key, unencrypted.
        peer_ca: PEM file of the authorities that are believed, and no others.

    Raises:
        OSError: a file cannot be read (also ssl.SSLError: it is not what it should be).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(peer_ca)
    context.load_cert_chain(certificate, key)
    return context
