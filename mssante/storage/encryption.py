"""Encryption at rest: protects a copied disk or backup without the master key, not a running host.

master key (file, 0600) → wraps → instance keys (versioned) → wrap → one random key per blob, kept
in the blob's row. Deleting the row (SQLite: ``secure_delete``) destroys the content, even inside an
append-only segment. AES-256-GCM throughout (NIST SP 800-38D).

What is encrypted: message bodies, their ENVELOPE, structure and headers, SMTP envelopes in the
spool, filed documents and held ones. What is not: directory rows (names, INS, addresses), document
metadata (type, title, dates), flags, sizes and times.
"""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
CHUNK: Final = 65_536
"""Plaintext bytes sealed together; a range read opens only the chunks that it touches."""
TAG: Final = 16
_NONCE: Final = 12
_WRAPPED_LENGTH: Final = 2 + _NONCE + KEY_BYTES + TAG


class KeyUnavailable(Exception):
    """A key file is missing, unreadable, or does not open with the master key."""


class Tampered(Exception):
    """An authentication tag does not match: the bytes are not those that were written."""


def create_keys(master_key: Path, instance_keys: Path) -> None:
    """Make the key files of a new instance (mode 0600).

    Raises:
        FileExistsError: one of them is there already; keys are never overwritten.
    """
    master = secrets.token_bytes(KEY_BYTES)
    _write_new(master_key, master.hex() + "\n")
    nonce = secrets.token_bytes(_NONCE)
    sealed = nonce + AESGCM(master).encrypt(
        nonce, secrets.token_bytes(KEY_BYTES), b"instance key 1"
    )
    _write_new(instance_keys, json.dumps({"current": 1, "keys": {"1": sealed.hex()}}) + "\n")


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class Keyring:
    """The opened instance keys."""

    current: int
    keys: dict[int, bytes] = field(repr=False)
    _ciphers: dict[int, AESGCM] = field(repr=False, default_factory=dict)

    @classmethod
    def open(cls, master_key: Path, instance_keys: Path) -> "Keyring":
        """Read the key files.

        Raises:
            KeyUnavailable: says which file is at fault and what is wrong with it.
        """
        try:
            master = bytes.fromhex(master_key.read_text().strip())
            stored = json.loads(instance_keys.read_text())
        except (OSError, ValueError) as failure:
            raise KeyUnavailable(f"cannot read the keys: {failure}") from None
        if len(master) != KEY_BYTES:
            raise KeyUnavailable(f"{master_key} does not hold 64 hexadecimal digits")
        keys: dict[int, bytes] = {}
        for version, text in stored["keys"].items():
            sealed = bytes.fromhex(text)
            aad = f"instance key {version}".encode()
            try:
                keys[int(version)] = AESGCM(master).decrypt(sealed[:_NONCE], sealed[_NONCE:], aad)
            except InvalidTag:
                raise KeyUnavailable(
                    f"{instance_keys} was not made with the master key {master_key}"
                ) from None
        return cls(int(stored["current"]), keys, {v: AESGCM(k) for v, k in keys.items()})

    def wrap(self, key: bytes) -> bytes:
        """Wrap a blob's key: version, nonce, ciphertext and tag (62 bytes)."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self.current].encrypt(nonce, key, b"blob key")
        return self.current.to_bytes(2, "big") + nonce + sealed

    def unwrap(self, wrapped: bytes) -> bytes:
        """Open what `wrap` made.

        Raises:
            Tampered: it was changed, or wrapped by a key that this instance does not hold.
        """
        version = int.from_bytes(wrapped[:2], "big")
        cipher = self._ciphers.get(version)
        if cipher is None or len(wrapped) != _WRAPPED_LENGTH:
            raise Tampered("a blob key is wrapped by an unknown instance key")
        try:
            return cipher.decrypt(wrapped[2:14], wrapped[14:], b"blob key")
        except InvalidTag:
            raise Tampered("a wrapped blob key was changed") from None

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for another purpose (pseudonyms), from the first instance key, so that it
        stays when instance keys rotate (RFC 5869).
        """
        hkdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode())
        return hkdf.derive(self.keys[min(self.keys)])


def sealed_length(length: int) -> int:
    """Bytes of ciphertext for `length` bytes of blob."""
    chunks = max(1, -(-length // CHUNK))
    return length + chunks * TAG


def encrypt_blob(key: bytes, content: bytes | memoryview) -> Iterator[bytes]:
    """Seal a blob chunk by chunk. The key is used for this blob alone, so chunk numbers serve as
    nonces; the total length is authenticated with each chunk, so truncation is noticed.
    """
    cipher, total = AESGCM(key), len(content).to_bytes(8, "big")
    view = memoryview(content)
    for number, start in enumerate(range(0, max(1, len(content)), CHUNK)):
        yield cipher.encrypt(number.to_bytes(_NONCE, "big"), view[start : start + CHUNK], total)


def decrypt_chunks(key: bytes, first: int, sealed: bytes, length: int) -> bytes:
    """Open consecutive chunks of a blob of `length` bytes, beginning with chunk `first`.

    Raises:
        Tampered: a tag does not match.
    """
    cipher, total = AESGCM(key), length.to_bytes(8, "big")
    view, step = memoryview(sealed), CHUNK + TAG
    try:
        opened = [
            cipher.decrypt(
                (first + number).to_bytes(_NONCE, "big"), view[start : start + step], total
            )
            for number, start in enumerate(range(0, len(sealed), step))
        ]
    except InvalidTag:
        raise Tampered("a blob was changed on disk") from None
    return opened[0] if len(opened) == 1 else b"".join(opened)


def seal(key: bytes, content: bytes) -> bytes:
    """Seal a small companion of a blob (summary, envelope) with the blob's key.

    The nonce is random with its first bit set: it cannot meet a chunk number's.
    """
    nonce = bytearray(os.urandom(_NONCE))
    nonce[0] |= 0x80
    return bytes(nonce) + AESGCM(key).encrypt(nonce, content, None)


def unseal(key: bytes, sealed: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        Tampered: it was changed.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except InvalidTag:
        raise Tampered("a sealed row was changed") from None


class PassingCipher:
    """Encrypts one stream of octets with a key that is never written anywhere (NIST SP 800-38A, CTR).

    It hides what passes over the disk from who copies the disk; it does not notice changes.
    """

    def __init__(self) -> None:
        self._cipher = Cipher(AES(os.urandom(KEY_BYTES)), CTR(os.urandom(16)))
        self._stream = self._cipher.encryptor()

    def sealed(self, octets: bytes) -> bytes:
        """The next octets of the stream."""
        return self._stream.update(octets)

    def opened(self, octets: bytes | bytearray) -> bytes:
        """The whole stream so far."""
        return self._cipher.decryptor().update(octets)
