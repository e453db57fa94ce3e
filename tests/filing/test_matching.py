"""Whose document is it: INS and traits."""

from dataclasses import replace

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_samples import Subject, a_matricule, level1

from mssante.directory.model import Patient
from mssante.filing.causes import DETAILS, WORDS, Cause
from mssante.filing.match import given_names_agree, match, normalised, subject_ins
from mssante.kernel.ins import Ins, InsOid
from mssante.kernel.opaque import new_id
from mssante.kernel.traits import IdentityStatus, Traits
from mssante.wire.cda.reader import read_document

TRAITS = Traits("PATIENT-DEUX", "ALIX MARIE-LOUISE", "ALIX", "F", "19790328", "51215")


def a_patient(*, oid=InsOid.NIR_TEST, number=215001, status=IdentityStatus.QUAL, **traits):
    ins = Ins.parse(a_matricule(number), oid)
    return Patient(new_id(), ins, replace(TRAITS, **traits), status, None, dmp_active=True)


def matched(subject, *patients, sandbox=True):
    received = read_document(level1(subject)).patient
    named = subject_ins(received, sandbox=sandbox)
    if named.ins is None:
        return named
    return match(received, named.ins, patients or (a_patient(),), sandbox=sandbox)


def test_the_same_identity_matches():
    found = matched(Subject())

    assert found.cause is None
    assert found.notes == ()


@pytest.mark.parametrize(
    ("subject", "cause", "detail"),
    [
        (Subject(birth_name="AUTRE"), Cause.TRAIT_DIFFERS, "birth-name"),
        (Subject(given_names="ZOE", first_given="ZOE"), Cause.TRAIT_DIFFERS, "given-names"),
        (Subject(sex="M"), Cause.TRAIT_DIFFERS, "sex"),
        (Subject(birth_date="19790329"), Cause.TRAIT_DIFFERS, "birth-date"),
        (Subject(birth_place="75056"), Cause.TRAIT_DIFFERS, "birth-place"),
        (Subject(birth_name=None), Cause.TRAIT_MISSING, "birth-name"),
        (Subject(given_names=None), Cause.TRAIT_MISSING, "given-names"),
        (Subject(sex=None), Cause.TRAIT_MISSING, "sex"),
        (Subject(birth_date=None), Cause.TRAIT_MISSING, "birth-date"),
        (Subject(birth_place=None), Cause.TRAIT_MISSING, "birth-place"),
        (Subject(sex="U"), Cause.TRAIT_IMPRECISE, "sex"),
        (Subject(birth_date="19790300"), Cause.TRAIT_IMPRECISE, "birth-date"),
        (Subject(birth_date="19790028"), Cause.TRAIT_IMPRECISE, "birth-date"),
        (Subject(birth_date="1979"), Cause.TRAIT_IMPRECISE, "birth-date"),
    ],
)
def test_each_trait_decides_and_is_named(subject, cause, detail):
    found = matched(subject)

    assert (found.cause, found.detail) == (cause, detail)
    assert detail in DETAILS


def test_an_unknown_date_of_birth_is_not_for_automatic_filing():
    content = level1().replace(b'<birthTime value="19790328"/>', b'<birthTime nullFlavor="UNK"/>')
    subject = read_document(content).patient

    found = match(subject, Ins.parse(Subject().ins, InsOid.NIR_TEST), [a_patient()], sandbox=True)

    assert (found.cause, found.detail) == (Cause.TRAIT_IMPRECISE, "birth-date")


@pytest.mark.parametrize("trait", ["birth_name", "sex", "birth_date", "birth_place"])
def test_a_trait_that_the_register_lacks_is_noted_and_not_compared(trait):
    found = matched(Subject(), a_patient(**{trait: None}))

    assert found.cause is None
    assert found.notes == (f"not-compared-{trait.replace('_', '-')}",)


def test_given_names_that_the_register_lacks_are_noted():
    found = matched(Subject(), a_patient(given_names=None, first_given=None))

    assert found.notes == ("not-compared-given-names",)


@pytest.mark.parametrize(
    ("registered", "first", "listed", "agree"),
    [
        ("ALIX", "ALIX", "ALIX MARIE", True),
        ("ALIX", "RUTH", "ALIX MARIE", True),
        ("RUTH", "RUTH", "ISABELLE", True),
        ("Zoé", "ZOE", "ZOE", True),
        ("JEAN-PIERRE", None, "JEAN PIERRE MARIE", True),
        ("JEAN PIERRE", "JEAN-PIERRE", "JEAN-PIERRE MARIE", True),
        ("JEAN PIERRE", None, "JEAN-PIERRE MARIE", True),
        ("JEAN", None, "JEAN-PIERRE MARIE", False),
        ("JEAN", "JEAN-PIERRE", "JEAN-PIERRE MARIE", False),
        ("MARIE", "ALIX", "ALIX MARIE", False),
        ("JEAN-PIERRE", "JEAN", "JEAN", False),
    ],
)
def test_first_given_names(registered, first, listed, agree):
    assert given_names_agree(replace(TRAITS, first_given=registered), first, listed) is agree


def test_without_a_first_given_name_the_first_of_the_registers_list_counts():
    assert given_names_agree(replace(TRAITS, first_given=None), "ALIX", None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Lœuvre", "LOEUVRE"),
        ("d'Été", "D ETE"),
        ("D’ÉTÉ", "D-ETE"),
        ("LE  GOFF", "le-goff"),
        ("Ægir", "AEGIR"),
        ("Straße", "STRASSE"),
        ("Noël", "Noe\u0308l"),
    ],
)
def test_spellings_of_one_name_are_equal(one, other):
    assert normalised(one) == normalised(other)


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    once = normalised(text)

    assert normalised(once) == once
    assert once == once.strip()


@pytest.mark.parametrize(
    ("document_oid", "patient_oid", "sandbox", "cause"),
    [
        (InsOid.NIR_TEST, InsOid.NIR_TEST, True, None),
        (InsOid.NIR, InsOid.NIR_TEST, True, None),
        (InsOid.NIR_DEMO, InsOid.NIR, True, None),
        (InsOid.NIA, InsOid.NIR_TEST, True, Cause.INS_DIFFERS),
        (InsOid.NIR, InsOid.NIR, False, None),
        (InsOid.NIR_TEST, InsOid.NIR, False, Cause.INS_TEST_AUTHORITY),
        (InsOid.NIR_DEMO, InsOid.NIR, False, Cause.INS_TEST_AUTHORITY),
        (InsOid.NIA, InsOid.NIR, False, Cause.INS_DIFFERS),
    ],
)
def test_authorities_are_name_spaces(document_oid, patient_oid, sandbox, cause):
    subject = Subject(ins_oid=document_oid.value)

    assert matched(subject, a_patient(oid=patient_oid), sandbox=sandbox).cause is cause


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize("ins", [a_matricule(215001)[:13] + "00", "123", "", "X" * 15])
def test_a_wrong_ins_is_wrong_in_every_mode(ins, sandbox):
    assert matched(Subject(ins=ins), sandbox=sandbox).cause is Cause.INS_WRONG


def test_a_document_without_ins_names_nobody():
    assert matched(Subject(ins=None)).cause is Cause.INS_MISSING


def test_two_different_ins_name_nobody():
    one = f'<id root="1.2.250.1.213.1.4.10" extension="{Subject().ins}"/>'.encode()
    content = level1().replace(
        one, one + one.replace(Subject().ins.encode(), a_matricule(7).encode())
    )

    named = subject_ins(read_document(content).patient, sandbox=True)

    assert named.cause is Cause.INS_SEVERAL


def test_a_second_patient_of_the_document_is_not_passed_over():
    content = level1()
    start, end = content.index(b"<recordTarget>"), content.index(b"</recordTarget>") + 15
    other = content[start:end].replace(Subject().ins.encode(), a_matricule(7).encode())
    about_two = content[:end] + other + content[end:]

    named = subject_ins(read_document(about_two).patient, sandbox=True)

    assert named.cause is Cause.INS_SEVERAL


def test_a_second_patient_without_an_ins_is_not_passed_over_either():
    content = level1()
    role = content[content.index(b"<patientRole") : content.index(b"</patientRole>") + 14]
    stranger = re.sub(rb"<id [^>]*/>", b"", role)
    assert b"<id " not in stranger

    named = subject_ins(read_document(content.replace(role, role + stranger)).patient, sandbox=True)

    assert named.cause is Cause.INS_SEVERAL


def test_one_ins_under_two_authorities_is_one_ins_in_a_sandbox():
    one = f'<id root="1.2.250.1.213.1.4.10" extension="{Subject().ins}"/>'.encode()
    content = level1().replace(one, one + one.replace(b".4.10", b".4.8"))

    assert subject_ins(read_document(content).patient, sandbox=True).ins is not None


def test_blanks_in_an_ins_are_no_fault():
    spaced = " ".join(Subject().ins)

    assert matched(Subject(ins=spaced)).cause is None


def test_nobody_has_the_ins():
    found = match(
        read_document(level1()).patient, Ins.parse(Subject().ins, InsOid.NIR_TEST), [], sandbox=True
    )

    assert (found.patient, found.cause) == (None, Cause.PATIENT_UNKNOWN)


def test_a_former_ins_is_for_a_person_to_judge():
    found = matched(Subject(), a_patient(number=99))

    assert found.cause is Cause.INS_DIFFERS


@pytest.mark.parametrize("status", [s for s in IdentityStatus if s is not IdentityStatus.QUAL])
def test_only_a_qualified_identity_is_filed_to(status):
    assert matched(Subject(), a_patient(status=status)).cause is Cause.NOT_QUALIFIED


def test_every_cause_has_its_code_and_words():
    assert {Cause(one) for one in Cause} <= set(WORDS)
    for words in WORDS.values():
        assert 900 <= words.code <= 906
        assert words.french
        assert words.english
