"""Identifiers of professionals and structures (Annuaire Santé, TRE_G07 and TRE_G08)."""

import re
from dataclasses import dataclass
from typing import Final

from mssante.kernel.luhn import luhn_valid

_RPPS: Final = re.compile(r"[0-9]{11}\Z")
_FINESS: Final = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{7}\Z")


class IdentifierError(ValueError):
    """The text is not such an identifier; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Rpps:
    """The number of a professional in the shared register (RPPS): 11 digits, Luhn key."""

    number: str

    @classmethod
    def parse(cls, text: str) -> "Rpps":
        """Check a number.

        Raises:
            IdentifierError: not 11 digits, or a wrong key.
        """
        if _RPPS.match(text) is None:
            raise IdentifierError("an RPPS number has 11 digits")
        if not luhn_valid(text):
            raise IdentifierError("the key (last digit) of the RPPS number is wrong")
        return cls(text)

    @property
    def national_id(self) -> str:
        """IDNPS: the prefix 8 and the RPPS number, 12 characters, under OID 1.2.250.1.71.4.2.1."""
        return f"8{self.number}"


@dataclass(frozen=True, slots=True)
class Finess:
    """The number of an establishment (FINESS EG) or legal entity (EJ): 9 characters, Luhn key."""

    number: str

    @classmethod
    def parse(cls, text: str) -> "Finess":
        """Check a number; Corsican departments 2A and 2B count as 20 in the key.

        Raises:
            IdentifierError: not 9 characters of that shape, or a wrong key.
        """
        number = text.upper()
        if _FINESS.match(number) is None:
            raise IdentifierError("a FINESS number has 9 characters: a department and 7 digits")
        if not luhn_valid(number.replace("A", "0").replace("B", "0")):
            raise IdentifierError("the key (last digit) of the FINESS number is wrong")
        return cls(number)

    @property
    def national_id(self) -> str:
        """IDNST: the prefix 1 and the FINESS number, 10 characters, under OID 1.2.250.1.71.4.2.2."""
        return f"1{self.number}"
