"""Detached signatures by splicing: what is constant is built once, the rest is put between.

Putting signed-data together with a general encoder takes milliseconds. From one message to the next
only a digest, a time and the signature differ; from one key to the next the certificates and their
names. `signing` remains the description: what is spliced here is cut out of what it builds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.wire.smime.elements import INTEGER, OCTET_STRING, SEQUENCE, SET, encoded
from mssante.wire.smime.keys import SHA256
from mssante.wire.smime.signing import (
    Scheme,
    Signature,
    SigningKey,
    scheme_for,
    sign_attributes,
    signed_data,
    to_sign,
)

_SAMPLE: Final = b"a content whose digest stands nowhere else"
_SAMPLE_TIME: Final = datetime(2031, 7, 19, 13, 17, 23, tzinfo=UTC)
_FIRST_GENERALIZED: Final = 2050
_OUTER: Final = 0xA0
_DETERMINISTIC: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


class SignatureTemplate:
    """Detached signatures by one key whose scheme hashes with SHA-256."""

    def __init__(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate] = ()
    ) -> None:
        """`chain` is embedded besides the certificate; never the root.

        Raises:
            SignatureInvalid, Unsupported: a key that may not sign.
            ValueError: a key that signs with another hash than SHA-256.
        """
        scheme = scheme_for(certificate)
        if scheme.digest != SHA256:
            raise ValueError("templates are for keys that sign with SHA-256")
        self.scheme: Scheme = scheme
        skeleton = _SKELETONS.get(scheme)
        if skeleton is None:
            skeleton = _SKELETONS[scheme] = _Skeleton.of(certificate, scheme)
        own = certificate.public_bytes(Encoding.DER)
        self._attributes = skeleton.attributes.filled(_CERTIFICATE, sha256(own).digest())
        embedded = {own, *(one.public_bytes(Encoding.DER) for one in chain)}
        # A set in DER is in the order of its encodings (X.690 section 11.6).
        self._head = skeleton.head + encoded(_OUTER, b"".join(sorted(embedded)))
        identity = certificate.issuer.public_bytes() + _integer(certificate.serial_number)
        self._signer_head = skeleton.version + encoded(SEQUENCE, identity) + skeleton.digest
        self._type, self._algorithm = skeleton.type, skeleton.algorithm

    def attributes(self, digest: bytes, at: datetime) -> bytes:
        """What `signing.to_sign` gives for a content with this SHA-256.

        Raises:
            ValueError: a time without offset, or after 2049, which is written in another form.
        """
        if at.tzinfo is None or at.astimezone(UTC).year >= _FIRST_GENERALIZED:
            raise ValueError("a signing time has an offset and lies before 2050")
        return self._attributes.filled(_DIGEST, digest).filled(_TIME, _utc_time(at)).octets()

    def signed(self, attributes: bytes, value: bytes) -> bytes:
        """What `signing.signed_data` gives for these attributes and their signature."""
        signer = encoded(
            SEQUENCE,
            self._signer_head
            + bytes((_OUTER,))
            + attributes[1:]
            + self._algorithm
            + encoded(OCTET_STRING, value),
        )
        data = encoded(SEQUENCE, self._head + encoded(SET, signer))
        return encoded(SEQUENCE, self._type + encoded(_OUTER, data))

    def sign(self, digest: bytes, at: datetime, key: SigningKey) -> bytes:
        """Detached signed-data over a content with this SHA-256: the same arguments, the same bytes
        (RFC 6979 for ECDSA).
        """
        attributes = self.attributes(digest, at)
        if isinstance(key, EllipticCurvePrivateKey):
            return self.signed(attributes, key.sign(attributes, _DETERMINISTIC))
        return self.signed(attributes, sign_attributes(attributes, key, self.scheme))


_DIGEST: Final = "digest"
_TIME: Final = "time"
_CERTIFICATE: Final = "certificate"


@dataclass(frozen=True, slots=True)
class _Cut:
    """Octets with places to fill: names among pieces."""

    pieces: tuple[bytes | str, ...]

    @classmethod
    def of(cls, octets: bytes, places: Mapping[str, bytes]) -> "_Cut":
        found = sorted((octets.index(value), name) for name, value in places.items())
        if any(octets.count(value) != 1 for value in places.values()):
            raise ValueError("the places to fill are not single")
        pieces: list[bytes | str] = []
        position = 0
        for at, name in found:
            pieces += (octets[position:at], name)
            position = at + len(places[name])
        return cls((*pieces, octets[position:]))

    def filled(self, name: str, value: bytes) -> "_Cut":
        return _Cut(tuple(value if piece == name else piece for piece in self.pieces))

    def octets(self) -> bytes:
        return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """What is the same for all keys of one scheme."""

    type: bytes
    head: bytes
    """Version, digest algorithms and content of the signed-data."""
    version: bytes
    digest: bytes
    algorithm: bytes
    attributes: _Cut

    @classmethod
    def of(cls, certificate: x509.Certificate, scheme: Scheme) -> "_Skeleton":
        attributes = to_sign(_SAMPLE, certificate, scheme, _SAMPLE_TIME)
        cut = _Cut.of(
            attributes,
            {
                _DIGEST: sha256(_SAMPLE).digest(),
                _TIME: _utc_time(_SAMPLE_TIME),
                _CERTIFICATE: sha256(certificate.public_bytes(Encoding.DER)).digest(),
            },
        )
        whole = signed_data([Signature(certificate, scheme, attributes, b"?" * 64)])
        # ContentInfo: type, [0] SignedData: version, digests, content, certificates, signers.
        kind, explicit = _children(whole, *_contents(whole, 0))
        data_start, data_stop = _contents(whole, explicit[0])
        assert data_stop == len(whole)
        first, _, content, _, signers = _children(whole, *_contents(whole, data_start))
        signer_start, _ = _contents(whole, signers[0])
        version, _, digest, _, algorithm, _ = _children(whole, *_contents(whole, signer_start))
        return cls(
            whole[slice(*kind)],
            whole[first[0] : content[1]],
            whole[slice(*version)],
            whole[slice(*digest)],
            whole[slice(*algorithm)],
            cut,
        )


_SKELETONS: Final[dict[Scheme, _Skeleton]] = {}
"""A handful: one for each signature algorithm."""


def _integer(value: int) -> bytes:
    return encoded(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _utc_time(at: datetime) -> bytes:
    return at.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode("ascii")


def _contents(octets: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the element at a place begin and end; of DER that we wrote."""
    length, start = octets[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(octets[start : start + size], "big"), start + size
    return start, start + length


def _children(octets: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    """The elements between two places."""
    found = []
    while start < stop:
        _, end = _contents(octets, start)
        found.append((start, end))
        start = end
    return found
