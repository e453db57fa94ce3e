"""From and Sender name addresses that the sending account (RFC 6409 sections 6.1 and 8.1) or the
sending operator may use.

The envelope is not shown to readers; what they see must be as true as what was authenticated.
"""

from collections.abc import Callable

from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.rules.header import Header
from mssante.wire.mime.address_lists import MailboxEntry, read_addresses

Owns = Callable[[Address], bool]
"""Whether who sends may use an address."""


def author_of(header: Header) -> Address | None:
    """The one address in From; None where there are several, or none that is ASCII."""
    for field in header.named(b"from"):
        entries = read_addresses(header.value(field))
        if len(entries) == 1 and entries[0].mailbox and entries[0].host:
            try:
                local, domain = (
                    entries[0].mailbox.decode("ascii"),
                    entries[0].host.decode("ascii"),
                )
            except UnicodeDecodeError:
                return None
            return Address(local, domain.lower())
    return None


def check_authorship(owns: Owns, header: Header) -> None:
    """Check each address of From and Sender.

    Raises:
        Refusal: MESSAGE_MALFORMED without exactly one From or with an empty one; FROM_NOT_OWNED.
    """
    if header.count(b"from") != 1:
        raise Refusal(Reason.MESSAGE_MALFORMED, hint="exactly one From field is needed")
    for name in (b"from", b"sender"):
        for field in header.named(name):
            entries = read_addresses(header.value(field))
            if not entries or (name == b"sender" and len(entries) > 1):
                raise Refusal(Reason.MESSAGE_MALFORMED, hint=f"{name.decode()} needs an address")
            for entry in entries:
                _check_owned(owns, entry)


def _check_owned(owns: Owns, entry: MailboxEntry) -> None:
    """Groups, which have no address, are nobody's."""
    local, domain = entry.mailbox or b"", entry.host or b""
    try:
        address = Address(local.decode("ascii"), domain.decode("ascii"))
    except UnicodeDecodeError:
        raise Refusal(Reason.FROM_NOT_OWNED, "non-ASCII address in From or Sender") from None
    if not owns(address):
        raise Refusal(Reason.FROM_NOT_OWNED, "address in From or Sender is not the sender's")
