"""Which public keys are taken, and which hash functions: the policy of RFC 8551 section 4, bounded.

Small keys prove too little; huge ones cost too much (a modulus of 16 000 bits stops a server).
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mssante.wire.smime.errors import SignatureInvalid, Unsupported

_MIN_RSA: Final = 2048
_MAX_RSA: Final = 8192
_MIN_EXPONENT: Final = 2**16
_MAX_EXPONENT: Final = 2**33
_CURVES: Final = (SECP256R1, SECP384R1, SECP521R1)

SHA256: Final = "2.16.840.1.101.3.4.2.1"
SHA384: Final = "2.16.840.1.101.3.4.2.2"
SHA512: Final = "2.16.840.1.101.3.4.2.3"
HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    SHA256: hashes.SHA256(),
    SHA384: hashes.SHA384(),
    SHA512: hashes.SHA512(),
}
"""Those of signatures; RFC 8551 section 2.1."""
_WEAK: Final = frozenset(
    (
        "1.3.14.3.2.26",  # SHA-1
        "1.2.840.113549.2.5",  # MD5
        "1.2.840.113549.2.2",  # MD2
        "2.16.840.1.101.3.4.2.4",  # SHA-224
    )
)

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


def strong_hash(oid: str) -> hashes.HashAlgorithm:
    """The hash function of a signature.

    Raises:
        SignatureInvalid: weak-digest.
        Unsupported: digest-algorithm.
    """
    if oid in _WEAK:
        raise SignatureInvalid("weak-digest")
    found = HASHES.get(oid)
    if found is None:
        raise Unsupported("digest-algorithm")
    return found


def digest_of(algorithm: hashes.HashAlgorithm, octets: bytes) -> bytes:
    """The digest of some octets."""
    running = hashes.Hash(algorithm)
    running.update(octets)
    return running.finalize()


def public_key_of(certificate: x509.Certificate) -> PublicKey:
    """The key of a certificate, if it is one that may sign.

    Raises:
        SignatureInvalid: weak-key, also for an RSA key that is costly to use.
        Unsupported: key-algorithm, also for curves that have no name or are not NIST's.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Unsupported("key-algorithm") from None
    if isinstance(key, RSAPublicKey):
        exponent = key.public_numbers().e
        in_bounds = _MIN_EXPONENT < exponent < _MAX_EXPONENT and exponent % 2
        if not (_MIN_RSA <= key.key_size <= _MAX_RSA and in_bounds):
            raise SignatureInvalid("weak-key")
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise Unsupported("key-algorithm")
