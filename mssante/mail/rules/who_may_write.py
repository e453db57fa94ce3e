"""Who may write to whom, by type of mailbox: the one table."""

from collections.abc import Mapping
from typing import Final

from mssante.directory.model import MailboxType
from mssante.kernel.reasons import Reason, Refusal

_PER, _ORG, _APP, _CAB, _CIT = (
    MailboxType.PERSONAL,
    MailboxType.ORGANISATION,
    MailboxType.APPLICATION,
    MailboxType.CABINET,
    MailboxType.CITIZEN,
)

MAY_WRITE_TO: Final[Mapping[MailboxType, frozenset[MailboxType]]] = {
    _PER: frozenset({_PER, _ORG, _APP, _CAB, _CIT}),
    _ORG: frozenset({_PER, _ORG, _APP, _CAB, _CIT}),
    _APP: frozenset({_PER, _ORG, _APP, _CAB, _CIT}),
    _CAB: frozenset({_PER, _ORG, _APP, _CAB, _CIT}),
    # A patient never writes to a patient; to professionals only in answer, which is not offered.
    _CIT: frozenset(),
}


def check_may_write(sender: MailboxType, recipient: MailboxType) -> None:
    """Look a pair up.

    Raises:
        Refusal: NOT_PERMITTED.
    """
    if recipient not in MAY_WRITE_TO[sender]:
        raise Refusal(Reason.NOT_PERMITTED, f"{sender.value} may not write to {recipient.value}")


def check_may_write_at_all(sender: MailboxType) -> None:
    """Refuse at once who may write to nobody, so that no answer tells which mailboxes exist.

    Raises:
        Refusal: NOT_PERMITTED.
    """
    if not MAY_WRITE_TO[sender]:
        raise Refusal(Reason.NOT_PERMITTED, f"{sender.value} may write to nobody")
