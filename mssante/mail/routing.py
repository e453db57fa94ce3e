"""Recipient → local mailbox, or the operator of its domain."""

from collections.abc import Mapping
from dataclasses import dataclass

from mssante.directory.model import Mailbox
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.derived import derived_id
from mssante.kernel.opaque import OpaqueId
from mssante.kernel.reasons import Reason
from mssante.mail.model import BlobRef, SpoolEntry
from mssante.mail.relay import RelayOrder, RelayRecipient
from mssante.mail.rules.recipient_mailbox import find_recipient, is_role


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A recipient that was good when the message was accepted and is no more."""

    recipient: Address
    reason: Reason
    mailbox_id: OpaqueId | None = None
    """Where there is one: for the audit."""
    detail: str = ""
    """The precise reason, for the audit alone."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where one message goes."""

    mailboxes: tuple[Mailbox, ...]
    """Each once, in the order of the envelope."""
    undeliverable: tuple[Undeliverable, ...]
    remote: Mapping[str, tuple[Address, ...]]
    """By domain, lower case: the recipients at other operators."""
    recipients: Mapping[bytes, Address]
    """By mailbox id: how the envelope named it."""


async def route(
    directory: Directory, entry: SpoolEntry, postmaster: Address | None = None
) -> Route:
    """Find the place of each recipient; a mailbox that is not activated receives all the same.

    Only what a member submitted goes to other operators: what came from one never passes through.
    """
    found: dict[bytes, Mailbox] = {}
    named: dict[bytes, Address] = {}
    undeliverable: list[Undeliverable] = []
    remote: dict[str, list[Address]] = {}
    for recipient in entry.envelope.recipients:
        domain = recipient.domain.lower()
        mailbox = await directory.mailbox_by_address(recipient)
        if mailbox is None and is_role(recipient) and await directory.is_local_domain(domain):
            mailbox = await find_recipient(directory, postmaster, recipient)
        if mailbox is None:
            if entry.envelope.operator or await directory.is_local_domain(domain):
                undeliverable.append(Undeliverable(recipient, Reason.RECIPIENT_UNKNOWN))
            else:
                remote.setdefault(domain, []).append(recipient)
        elif not mailbox.state.receives:
            detail = f"mailbox is {mailbox.state.value}"
            undeliverable.append(
                Undeliverable(recipient, Reason.RECIPIENT_CLOSED, mailbox.id, detail)
            )
        else:
            found.setdefault(mailbox.id, mailbox)
            named.setdefault(mailbox.id, recipient)
    return Route(
        tuple(found.values()),
        tuple(undeliverable),
        {domain: tuple(addresses) for domain, addresses in remote.items()},
        named,
    )


def orders_of(
    entry: SpoolEntry,
    routed: Route,
    blob: BlobRef,
    *,
    prefix: bytes,
    sender: Mailbox | None,
    is_8bit: bool,
    is_utf8: bool,
) -> list[RelayOrder]:
    """The orders to other operators that a message makes: the same however often it is asked.

    Args:
        entry: the message.
        routed: where it goes.
        blob: what is sent, as it is.
        prefix: the trace fields that go before it.
        sender: the member's mailbox, which is told of failures; None where nobody is.
        is_8bit: whether the message has octets beyond ASCII.
        is_utf8: whether its header has.
    """
    envelope = entry.envelope
    return [
        RelayOrder(
            id=derived_id(entry.id, f"relay {domain}"),
            spool_id=entry.id,
            domain=domain,
            sender=envelope.sender,
            mailbox_id=sender.id if sender is not None else None,
            recipients=tuple(
                RelayRecipient(address, envelope.request_for(address)) for address in addresses
            ),
            blob=blob,
            prefix=prefix,
            accepted_at=entry.accepted_at,
            returns=envelope.returns,
            envid=envelope.envid,
            is_8bit=is_8bit,
            is_utf8=is_utf8 or envelope.smtputf8,
            require_tls=envelope.require_tls,
        )
        for domain, addresses in routed.remote.items()
    ]
