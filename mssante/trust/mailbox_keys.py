"""The keys that the server holds for mailboxes: made on first need, renewed ahead of their end.

A private key is in memory only in a small cache, for seconds; what another process revoked or
imported counts when the entry has aged.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from mssante.kernel.address import Address
from mssante.kernel.clock import Clock
from mssante.kernel.opaque import OpaqueId, id_text, new_id
from mssante.trust import pki
from mssante.trust.certificate_addresses import addresses_of
from mssante.trust.key_files import ReadPair
from mssante.trust.path import Purpose
from mssante.trust.pki import Credential
from mssante.trust.ports import KeyAct, KeyOrigin, KeyStore, StoredPair
from mssante.trust.sealing import SealingKey
from mssante.trust.shown import shown_serial
from mssante.wire.smime.decryption import DecryptionKey
from mssante.wire.smime.errors import SmimeError
from mssante.wire.smime.signing_template import SignatureTemplate

_LOG: Final = logging.getLogger(__name__)
_CACHED: Final = 512
"""Entries of each cache: mailboxes whose key is in memory, however many send."""
_FRESH: Final = timedelta(seconds=10)
RENEW_BEFORE: Final = timedelta(days=60)
"""How long before its end a pair of ours gets its successor."""
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The mailbox that a pair is for."""

    id: OpaqueId
    address: Address
    name: str = field(default="", repr=False)
    """For people; a patient's is left empty."""


class MailboxKeys:
    """The keys of this operator's mailboxes."""

    def __init__(self, store: KeyStore, authority: Credential | None, clock: Clock) -> None:
        """Without an authority only what was imported is there."""
        self._store = store
        self._authority = authority
        self._clock = clock
        self._sealing: _Aging[SealingKey | None] = _Aging()
        self._opening: _Aging[tuple[DecryptionKey, ...]] = _Aging()
        self._held: _Aging[bool] = _Aging()
        self._was_told = False

    @property
    def authority(self) -> x509.Certificate | None:
        """The certificate of our mailbox authority."""
        return self._authority.certificate if self._authority else None

    async def sealing(self, holder: KeyHolder) -> SealingKey | None:
        """The key that seals for a mailbox; None where there is none and none can be made."""
        now = self._clock.now()
        known = self._sealing.get(holder.id, now)
        if known is not None:
            return known[0]
        pair = await self.pair(holder, Purpose.SIGN)
        key = None if pair is None else _sealing_key(pair, holder)
        if key is None and not self._was_told:
            self._was_told = True
            _LOG.warning(
                "mail of a mailbox without a certificate is not sealed: there is no authority",
                extra={"mailbox_id": id_text(holder.id)},
            )
        self._sealing.put(holder.id, key, now)
        return key

    async def opening(self, mailbox_id: OpaqueId) -> tuple[DecryptionKey, ...]:
        """All keys that open a mailbox's mail, also those of the past; the newest first."""
        now = self._clock.now()
        known = self._opening.get(mailbox_id, now)
        if known is not None:
            return known[0]
        pairs = await self._store.history(mailbox_id, Purpose.ENCRYPT)
        keys = tuple(key for pair in pairs if (key := _decryption_key(pair)) is not None)
        if keys:  # else one may be made at any moment, and the mail that follows must be opened
            self._opening.put(mailbox_id, keys, now)
        return keys

    async def pair(
        self, holder: KeyHolder, purpose: Purpose, *, user: str = ""
    ) -> StoredPair | None:
        """The active pair of a mailbox, made or renewed where that is due; None without authority."""
        now = self._clock.now()
        present = await self._store.active(holder.id, purpose)
        usable = present is not None and present.not_before <= now < present.not_after
        due = present is None or (
            present.origin is KeyOrigin.ISSUED and now >= present.not_after - RENEW_BEFORE
        )
        if not due:
            return present if usable else None
        if self._authority is None or now >= self._authority.certificate.not_valid_after_utc:
            return present if usable else None
        if (
            present is not None
            and present.not_after >= self._authority.certificate.not_valid_after_utc
        ):
            # The authority itself comes to its end: a successor would last no longer.
            return present if usable else None
        return await self._issue(holder, purpose, replaces=present, user=user)

    async def take(self, holder: KeyHolder, read: ReadPair, *, user: str) -> list[StoredPair]:
        """Keep a pair that another authority certified, for each purpose that its certificate allows.

        Raises:
            NotForMailbox: says why.
        """
        certificate, now = read.key.certificate, self._clock.now()
        addresses = {address.lower() for address in addresses_of(certificate)}
        if holder.address.key not in addresses:
            raise NotForMailbox("the certificate is not for this address")
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise NotForMailbox("the certificate is not valid now")
        if not read.purposes:
            raise NotForMailbox("the certificate's key usage allows neither signing nor decrypting")
        octets = read.key.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        added = []
        for purpose in read.purposes:
            if purpose is Purpose.SIGN and not _may_seal(read):
                raise NotForMailbox("keys that sign with another hash than SHA-256 are not used")
            present = await self._store.active(holder.id, purpose)
            pair = StoredPair(
                new_id(),
                holder.id,
                purpose,
                certificate.public_bytes(Encoding.DER),
                tuple(one.public_bytes(Encoding.DER) for one in read.chain),
                octets,
                certificate.not_valid_before_utc,
                certificate.not_valid_after_utc,
                KeyOrigin.IMPORTED,
            )
            act = KeyAct("import", user)
            replaces = present.id if present else None
            added.append(await self._store.add(pair, act, replaces=replaces))
        return added

    async def revocation_list(self) -> bytes | None:
        """Our authority's list as it should be now, in PEM; None where the authority's key is not
        here.
        """
        if self._authority is None:
            return None
        entries = [
            (x509.load_der_x509_certificate(pair.certificate).serial_number, since)
            for pair in await self._store.list_pairs()
            if pair.origin is KeyOrigin.ISSUED and (since := pair.revoked_at) is not None
        ]
        # Lists only grow, so that the number of entries numbers them too.
        return pki.revocation_list(self._authority, entries, len(entries) + 1, self._clock.now())

    async def _issue(
        self, holder: KeyHolder, purpose: Purpose, *, replaces: StoredPair | None, user: str
    ) -> StoredPair:
        """Make a pair in the place of another; the winner where several do so at the same time."""
        assert self._authority is not None
        now = self._clock.now()
        made = pki.issue_mailbox(
            self._authority, str(holder.address), holder.name or "Mailbox", purpose, now
        )
        pair = StoredPair(
            new_id(),
            holder.id,
            purpose,
            made.certificate.public_bytes(Encoding.DER),
            (self._authority.certificate.public_bytes(Encoding.DER),),
            made.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            made.certificate.not_valid_before_utc,
            made.certificate.not_valid_after_utc,
            KeyOrigin.ISSUED,
        )
        act = KeyAct("renew" if replaces else "issue", user)
        return await self._store.add(pair, act, replaces=replaces.id if replaces else None)

    async def is_held(self, certificate: x509.Certificate) -> bool:
        """Whether it is the server that signs with this certificate's key."""
        now = self._clock.now()
        fingerprint = sha256(certificate.public_bytes(Encoding.DER)).digest()
        known = self._held.get(fingerprint, now)
        if known is not None:
            return known[0]
        held = await self._store.holds(fingerprint)
        self._held.put(fingerprint, held, now)
        return held


class NotForMailbox(ValueError):
    """A pair is not one that the server can use for a mailbox; the message says why."""


def serial_of(pair: StoredPair) -> str:
    """The serial number of a pair's certificate, hexadecimal."""
    return shown_serial(x509.load_der_x509_certificate(pair.certificate))


def pem_of(certificates: Iterable[bytes]) -> str:
    """Certificates in DER as one PEM text."""
    return "".join(
        x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM).decode("ascii")
        for one in certificates
    )


def _may_seal(read: ReadPair) -> bool:
    try:
        SignatureTemplate(read.key.certificate, read.chain)
    except (SmimeError, ValueError):
        return False
    return True


def read_authority(certificate: Path, key: Path) -> Credential | None:
    """The mailbox authority of an instance; None where its key is not there.

    Raises:
        OSError, ValueError: the files are there and cannot be used.
    """
    if not key.exists() or not certificate.exists():
        return None
    return Credential.read(certificate, key)


class _Aging(Generic[Key]):
    """A bounded cache whose entries are believed for seconds."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, tuple[datetime, tuple[Key]]] = OrderedDict()

    def get(self, name: bytes, now: datetime) -> tuple[Key] | None:
        found = self._entries.get(name)
        if found is None or not timedelta(0) <= now - found[0] < _FRESH:
            return None
        self._entries.move_to_end(name)
        return found[1]

    def put(self, name: bytes, key: Key, now: datetime) -> None:
        self._entries[name] = (now, (key,))
        self._entries.move_to_end(name)
        if len(self._entries) > _CACHED:
            self._entries.popitem(last=False)


def _certificates(pair: StoredPair) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    chain: Sequence[bytes] = pair.chain
    return (
        x509.load_der_x509_certificate(pair.certificate),
        tuple(map(x509.load_der_x509_certificate, chain)),
    )


def _sealing_key(pair: StoredPair, holder: KeyHolder) -> SealingKey | None:
    certificate, chain = _certificates(pair)
    key = load_der_private_key(pair.key, None)
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        return None
    try:
        return SealingKey.of(str(holder.address), certificate, chain, key)
    except (SmimeError, ValueError):
        _LOG.exception("a mailbox's key cannot seal", extra={"mailbox_id": id_text(holder.id)})
        return None


def _decryption_key(pair: StoredPair) -> DecryptionKey | None:
    key = load_der_private_key(pair.key, None)
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        return None
    return DecryptionKey(_certificates(pair)[0], key)
