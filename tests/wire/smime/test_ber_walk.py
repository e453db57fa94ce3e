"""The walk before decoding: what is too deep, too long or not one element never gets further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.smime.ber import check_encoding
from mssante.wire.smime.errors import Malformed


def walk(data):
    check_encoding(data, max_depth=8, max_elements=100)


@pytest.mark.parametrize(
    "encoded",
    [
        "3000",
        "30030201ff",
        "30800201010000",
        "308030800000 0000",
        "3081030201 01",
        "30 04 1f 81 01 00",
        "3008 2480 0401aa 0000 00".replace("3008", "3007").removesuffix(" 00"),
    ],
)
def test_good_encodings_pass(encoded):
    walk(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    ("encoded", "word"),
    [
        ("", "asn1-garbage"),
        ("0201ff", "asn1-garbage"),
        ("30050201ff", "asn1-truncated"),
        ("3080020101", "asn1-truncated"),
        ("30", "asn1-truncated"),
        ("3082ff", "asn1-truncated"),
        ("30030202ff", "asn1-truncated"),
        ("3005300502010100", "asn1-garbage"),
        ("3003028001", "asn1-garbage"),
        ("308901010101010101010101", "asn1-garbage"),
        ("300000", "asn1-trailing"),
        ("3080" * 9 + "0000" * 9, "nesting-limit"),
        ("3081ca" + "0500" * 101, "too-many"),
    ],
)
def test_each_fault_has_its_word(encoded, word):
    with pytest.raises(Malformed) as caught:
        walk(bytes.fromhex(encoded))
    assert caught.value.word == word


@given(st.binary(max_size=60))
def test_any_octets_end_in_a_word_or_pass(data):
    try:
        walk(b"0" + data)
    except Malformed as error:
        assert error.word
