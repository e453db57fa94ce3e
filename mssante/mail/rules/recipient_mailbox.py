"""The recipient's mailbox exists and takes messages; postmaster and abuse have one, too."""

from typing import Final

from mssante.directory.model import Mailbox
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal

_ROLES: Final = frozenset({"postmaster", "abuse"})
"""RFC 5321 section 4.5.1 and RFC 2142: served in every domain of ours."""


def is_role(recipient: Address) -> bool:
    """Whether an address is one that every domain has."""
    return recipient.local.lower() in _ROLES


async def find_recipient(
    directory: Directory, postmaster: Address | None, recipient: Address
) -> Mailbox | None:
    """The mailbox of an address in a domain of ours. Where no mailbox has the address of a role,
    `postmaster` names the one that serves it.
    """
    mailbox = await directory.mailbox_by_address(recipient)
    if mailbox is None and postmaster is not None and is_role(recipient):
        return await directory.mailbox_by_address(postmaster)
    return mailbox


def check_found(mailbox: Mailbox | None, recipient: Address) -> Mailbox:
    """Refuse an address that no mailbox has.

    Raises:
        Refusal: RECIPIENT_UNKNOWN.
    """
    if mailbox is not None:
        return mailbox
    if is_role(recipient):
        hint = "this operator names no postmaster"
        raise Refusal(Reason.RECIPIENT_UNKNOWN, "no mailbox serves this role", hint=hint)
    raise Refusal(Reason.RECIPIENT_UNKNOWN, "no mailbox has this address")


def check_receives(mailbox: Mailbox) -> None:
    """Refuse a mailbox that takes nothing. A patient's that is not activated yet receives and keeps.

    Raises:
        Refusal: RECIPIENT_CLOSED.
    """
    if not mailbox.state.receives:
        raise Refusal(Reason.RECIPIENT_CLOSED, f"mailbox is {mailbox.state.value}")
