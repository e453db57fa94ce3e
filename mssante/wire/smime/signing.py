"""Making signed-data (RFC 5652, RFC 8551): in two steps, because a key may be elsewhere.

`to_sign` gives the octets of the signed attributes; whoever has the key (the server's file, an HSM,
a card at a workstation) signs them; `signed_data` puts the object together. Nothing here is random
but an ECDSA signature: the caller keeps what was made and never makes it twice.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique
from typing import Final

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.wire.mime.builder import Entity, multipart_entity
from mssante.wire.smime.keys import HASHES, SHA256, SHA384, SHA512, digest_of, public_key_of
from mssante.wire.smime.signature import (
    ALGORITHM_PROTECTION,
    CONTENT_TYPE,
    ECDSA_WITH,
    ED25519,
    MESSAGE_DIGEST,
    RSA,
    RSA_PSS,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
)

_CAPABILITIES: Final = "1.2.840.113549.1.9.15"
_MICALG: Final = {SHA256: "sha-256", SHA384: "sha-384", SHA512: "sha-512"}
_OUR_CAPABILITIES: Final = (
    "2.16.840.1.101.3.4.1.46",  # AES-256-GCM
    "2.16.840.1.101.3.4.1.6",  # AES-128-GCM
    "2.16.840.1.101.3.4.1.42",  # AES-256-CBC
    "2.16.840.1.101.3.4.1.2",  # AES-128-CBC
)
_PROTOCOL: Final = "application/pkcs7-signature"
_COLUMNS: Final = 64

SigningKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


@unique
class RsaPadding(Enum):
    """RSA signs in two ways; PKCS #1 v1.5 is what every reader knows."""

    PKCS1 = "pkcs1"
    PSS = "pss"


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a key signs: what the attributes and the signature must agree on."""

    digest: str
    """Dotted type of the hash function."""
    signature: str
    """Dotted type of the signature algorithm."""

    @property
    def micalg(self) -> str:
        """The hash as multipart/signed names it (RFC 8551 section 3.5.3.2)."""
        return _MICALG[self.digest]


@dataclass(frozen=True, slots=True)
class Signature:
    """One finished signature over `attributes`."""

    certificate: x509.Certificate = field(repr=False)
    scheme: Scheme
    attributes: bytes = field(repr=False)
    """As `to_sign` gave them."""
    value: bytes = field(repr=False)


def scheme_for(certificate: x509.Certificate, rsa: RsaPadding = RsaPadding.PKCS1) -> Scheme:
    """The scheme for a certificate's key: a hash as strong as the key (RFC 8551 section 2.2).

    Raises:
        SignatureInvalid, Unsupported: a key that may not sign.
    """
    key = public_key_of(certificate)
    if isinstance(key, Ed25519PublicKey):
        return Scheme(SHA512, ED25519)
    if isinstance(key, EllipticCurvePublicKey):
        curves = {SECP256R1.name: SHA256, SECP384R1.name: SHA384}
        digest = curves.get(key.curve.name, SHA512)
        return Scheme(digest, next(oid for oid, own in ECDSA_WITH.items() if own == digest))
    return Scheme(SHA256, RSA_PSS if rsa is RsaPadding.PSS else RSA)


def to_sign(content: bytes, certificate: x509.Certificate, scheme: Scheme, at: datetime) -> bytes:
    """The signed attributes, as the SET OF in DER that the signature covers.

    Args:
        content: the entity, header and body, in CRLF: it is hashed as it stands.
        certificate: of the key that will sign; bound to the signature (RFC 5035).
        scheme: see `scheme_for`.
        at: the signing time, with offset.
    """
    digest = HASHES[scheme.digest]
    certificate_hash = digest_of(HASHES[SHA256], certificate.public_bytes(Encoding.DER))
    attributes = (
        (CONTENT_TYPE, cms.ContentType("data")),
        (SIGNING_TIME, _time(at)),
        (MESSAGE_DIGEST, core.OctetString(digest_of(digest, content))),
        (SIGNING_CERTIFICATE_V2, tsp.SigningCertificateV2({"certs": [_named(certificate_hash)]})),
        (
            _CAPABILITIES,
            cms.SMIMECapabilites([{"capability_id": oid} for oid in _OUR_CAPABILITIES]),
        ),
        (
            ALGORITHM_PROTECTION,
            cms.CMSAlgorithmProtection(
                {
                    "digest_algorithm": {"algorithm": scheme.digest},
                    "signature_algorithm": _signature_algorithm(scheme),
                }
            ),
        ),
    )
    encoded: bytes = cms.CMSAttributes(
        [cms.CMSAttribute({"type": oid, "values": [value]}) for oid, value in attributes]
    ).dump()
    return encoded


def sign_attributes(attributes: bytes, key: SigningKey, scheme: Scheme) -> bytes:
    """The signature value, by a key that is at hand."""
    digest = HASHES[scheme.digest]
    if isinstance(key, RSAPrivateKey):
        if scheme.signature == RSA_PSS:
            mask = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return key.sign(attributes, mask, digest)
        return key.sign(attributes, padding.PKCS1v15(), digest)
    if isinstance(key, EllipticCurvePrivateKey):
        return key.sign(attributes, ec.ECDSA(digest))
    return key.sign(attributes)


def signed_data(
    signatures: Sequence[Signature],
    chain: Sequence[x509.Certificate] = (),
    content: bytes | None = None,
) -> bytes:
    """A ContentInfo with signed-data, in DER.

    Args:
        signatures: at least one.
        chain: intermediates to embed besides the signers' certificates; never the root.
        content: for an opaque signature; None for a detached one.

    Raises:
        ValueError: no signature.
    """
    if not signatures:
        raise ValueError("signed-data needs a signature")
    certificates = dict.fromkeys((*(one.certificate for one in signatures), *chain))
    inside: dict[str, object] = {"content_type": "data"}
    if content is not None:
        inside["content"] = content
    hashes = dict.fromkeys(one.scheme.digest for one in signatures)
    encoded: bytes = cms.ContentInfo(
        {
            "content_type": "signed_data",
            "content": cms.SignedData(
                {
                    "version": "v1",
                    "digest_algorithms": [{"algorithm": oid} for oid in hashes],
                    "encap_content_info": inside,
                    "certificates": [_decoded(one) for one in certificates],
                    "signer_infos": [_signer_info(one) for one in signatures],
                }
            ),
        }
    ).dump()
    return encoded


def multipart_signed(entity: bytes, signature: bytes, scheme: Scheme, boundary: str) -> Entity:
    """A multipart/signed (RFC 8551 section 3.5.3) around an entity that is not changed.

    Args:
        entity: exactly the octets that were signed.
        signature: detached signed-data.
        scheme: of the (first) signature.
        boundary: made once by the caller.

    Raises:
        ValueError: the boundary is malformed or occurs in the entity.
    """
    stop = entity.find(b"\r\n\r\n")
    if entity.startswith(b"\r\n"):
        signed = Entity(b"", entity[2:])
    elif stop < 0:
        raise ValueError("the entity has no empty line after its header")
    else:
        signed = Entity(entity[: stop + 2], entity[stop + 4 :])
    encoded = base64.b64encode(signature)
    lines = [encoded[at : at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS)]
    header = (
        b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7s"\r\n'
    )
    parts = [signed, Entity(header, b"\r\n".join(lines) + b"\r\n")]
    parameters = (("protocol", _PROTOCOL), ("micalg", scheme.micalg))
    return multipart_entity("signed", boundary, parts, parameters)


def _time(at: datetime) -> cms.Time:
    """UTCTime to 2049, GeneralizedTime after (RFC 8551 section 2.5.1)."""
    if at.tzinfo is None:
        raise ValueError("a signing time needs an offset")
    whole = at.replace(microsecond=0)
    name = "utc_time" if whole.year < 2050 else "generalized_time"
    kind = core.UTCTime if name == "utc_time" else core.GeneralizedTime
    return cms.Time(name=name, value=kind(whole))


def _named(certificate_hash: bytes) -> tsp.ESSCertIDv2:
    """ESSCertIDv2 without its hash algorithm: SHA-256 is the default, which DER leaves out."""
    return tsp.ESSCertIDv2({"cert_hash": certificate_hash})


def _decoded(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def _signer_info(signature: Signature) -> cms.SignerInfo:
    own = _decoded(signature.certificate)
    identity = cms.IssuerAndSerialNumber(
        {"issuer": own.issuer, "serial_number": signature.certificate.serial_number}
    )
    return cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier({"issuer_and_serial_number": identity}),
            "digest_algorithm": {"algorithm": signature.scheme.digest},
            "signed_attrs": cms.CMSAttributes.load(signature.attributes),
            "signature_algorithm": _signature_algorithm(signature.scheme),
            "signature": signature.value,
        }
    )


def _signature_algorithm(scheme: Scheme) -> algos.SignedDigestAlgorithm:
    value: dict[str, object] = {"algorithm": scheme.signature}
    if scheme.signature == RSA:
        value["parameters"] = core.Null()
    elif scheme.signature == RSA_PSS:
        digest = {"algorithm": scheme.digest}
        value["parameters"] = algos.RSASSAPSSParams(
            {
                "hash_algorithm": digest,
                "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": digest},
                "salt_length": HASHES[scheme.digest].digest_size,
            }
        )
    return algos.SignedDigestAlgorithm(value)
