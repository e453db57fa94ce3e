"""INS: the national health identity (matricule and the authority that assigned it).

Matricule: 13 characters of the NIR or NIA and a key of two digits (INS reference, ANS).
The key is ``97 - (N mod 97)``; in Corsica ``2A`` counts as 19 and ``2B`` as 18.
An INS is a social security number: it never appears in a key, path, log or error text.
"""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

_SHAPE: Final = re.compile(
    r"[1-478][0-9]{2}(?:0[1-9]|1[0-2]|[2-3][0-9]|4[0-2]|[5-9][0-9])(?:[0-9]{2}|2[AB])[0-9]{6}[0-9]{2}\Z"
)
"""Sex · year · month (01-12, 20-42, 50-99) · department (Corsica 2A/2B) · commune · order · key."""


@unique
class InsOid(StrEnum):
    """Assigning authorities of an INS."""

    NIR = "1.2.250.1.213.1.4.8"
    NIA = "1.2.250.1.213.1.4.9"
    NIR_TEST = "1.2.250.1.213.1.4.10"
    NIR_DEMO = "1.2.250.1.213.1.4.11"

    @property
    def is_test(self) -> bool:
        """Whether the authority assigns fictitious identities only."""
        return self in (InsOid.NIR_TEST, InsOid.NIR_DEMO)

    @property
    def is_nia(self) -> bool:
        """Whether the matricule is a temporary number (NIA)."""
        return self is InsOid.NIA


INS_OIDS: Final = frozenset(oid.value for oid in InsOid)


class InsError(ValueError):
    """The text is not an INS; the message never repeats it."""


def matricule_key(first_thirteen: str) -> int:
    """The key (1-97) of the 13 characters of a NIR or NIA.

    Raises:
        InsError: the 13 characters are not digits (2A and 2B apart).
    """
    number = first_thirteen.upper()
    if number[5:7] == "2A":
        number = f"{number[:5]}19{number[7:]}"
    elif number[5:7] == "2B":
        number = f"{number[:5]}18{number[7:]}"
    if len(number) != 13 or not (number.isascii() and number.isdigit()):
        raise InsError("a matricule has 13 digits before its key")
    return 97 - int(number) % 97


def matricule_key_valid(matricule: str) -> bool:
    """Whether the 15 characters end in the key of the first 13; wrong shapes are simply invalid."""
    if len(matricule) != 15 or not (matricule[13:].isascii() and matricule[13:].isdigit()):
        return False
    try:
        return matricule_key(matricule[:13]) == int(matricule[13:])
    except InsError:
        return False


@dataclass(frozen=True, slots=True)
class Ins:
    """A checked INS. Its `repr` shows no digit, so that it cannot leak into a log by accident."""

    matricule: str
    """Fifteen characters, upper case."""
    oid: InsOid

    def __repr__(self) -> str:
        return f"Ins(***, oid={self.oid.name})"

    @classmethod
    def parse(cls, matricule: str, oid: str = InsOid.NIR) -> "Ins":
        """Check what we create or match by: shape, key and authority.

        Blanks inside the matricule are accepted, as people write it in groups.

        Raises:
            InsError: says which part is wrong, without repeating the matricule.
        """
        compact = matricule.replace(" ", "").upper()
        if len(compact) != 15:
            raise InsError(f"an INS has 15 characters, this one has {len(compact)}")
        if _SHAPE.match(compact) is None:
            raise InsError("the INS does not have the shape of a NIR or NIA")
        if not matricule_key_valid(compact):
            raise InsError("the key of the INS (its last two digits) is wrong")
        try:
            authority = InsOid(oid)
        except ValueError:
            raise InsError(f"{oid} is not the OID of an INS authority") from None
        return cls(compact, authority)

    def same_number_space(self, other_oid: str, *, sandbox: bool) -> bool:
        """Whether `other_oid` names the same space of matricules as this INS.

        In a sandbox the production NIR and the two test authorities are one name space, because the
        official examples use them side by side for the same fictitious people.
        """
        if self.oid == other_oid:
            return True
        together = {InsOid.NIR, InsOid.NIR_TEST, InsOid.NIR_DEMO}
        return sandbox and self.oid in together and other_oid in together
