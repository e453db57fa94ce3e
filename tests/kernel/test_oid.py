import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.oid import MAX_OID_LENGTH, is_oid

arcs = st.lists(st.integers(0, 10**6), max_size=6)


@given(st.integers(0, 1), st.integers(0, 39), arcs)
def test_under_the_first_two_roots_the_second_arc_is_at_most_39(root, second, rest):
    assert is_oid(".".join(map(str, [root, second, *rest])))


@given(st.integers(0, 10**6), arcs)
def test_under_the_third_root_every_second_arc_is_right(second, rest):
    assert is_oid(".".join(map(str, [2, second, *rest])))


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "2", "3.1", "1.40", "0.40.1", "1.2.", ".1.2", "1..2", "1.02", "01.2", "1.2.0x",
        "1.2\n", " 1.2", "urn:oid:1.2", "1,2", "-1.2", "1.2.-3", "١.٢", "1.2.250.1.²", "0.00", "1.00",
        "1.01.2", "2.01",
    ],
)  # fmt: skip
def test_other_texts_are_no_oid(text):
    assert not is_oid(text)


def test_an_oid_has_at_most_64_characters():
    longest = "1.2." + "1" * (MAX_OID_LENGTH - 4)

    assert is_oid(longest)
    assert not is_oid(longest + "1")


@given(st.text(max_size=80))
def test_any_text_is_judged_without_failing(text):
    assert is_oid(text) in (True, False)
