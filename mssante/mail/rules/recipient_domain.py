"""Recipients are ours, or in a domain of the trusted space: nothing leaves it."""

from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal
from mssante.trust.whitelist import TrustedSpace


async def check_local_domain(directory: Directory, recipient: Address) -> None:
    """Refuse domains that this operator does not serve: for others we carry nothing.

    Raises:
        Refusal: DOMAIN_NOT_TRUSTED.
    """
    if not await directory.is_local_domain(recipient.domain):
        raise Refusal(Reason.DOMAIN_NOT_TRUSTED, "recipient domain is not local")


async def check_trusted(space: TrustedSpace, recipient: Address) -> None:
    """Refuse a domain elsewhere that is no listed operator's.

    Raises:
        Refusal: DOMAIN_NOT_TRUSTED.
    """
    if not await space.operators_of(recipient.domain):
        raise Refusal(Reason.DOMAIN_NOT_TRUSTED, "recipient domain is not in the white list")
