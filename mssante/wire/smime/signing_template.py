"""The constant part of a detached signature, built once for each certificate.

Putting signed-data together with a general encoder takes milliseconds; all that differs from one
message to the next is a digest, a time and the signature. `signing` remains the description: what
is spliced here is cut out of what it builds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

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
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_OCTETS: Final = 0x04
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
        attributes = to_sign(_SAMPLE, certificate, scheme, _SAMPLE_TIME)
        self._attributes = _cut(
            attributes, sha256(_SAMPLE).digest(), _utc_time(_SAMPLE_TIME).encode("ascii")
        )
        whole = signed_data([Signature(certificate, scheme, attributes, b"?" * 64)], chain)
        # ContentInfo: type, [0] SignedData: version, digests, content, certificates, signers.
        kind, explicit = _children(whole, *_contents(whole, 0))
        data_start, data_stop = _contents(whole, explicit[0])
        *constant, signers = _children(whole, *_contents(whole, data_start))
        assert data_stop == len(whole)
        signer_start, _ = _contents(whole, signers[0])
        version, identity, digest, _, algorithm, _ = _children(
            whole, *_contents(whole, signer_start)
        )
        self._type = whole[slice(*kind)]
        self._head = whole[constant[0][0] : constant[-1][1]]
        self._signer_head = whole[version[0] : digest[1]]
        assert version[1] == identity[0]
        self._algorithm = whole[slice(*algorithm)]

    def attributes(self, digest: bytes, at: datetime) -> bytes:
        """What `signing.to_sign` gives for a content with this SHA-256.

        Raises:
            ValueError: a time without offset, or after 2049, which is written in another form.
        """
        if at.tzinfo is None or at.astimezone(UTC).year >= _FIRST_GENERALIZED:
            raise ValueError("a signing time has an offset and lies before 2050")
        return self._attributes.format(digest, _utc_time(at).encode("ascii"))

    def signed(self, attributes: bytes, value: bytes) -> bytes:
        """What `signing.signed_data` gives for these attributes and their signature."""
        signer = _encoded(
            _SEQUENCE,
            self._signer_head
            + bytes((_OUTER,))
            + attributes[1:]
            + self._algorithm
            + _encoded(_OCTETS, value),
        )
        data = _encoded(_SEQUENCE, self._head + _encoded(_SET, signer))
        return _encoded(_SEQUENCE, self._type + _encoded(_OUTER, data))

    def sign(self, digest: bytes, at: datetime, key: SigningKey) -> bytes:
        """Detached signed-data over a content with this SHA-256: the same arguments, the same bytes
        (RFC 6979 for ECDSA).
        """
        attributes = self.attributes(digest, at)
        if isinstance(key, EllipticCurvePrivateKey):
            return self.signed(attributes, key.sign(attributes, _DETERMINISTIC))
        return self.signed(attributes, sign_attributes(attributes, key, self.scheme))


class _Cut:
    """Octets with two places to fill."""

    def __init__(self, pieces: tuple[bytes, bytes, bytes], *, digest_first: bool) -> None:
        self._pieces = pieces
        self._digest_first = digest_first

    def format(self, digest: bytes, time: bytes) -> bytes:
        one, two = (digest, time) if self._digest_first else (time, digest)
        return self._pieces[0] + one + self._pieces[1] + two + self._pieces[2]


def _cut(octets: bytes, digest: bytes, time: bytes) -> _Cut:
    if octets.count(digest) != 1 or octets.count(time) != 1:
        raise ValueError("the places to fill are not single")
    first, second = sorted(((octets.index(digest), digest), (octets.index(time), time)))
    middle = octets[first[0] + len(first[1]) : second[0]]
    pieces = (octets[: first[0]], middle, octets[second[0] + len(second[1]) :])
    return _Cut(pieces, digest_first=first[1] == digest)


def _utc_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%y%m%d%H%M%SZ")


def _encoded(tag: int, contents: bytes) -> bytes:
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


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
