"""The key of DKIM (RFC 6376): a file of the operator's, Ed25519 (RFC 8463) or RSA (RFC 8301)."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_LEAST_RSA: Final = 1024
"""RFC 8301 section 3.2; new keys are larger, and Ed25519 here."""


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key that signs what goes to other operators."""

    algorithm: str
    """As the field ``a=`` says it."""
    private: bytes = field(repr=False)
    """In the form that the signing library reads."""
    record: str
    """The TXT record to publish at ``selector._domainkey.domain`` (RFC 6376 section 3.6.1)."""


def new_key_pem() -> bytes:
    """A new private key as PKCS #8 PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def read_dkim_key(path: Path) -> DkimKey | None:
    """The key in a PEM file; None where there is no file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a private key that signs mail.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        return None
    except TypeError:
        raise ValueError(f"{path} is protected by a password") from None
    if isinstance(key, Ed25519PrivateKey):
        raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return DkimKey("ed25519-sha256", base64.b64encode(raw), _record("ed25519", public))
    if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_RSA:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return DkimKey("rsa-sha256", pem, _record("rsa", der))
    raise ValueError(f"{path} holds neither an Ed25519 key nor an RSA key of 1024 bits or more")


def _record(kind: str, public: bytes) -> str:
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode('ascii')}"
