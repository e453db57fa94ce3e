"""A patient's appearance in logs, traces and queue listings: a keyed pseudonym.

The same patient has the same pseudonym within one instance; without the key it cannot be resolved
by trying all social security numbers (RFC 2104 HMAC with SHA-256).
"""

import hmac
from dataclasses import dataclass, field

from mssante.kernel.address import PATIENT_LOCAL_LENGTH, Address
from mssante.kernel.ins import matricule_key_valid


@dataclass(frozen=True, slots=True)
class Pseudonymiser:
    """Turns identifying text into `prefix` and 12 hexadecimal digits."""

    key: bytes = field(repr=False)
    patient_domains: frozenset[str]

    def of(self, text: str, prefix: str = "pat") -> str:
        """The pseudonym of any identifying text (INS, address)."""
        digest = hmac.digest(self.key, text.upper().encode(), "sha256")
        return f"{prefix}-{digest.hex()[:12]}"

    def of_address(self, address: Address) -> str:
        """A professional's address as it is, a patient's as the pseudonym of its INS: in our patients'
        domains, and in any other where the local part is an INS.
        """
        if address.domain.lower() in self.patient_domains or _is_ins(address.local):
            return f"{self.of(address.local)}@{address.domain}"
        return str(address)


def _is_ins(local: str) -> bool:
    return len(local) == PATIENT_LOCAL_LENGTH and matricule_key_valid(local.upper())
