"""Reading CMS objects (RFC 5652, RFC 5083, RFC 3274) into plain values.

BER is accepted as RFC 5652 wants, indefinite lengths included. What an object says is not judged
here: `signature` and `decryption` do that. Versions are not looked at where nothing depends on them,
and fields behind those that the structures have are passed over.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from cryptography import x509

from mssante.wire.smime.ber import check_encoding
from mssante.wire.smime.elements import (
    INTEGER,
    SEQUENCE,
    SET,
    Element,
    Fields,
    broken,
    element_at,
    element_of,
    encoded,
)
from mssante.wire.smime.errors import Malformed, Unsupported
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits

DATA: Final = "1.2.840.113549.1.7.1"
_SIGNED: Final = "1.2.840.113549.1.7.2"
_ENVELOPED: Final = "1.2.840.113549.1.7.3"
_AUTH_ENVELOPED: Final = "1.2.840.113549.1.9.16.1.23"
_COMPRESSED: Final = "1.2.840.113549.1.9.16.1.9"

_STRUCTURES: Final = frozenset(
    (
        _SIGNED,
        _ENVELOPED,
        _AUTH_ENVELOPED,
        _COMPRESSED,
        "1.2.840.113549.1.7.4",  # signedAndEnvelopedData of PKCS #7
        "1.2.840.113549.1.7.5",  # digested-data
        "1.2.840.113549.1.7.6",  # encrypted-data
        "1.2.840.113549.1.9.16.1.2",  # authenticated-data
        "1.2.840.113549.1.9.16.1.31",  # timestamped data
    )
)
"""Types of content that are a SEQUENCE."""
_TIME_STAMP: Final = "1.2.840.113549.1.9.16.1.4"
"""TSTInfo of a time-stamp, a SEQUENCE too where it stands inside a signature."""

_NAMES: Final = frozenset((SEQUENCE,))
"""Name (RFC 5280 section 4.1.2.4), a CHOICE of one."""
_KEY_ID: Final = 0x80
_IDENTITIES: Final = frozenset((SEQUENCE, _KEY_ID))
_RECIPIENT_KEY_ID: Final = 0xA0
_AGREEMENT_RECIPIENTS: Final = frozenset((SEQUENCE, _RECIPIENT_KEY_ID))
_CERTIFICATES: Final = frozenset((SEQUENCE, 0xA0, 0xA1, 0xA2, 0xA3))
"""CertificateChoices (RFC 5652 section 10.2.2): a certificate, and four forms that are left out."""
_VERSION_1_ATTRIBUTES: Final = 0xA1
_REVOCATIONS: Final = frozenset((SEQUENCE, 0xA1))
"""RevocationInfoChoice (RFC 5652 section 10.2.1): a list, and what is left out."""
_KEY_TRANSPORT: Final = SEQUENCE
_KEY_AGREEMENT: Final = 0xA1
_RECIPIENTS: Final = frozenset((_KEY_TRANSPORT, _KEY_AGREEMENT, 0xA2, 0xA3, 0xA4))
"""RecipientInfo (RFC 5652 section 6.2)."""
_ORIGINATOR_KEY: Final = 0xA1
_ORIGINATORS: Final = frozenset((SEQUENCE, _KEY_ID, _ORIGINATOR_KEY))
"""OriginatorIdentifierOrKey (RFC 5652 section 6.2.2)."""

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


def read_cms(encoding: bytes, limits: SmimeLimits = DEFAULT_LIMITS) -> CmsObject:
    """Read a ContentInfo.

    Raises:
        Malformed: not BER, not the structure that its type promises, or over a limit.
        Unsupported: another type of content.
    """
    if len(encoding) > limits.max_content_bytes:
        raise Malformed("too-large")
    _check(encoding, limits)
    kind, content = _content_info(element_of(encoding))
    if kind not in (_SIGNED, _ENVELOPED, _AUTH_ENVELOPED, _COMPRESSED):
        raise Unsupported("content-type")
    if content is None:
        raise broken()
    match kind:
        case _ if kind == _SIGNED:
            return _signed(Fields(content), limits)
        case _ if kind == _COMPRESSED:
            return _compressed(Fields(content))
        case _:
            return _enveloped(Fields(content), limits, authenticated=kind == _AUTH_ENVELOPED)


def attributes_of(encoding: bytes) -> dict[str, tuple[bytes, ...]]:
    """The values of a SET OF Attribute, by dotted type.

    Raises:
        Malformed: not BER, another structure, over a limit, or a type that occurs twice (RFC 5652
            section 5.3).
    """
    attributes = element_of(encoding).expect(SET)
    # Nobody has walked over these octets, which may be any content.
    _check(encoded(SEQUENCE, attributes.contents()), DEFAULT_LIMITS)
    return _attributes(attributes.inside(SET))


def _check(encoding: bytes, limits: SmimeLimits) -> None:
    check_encoding(
        encoding, max_depth=limits.max_encoding_depth, max_elements=limits.max_encoding_elements
    )


def _attributes(attributes: Iterable[Element]) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in attributes:
        fields = Fields(attribute)
        kind, values = fields.take(), fields.take()
        oid = kind.identifier()
        if oid in found:
            raise Malformed("duplicate-attribute")
        # A value may be a CHOICE, whose tags are of the context: the preference for an encryption key
        # of RFC 8551 section 2.5.2, in most mail that is signed by hand, is one.
        found[oid] = tuple([value.definite() for value in values.inside(SET)])
    return found


def _content_info(info: Element) -> tuple[str, Element | None]:
    """The type and the content, which is checked to be what a known type promises."""
    fields = Fields(info)
    kind = fields.take().identifier()
    if not fields:
        return kind, None
    content = fields.take().explicit(0)
    if kind == DATA:
        content.string()
    elif kind in _STRUCTURES:
        content.expect(SEQUENCE)
    return kind, content


def _signed(fields: Fields, limits: SmimeLimits) -> SignedData:
    version = fields.take().integer()
    fields.take()
    inside = fields.take()
    certificates, lists = fields.optional(0), fields.optional(1)
    signers = fields.take()
    inside.expect(SEQUENCE)
    certificate_encodings = _certificates(certificates, limits)
    list_encodings = _revocation_lists(lists, limits)
    # Version 1 is also that of PKCS #7, where any content stands in place of an OCTET STRING.
    kind, content = _any_content(inside) if version == 1 else _encapsulated(inside)
    return SignedData(
        kind,
        content,
        tuple([_signer(info) for info in _bounded(signers.inside(SET), limits.max_signers)]),
        tuple(_readable(_load_certificate, certificate_encodings)),
        tuple(_readable(_load_list, list_encodings)),
    )


def _any_content(inside: Element) -> tuple[str, bytes | None]:
    kind, content = _content_info(inside)
    if content is None:
        return kind, None
    if kind != DATA:
        raise Unsupported("inner-content-type")
    return kind, content.octets()


def _encapsulated(inside: Element) -> tuple[str, bytes | None]:
    """An EncapsulatedContentInfo (RFC 5652 section 5.2)."""
    fields = Fields(inside)
    kind, content = fields.take().identifier(), fields.optional(0)
    if content is None:
        return kind, None
    octets = content.explicit(0).octets()
    if kind in _STRUCTURES or kind == _TIME_STAMP:
        element_at(octets, 0, len(octets)).expect(SEQUENCE)
    return kind, octets


def _certificates(field: Element | None, limits: SmimeLimits) -> list[bytes]:
    choices = _choices(field, 0xA0, _CERTIFICATES, limits)
    for choice in choices:
        if choice.tag == _VERSION_1_ATTRIBUTES:
            _check_version_named(choice)
    return [choice.encoding() for choice in choices if choice.tag == SEQUENCE]


def _check_version_named(choice: Element) -> None:
    """An attribute certificate under the tag of version 1 must say which version it has."""
    information = element_at(choice.data, choice.content, choice.stop)
    Fields(information).take().expect(INTEGER)


def _revocation_lists(field: Element | None, limits: SmimeLimits) -> list[bytes]:
    choices = _choices(field, 0xA1, _REVOCATIONS, limits)
    return [choice.encoding() for choice in choices if choice.tag == SEQUENCE]


def _choices(
    field: Element | None, tag: int, allowed: frozenset[int], limits: SmimeLimits
) -> list[Element]:
    if field is None:
        return []
    return [
        choice.chosen(allowed) for choice in _bounded(field.inside(tag), limits.max_certificates)
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


def _signer(info: Element) -> SignerInfo:
    fields = Fields(info)
    fields.take()
    identity, digest = fields.take(), fields.take()
    signed = fields.optional(0)
    algorithm, signature = fields.take(), fields.take()
    attributes = () if signed is None else signed.inside(0xA0)
    return SignerInfo(
        _identity(identity),
        _algorithm(digest),
        _algorithm(algorithm),
        signature.octets(),
        _set_of(signed),
        _attributes(attributes),
    )


def _compressed(fields: Fields) -> CompressedData:
    fields.take()
    algorithm, inside = fields.take(), fields.take()
    _, content = _encapsulated(inside)
    return CompressedData(Fields(algorithm).take().identifier(), _needed(content))


def _enveloped(fields: Fields, limits: SmimeLimits, *, authenticated: bool) -> EnvelopedData:
    fields.take()
    fields.optional(0)
    recipients, inside = fields.take(), Fields(fields.take())
    attributes, tag = None, None
    if authenticated:
        attributes = fields.optional(1)
        tag = fields.take().octets()
    additional = _set_of(attributes, 0xA1)
    kind, cipher, ciphertext = inside.take(), inside.take(), inside.optional(0)
    if kind.identifier() != DATA:
        raise Unsupported("inner-content-type")
    infos = _bounded(recipients.inside(SET), limits.max_recipients)
    found = [one for info in infos if (one := _recipient(info)) is not None]
    if sum(map(_named, found)) > limits.max_recipients:
        raise Malformed("too-many")
    return EnvelopedData(
        tuple(found),
        _algorithm(cipher),
        _needed(None if ciphertext is None else ciphertext.octets(0x80)),
        tag,
        additional,
    )


def _recipient(info: Element) -> Recipient | None:
    kind = info.chosen(_RECIPIENTS).tag
    if kind == _KEY_TRANSPORT:
        return _key_transport(Fields(info))
    return _key_agreement(Fields(info, kind)) if kind == _KEY_AGREEMENT else None


def _named(recipient: Recipient) -> int:
    """How many one RecipientInfo is for: a key agreement is for any number."""
    return 1 if isinstance(recipient, KeyTransport) else len(recipient.wrapped_keys)


def _key_transport(fields: Fields) -> KeyTransport:
    fields.take()
    identity, algorithm, key = fields.take(), fields.take(), fields.take()
    return KeyTransport(_identity(identity), _algorithm(algorithm), key.octets())


def _key_agreement(fields: Fields) -> KeyAgreement | None:
    fields.take()
    chosen = fields.take().explicit(0).chosen(_ORIGINATORS)
    material, scheme, keys = fields.optional(1), fields.take(), fields.take()
    if chosen.tag != _ORIGINATOR_KEY:
        return None
    originator = Fields(chosen, _ORIGINATOR_KEY)
    algorithm, point = originator.take(), originator.take()
    return KeyAgreement(
        _algorithm(algorithm),
        # Behind the number of unused bits.
        point.untyped().contents()[1:],
        None if material is None else material.explicit(1).octets(),
        _algorithm(scheme),
        tuple([_wrapped_key(Fields(each)) for each in keys.inside(SEQUENCE)]),
    )


def _wrapped_key(fields: Fields) -> tuple[Identity, bytes]:
    recipient, key = fields.take(), fields.take()
    if recipient.chosen(_AGREEMENT_RECIPIENTS).tag == SEQUENCE:
        return _issuer_and_serial(recipient), key.octets()
    key_id = Fields(recipient, _RECIPIENT_KEY_ID).take().octets()
    return Identity(None, None, key_id), key.octets()


def _identity(choice: Element) -> Identity:
    """A SignerIdentifier or RecipientIdentifier (RFC 5652 sections 5.3 and 6.2.1)."""
    if choice.chosen(_IDENTITIES).tag == _KEY_ID:
        return Identity(None, None, choice.contents())
    return _issuer_and_serial(choice)


def _issuer_and_serial(element: Element) -> Identity:
    fields = Fields(element)
    issuer, serial = fields.take().chosen(_NAMES), fields.take()
    return Identity(issuer.encoding(), serial.integer(), None)


def _algorithm(element: Element) -> Algorithm:
    """Whatever the parameters are: they are judged where the algorithm is used."""
    fields = Fields(element)
    oid = fields.take().untyped_identifier()
    return Algorithm(oid, fields.take().encoding() if fields else None)


def _set_of(attributes: Element | None, tag: int = 0xA0) -> bytes | None:
    """Attributes under the tag SET OF in place of their implicit one (RFC 5652 section 5.4)."""
    return None if attributes is None else encoded(SET, attributes.expect(tag).contents())


def _needed(content: bytes | None) -> bytes:
    if content is None:
        raise Malformed("content-absent")
    return content


def _bounded(elements: list[Element], limit: int) -> list[Element]:
    if len(elements) > limit:
        raise Malformed("too-many")
    return elements
