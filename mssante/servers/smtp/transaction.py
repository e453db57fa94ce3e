"""One mail transaction: what MAIL and RCPT have said so far (RFC 5321 section 3.3)."""

from dataclasses import dataclass, field

from mssante.kernel.address import Address


@dataclass(slots=True)
class Transaction:
    """Begins with an accepted MAIL, ends with the reply to DATA or with RSET."""

    sender: Address | None
    body_8bit: bool
    recipients: dict[str, Address] = field(default_factory=dict)
    """By address key: a mailbox that is named twice gets the message once."""
