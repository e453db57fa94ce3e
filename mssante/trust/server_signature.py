"""Signed by the server itself: what a device shows is then "verified", with the server's name."""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mssante.trust.anchors import Unreadable, read_certificates
from mssante.wire.smime.signing import (
    Signature,
    scheme_for,
    sign_attributes,
    signed_data,
    to_sign,
)


def signed_by_server(content: bytes, certificate: bytes, key: bytes, at: datetime) -> bytes:
    """Signed-data with its content inside (RFC 5652), in DER.

    Args:
        content: octets to sign.
        certificate: PEM file of the server, its own certificate first, then its chain.
        key: PEM file of the private key, unencrypted.
        at: the signing time.

    Raises:
        Unreadable: a file is not what it should be, or its key is of a kind that signs nothing here.
    """
    own, *others = read_certificates(certificate)
    # A root that stands in the file is of no use to who does not have it already.
    chain = [each for each in others if each.issuer != each.subject]
    secret = _key(key)
    scheme = scheme_for(own)
    attributes = to_sign(content, own, scheme, at)
    signature = Signature(own, scheme, attributes, sign_attributes(attributes, secret, scheme))
    return signed_data([signature], chain, content)


def _key(
    pem: bytes,
) -> RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise Unreadable("no private key in PEM can be read there") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise Unreadable("this kind of key signs nothing here")
    return key
