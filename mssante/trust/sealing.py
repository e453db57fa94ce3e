"""Sealing: the mailbox's signature on what a member submits without one of his own.

It says "this operator, for this authenticated mailbox", not "this person". Pure: a message, a key
and a time give the same bytes, however often.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from cryptography import x509

from mssante.trust.shown import shown_issuer, shown_serial
from mssante.wire.mime.parameters import raw_parameter
from mssante.wire.mime.scanner import scan
from mssante.wire.smime.recognition import appearance
from mssante.wire.smime.seven_bit import seven_bit
from mssante.wire.smime.signing import SigningKey
from mssante.wire.smime.signing_template import SignatureTemplate
from mssante.wire.smime.splitting import split_message

_PGP_SIGNATURE: Final = b"application/pgp-signature"
_COLUMNS: Final = 64
_SIGNATURE_HEADER: Final = (
    b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n'
)


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A mailbox's key, ready to sign."""

    address: str = field(repr=False)
    """In the certificate."""
    certificate: x509.Certificate = field(repr=False)
    chain: tuple[x509.Certificate, ...] = field(repr=False)
    key: SigningKey = field(repr=False)
    template: SignatureTemplate = field(repr=False)

    @classmethod
    def of(
        cls,
        address: str,
        certificate: x509.Certificate,
        chain: Sequence[x509.Certificate],
        key: SigningKey,
    ) -> "SealingKey":
        """Prepare a key.

        Raises:
            SignatureInvalid, Unsupported, ValueError: see `SignatureTemplate`.
        """
        template = SignatureTemplate(certificate, chain)
        return cls(address, certificate, tuple(chain), key, template)

    @property
    def serial(self) -> str:
        """Of the certificate, hexadecimal."""
        return shown_serial(self.certificate)

    @property
    def issuer(self) -> str:
        """Of the certificate, as text that is safe to show."""
        return shown_issuer(self.certificate)


def is_for_sealing(content: bytes) -> bool:
    """Whether a message is neither S/MIME at its root nor a report about another.

    What a client signed or encrypted keeps its bytes. Reports (RFC 6522) are not what a person wrote.
    """
    # Of the header alone: whether what follows has two parts is for who verifies.
    root = scan(content[: _body_start(content)])
    if root.type == b"multipart" and root.subtype == b"report":
        return False
    if root.type == b"multipart" and root.subtype == b"signed":
        protocol = (raw_parameter(root.parameters, b"protocol") or b"").strip().lower()
        return protocol == _PGP_SIGNATURE
    return appearance(root) is None


def seal(content: bytes, key: SealingKey, at: datetime) -> bytes:
    """The message as multipart/signed (RFC 8551 section 3.5.3).

    The message's own fields stay outside, byte for byte; those of its content go inside, in a form
    that every relay passes unchanged.

    Args:
        content: header and body in CRLF; see `is_for_sealing`.
        key: of the author's mailbox.
        at: the signing time, with offset, before 2050.
    """
    split = split_message(content, _body_start(content))
    entity = seven_bit(split.entity)
    digest = sha256(entity)
    signature = base64.b64encode(key.template.sign(digest.digest(), at, key.key))
    lines = [signature[at : at + _COLUMNS] for at in range(0, len(signature), _COLUMNS)]
    boundary = _boundary(entity, digest.digest())
    delimiter = b"\r\n--" + boundary
    return b"".join(
        (
            split.outer_fields,
            b"MIME-Version: 1.0\r\n"
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
            b" micalg=sha-256;\r\n"
            b' boundary="' + boundary + b'"\r\n',
            delimiter + b"\r\n",
            entity,
            delimiter + b"\r\n",
            _SIGNATURE_HEADER,
            b"\r\n".join(lines),
            delimiter + b"--\r\n",
        )
    )


def _boundary(entity: bytes, digest: bytes) -> bytes:
    """Follows from the content; the content cannot hold it but by a prepared collision."""
    number = 0
    while True:
        seed = sha256(b"mssante seal\0" + digest + number.to_bytes(4, "big")).hexdigest()
        boundary = b"=_seal-" + seed[:40].encode("ascii")
        if boundary not in entity:
            return boundary
        number += 1


def _body_start(content: bytes) -> int:
    """Behind the empty line; a message without one is all header."""
    if content.startswith(b"\r\n"):
        return 2
    found = content.find(b"\r\n\r\n")
    return len(content) if found < 0 else found + 4
