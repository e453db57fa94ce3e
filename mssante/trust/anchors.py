"""What is trusted before any message is seen: anchors, known certificates, revocation lists.

Files are read by the caller; here are their octets. What a message carries is never an anchor.
"""

from dataclasses import dataclass, field
from typing import Final

from cryptography import x509

_PEM: Final = b"-----BEGIN "
_CRL_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_CRL_END: Final = b"-----END X509 CRL-----"


class Unreadable(ValueError):
    """Octets are not the certificates or the revocation lists that they should be."""


@dataclass(frozen=True, slots=True)
class Trust:
    """One set of decisions, replaced as a whole while the server runs."""

    anchors: tuple[x509.Certificate, ...] = field(repr=False)
    """A path ends at one of these. They need not be self-signed."""
    certificates: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    """Known intermediates and signers, for messages that leave them out; trusted for nothing."""
    revocation_lists: tuple[x509.CertificateRevocationList, ...] = field(default=(), repr=False)
    """Whatever was fetched; each is believed only with its issuer's signature."""


def read_certificates(octets: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file (one or more) or of a DER file (one).

    Raises:
        Unreadable: neither of the two, or no certificate inside.
    """
    try:
        if _PEM in octets:
            return tuple(x509.load_pem_x509_certificates(octets))
        return (x509.load_der_x509_certificate(octets),)
    except (ValueError, x509.InvalidVersion):
        raise Unreadable("no certificate in PEM or DER can be read there") from None


def read_revocation_lists(octets: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists of a PEM file (one or more) or of a DER file (one).

    Raises:
        Unreadable: neither of the two, or no list inside.
    """
    try:
        if _PEM not in octets:
            return (x509.load_der_x509_crl(octets),)
        pieces = [piece.partition(_CRL_END)[0] for piece in octets.split(_CRL_BEGIN)[1:]]
        lists = tuple(
            x509.load_pem_x509_crl(_CRL_BEGIN + piece + _CRL_END + b"\n") for piece in pieces
        )
    except (ValueError, x509.InvalidVersion):
        lists = ()
    if not lists:
        raise Unreadable("no revocation list in PEM or DER can be read there")
    return lists
