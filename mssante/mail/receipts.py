"""What a sender is told of its message's local recipients (RFC 3461 section 6)."""

from collections.abc import Set as AbstractSet

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.kernel.reasons import Reason
from mssante.mail.delivery_status import RecipientStatus
from mssante.mail.model import SpoolEntry
from mssante.mail.relay import DROPPED, Action
from mssante.mail.routing import Route
from mssante.wire.smtp.notifications import Notify
from mssante.wire.smtp.replies import reply_for

_DELIVERED = "2.0.0"


def statuses_of(
    entry: SpoolEntry,
    routed: Route,
    withheld: AbstractSet[OpaqueId],
    untold: AbstractSet[OpaqueId] = frozenset(),
) -> list[RecipientStatus]:
    """The recipients of whom the sender is to be told, in the order of the envelope.

    Args:
        entry: the message.
        routed: where it went.
        withheld: mailboxes that must not receive it. A report says why in any case; a notification
            repeats it for who asked for notifications.
        untold: mailboxes about which nothing is said.
    """
    told: dict[str, RecipientStatus] = {}
    envelope = entry.envelope
    for gone in routed.undeliverable:
        if envelope.request_for(gone.recipient).wants(Notify.FAILURE):
            told[gone.recipient.key] = _failed(entry, gone.recipient, gone.reason)
    for mailbox in routed.mailboxes:
        recipient = routed.recipients[mailbox.id]
        request = envelope.request_for(recipient)
        if mailbox.id in untold:
            continue
        if mailbox.id in withheld:
            if request.notify is not None and request.wants(Notify.FAILURE):
                told[recipient.key] = _failed(entry, recipient, Reason.NOT_PERMITTED)
        elif request.wants(Notify.SUCCESS):
            told[recipient.key] = RecipientStatus(
                recipient, Action.DELIVERED, _DELIVERED, request.original_recipient
            )
    return [told[one.key] for one in envelope.recipients if one.key in told]


def refused_statuses(entry: SpoolEntry, reason: Reason) -> list[RecipientStatus]:
    """The recipients of whom the sender is to be told when a message is not carried at all."""
    return [
        _failed(entry, one, reason)
        for one in entry.envelope.recipients
        if entry.envelope.request_for(one).wants(Notify.FAILURE)
    ]


def dropped_statuses(entry: SpoolEntry) -> list[RecipientStatus]:
    """The recipients of whom the sender is to be told when an administrator gave a message up."""
    requests = [(one, entry.envelope.request_for(one)) for one in entry.envelope.recipients]
    return [
        RecipientStatus(one, Action.FAILED, DROPPED, request.original_recipient)
        for one, request in requests
        if request.wants(Notify.FAILURE)
    ]


def _failed(entry: SpoolEntry, recipient: Address, reason: Reason) -> RecipientStatus:
    reply = reply_for(reason)
    return RecipientStatus(
        recipient,
        Action.FAILED,
        reply.enhanced,
        entry.envelope.request_for(recipient).original_recipient,
        str(reply),
        at=entry.accepted_at,
    )
