"""One entry of the audit: what happened, who did it, on whom, with which outcome.

Entries are leaves in the form of RFC 9162 section 2.1.1 (hash = SHA-256(0x00 || leaf)). The leaf
holds a salted hash of the personal part, which stands beside it in the store and can be erased
without breaking the chain. One chain per database, written in the same transaction as the effect.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from hashlib import sha256
from typing import Final

from mssante.kernel.opaque import OpaqueId

_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
)
GENESIS: Final = sha256(b"mssante audit chain").digest()
"""What the first entry of a chain links to."""


@unique
class AuditKind(StrEnum):
    """What can happen."""

    ADMISSION = "admission"
    REFUSAL = "refusal"
    SIGN_IN = "sign-in"
    SIGN_IN_FAILURE = "sign-in-failure"
    DELIVERY = "delivery"
    RELAY = "relay"
    REPORT = "report"
    RECEIPT = "receipt"
    FILING = "filing"
    HELD = "held"
    CONSULTATION = "consultation"
    MAILBOX_CHANGE = "mailbox-change"
    CONTACT = "contact"
    ADMINISTRATION = "administration"
    CERTIFICATE = "certificate"
    """A pair of a mailbox was made, imported or revoked."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What a room wants recorded."""

    kind: AuditKind
    action: str
    """A short verb phrase in the protocol's or command's words: ``RCPT``, ``FETCH``,
    ``patient create``."""
    outcome: str
    """``done``, or the public reason of a refusal."""
    actor: OpaqueId | None = None
    """Account that acted; None for the server itself or an unknown peer."""
    subject: OpaqueId | None = None
    """Mailbox, patient or document that it concerned."""
    correlation: OpaqueId | None = None
    """Spool id: joins the entries of one message across databases."""
    facts: Mapping[str, str | int] = field(default_factory=dict)
    """Free of personal data, clinical content and secrets; part of the leaf."""
    personal: Mapping[str, str] = field(default_factory=dict)
    """Personal data (addresses, peer, names); beside the leaf, erasable."""


def personal_digest(salt: bytes, personal: str) -> bytes:
    """The salted hash that stands in the leaf for the personal part."""
    return sha256(salt + personal.encode()).digest()


def canonical(values: Mapping[str, object]) -> str:
    """One spelling for one content: JSON, sorted keys, no blanks, UTF-8 kept."""
    return _CANONICAL.encode(values)


def leaf_bytes(entry: AuditEntry, *, sequence: int, at: int, personal_hash: bytes) -> bytes:
    """The leaf of an entry: what the chain commits to. `at` is in milliseconds, UTC."""
    return canonical(
        {
            "seq": sequence,
            "at": at,
            "kind": entry.kind.value,
            "action": entry.action,
            "outcome": entry.outcome,
            "actor": entry.actor.hex() if entry.actor else None,
            "subject": entry.subject.hex() if entry.subject else None,
            "correlation": entry.correlation.hex() if entry.correlation else None,
            "facts": dict(entry.facts),
            "personal": personal_hash.hex(),
        }
    ).encode()


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 9162 section 2.1.1: the hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def link(previous: bytes, leaf: bytes) -> bytes:
    """The chain's next head (both arguments are hashes)."""
    return sha256(b"\x01" + previous + leaf).digest()
