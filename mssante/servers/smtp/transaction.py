"""One mail transaction: what MAIL and RCPT have said so far (RFC 5321 section 3.3)."""

from dataclasses import dataclass, field

from mssante.kernel.address import Address
from mssante.wire.smtp.commands import MailCommand, RcptCommand
from mssante.wire.smtp.notifications import UNASKED, DeliveryRequest


@dataclass(slots=True)
class Transaction:
    """Begins with an accepted MAIL, ends with the reply to DATA or with RSET."""

    mail: MailCommand
    recipients: dict[str, Address] = field(default_factory=dict)
    """By address key: a mailbox that is named twice gets the message once."""
    requests: dict[str, DeliveryRequest] = field(default_factory=dict)
    """By address key: what is asked for a recipient, where anything is."""

    def add(self, command: RcptCommand) -> None:
        """Take an accepted recipient; of one that is named twice, the first request counts."""
        key = command.recipient.key
        if key in self.recipients:
            return
        self.recipients[key] = command.recipient
        if command.request != UNASKED:
            self.requests[key] = command.request
