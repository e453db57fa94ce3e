"""What the keys of mailboxes need of the disk; ``storage.mailbox_keys`` provides it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from mssante.kernel.opaque import OpaqueId
from mssante.trust.path import Purpose


@unique
class KeyState(StrEnum):
    """Life of a pair. Whatever its state, a decryption key still opens old mail."""

    ACTIVE = "active"
    """The one that is used for what is new: at most one for each mailbox and purpose."""
    RETIRED = "retired"
    """Followed by another."""
    REVOKED = "revoked"


@unique
class KeyOrigin(StrEnum):
    """Who made the certificate."""

    ISSUED = "issued"
    """This instance's mailbox authority."""
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class StoredPair:
    """A mailbox's certificate with its private key, which the server holds."""

    id: OpaqueId
    mailbox_id: OpaqueId
    purpose: Purpose
    certificate: bytes = field(repr=False)
    """DER."""
    chain: tuple[bytes, ...] = field(repr=False)
    """Intermediates in DER, from the issuer upwards, without the root."""
    key: bytes = field(repr=False)
    """PKCS #8 in DER; sealed at rest."""
    not_before: datetime
    not_after: datetime
    origin: KeyOrigin
    state: KeyState = KeyState.ACTIVE
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyAct:
    """Why and by whom a pair is made, for the audit."""

    action: str
    """``issue``, ``renew``, ``import``, ``revoke``."""
    user: str = ""
    """The operating system's user; empty for the server itself."""


class KeyStore(Protocol):
    """Pairs of mailboxes; each call that changes something is one transaction with its audit."""

    async def active(self, mailbox_id: OpaqueId, purpose: Purpose) -> StoredPair | None:
        """The pair that a mailbox uses now."""
        ...

    async def history(self, mailbox_id: OpaqueId, purpose: Purpose) -> Sequence[StoredPair]:
        """All pairs that a mailbox ever had for a purpose, the newest first."""
        ...

    async def add(
        self, pair: StoredPair, act: KeyAct, *, replaces: OpaqueId | None = None
    ) -> StoredPair:
        """Make a pair the active one, in the place of the one with the id `replaces` or of none.

        Of two that do so at the same time one wins: what is active afterwards is given back.
        """
        ...

    async def holds(self, fingerprint: bytes) -> bool:
        """Whether the private key of a certificate (SHA-256 of its DER) is held here."""
        ...

    async def revoke(self, pair_id: OpaqueId, act: KeyAct) -> None:
        """Use a pair no more for what is new."""
        ...

    async def list_pairs(self, mailbox_id: OpaqueId | None = None) -> Sequence[StoredPair]:
        """All pairs, of one mailbox or of all, by mailbox and age."""
        ...
