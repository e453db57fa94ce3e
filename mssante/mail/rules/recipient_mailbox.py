"""The recipient's mailbox exists and takes messages."""

from mssante.directory.model import Mailbox, MailboxState
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal


async def open_recipient(directory: Directory, recipient: Address) -> Mailbox:
    """Find the mailbox. A patient's that is not activated yet receives and keeps.

    Raises:
        Refusal: RECIPIENT_UNKNOWN, RECIPIENT_CLOSED.
    """
    mailbox = await directory.mailbox_by_address(recipient)
    if mailbox is None:
        raise Refusal(Reason.RECIPIENT_UNKNOWN, "no mailbox has this address")
    match mailbox.state:
        case MailboxState.CLOSED | MailboxState.SUSPENDED:
            raise Refusal(Reason.RECIPIENT_CLOSED, f"mailbox is {mailbox.state.value}")
        case MailboxState.ACTIVE | MailboxState.NOT_ACTIVATED:
            return mailbox
