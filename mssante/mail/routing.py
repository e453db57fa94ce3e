"""Recipient → local mailbox. Relay to other operators comes with the trust space."""

from collections.abc import Sequence
from dataclasses import dataclass

from mssante.directory.model import Mailbox, MailboxState
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A recipient that was good when the message was accepted and is no more."""

    recipient: Address
    reason: Reason


@dataclass(frozen=True, slots=True)
class Route:
    """Where one message goes."""

    mailboxes: tuple[Mailbox, ...]
    """Each once, in the order of the envelope."""
    undeliverable: tuple[Undeliverable, ...]


async def route(directory: Directory, recipients: Sequence[Address]) -> Route:
    """Find the mailbox of each recipient; a mailbox that is not activated receives all the same."""
    found: dict[bytes, Mailbox] = {}
    undeliverable: list[Undeliverable] = []
    for recipient in recipients:
        mailbox = await directory.mailbox_by_address(recipient)
        if mailbox is None:
            undeliverable.append(Undeliverable(recipient, Reason.RECIPIENT_UNKNOWN))
        elif mailbox.state in (MailboxState.CLOSED, MailboxState.SUSPENDED):
            undeliverable.append(Undeliverable(recipient, Reason.RECIPIENT_CLOSED))
        else:
            found.setdefault(mailbox.id, mailbox)
    return Route(tuple(found.values()), tuple(undeliverable))
