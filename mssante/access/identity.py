"""Who speaks in an authenticated session."""

from dataclasses import dataclass

from mssante.directory.model import AccountRole, Mailbox
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId


@dataclass(frozen=True, slots=True)
class Identity:
    """An account with one mailbox open."""

    account_id: OpaqueId
    role: AccountRole
    mailbox: Mailbox
    sender_addresses: frozenset[str]
    """Address keys (lower case) that this account may send from."""
    reader_id: OpaqueId | None
    r"""Set in a shared mailbox: \Seen is then this reader's own."""

    def may_send_as(self, address: Address) -> bool:
        """Whether the account may use `address` as a sender."""
        return address.key in self.sender_addresses
