import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mssante.kernel.ins import Ins, InsError, InsOid, matricule_key, matricule_key_valid

PUBLISHED = ["279035121518989", "277010115400329"]
"""Test identities that ANS publishes."""

months = st.one_of(st.integers(1, 12), st.integers(20, 42), st.integers(50, 99)).map(
    lambda month: f"{month:02d}"
)
departments = st.one_of(
    st.integers(1, 99).map(lambda number: f"{number:02d}"), st.sampled_from(["2A", "2B"])
)
bodies = st.builds(
    lambda sex, year, month, department, rest: f"{sex}{year:02d}{month}{department}{rest:06d}",
    st.sampled_from("123478"),
    st.integers(0, 99),
    months,
    departments,
    st.integers(0, 999_999),
)
"""Thirteen characters with the shape of a NIR (sex 1, 2; 3, 4 provisional; 7, 8 NIA)."""


def with_key(body: str) -> str:
    return f"{body}{matricule_key(body):02d}"


@pytest.mark.parametrize("matricule", PUBLISHED)
def test_published_test_identities_are_valid(matricule):
    assert matricule_key_valid(matricule)
    assert Ins.parse(matricule, InsOid.NIR_TEST).matricule == matricule


@given(bodies)
def test_a_matricule_with_its_key_is_an_ins(body):
    ins = Ins.parse(with_key(body), InsOid.NIR)

    assert ins.matricule == with_key(body)


@given(bodies)
def test_the_key_is_the_complement_of_the_number_to_a_multiple_of_97(body):
    number = int(
        body.replace("2A", "19")
        if body[5:7] == "2A"
        else body.replace("2B", "18")
        if body[5:7] == "2B"
        else body
    )

    assert (number + matricule_key(body)) % 97 == 0
    assert 1 <= matricule_key(body) <= 97


@given(bodies, st.integers(0, 99))
def test_every_other_key_is_refused(body, key):
    assume(key != matricule_key(body))

    with pytest.raises(InsError, match="key"):
        Ins.parse(f"{body}{key:02d}", InsOid.NIR)


@given(bodies, st.integers(0, 12), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(body, place, shift):
    assume(body[place].isdigit() and not (place in (5, 6) and body[5] == "2" and body[6] in "AB"))
    changed = body[:place] + str((int(body[place]) + shift) % 10) + body[place + 1 :]

    assert not matricule_key_valid(changed + with_key(body)[13:])


@given(bodies, st.integers(0, 11))
def test_two_digits_exchanged_are_noticed(body, place):
    assume(body[5:7] not in ("2A", "2B"))
    assume(body[place] != body[place + 1])
    swapped = body[:place] + body[place + 1] + body[place] + body[place + 2 :]

    assert not matricule_key_valid(swapped + with_key(body)[13:])


@given(bodies.filter(lambda body: body[6] in "AB"))
def test_corsica_is_read_in_either_case(body):
    assert Ins.parse(with_key(body).lower()).matricule == with_key(body)
    assert matricule_key_valid(with_key(body).lower())


def test_corsica_has_its_own_numbers_in_the_key():
    south, north = "178022A004012", "178022B004012"

    assert matricule_key(south) == 97 - 1780219004012 % 97
    assert matricule_key(north) == 97 - 1780218004012 % 97


@given(bodies)
def test_groups_as_people_write_them_are_accepted(body):
    m = with_key(body)
    written = f"{m[0]} {m[1:3]} {m[3:5]} {m[5:7]} {m[7:10]} {m[10:13]} {m[13:]}"

    assert Ins.parse(written).matricule == m


@given(st.text(max_size=30))
def test_any_text_is_either_an_ins_or_refused_without_being_repeated(text):
    try:
        ins = Ins.parse(text)
    except InsError as error:
        # A text of one or two characters may occur in the sentence by chance.
        assert len(text) < 4 or text not in str(error)
    else:
        assert matricule_key_valid(ins.matricule)


@given(bodies, st.text("٠١٢٣٤٥٦٧٨٩²³¹０１２", min_size=1, max_size=2))
def test_digits_of_other_scripts_are_no_digits(body, strange):
    matricule = with_key(body)
    text = matricule[: -len(strange)] + strange

    assert not matricule_key_valid(text)
    with pytest.raises(InsError):
        Ins.parse(text)


@given(st.text(string.digits + "AB", min_size=13, max_size=13))
def test_letters_elsewhere_than_the_department_are_refused(text):
    assume(any(letter in text for letter in "AB"))
    assume(not (text[5:7] in ("2A", "2B") and text.replace(text[5:7], "", 1).isdigit()))

    with pytest.raises(InsError):
        matricule_key(text)


@pytest.mark.parametrize(
    "body", ["0790351215189", "5790351215189", "6790351215189", "9790351215189"]
)
def test_a_first_digit_that_nobody_has_is_refused(body):
    with pytest.raises(InsError, match="shape"):
        Ins.parse(with_key(body))


@pytest.mark.parametrize("month", ["00", "13", "19", "43", "49"])
def test_a_month_that_is_never_given_is_refused(month):
    with pytest.raises(InsError, match="shape"):
        Ins.parse(with_key(f"279{month}51215189"))


def test_an_unknown_authority_is_refused():
    with pytest.raises(InsError, match="not the OID"):
        Ins.parse(PUBLISHED[0], "1.2.250.1.213.1.4.2")


@given(bodies)
def test_neither_repr_nor_str_shows_the_number(body):
    ins = Ins.parse(with_key(body))

    assert body not in repr(ins)
    assert body not in str(ins)
    assert body not in f"{ins}"


@pytest.mark.parametrize("ours", list(InsOid))
@pytest.mark.parametrize("other", list(InsOid))
@pytest.mark.parametrize("sandbox", [True, False])
def test_name_spaces_are_told_apart_and_a_sandbox_joins_the_nir_ones(ours, other, sandbox):
    nirs = {InsOid.NIR, InsOid.NIR_TEST, InsOid.NIR_DEMO}
    expected = ours == other or (sandbox and {ours, other} <= nirs)

    assert Ins(PUBLISHED[0], ours).same_number_space(other.value, sandbox=sandbox) is expected


def test_test_authorities_and_the_nia_are_known():
    assert [oid.name for oid in InsOid if oid.is_test] == ["NIR_TEST", "NIR_DEMO"]
    assert [oid.name for oid in InsOid if oid.is_nia] == ["NIA"]
