import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mssante.kernel.luhn import luhn_key, luhn_valid
from mssante.kernel.professionals import Finess, IdentifierError, Rpps

digits = st.text("0123456789", min_size=1, max_size=20)


@pytest.mark.parametrize("number", ["18", "79927398713", "49927398716"])
def test_luhn_agrees_with_published_examples(number):
    assert luhn_valid(number)


@given(digits)
def test_the_luhn_key_makes_a_number_valid_and_is_the_only_one(text):
    keys = [key for key in "0123456789" if luhn_valid(text + key)]

    assert keys == [luhn_key(text)]


@given(digits, st.data())
def test_luhn_notices_one_wrong_digit(text, data):
    number = text + luhn_key(text)
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != number[place]]))

    assert not luhn_valid(number[:place] + other + number[place + 1 :])


@given(st.text("0123456789", min_size=10, max_size=10))
def test_an_rpps_number_is_eleven_digits_with_a_luhn_key(text):
    number = text + luhn_key(text)

    assert Rpps.parse(number).national_id == f"8{number}"
    wrong = text + str((int(luhn_key(text)) + 1) % 10)
    with pytest.raises(IdentifierError, match="key"):
        Rpps.parse(wrong)


@given(st.text(max_size=14))
def test_any_other_text_is_refused_as_rpps(text):
    assume(not (len(text) == 11 and text.isascii() and text.isdigit()))

    with pytest.raises(IdentifierError):
        Rpps.parse(text)


@pytest.mark.parametrize("text", ["99700000013\n", "٩٩٧٠٠٠٠٠٠١٣", " 99700000013", "+9700000013"])
def test_what_python_takes_for_digits_is_not_enough(text):
    with pytest.raises(IdentifierError):
        Rpps.parse(text)


departments = st.one_of(st.integers(0, 99).map(lambda n: f"{n:02d}"), st.sampled_from(["2A", "2B"]))


@given(departments, st.integers(0, 999_999))
def test_a_finess_number_has_a_luhn_key_and_corsica_counts_as_20(department, rest):
    body = f"{department}{rest:06d}"
    number = body + luhn_key(body.replace("A", "0").replace("B", "0"))

    assert Finess.parse(number.lower()).number == number
    assert Finess.parse(number).national_id == f"1{number}"


@pytest.mark.parametrize("number", ["750712184", "690781810"])
def test_published_establishments_are_valid(number):
    assert Finess.parse(number).national_id == f"1{number}"


@pytest.mark.parametrize(
    "text", ["", "75071218", "7507121844", "A50712184", "2C0000000", "750712185"]
)
def test_other_texts_are_no_finess(text):
    with pytest.raises(IdentifierError):
        Finess.parse(text)
