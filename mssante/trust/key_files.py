"""Private keys with their certificates from files: a PKCS #12, or PEM."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from mssante.trust.anchors import Unreadable
from mssante.trust.extensions import extension
from mssante.trust.path import MAX_PATH, Purpose
from mssante.wire.smime.decryption import DecryptionKey

_PRIVATE: Final = re.compile(
    rb"-----BEGIN ((?:EC |RSA |ENCRYPTED )?+PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL
)
_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


def read_keys(files: Iterable[bytes], password: bytes | None = None) -> tuple[DecryptionKey, ...]:
    """The pairs of private key and certificate in some files; the two may stand in different ones.

    Args:
        files: their octets.
        password: of the protected ones; None where none is.

    Raises:
        Unreadable: a file that is neither of the two forms, a wrong or missing password, a key of a
            kind that opens no mail, a private key without its certificate.
    """
    return tuple(pair.key for pair in read_pairs(files, password))


@dataclass(frozen=True, slots=True)
class ReadPair:
    """A private key, its certificate and the intermediates that came along."""

    key: DecryptionKey
    chain: tuple[x509.Certificate, ...] = field(repr=False)
    """From the issuer upwards, as far as the files go, without a root."""

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """What the key may be used for (RFC 8550 section 4.4.2)."""
        usage = extension(self.key.certificate, x509.KeyUsage)
        if usage is None:
            return tuple(Purpose)
        found = []
        if usage.digital_signature or usage.content_commitment:
            found.append(Purpose.SIGN)
        if usage.key_encipherment or usage.key_agreement:
            found.append(Purpose.ENCRYPT)
        return tuple(found)


def read_pairs(files: Iterable[bytes], password: bytes | None = None) -> tuple[ReadPair, ...]:
    """The same as `read_keys`, with the certificates beside.

    Raises:
        Unreadable: see `read_keys`.
    """
    keys: list[RSAPrivateKey | EllipticCurvePrivateKey] = []
    certificates: list[x509.Certificate] = []
    for octets in files:
        read = _read_pem if b"-----BEGIN " in octets else _read_pkcs12
        try:
            found, beside = read(octets, password)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
            raise Unreadable("a key file is broken, or its password is wrong or missing") from None
        keys += [_usable(key) for key in found]
        certificates += beside
    if certificates and not keys:
        raise Unreadable("the key files hold certificates and no private key")
    pairs = [_paired(key, certificates) for key in keys]
    return tuple(ReadPair(pair, _chain(pair.certificate, certificates)) for pair in pairs)


def _chain(
    certificate: x509.Certificate, beside: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    chain: list[x509.Certificate] = []
    last = certificate
    while len(chain) < MAX_PATH:
        issuer = next(
            (one for one in beside if one.subject == last.issuer and one.subject != one.issuer),
            None,
        )
        if issuer is None or issuer in (certificate, *chain):
            break
        chain.append(issuer)
        last = issuer
    return tuple(chain)


def _read_pem(
    octets: bytes, password: bytes | None
) -> tuple[list[PrivateKeyTypes], list[x509.Certificate]]:
    keys = []
    for match in _PRIVATE.finditer(octets):
        protected = b"ENCRYPTED" in match[0]
        keys.append(load_pem_private_key(match[0], password if protected else None))
    certificates = [
        x509.load_pem_x509_certificate(match[0]) for match in _CERTIFICATE.finditer(octets)
    ]
    return keys, certificates


def _read_pkcs12(
    octets: bytes, password: bytes | None
) -> tuple[list[PrivateKeyTypes], list[x509.Certificate]]:
    key, certificate, more = pkcs12.load_key_and_certificates(octets, password)
    if key is None or certificate is None:
        raise ValueError("no key")
    return [key], [certificate, *more]


def _usable(key: PrivateKeyTypes) -> RSAPrivateKey | EllipticCurvePrivateKey:
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise Unreadable("a private key is neither RSA nor on an elliptic curve")
    return key


def _paired(
    key: RSAPrivateKey | EllipticCurvePrivateKey, certificates: Iterable[x509.Certificate]
) -> DecryptionKey:
    for certificate in certificates:
        if certificate.public_key() == key.public_key():
            return DecryptionKey(certificate, key)
    raise Unreadable("a private key comes without its certificate")
