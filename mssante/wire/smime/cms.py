"""Reading CMS objects (RFC 5652, RFC 5083, RFC 3274) into plain values.

BER is accepted as RFC 5652 wants, indefinite lengths included. What an object says is not judged
here: `signature` and `decryption` do that. `asn1crypto` stays behind this module.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar

from asn1crypto import cms, core
from cryptography import x509

from mssante.wire.smime.ber import check_encoding
from mssante.wire.smime.errors import Malformed, Unsupported
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits

DATA: Final = "1.2.840.113549.1.7.1"
_SIGNED: Final = "1.2.840.113549.1.7.2"
_ENVELOPED: Final = "1.2.840.113549.1.7.3"
_AUTH_ENVELOPED: Final = "1.2.840.113549.1.9.16.1.23"
_COMPRESSED: Final = "1.2.840.113549.1.9.16.1.9"

_DECODER_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
)
"""What the decoder raises for a structure that is not what its tag promised."""

_MOST_REMEMBERED: Final = 8192
"""Octets of a certificate that is kept in memory."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An AlgorithmIdentifier."""

    oid: str
    """Dotted."""
    parameters: bytes | None
    """As encoded in the message; None where absent."""


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Which certificate is meant: issuer and serial number, or a key identifier."""

    issuer: bytes | None
    """The issuer's Name as encoded."""
    serial: int | None
    key_id: bytes | None


@dataclass(frozen=True, slots=True, repr=False)
class SignerInfo:
    """One signature (RFC 5652 section 5.3)."""

    identity: Identity
    digest: Algorithm
    algorithm: Algorithm
    signature: bytes
    signed_octets: bytes | None
    """The signed attributes as SET OF, which is what the signature covers; None without them."""
    attributes: dict[str, tuple[bytes, ...]]
    """Encoded values of the signed attributes, by dotted type."""


@dataclass(frozen=True, slots=True, repr=False)
class SignedData:
    """A signed-data object (RFC 5652 section 5.1)."""

    content_type: str
    content: bytes | None
    """None in a detached signature."""
    signers: tuple[SignerInfo, ...]
    certificates: tuple[x509.Certificate, ...]
    """Those embedded that can be read; in no particular order, and trusted for nothing."""
    revocation_lists: tuple[x509.CertificateRevocationList, ...]


@dataclass(frozen=True, slots=True, repr=False)
class KeyTransport:
    """The content key encrypted for an RSA key (RFC 5652 section 6.2.1)."""

    recipient: Identity
    algorithm: Algorithm
    encrypted_key: bytes


@dataclass(frozen=True, slots=True, repr=False)
class KeyAgreement:
    """The content key wrapped under an agreed key (RFC 5652 section 6.2.2, RFC 5753)."""

    originator_algorithm: Algorithm
    originator_point: bytes
    user_material: bytes | None
    scheme: Algorithm
    wrapped_keys: tuple[tuple[Identity, bytes], ...]


Recipient = KeyTransport | KeyAgreement


@dataclass(frozen=True, slots=True, repr=False)
class EnvelopedData:
    """An enveloped-data or authenticated-enveloped-data object."""

    recipients: tuple[Recipient, ...]
    """Those of the two known kinds."""
    cipher: Algorithm
    ciphertext: bytes
    tag: bytes | None
    """The authentication tag; None in enveloped-data, which has none."""
    authenticated_octets: bytes | None
    """The authenticated attributes as SET OF, additional data of the cipher; None without."""


@dataclass(frozen=True, slots=True, repr=False)
class CompressedData:
    """A compressed-data object (RFC 3274)."""

    algorithm: str
    content: bytes


CmsObject = SignedData | EnvelopedData | CompressedData


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


def decoded(read: Callable[[], Value]) -> Value:
    """What `read` gives; an error of the decoder becomes `Malformed`.

    Raises:
        Malformed: asn1-structure, or what `read` itself raises.
    """
    try:
        return read()
    except (Malformed, Unsupported):
        raise
    except _DECODER_ERRORS:
        raise Malformed("asn1-structure") from None


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
        found[oid] = tuple(value.dump() for value in attribute["values"])
    return found


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
        tuple(_readable(_load_certificate, certificates)),
        tuple(_readable(_load_list, lists)),
    )


def _choices(choices: Any, name: str, limits: SmimeLimits) -> list[bytes]:
    if _absent(choices):
        return []
    return [
        choice.chosen.dump()
        for choice in _bounded(choices, limits.max_certificates)
        if choice.name == name
    ]


def _readable(load: Callable[[bytes], Value], encodings: Iterable[bytes]) -> Iterable[Value]:
    """Leave out what cannot be read: an odd certificate beside a signature proves nothing."""
    for encoding in encodings:
        try:
            yield load(encoding)
        except (ValueError, TypeError, x509.InvalidVersion):
            continue


def _load_certificate(encoding: bytes) -> x509.Certificate:
    """The same few certificates come with most messages: they are remembered, but for huge ones."""
    return (
        _remembered(encoding) if len(encoding) <= _MOST_REMEMBERED else _read_certificate(encoding)
    )


def _read_certificate(encoding: bytes) -> x509.Certificate:
    """The library reads names and dates late: what is broken must show itself here."""
    certificate = x509.load_der_x509_certificate(encoding)
    _ = certificate.subject, certificate.issuer
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate


_remembered: Final = lru_cache(maxsize=512)(_read_certificate)


def _load_list(encoding: bytes) -> x509.CertificateRevocationList:
    found = x509.load_der_x509_crl(encoding)
    _ = found.issuer, found.next_update_utc
    return found


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
