"""The five strict identity traits of the INS (RNIV), as received or as registered."""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Sex(StrEnum):
    """Administrative gender (JDV_J143)."""

    MALE = "M"
    FEMALE = "F"
    UNKNOWN = "U"


@unique
class IdentityStatus(StrEnum):
    """Degree of confidence in an identity (RNIV EXI SI 07). Only QUAL is filed to."""

    PROV = "PROV"
    VALI = "VALI"
    RECUP = "RECUP"
    QUAL = "QUAL"


@dataclass(frozen=True, slots=True)
class Traits:
    """What identifies a person beside the matricule; `None` where the source lacks the trait."""

    birth_name: str | None
    given_names: str | None
    """The list of the birth certificate, blank separated."""
    first_given: str | None
    sex: str | None
    birth_date: str | None
    """As written: YYYYMMDD, possibly less precise."""
    birth_place: str | None
    """INSEE code of the commune or country, 5 characters."""

    def __repr__(self) -> str:
        return "Traits(***)"
