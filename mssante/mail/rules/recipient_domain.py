"""Recipients are in domains that this operator serves."""

from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal


async def check_local_domain(directory: Directory, recipient: Address) -> None:
    """Refuse other domains: nothing leaves the trusted space, and we serve no other operator yet.

    Raises:
        Refusal: DOMAIN_NOT_TRUSTED.
    """
    if not await directory.is_local_domain(recipient.domain):
        raise Refusal(Reason.DOMAIN_NOT_TRUSTED, "recipient domain is not local")
