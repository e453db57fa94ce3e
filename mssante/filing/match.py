"""Whose document is it: by INS and by traits, or not at all. Nothing is guessed, nothing repaired.

INS name spaces: `kernel.ins.Ins.same_number_space`. Traits are compared as the national identity
service writes them (RNIV, INSi): upper case, no accents, ligatures opened; hyphens, apostrophes and
blanks are one. A trait that the register lacks is not compared, and noted.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mssante.directory.model import Patient
from mssante.filing.causes import Cause
from mssante.kernel.ins import Ins, InsError, InsOid
from mssante.kernel.traits import IdentityStatus, Traits
from mssante.wire.cda.model import Patient as Subject
from mssante.wire.cda.model import Private

_DAY: Final = 8
"""Characters of YYYYMMDD."""
_LIGATURES: Final = str.maketrans({"Œ": "OE", "œ": "OE", "Æ": "AE", "æ": "AE"})


@dataclass(frozen=True, slots=True, repr=False)
class Match(Private):
    """The outcome: a patient without a cause may be filed to."""

    patient: Patient | None
    cause: Cause | None = None
    detail: str = ""
    """The trait that the cause is about."""
    notes: tuple[str, ...] = ()
    """``not-compared-`` and a trait that the register lacks."""


@dataclass(frozen=True, slots=True, repr=False)
class SubjectIns(Private):
    """The INS that a document names, or why it names none that can be used."""

    ins: Ins | None
    cause: Cause | None = None


def subject_ins(subject: Subject, *, sandbox: bool) -> SubjectIns:
    """The checked INS of a document's patient.

    A wrong key is wrong in every mode; a test authority is refused in production only.
    """
    found = subject.ins_ids
    if not found:
        return SubjectIns(None, Cause.INS_MISSING)
    if subject.others or len(named_matricules(subject)) > 1:
        return SubjectIns(None, Cause.INS_SEVERAL)
    try:
        ins = Ins.parse(found[0].extension or "", found[0].root or "")
    except InsError:
        return SubjectIns(None, Cause.INS_WRONG)
    if any(InsOid(one.root or "").is_test for one in found) and not sandbox:
        return SubjectIns(None, Cause.INS_TEST_AUTHORITY)
    return SubjectIns(ins)


def named_matricules(subject: Subject) -> frozenset[str]:
    """The matricules under INS authorities, as written but for blanks and case."""
    return frozenset((found.extension or "").replace(" ", "").upper() for found in subject.ins_ids)


def match(subject: Subject, ins: Ins, patients: Sequence[Patient], *, sandbox: bool) -> Match:
    """Choose among the patients who have, or had, this matricule.

    Args:
        subject: the document's patient.
        ins: the document's checked INS.
        patients: what the directory has under its matricule.
        sandbox: whether the production and test authorities are one name space.
    """
    present = [one for one in patients if _has_now(one, ins, sandbox=sandbox)]
    if len(present) != 1:
        # A former INS, another name space, or two records with one INS: a person decides.
        cause = Cause.INS_DIFFERS if patients else Cause.PATIENT_UNKNOWN
        return Match(patients[0] if len(patients) == 1 else None, cause)
    patient = present[0]
    if patient.status is not IdentityStatus.QUAL:
        return Match(patient, Cause.NOT_QUALIFIED)
    return _compare(subject, patient)


def _has_now(patient: Patient, ins: Ins, *, sandbox: bool) -> bool:
    own = patient.ins
    return (
        own is not None
        and own.matricule == ins.matricule
        and own.same_number_space(ins.oid, sandbox=sandbox)
    )


def _compare(subject: Subject, patient: Patient) -> Match:
    notes: list[str] = []
    for trait, cause in _findings(subject, patient.traits):
        if cause is not None:
            return Match(patient, cause, trait)
        notes.append(f"not-compared-{trait}")
    return Match(patient, notes=tuple(notes))


def _findings(subject: Subject, known: Traits) -> Iterator[tuple[str, Cause | None]]:
    """Traits with a cause, or with `None` where the register lacks them; missing ones first."""
    birth_date = subject.birth_time.value if subject.birth_time else None
    written = {
        "birth-name": subject.birth_name,
        "given-names": subject.given_names,
        "birth-date": birth_date or (subject.birth_time and subject.birth_time.null_flavor),
        "sex": subject.sex,
        "birth-place": subject.birth_place_code,
    }
    yield from ((trait, Cause.TRAIT_MISSING) for trait, value in written.items() if not value)
    if subject.sex not in ("M", "F"):
        yield "sex", Cause.TRAIT_IMPRECISE
    if _day(birth_date) is None:
        yield "birth-date", Cause.TRAIT_IMPRECISE
    comparisons = (
        ("birth-name", known.birth_name, _same(known.birth_name, subject.birth_name)),
        (
            "given-names",
            known.first_given or known.given_names,
            given_names_agree(known, subject.first_given, subject.given_names),
        ),
        ("birth-date", known.birth_date, _day(known.birth_date) == _day(birth_date)),
        ("sex", known.sex, known.sex == subject.sex),
        ("birth-place", known.birth_place, _same(known.birth_place, subject.birth_place_code)),
    )
    for trait, registered, agree in comparisons:
        if not registered:
            yield trait, None
        elif not agree:
            yield trait, Cause.TRAIT_DIFFERS


def _day(text: str | None) -> str | None:
    """YYYYMMDD, or `None` where year, month or day is not known."""
    day = (text or "").replace("-", "")[:_DAY]
    if len(day) < _DAY or not (day.isascii() and day.isdigit()):
        return None
    return None if day[:4] == "0000" or day[4:6] == "00" or day[6:] == "00" else day


def _same(one: str | None, other: str | None) -> bool:
    return normalised(one or "") == normalised(other or "")


def given_names_agree(known: Traits, first_given: str | None, given_names: str | None) -> bool:
    """Whether the register's first given name is the document's, or the first of its list.

    The parts of a composed name may be joined by a hyphen or a blank: ``JEAN-PIERRE`` agrees with
    the list ``JEAN PIERRE MARIE``, but ``JEAN`` does not agree with ``JEAN-PIERRE MARIE``.
    """
    listed = (known.given_names or "").split()
    registered = normalised(known.first_given or (listed[0] if listed else ""))
    if not registered:
        return False
    if registered == normalised(first_given or ""):
        return True
    words = (given_names or "").split()
    most = len(registered.split())
    return any(
        registered == normalised(" ".join(words[:count]))
        for count in range(1, min(most, len(words)) + 1)
    )


def normalised(text: str) -> str:
    """A name as the identity service writes it, with one blank for hyphens and apostrophes."""
    opened = unicodedata.normalize("NFKD", text.translate(_LIGATURES)).upper()
    letters = (
        character if character.isalnum() else " "
        for character in opened
        if not unicodedata.combining(character)
    )
    return " ".join("".join(letters).split())
