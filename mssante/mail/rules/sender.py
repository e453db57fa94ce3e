"""The envelope's sender is an address that the account may use (RFC 6409 section 6.1)."""

from mssante.access.identity import Identity
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal


def check_sender_owned(identity: Identity, sender: Address | None) -> None:
    """Let own addresses pass, and the null reverse-path, which read receipts need (RFC 8098
    section 3).

    Raises:
        Refusal: SENDER_NOT_OWNED.
    """
    if sender is not None and not identity.may_send_as(sender):
        raise Refusal(Reason.SENDER_NOT_OWNED, "envelope sender is not an address of the account")
