"""Opening enveloped-data and authenticated-enveloped-data (RFC 5652, 5083, 5084, 5753, 8551).

Whatever goes wrong once a key was named gives one error: which step failed is an oracle
(Bleichenbacher on RSA PKCS #1 v1.5, padding of CBC). A content key that does not unwrap is replaced
by one that depends on a secret, and the content is still tried, so that time tells nothing either.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from asn1crypto import algos, core
from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mssante.wire.smime.cms import (
    Algorithm,
    EnvelopedData,
    Identity,
    KeyAgreement,
    KeyTransport,
)
from mssante.wire.smime.decoder import decoded
from mssante.wire.smime.errors import (
    DecryptionFailed,
    Malformed,
    NoRecipientKey,
    SmimeError,
    Unsupported,
)
from mssante.wire.smime.signature import identifies

_CBC_KEY: Final = {
    "2.16.840.1.101.3.4.1.2": 16,
    "2.16.840.1.101.3.4.1.22": 24,
    "2.16.840.1.101.3.4.1.42": 32,
}
_GCM_KEY: Final = {
    "2.16.840.1.101.3.4.1.6": 16,
    "2.16.840.1.101.3.4.1.26": 24,
    "2.16.840.1.101.3.4.1.46": 32,
}
_WRAP_KEY: Final = {
    "2.16.840.1.101.3.4.1.5": 16,
    "2.16.840.1.101.3.4.1.25": 24,
    "2.16.840.1.101.3.4.1.45": 32,
}
_RSA: Final = "1.2.840.113549.1.1.1"
_OAEP: Final = "1.2.840.113549.1.1.7"
_EC: Final = "1.2.840.10045.2.1"
_KDF: Final[dict[str, hashes.HashAlgorithm]] = {
    # SHA-1 is the default of OpenSSL; in a KDF nothing depends on its collisions.
    "1.3.133.16.840.63.0.2": hashes.SHA1(),  # noqa: S303
    "1.3.132.1.11.0": hashes.SHA224(),
    "1.3.132.1.11.1": hashes.SHA256(),
    "1.3.132.1.11.2": hashes.SHA384(),
    "1.3.132.1.11.3": hashes.SHA512(),
}
_OAEP_HASH: Final[dict[str, hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": hashes.SHA1(),  # noqa: S303
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_CURVES: Final = {
    "secp256r1": "1.2.840.10045.3.1.7",
    "secp384r1": "1.3.132.0.34",
    "secp521r1": "1.3.132.0.35",
}
_BLOCK: Final = 16
_MIN_TAG: Final = 12
_MIN_RSA: Final = 1024
"""Old mail stays readable; new mail is written for larger keys (RFC 8551 section 4.4)."""
_MAX_RSA: Final = 8192


@dataclass(frozen=True, slots=True)
class DecryptionKey:
    """A private key and the certificate by which senders name it."""

    certificate: x509.Certificate = field(repr=False)
    key: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)


def has_integrity(enveloped: EnvelopedData) -> bool:
    """Whether the cipher itself detects a changed content."""
    return enveloped.tag is not None


def recipients_of(enveloped: EnvelopedData) -> Iterator[Identity]:
    """Whom the content is for, as far as the kinds of recipient are known."""
    for recipient in enveloped.recipients:
        if isinstance(recipient, KeyTransport):
            yield recipient.recipient
        else:
            for identity, _ in recipient.wrapped_keys:
                yield identity


def decrypt(enveloped: EnvelopedData, keys: Sequence[DecryptionKey]) -> bytes:
    """The content, once authenticated where the cipher authenticates.

    Recipients are matched by their identifier; no key is ever tried on what is not addressed to it.

    Raises:
        NoRecipientKey: none of `keys` is named.
        DecryptionFailed: anything that depends on a key or on the ciphertext.
        Malformed: cipher-structure-mismatch, a cipher with authentication where there is no tag or
            the reverse, which is how GCM is downgraded to CBC.
        Unsupported: content-cipher, key-encryption-algorithm.
    """
    size = _content_key_size(enveloped)
    for key in keys:
        for recipient in enveloped.recipients:
            wrapped = _addressed(recipient, key)
            if wrapped is not None:
                content_key = _content_key(recipient, wrapped, key, size)
                return _open(enveloped, content_key)
    raise NoRecipientKey


def _content_key_size(enveloped: EnvelopedData) -> int:
    oid = enveloped.cipher.oid
    expected, other = (_CBC_KEY, _GCM_KEY) if enveloped.tag is None else (_GCM_KEY, _CBC_KEY)
    if oid in other:
        raise Malformed("cipher-structure-mismatch")
    if oid not in expected:
        raise Unsupported("content-cipher")
    return expected[oid]


def _addressed(recipient: KeyTransport | KeyAgreement, key: DecryptionKey) -> bytes | None:
    """The wrapped content key that is meant for `key`."""
    if isinstance(recipient, KeyTransport):
        mine = identifies(recipient.recipient, key.certificate)
        return recipient.encrypted_key if mine else None
    for identity, wrapped in recipient.wrapped_keys:
        if identifies(identity, key.certificate):
            return wrapped
    return None


def _content_key(
    recipient: KeyTransport | KeyAgreement, wrapped: bytes, key: DecryptionKey, size: int
) -> bytes:
    substitute = _substitute(key, wrapped, size)
    try:
        if isinstance(recipient, KeyTransport):
            found = _transported(recipient.algorithm, wrapped, key)
        else:
            found = _agreed(recipient, wrapped, key)
    except Unsupported:
        raise
    except (ValueError, TypeError, InvalidUnwrap, UnsupportedAlgorithm):
        # `SmimeError` is a ValueError: what is malformed in here must look like a wrong key too.
        return substitute
    return found if len(found) == size else substitute


def _substitute(key: DecryptionKey, wrapped: bytes, size: int) -> bytes:
    """A content key that nobody without the private key can know."""
    secret = key.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return hmac.digest(secret, b"implicit rejection" + wrapped, "sha512")[:size]


def _transported(algorithm: Algorithm, wrapped: bytes, key: DecryptionKey) -> bytes:
    private = key.key
    if algorithm.oid not in (_RSA, _OAEP):
        raise Unsupported("key-encryption-algorithm")
    if not isinstance(private, RSAPrivateKey) or not _MIN_RSA <= private.key_size <= _MAX_RSA:
        raise Malformed("key-kind")
    if algorithm.oid == _RSA:
        return private.decrypt(wrapped, padding.PKCS1v15())
    return private.decrypt(wrapped, _oaep(algorithm))


def _oaep(algorithm: Algorithm) -> padding.OAEP:
    """RFC 4055 section 4.1; the two hashes may differ, and both default to SHA-1."""
    encoded = algorithm.parameters or b"\x30\x00"

    def read() -> tuple[str, str, str, bytes]:
        values = algos.RSAESOAEPParams.load(encoded, strict=True)
        mask = values["mask_gen_algorithm"]
        return (
            values["hash_algorithm"]["algorithm"].dotted,
            mask["algorithm"].native,
            mask["parameters"]["algorithm"].dotted,
            bytes(values["p_source_algorithm"]["parameters"]),
        )

    own, generator, mask_hash, label = decoded(read)
    if own not in _OAEP_HASH or mask_hash not in _OAEP_HASH or generator != "mgf1":
        raise Unsupported("key-encryption-algorithm")
    mask_function = padding.MGF1(_OAEP_HASH[mask_hash])
    return padding.OAEP(mask_function, _OAEP_HASH[own], label or None)


def _agreed(recipient: KeyAgreement, wrapped: bytes, key: DecryptionKey) -> bytes:
    """Ephemeral-static ECDH (RFC 5753 section 3.1), then AES key unwrapping (RFC 3394)."""
    kdf = _KDF.get(recipient.scheme.oid)
    wrap = _wrap_algorithm(recipient.scheme)
    if kdf is None or wrap.oid not in _WRAP_KEY:
        raise Unsupported("key-encryption-algorithm")
    private = key.key
    if not isinstance(private, EllipticCurvePrivateKey) or private.curve.name not in _CURVES:
        raise Malformed("key-kind")
    _check_originator(recipient.originator_algorithm, private)
    # The library checks that the point is on the curve.
    point = EllipticCurvePublicKey.from_encoded_point(private.curve, recipient.originator_point)
    size = _WRAP_KEY[wrap.oid]
    information = shared_information(recipient.scheme, recipient.user_material, size)
    derived = X963KDF(kdf, size, information).derive(private.exchange(ECDH(), point))
    return aes_key_unwrap(derived, wrapped)


def _check_originator(algorithm: Algorithm, private: EllipticCurvePrivateKey) -> None:
    """The curve may be left out, and is then the recipient's; another or an explicit one may not."""
    null = b"\x05\x00"
    if algorithm.oid != _EC:
        raise Malformed("key-kind")
    if algorithm.parameters not in (None, null):
        named = decoded(lambda: core.ObjectIdentifier.load(algorithm.parameters).dotted)
        if named != _CURVES[private.curve.name]:
            raise Malformed("key-kind")


def _wrap_algorithm(scheme: Algorithm) -> Algorithm:
    """The parameter of a key agreement scheme is the algorithm that wraps the content key."""
    if scheme.parameters is None:
        raise Unsupported("key-encryption-algorithm")
    return Algorithm(decoded(lambda: core.Sequence.load(scheme.parameters)[0].dotted), None)


def shared_information(scheme: Algorithm, user_material: bytes | None, size: int) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 section 7.2), with the wrap algorithm as the message has it.

    Args:
        scheme: the key agreement scheme, whose parameter is the wrap algorithm.
        user_material: ukm, None where absent.
        size: octets of the key that wraps.
    """
    contents = scheme.parameters or b""
    if user_material is not None:
        contents += core.OctetString(user_material, explicit=0).dump()
    contents += core.OctetString((size * 8).to_bytes(4, "big"), explicit=2).dump()
    encoded: bytes = core.Sequence(contents=contents).dump()
    return encoded


def _open(enveloped: EnvelopedData, content_key: bytes) -> bytes:
    try:
        if enveloped.tag is None:
            return _open_cbc(enveloped, content_key)
        return _open_gcm(enveloped, enveloped.tag, content_key)
    except (ValueError, InvalidTag, SmimeError):
        raise DecryptionFailed from None


def _open_cbc(enveloped: EnvelopedData, content_key: bytes) -> bytes:
    vector = decoded(lambda: bytes(core.OctetString.load(enveloped.cipher.parameters)))
    decryptor = Cipher(AES(content_key), CBC(vector)).decryptor()
    padded = decryptor.update(enveloped.ciphertext) + decryptor.finalize()
    unpadder = PKCS7(_BLOCK * 8).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _open_gcm(enveloped: EnvelopedData, tag: bytes, content_key: bytes) -> bytes:
    """RFC 5084 section 3.2: the tag has the announced length, 12 octets unless it says otherwise."""

    def read() -> tuple[bytes, int]:
        values = core.Sequence.load(enveloped.cipher.parameters)
        return bytes(values[0]), values[1].native if len(values) > 1 else _MIN_TAG

    nonce, tag_size = decoded(read)
    if tag_size != len(tag):
        raise DecryptionFailed
    decryptor = Cipher(AES(content_key), GCM(nonce, tag, min_tag_length=_MIN_TAG)).decryptor()
    decryptor.authenticate_additional_data(enveloped.authenticated_octets or b"")
    return decryptor.update(enveloped.ciphertext) + decryptor.finalize()
