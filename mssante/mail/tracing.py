"""The way of a message, from the moment we took it: what is kept so that it can be followed.

Addresses and Message-IDs are kept as keyed tokens only: who knows one finds its messages, who reads the
store learns none.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import SpoolEntry
from mssante.wire.mime.headers import unfold
from mssante.wire.mime.identifiers import message_id_in
from mssante.wire.mime.reports import ReadReport, ReportKind
from mssante.wire.smtp.notifications import Notify


@unique
class Asked(StrEnum):
    """What the sender asked to be told."""

    DELIVERY = "delivery"
    """A notification of success (RFC 3461)."""
    READING = "reading"
    """A receipt of the reader (RFC 8098)."""


@unique
class Confirmed(StrEnum):
    """What somebody else said about one recipient of a message."""

    RELAYED = "relayed"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    FAILED = "failed"
    READ = "read"
    REJECTED = "rejected"
    """Received, and not what the reader's software could use."""


_MEANING: Final = {
    "relayed": Confirmed.RELAYED,
    "expanded": Confirmed.RELAYED,
    "delivered": Confirmed.DELIVERED,
    "delayed": Confirmed.DELAYED,
    "failed": Confirmed.FAILED,
    "displayed": Confirmed.READ,
    "processed": Confirmed.READ,
    "dispatched": Confirmed.READ,
    "deleted": Confirmed.READ,
    "error": Confirmed.REJECTED,
}


@dataclass(frozen=True, slots=True, repr=False)
class Traced:
    """What a message is found by."""

    message_id: str
    """With its angle brackets; empty for one that has none that could be referred to."""
    sender: Address | None
    recipients: tuple[Address, ...]
    mailbox_id: OpaqueId | None
    """The member's that sent it: only it can be told about it."""
    asked: frozenset[Asked]


@dataclass(frozen=True, slots=True, repr=False)
class Confirmation:
    """What a report that a member receives says about a message that it sent."""

    original: str
    """Message-ID of that message."""
    outcomes: tuple[tuple[Address | None, Confirmed], ...]
    kind: ReportKind


def traced(
    entry: SpoolEntry, fields: Mapping[bytes, bytes], sender_mailbox: OpaqueId | None
) -> Traced:
    """What is kept of a message that was accepted.

    Args:
        entry: the message.
        fields: of its header: raw values by lower-case name, see `wire.mime.headers.collect`.
        sender_mailbox: the member's that sent it.
    """
    envelope = entry.envelope
    asked = set()
    if any(envelope.request_for(one).wants(Notify.SUCCESS) for one in envelope.recipients):
        asked.add(Asked.DELIVERY)
    if b"disposition-notification-to" in fields:
        asked.add(Asked.READING)
    return Traced(
        message_id_in(unfold(fields.get(b"message-id", b""))),
        envelope.sender,
        envelope.recipients,
        sender_mailbox,
        frozenset(asked),
    )


def confirmation(report: ReadReport | None) -> Confirmation | None:
    """What a report confirms; None where it is about no message that could be found."""
    if report is None or not report.original:
        return None
    outcomes = tuple((one.recipient, _MEANING[one.outcome]) for one in report.recipients)
    return Confirmation(report.original, outcomes, report.kind)


@dataclass(frozen=True, slots=True, repr=False)
class Wanted:
    """Which messages are looked for; what is None does not matter."""

    spool_id: OpaqueId | None = None
    message_id: str | None = None
    sender: Address | None = None
    recipient: Address | None = None
    since: datetime | None = None
    before: datetime | None = None
    unconfirmed: bool = False
    """Only those whose sender asked to be told of their delivery or reading, and was not."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a message."""

    at: datetime
    what: str
    """Word of the audit, or of a confirmation."""
    outcome: str
    who: str
    """Mailbox, operator or recipient, as it may be shown."""
    facts: dict[str, object]


def standing_of(steps: Collection[Step]) -> str:
    """The furthest that a message has come, in one word: ``accepted``, ``relayed``, ``delivered``,
    ``filed``, ``read``; ``failed`` where nothing but a failure came of it.
    """
    words = {step.what for step in steps if step.outcome not in ("failed", "refused")}
    for word in ("read", "filed", "delivered", "relayed"):
        if word in words:
            return word
    return (
        "failed"
        if any(step.what == "failed" or step.outcome == "failed" for step in steps)
        else "accepted"
    )
