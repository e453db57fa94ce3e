"""A mail address as a value. Its syntax is checked in ``wire.mime.addresses``."""

from dataclasses import dataclass
from typing import Final

from mssante.kernel.ins import InsError, matricule_key_valid

PATIENT_LOCAL_LENGTH: Final = 15


@dataclass(frozen=True, slots=True)
class Address:
    """local-part@domain, both ASCII; compared without case, as MSSanté does.

    The `repr` hides the local part: a patient's is the social security number.
    """

    local: str
    domain: str

    def __repr__(self) -> str:
        return f"Address(***@{self.domain})"

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """The form under which two spellings of one mailbox are equal."""
        return f"{self.local}@{self.domain}".lower()

    @classmethod
    def split(cls, text: str) -> "Address":
        """Cut at the last @ without judging the syntax.

        Raises:
            ValueError: there is no @, or nothing on one side of it.
        """
        local, at, domain = text.rpartition("@")
        if not (local and at and domain):
            raise ValueError("an address is local-part@domain")
        return cls(local, domain.lower())


def patient_address(matricule: str, patient_domain: str) -> Address:
    """The mailbox of a patient: ``<INS matricule>@<patient domain>`` (MSSanté, citizen's mail)."""
    return Address(matricule, patient_domain)


def matricule_of(address: Address) -> str:
    """The INS matricule in a patient's address, upper case (Corsica keeps 2A/2B).

    Raises:
        InsError: the local part is not 15 characters with a right key.
    """
    local = address.local.upper()
    if len(local) != PATIENT_LOCAL_LENGTH:
        raise InsError("the local part of a patient's address is the INS of 15 characters")
    if not matricule_key_valid(local):
        raise InsError("the local part of this patient's address has a wrong INS key")
    return local
