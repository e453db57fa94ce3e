"""The people and organisations of a demo instance: all invented.

Numbers are made in the test ranges with right keys: RPPS in ``99700…`` (ANS), INS under the test
authority, FINESS in a department that has no establishments (``00``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mssante.kernel.ins import Ins, InsOid, matricule_key
from mssante.kernel.luhn import luhn_key
from mssante.kernel.traits import IdentityStatus, Traits

MAX_ACCOUNTS: Final = 100_000
"""More professionals would leave the test range of the RPPS."""


def sandbox_rpps(serial: int) -> str:
    """The RPPS number of a fictitious professional (serial from 0 to 99 999)."""
    digits = f"99700{serial:05d}"
    return digits + luhn_key(digits)


def sandbox_finess(serial: int) -> str:
    """The FINESS number of a fictitious structure."""
    digits = f"00{serial:06d}"
    return digits + luhn_key(digits)


def sandbox_ins(traits: Traits, order: int) -> Ins:
    """The INS that fits the traits (sex, date and place of birth) with a birth order (1-999)."""
    assert traits.birth_date is not None
    assert traits.birth_place is not None
    sex = "2" if traits.sex == "F" else "1"
    body = f"{sex}{traits.birth_date[2:6]}{traits.birth_place}{order:03d}"
    return Ins.parse(f"{body}{matricule_key(body):02d}", InsOid.NIR_TEST)


@dataclass(frozen=True, slots=True)
class DemoProfessional:
    """A professional to be created."""

    login: str
    name: str
    rpps: str
    profession: str


@dataclass(frozen=True, slots=True)
class DemoPatient:
    """A patient to be created."""

    traits: Traits
    ins: Ins
    status: IdentityStatus
    activated: bool


DOCTOR: Final = DemoProfessional("claire.morel", "Dr Claire MOREL", sandbox_rpps(1), "10")
NURSE: Final = DemoProfessional("julien.bertin", "Julien BERTIN", sandbox_rpps(2), "60")
PHARMACIST: Final = DemoProfessional("nadia.ferrand", "Dr Nadia FERRAND", sandbox_rpps(3), "21")
PROFESSIONALS: Final = (DOCTOR, NURSE, PHARMACIST)
"""A doctor, a nurse and a pharmacist (TRE_G15)."""

ORGANISATION: Final = ("Centre de santé des Tilleuls", sandbox_finess(75_001), "secretariat")
"""Name, FINESS, local part and login; shared by the doctor and the nurse."""
APPLICATION: Final = ("Serveur de résultats", "resultats")


def _patient(
    name: str,
    given: str,
    sex: str,
    date: str,
    place: str,
    order: int,
    *,
    status: IdentityStatus = IdentityStatus.QUAL,
    activated: bool = True,
) -> DemoPatient:
    traits = Traits(name, given, given.split(" ", maxsplit=1)[0], sex, date, place)
    return DemoPatient(traits, sandbox_ins(traits, order), status, activated)


PATIENTS: Final = (
    _patient("LEROUX", "AGATHE MARIE", "F", "19620817", "75112", 41),
    _patient("SANTONI", "ANGE PASCAL", "M", "19850302", "2A004", 12),
    _patient("VASSEUR", "ODILE", "F", "19480123", "59350", 7, activated=False),
    _patient("NGUYEN", "PAUL", "M", "20011130", "69383", 118, status=IdentityStatus.PROV),
)
"""The third is not activated, the fourth has an identity that is not qualified."""

REMOTE_OPERATORS: Final = (
    ("hopital-voisin.example", "Hôpital voisin", True),
    ("hors-liste.example", "Opérateur hors liste", False),
)
"""Domain, organisation, listed."""


def load_professionals(count: int) -> Iterator[DemoProfessional]:
    """`count` professionals for load tests."""
    for serial in range(count):
        name = f"Dr Charge TEST {serial:05d}"
        yield DemoProfessional(f"pro{serial:05d}", name, sandbox_rpps(1000 + serial), "10")


def load_patients(count: int) -> Iterator[DemoPatient]:
    """`count` activated patients with qualified identities for load tests, all of different INS."""
    for serial in range(count):
        index, order = divmod(serial, 999)
        year, month = 1950 + index // 12, index % 12 + 1
        sex = "F" if serial % 2 else "M"
        yield _patient(
            f"TEST{serial:05d}", "CHARGE", sex, f"{year}{month:02d}15", "75115", order + 1
        )
