"""Verifying one SignerInfo against a content and a certificate (RFC 5652 sections 5.4 and 5.6).

Only mathematics and the binding of the attributes; who the certificate belongs to, and whether to
trust it, is decided in ``trust``.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from asn1crypto import algos, cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtensionOID

from mssante.wire.smime.cms import DATA, Algorithm, Identity, SignerInfo, attributes_of
from mssante.wire.smime.decoder import decoded
from mssante.wire.smime.elements import SET, Element, Fields, broken, element_of, encoded
from mssante.wire.smime.errors import Malformed, SignatureInvalid, Unsupported
from mssante.wire.smime.keys import HASHES, SHA256, SHA512, digest_of, public_key_of, strong_hash

CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"
SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
ALGORITHM_PROTECTION: Final = "1.2.840.113549.1.9.52"

RSA: Final = "1.2.840.113549.1.1.1"
RSA_PSS: Final = "1.2.840.113549.1.1.10"
ED25519: Final = "1.3.101.112"
_RSA_WITH: Final = {
    "1.2.840.113549.1.1.11": SHA256,
    "1.2.840.113549.1.1.12": "2.16.840.1.101.3.4.2.2",
    "1.2.840.113549.1.1.13": SHA512,
}
ECDSA_WITH: Final = {
    "1.2.840.10045.4.3.2": SHA256,
    "1.2.840.10045.4.3.3": "2.16.840.1.101.3.4.2.2",
    "1.2.840.10045.4.3.4": SHA512,
}
_WEAK_SIGNATURES: Final = frozenset(
    (
        "1.2.840.113549.1.1.4",  # md5WithRSAEncryption
        "1.2.840.113549.1.1.5",  # sha1WithRSAEncryption
        "1.2.840.10045.4.1",  # ecdsa-with-SHA1
    )
)
_SET: Final = b"\x31"
_EXTRA_SALT: Final = 32
_LONGEST_NAME: Final = 1024
"""Octets. To prepare an octet for comparing takes ten microseconds, and each signer is compared with each
certificate."""
_BREAK: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, repr=False)
class Verified:
    """What a good signature covers."""

    content: bytes
    """Exactly the octets that were hashed."""
    signing_time: datetime | None
    """The signer's claim; nothing vouches for it."""


def readings(content: bytes) -> tuple[bytes, ...]:
    """A MIME part as it is hashed: in canonical line ends, and else as it came.

    RFC 8551 section 3.1.1 wants CRLF; a binary part may hold other line ends and be signed so.
    """
    feeds = content.count(b"\n")
    if feeds == content.count(b"\r") == content.count(b"\r\n"):
        return (content,)
    return (_BREAK.sub(b"\r\n", content), content)


def identifies(identity: Identity, certificate: x509.Certificate) -> bool:
    """Whether an identifier of a signer or recipient names a certificate.

    Never raises: what cannot be read, a name of the sender's or a stranger's certificate, names nobody.
    """
    if identity.key_id is not None:
        try:
            return identity.key_id == key_id_of(certificate)
        except (ValueError, UnsupportedAlgorithm):
            return False
    if identity.serial != certificate.serial_number or identity.issuer is None:
        return False
    issuer = identity.issuer
    try:
        return decoded(lambda: _same_name(issuer, certificate))
    except Malformed:
        return False


def key_id_of(certificate: x509.Certificate) -> bytes:
    """The subject key identifier, calculated where the certificate has none (RFC 5280 4.2.1.2).

    Raises:
        ValueError, UnsupportedAlgorithm: it would have to be calculated, from a key that is broken
            or of an unknown kind.
    """
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        # All extensions are read together, and this is no ValueError.
        x509.UnsupportedGeneralNameType,
        ValueError,
    ):
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    assert isinstance(found.value, x509.SubjectKeyIdentifier)
    return found.value.digest


def _same_name(issuer: bytes, certificate: x509.Certificate) -> bool:
    """Names are equal by their texts (RFC 5280 section 7.1); long ones by their octets only."""
    own = certificate.issuer.public_bytes()
    if own == issuer:
        return True
    if max(len(own), len(issuer)) > _LONGEST_NAME:
        return False
    return _prepared(own) == _prepared(issuer)


@lru_cache(maxsize=512)
def _prepared(name: bytes) -> tuple[tuple[int, str], ...]:
    """How many attributes each part of a name has, and their texts as they are compared."""
    return tuple([(len(part), part.hashable) for part in asn1_x509.Name.load(name).chosen])


def bound_contents(
    signer: SignerInfo, content_type: str, candidates: Sequence[bytes]
) -> tuple[bytes, ...]:
    """Those readings of the content that the signed attributes allow; needs no certificate.

    Raises:
        SignatureInvalid: weak-digest, digest-mismatch, content-type-mismatch,
            attribute-confusion, attributes-required.
        Malformed: an attribute is missing or not single.
        Unsupported: the digest.
    """
    digest = strong_hash(signer.digest.oid)
    if signer.signed_octets is None:
        _check_unattributed(content_type, candidates)
        return tuple(candidates)
    if _single(signer, CONTENT_TYPE).identifier() != content_type:
        raise SignatureInvalid("content-type-mismatch")
    expected = _single(signer, MESSAGE_DIGEST).octets()
    for candidate in candidates:
        if hmac.compare_digest(digest_of(digest, candidate), expected):
            return (candidate,)
    raise SignatureInvalid("digest-mismatch")


def verify(
    signer: SignerInfo,
    content_type: str,
    candidates: Sequence[bytes],
    certificate: x509.Certificate,
) -> Verified:
    """Verify one signature.

    Args:
        signer: the SignerInfo.
        content_type: the type of the signed content, dotted.
        candidates: readings of the content, the usual one first; see `readings`.
        certificate: the signer's, as `identifies` found it.

    Raises:
        SignatureInvalid: signature-mismatch, weak-key, algorithm-mismatch,
            signing-certificate-mismatch, and what `bound_contents` finds.
        Malformed: an attribute.
        Unsupported: an algorithm.
    """
    contents = bound_contents(signer, content_type, candidates)
    _check_algorithm_protection(signer)
    _check_signing_certificate(signer, certificate)
    if signer.signed_octets is not None:
        _verify_attributes(signer, certificate)
        return Verified(contents[0], _signing_time(signer))
    for content in contents[:-1]:
        try:
            _verify_octets(signer, content, certificate)
        except SignatureInvalid:
            continue
        return Verified(content, None)
    _verify_octets(signer, contents[-1], certificate)
    return Verified(contents[-1], None)


def _check_unattributed(content_type: str, candidates: Sequence[bytes]) -> None:
    """A signature on the content itself must not be one on attributes, served as content."""
    if content_type != DATA:
        raise SignatureInvalid("attributes-required")
    for candidate in candidates:
        if not candidate.startswith(_SET):
            continue
        try:
            found = attributes_of(candidate)
        except Malformed:
            continue
        if CONTENT_TYPE in found and MESSAGE_DIGEST in found:
            raise SignatureInvalid("attribute-confusion")


def _single(signer: SignerInfo, oid: str) -> Element:
    """The one value of an attribute that must be there."""
    values = signer.attributes.get(oid, ())
    if len(values) != 1:
        raise Malformed("attribute-not-single")
    return element_of(values[0])


def _signing_time(signer: SignerInfo) -> datetime | None:
    if SIGNING_TIME not in signer.attributes:
        return None
    value = _single(signer, SIGNING_TIME).encoding()
    moment: datetime = decoded(lambda: cms.Time.load(value, strict=True).native)
    return moment


def _check_algorithm_protection(signer: SignerInfo) -> None:
    """RFC 6211: the algorithms outside the signature are those that the signer wrote inside."""
    if ALGORITHM_PROTECTION not in signer.attributes:
        return
    fields = Fields(_single(signer, ALGORITHM_PROTECTION))
    digest = Fields(fields.take()).take().identifier()
    algorithm = fields.optional(1)
    if algorithm is None:
        raise broken()
    named = Fields(algorithm, 0xA1).take().identifier()
    if digest != signer.digest.oid or named != signer.algorithm.oid:
        raise SignatureInvalid("algorithm-mismatch")


def _check_signing_certificate(signer: SignerInfo, certificate: x509.Certificate) -> None:
    """RFC 5035: the first certificate named inside is the one that verifies the signature."""
    if SIGNING_CERTIFICATE_V2 in signer.attributes:
        named = _first_named(_single(signer, SIGNING_CERTIFICATE_V2))
        algorithm = named.optional_sequence()
        expected = named.take()
        oid = SHA256 if algorithm is None else Fields(algorithm).take().identifier()
        digest = certificate.fingerprint(strong_hash(oid))
    elif SIGNING_CERTIFICATE in signer.attributes:
        expected = _first_named(_single(signer, SIGNING_CERTIFICATE)).take()
        # RFC 2634 knows no other hash here; a collision would have to be a certificate of a CA.
        digest = certificate.fingerprint(hashes.SHA1())  # noqa: S303
    else:
        return
    if not hmac.compare_digest(digest, expected.octets()):
        raise SignatureInvalid("signing-certificate-mismatch")


def _first_named(value: Element) -> Fields:
    """The first ESSCertID or ESSCertIDv2 of a SigningCertificate (RFC 5035 sections 3 and 4)."""
    return Fields(Fields(Fields(value).take()).take())


def _verify_attributes(signer: SignerInfo, certificate: x509.Certificate) -> None:
    """The signature covers the DER of the attributes, however they were encoded."""
    assert signer.signed_octets is not None
    try:
        _verify_octets(signer, signer.signed_octets, certificate)
    except SignatureInvalid:
        canonical = _sorted(signer.signed_octets)
        if canonical == signer.signed_octets:
            raise
        _verify_octets(signer, canonical, certificate)


def _sorted(attributes: bytes) -> bytes:
    """A SET OF in the order of DER (X.690 section 11.6)."""
    elements = element_of(attributes).inside(SET)
    return encoded(SET, b"".join(sorted([element.encoding() for element in elements])))


def _verify_octets(signer: SignerInfo, octets: bytes, certificate: x509.Certificate) -> None:
    key = public_key_of(certificate)
    digest = strong_hash(signer.digest.oid)
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signer.signature, octets, _rsa_padding(signer, digest), digest)
        elif isinstance(key, EllipticCurvePublicKey):
            _check_pair(ECDSA_WITH, signer)
            key.verify(signer.signature, octets, ec.ECDSA(digest))
        else:
            _verify_edwards(key, signer, octets)
    except (InvalidSignature, ValueError) as error:
        if isinstance(error, SignatureInvalid | Malformed | Unsupported):
            raise
        raise SignatureInvalid("signature-mismatch") from None


def _verify_edwards(key: Ed25519PublicKey, signer: SignerInfo, octets: bytes) -> None:
    """RFC 8419 section 3.1: the digest of the content is SHA-512."""
    if signer.algorithm.oid != ED25519 or signer.digest.oid != SHA512:
        raise SignatureInvalid("algorithm-mismatch")
    key.verify(signer.signature, octets)


def _rsa_padding(
    signer: SignerInfo, digest: hashes.HashAlgorithm
) -> padding.PKCS1v15 | padding.PSS:
    if signer.algorithm.oid == RSA:
        return padding.PKCS1v15()
    if signer.algorithm.oid == RSA_PSS:
        return _pss(signer.algorithm, signer.digest.oid, digest)
    _check_pair(_RSA_WITH, signer)
    return padding.PKCS1v15()


def _check_pair(algorithms: dict[str, str], signer: SignerInfo) -> None:
    """A signature algorithm that names its digest must name the signer's."""
    oid = signer.algorithm.oid
    if oid in _WEAK_SIGNATURES:
        raise SignatureInvalid("weak-digest")
    if oid not in algorithms:
        known = oid in _RSA_WITH or oid in ECDSA_WITH or oid in (RSA, RSA_PSS, ED25519)
        raise (
            SignatureInvalid("algorithm-mismatch") if known else Unsupported("signature-algorithm")
        )
    if algorithms[oid] != signer.digest.oid:
        raise SignatureInvalid("algorithm-mismatch")


def _pss(algorithm: Algorithm, digest_oid: str, digest: hashes.HashAlgorithm) -> padding.PSS:
    """RFC 4056: one hash function everywhere, and a salt of about its length."""
    encoded = algorithm.parameters
    if encoded is None:
        # The default is SHA-1.
        raise SignatureInvalid("weak-digest")

    def read() -> tuple[str, str, str, int, int]:
        values = algos.RSASSAPSSParams.load(encoded, strict=True)
        mask = values["mask_gen_algorithm"]
        return (
            values["hash_algorithm"]["algorithm"].dotted,
            mask["algorithm"].native,
            mask["parameters"]["algorithm"].dotted,
            values["salt_length"].native,
            int(values["trailer_field"]),
        )

    own, generator, mask_hash, salt, trailer = decoded(read)
    if own not in HASHES or mask_hash not in HASHES:
        strong_hash(own)
        strong_hash(mask_hash)
    if (own, mask_hash, generator, trailer) != (digest_oid, digest_oid, "mgf1", 1):
        raise SignatureInvalid("algorithm-mismatch")
    if not 0 < salt <= digest.digest_size + _EXTRA_SALT:
        raise SignatureInvalid("algorithm-mismatch")
    return padding.PSS(padding.MGF1(digest), salt)
