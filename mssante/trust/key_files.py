"""Decryption keys from files: a PKCS #12, or PEM with private keys and certificates."""

import re
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from mssante.trust.anchors import Unreadable
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
    keys: list[RSAPrivateKey | EllipticCurvePrivateKey] = []
    certificates: list[x509.Certificate] = []
    for octets in files:
        read = _read_pem if b"-----BEGIN " in octets else _read_pkcs12
        try:
            found, beside = read(octets, password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Unreadable("a key file is broken, or its password is wrong or missing") from None
        keys += [_usable(key) for key in found]
        certificates += beside
    if certificates and not keys:
        raise Unreadable("the key files hold certificates and no private key")
    return tuple(_paired(key, certificates) for key in keys)


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
    key, certificate, _ = pkcs12.load_key_and_certificates(octets, password)
    if key is None or certificate is None:
        raise ValueError("no key")
    return [key], [certificate]


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
