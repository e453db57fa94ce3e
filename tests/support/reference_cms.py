"""CMS objects and signed attributes read with a general decoder: what our own reader is held against.

It differs from what it was made of in its imports, and takes attributes' values of any tag; the values
are those of the package.
"""

import hmac
from datetime import datetime
from typing import Any, ClassVar, Final

from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.wire.smime import cms as own, signature
from mssante.wire.smime.ber import check_encoding
from mssante.wire.smime.cms import (
    DATA,
    Algorithm,
    CmsObject,
    CompressedData,
    EnvelopedData,
    Identity,
    KeyAgreement,
    KeyTransport,
    Recipient,
    SignedData,
    SignerInfo,
)
from mssante.wire.smime.decoder import decoded
from mssante.wire.smime.errors import Malformed, SignatureInvalid, Unsupported
from mssante.wire.smime.keys import digest_of, strong_hash
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits
from mssante.wire.smime.signature import (
    ALGORITHM_PROTECTION,
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    SIGNING_CERTIFICATE,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    Verified,
)

_SIGNED: Final = "1.2.840.113549.1.7.2"
_ENVELOPED: Final = "1.2.840.113549.1.7.3"
_AUTH_ENVELOPED: Final = "1.2.840.113549.1.9.16.1.23"
_COMPRESSED: Final = "1.2.840.113549.1.9.16.1.9"
_DER: Final = Encoding.DER


class _AnyValues(core.SetOf):  # type: ignore[misc]
    _child_spec = core.Any


class _RawAttribute(core.Sequence):  # type: ignore[misc]
    # The library rewrites this list in place.
    _fields: ClassVar[list[tuple[str, type]]] = [
        ("type", core.ObjectIdentifier),
        ("values", _AnyValues),
    ]


class _RawAttributes(core.SetOf):  # type: ignore[misc]
    _child_spec = _RawAttribute


def read_cms(encoded: bytes, limits: SmimeLimits = DEFAULT_LIMITS) -> CmsObject:
    """Read a ContentInfo.

    Raises:
        Malformed: not BER, not the structure that its type promises, or over a limit.
        Unsupported: another type of content.
    """
    if len(encoded) > limits.max_content_bytes:
        raise Malformed("too-large")
    check_encoding(
        encoded, max_depth=limits.max_encoding_depth, max_elements=limits.max_encoding_elements
    )
    return decoded(lambda: _read(encoded, limits))


def attributes_of(encoded: bytes) -> dict[str, tuple[bytes, ...]]:
    """The values of a SET OF Attribute, by dotted type.

    Raises:
        Malformed: the structure, or a type that occurs twice (RFC 5652 section 5.3).
    """
    return decoded(lambda: _attributes(encoded))


def _attributes(encoded: bytes) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in _RawAttributes.load(encoded, strict=True):
        oid: str = attribute["type"].dotted
        if oid in found:
            raise Malformed("duplicate-attribute")
        found[oid] = tuple(_any(value) for value in attribute["values"])
    return found


def _any(value: Any) -> bytes:
    """The decoder takes an element of any class for a type that has its number."""
    header, contents = value._header, value.contents
    if not header[0] & 0xC0 and header[0] & 0x1F not in (0, 14, 15, 31):
        octets: bytes = value.dump()
        return octets
    length = core.Asn1Value(tag=0, class_=0, method=0, contents=contents).dump()
    if not value._trailer:
        return bytes(header + contents)
    return bytes(header[:-1] + length[1:])


def _read(encoded: bytes, limits: SmimeLimits) -> CmsObject:
    info = cms.ContentInfo.load(encoded)
    kind = info["content_type"].dotted
    content = info["content"]
    match kind:
        case _ if kind == _SIGNED:
            return _signed(content, limits)
        case _ if kind == _ENVELOPED:
            inside = content["encrypted_content_info"]
            return _enveloped(content, inside, None, None, limits)
        case _ if kind == _AUTH_ENVELOPED:
            inside = content["auth_encrypted_content_info"]
            authenticated = _set_of(content["auth_attrs"])
            return _enveloped(content, inside, bytes(content["mac"]), authenticated, limits)
        case _ if kind == _COMPRESSED:
            inside = content["encap_content_info"]
            return CompressedData(
                content["compression_algorithm"]["algorithm"].dotted, _needed(inside["content"])
            )
        case _:
            raise Unsupported("content-type")


def _signed(data: Any, limits: SmimeLimits) -> SignedData:
    inside = data["encap_content_info"]
    certificates = _choices(data["certificates"], "certificate", limits)
    lists = _choices(data["crls"], "crl", limits)
    return SignedData(
        inside["content_type"].dotted,
        _octets(inside["content"]),
        tuple(_signer(info) for info in _bounded(data["signer_infos"], limits.max_signers)),
        tuple(own._readable(own._load_certificate, certificates)),
        tuple(own._readable(own._load_list, lists)),
    )


def _choices(choices: Any, name: str, limits: SmimeLimits) -> list[bytes]:
    if _absent(choices):
        return []
    return [
        choice.chosen.dump()
        for choice in _bounded(choices, limits.max_certificates)
        if choice.name == name
    ]


def _signer(info: Any) -> SignerInfo:
    signed = _set_of(info["signed_attrs"])
    return SignerInfo(
        _identity(info["sid"]),
        _algorithm(info["digest_algorithm"]),
        _algorithm(info["signature_algorithm"]),
        bytes(info["signature"]),
        signed,
        {} if signed is None else _attributes(signed),
    )


def _enveloped(
    data: Any, inside: Any, tag: bytes | None, authenticated: bytes | None, limits: SmimeLimits
) -> EnvelopedData:
    if inside["content_type"].dotted != DATA:
        raise Unsupported("inner-content-type")
    infos = _bounded(data["recipient_infos"], limits.max_recipients)
    recipients = [_recipient(info) for info in infos]
    return EnvelopedData(
        tuple(one for one in recipients if one is not None),
        _algorithm(inside["content_encryption_algorithm"]),
        _needed(inside["encrypted_content"]),
        tag,
        authenticated,
    )


def _recipient(info: Any) -> Recipient | None:
    chosen = info.chosen
    if info.name == "ktri":
        return KeyTransport(
            _identity(chosen["rid"]),
            _algorithm(chosen["key_encryption_algorithm"]),
            bytes(chosen["encrypted_key"]),
        )
    originator = chosen["originator"] if info.name == "kari" else None
    if originator is None or originator.name != "originator_key":
        return None
    # Keys without curve parameters are usual here, and the typed decoder insists on them.
    key = core.Sequence.load(originator.chosen.untag().dump())
    return KeyAgreement(
        _plain_algorithm(key[0]),
        bytes(key[1])[1:] if isinstance(key[1], core.OctetString) else key[1].contents[1:],
        _octets(chosen["ukm"]),
        _algorithm(chosen["key_encryption_algorithm"]),
        tuple(
            (_identity(one["rid"]), bytes(one["encrypted_key"]))
            for one in chosen["recipient_encrypted_keys"]
        ),
    )


def _identity(choice: Any) -> Identity:
    chosen = choice.chosen
    if choice.name == "issuer_and_serial_number":
        return Identity(chosen["issuer"].dump(), chosen["serial_number"].native, None)
    if choice.name == "r_key_id":
        return Identity(None, None, bytes(chosen["subject_key_identifier"]))
    return Identity(None, None, bytes(chosen))


def _algorithm(value: Any) -> Algorithm:
    """Decoded without its schema: an odd parameter is judged where the algorithm is used."""
    return _plain_algorithm(core.Sequence.load(value.dump()))


def _plain_algorithm(value: Any) -> Algorithm:
    return Algorithm(value[0].dotted, value[1].dump() if len(value) > 1 else None)


def _set_of(attributes: Any) -> bytes | None:
    """Attributes under the tag SET OF in place of their implicit one (RFC 5652 section 5.4)."""
    if _absent(attributes):
        return None
    octets: bytes = attributes.untag().dump()
    return octets


def _needed(value: Any) -> bytes:
    octets = _octets(value)
    if octets is None:
        raise Malformed("content-absent")
    return octets


def _octets(value: Any) -> bytes | None:
    if _absent(value):
        return None
    if not isinstance(value, core.OctetString | core.ParsableOctetString):
        raise Unsupported("inner-content-type")
    return bytes(value)


def _absent(value: Any) -> bool:
    return isinstance(value, core.Void)


def _bounded(values: Any, limit: int) -> Any:
    if len(values) > limit:
        raise Malformed("too-many")
    return values


def verify(signer: SignerInfo, content_type: str, content: bytes, certificate: Any) -> Verified:
    """`signature.verify` for one reading of a content and a signature with attributes."""
    digest = strong_hash(signer.digest.oid)
    if _single(signer, CONTENT_TYPE, core.ObjectIdentifier).dotted != content_type:
        raise SignatureInvalid("content-type-mismatch")
    expected = bytes(_single(signer, MESSAGE_DIGEST, core.OctetString))
    if digest_of(digest, content) != expected:
        raise SignatureInvalid("digest-mismatch")
    _check_algorithm_protection(signer)
    _check_signing_certificate(signer, certificate)
    signature._verify_attributes(signer, certificate)
    return Verified(content, _signing_time(signer))


def _single(signer: SignerInfo, oid: str, kind: Any) -> Any:
    """The one value of an attribute that must be there."""
    values = signer.attributes.get(oid, ())
    if len(values) != 1:
        raise Malformed("attribute-not-single")
    return decoded(lambda: kind.load(values[0], strict=True))


def _signing_time(signer: SignerInfo) -> datetime | None:
    if SIGNING_TIME not in signer.attributes:
        return None
    value = _single(signer, SIGNING_TIME, cms.Time)
    moment: datetime = decoded(lambda: value.native)
    return moment


def _check_algorithm_protection(signer: SignerInfo) -> None:
    """RFC 6211: the algorithms outside the signature are those that the signer wrote inside."""
    if ALGORITHM_PROTECTION not in signer.attributes:
        return
    inside = _single(signer, ALGORITHM_PROTECTION, cms.CMSAlgorithmProtection)
    digest = decoded(lambda: inside["digest_algorithm"]["algorithm"].dotted)
    algorithm = decoded(lambda: inside["signature_algorithm"]["algorithm"].dotted)
    if digest != signer.digest.oid or algorithm != signer.algorithm.oid:
        raise SignatureInvalid("algorithm-mismatch")


def _check_signing_certificate(signer: SignerInfo, certificate: x509.Certificate) -> None:
    """RFC 5035: the first certificate named inside is the one that verifies the signature."""
    encoded = certificate.public_bytes(_DER)
    if SIGNING_CERTIFICATE_V2 in signer.attributes:
        value = _single(signer, SIGNING_CERTIFICATE_V2, tsp.SigningCertificateV2)
        named = decoded(lambda: value["certs"][0])
        oid = decoded(lambda: named["hash_algorithm"]["algorithm"].dotted)
        digest = digest_of(strong_hash(oid), encoded)
    elif SIGNING_CERTIFICATE in signer.attributes:
        value = _single(signer, SIGNING_CERTIFICATE, tsp.SigningCertificate)
        named = decoded(lambda: value["certs"][0])
        # RFC 2634 knows no other hash here; a collision would have to be a certificate of a CA.
        digest = digest_of(hashes.SHA1(), encoded)  # noqa: S303
    else:
        return
    if not hmac.compare_digest(digest, decoded(lambda: bytes(named["cert_hash"]))):
        raise SignatureInvalid("signing-certificate-mismatch")
