"""A patient's address is the INS of 15 characters with a right key, at a patients' domain."""

from collections.abc import Set as AbstractSet

from mssante.kernel.address import Address, matricule_of
from mssante.kernel.ins import InsError
from mssante.kernel.reasons import Reason, Refusal


def check_patient_address(patient_domains: AbstractSet[str], recipient: Address) -> None:
    """Tell a mistyped INS from an unknown one: the sender can correct it.

    Raises:
        Refusal: RECIPIENT_MALFORMED.
    """
    if recipient.domain.lower() not in patient_domains:
        return
    try:
        matricule_of(recipient)
    except InsError as error:
        raise Refusal(Reason.RECIPIENT_MALFORMED, str(error)) from None
