"""Elements read one by one: what each form gives, and that nothing odd gives anything."""

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.smime.elements import (
    OCTET_STRING,
    SEQUENCE,
    SET,
    Fields,
    element_at,
    element_of,
    encoded,
)
from mssante.wire.smime.errors import Malformed


def of(text):
    return element_of(bytes.fromhex(text))


@pytest.mark.parametrize(
    ("encoding", "values"),
    [
        ("3000", []),
        ("3006 020101 020102", [1, 2]),
        ("3080 020101 020102 0000", [1, 2]),
        ("308106 020101 020102", [1, 2]),
        ("3084 00000003 0201ff", [-1]),
        ("3002 0200", [0]),
    ],
)
def test_a_sequence_gives_its_elements_whatever_form_its_length_has(encoding, values):
    assert [one.integer() for one in of(encoding).inside(SEQUENCE)] == values


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        ("0403616263", b"abc"),
        ("2480 0000", b""),
        ("2480 040161 04026263 0000", b"abc"),
        ("2480 040161 2480 040162 0000 040163 0000", b"abc"),
    ],
)
def test_an_octet_string_gives_its_pieces_joined(encoding, value):
    assert of(encoding).octets() == value


def test_an_implicit_tag_is_on_the_whole_string_and_not_on_its_pieces():
    assert of("8003616263").octets(0x80) == b"abc"
    assert of("a080 040161 04026263 0000").octets(0x80) == b"abc"
    with pytest.raises(Malformed, match="asn1-structure"):
        of("a080 800161 0000").octets(0x80)


@pytest.mark.parametrize("encoding", ["2405 0403616263", "0203616263", "2480 020161 0000"])
def test_what_is_no_octet_string_is_refused(encoding):
    with pytest.raises(Malformed, match="asn1-structure"):
        of(encoding).octets()


@pytest.mark.parametrize(
    ("contents", "dotted"),
    [
        ("", ""),
        ("00", "0.0"),
        ("27", "0.39"),
        ("28", "1.0"),
        ("4f", "1.39"),
        ("50", "2.0"),
        ("8837", "2.999"),
        ("2a864886f70d010701", "1.2.840.113549.1.7.1"),
        ("2a8648", "1.2.840"),
        ("2a86", "1.2"),
    ],
)
def test_an_identifier_is_dotted(contents, dotted):
    octets = bytes.fromhex(contents)
    assert element_of(encoded(0x06, octets)).identifier() == dotted
    assert core.ObjectIdentifier(contents=octets).dotted == dotted


def test_an_identifier_of_any_tag_has_its_number_at_least():
    assert of("86032a0304").untyped_identifier() == "1.2.3.4"
    with pytest.raises(Malformed, match="asn1-structure"):
        of("86032a0304").identifier()
    with pytest.raises(Malformed, match="asn1-structure"):
        of("02032a0304").untyped_identifier()


def test_an_identifier_that_would_be_slow_to_write_is_refused():
    assert element_of(encoded(0x06, b"\xff" * 255 + b"\x01")).identifier()
    with pytest.raises(Malformed, match="asn1-structure"):
        element_of(encoded(0x06, b"\xff" * 256 + b"\x01")).identifier()


@pytest.mark.parametrize(
    "encoding",
    [
        "",
        "30",
        "3001",
        "3081",
        "308201",
        "30820005020101",
        "30800201",
        "3080020101",
        "3080 0201 01 00",
        "0280 01 0000",
        "1f",
        "1f 80 01 00",
        "1f 1e 00",
        "1f 81",
        "300000",
        "020101 00",
    ],
)
def test_octets_that_are_not_one_whole_element_are_refused(encoding):
    with pytest.raises(Malformed, match="asn1-structure"):
        of(encoding)


def test_a_tag_of_more_octets_is_read_past():
    first, second = of("3009 1f8148 0107 1f1f 01 08").inside(SEQUENCE)
    assert (first.contents(), second.contents()) == (b"\x07", b"\x08")


def test_an_element_ends_before_the_one_around_it_does():
    with pytest.raises(Malformed, match="asn1-structure"):
        of("3003 020201").inside(SEQUENCE)


@pytest.mark.parametrize(("levels", "is_read"), [(11, True), (12, False), (5000, False)])
def test_indefinite_lengths_inside_one_another_are_searched_to_a_bound(levels, is_read):
    encoding = b"\x30\x80" * levels + b"\0\0" * levels
    if is_read:
        assert element_of(encoding).end == len(encoding)
        return
    with pytest.raises(Malformed, match="asn1-structure"):
        element_of(encoding)


def test_fields_are_taken_in_order_and_the_optional_ones_where_they_are():
    fields = Fields(of("300c 020101 a103020102 3000 0500"))
    assert fields.take().integer() == 1
    assert fields.optional(0) is None
    assert fields.optional(1).explicit(1).integer() == 2
    assert fields.optional_sequence() is not None
    assert fields.optional_sequence() is None
    assert fields
    assert fields.take().contents() == b""
    assert not fields
    with pytest.raises(Malformed, match="asn1-structure"):
        fields.take()


@pytest.mark.parametrize(
    "read",
    [
        lambda one: one.expect(SET),
        lambda one: one.inside(SET),
        lambda one: one.integer(),
        lambda one: one.identifier(),
        lambda one: one.explicit(0),
        lambda one: one.chosen(frozenset((SET,))),
        lambda one: Fields(one, SET),
    ],
)
def test_another_tag_than_was_expected_is_refused(read):
    with pytest.raises(Malformed, match="asn1-structure"):
        read(of("3003020101"))


def test_a_choice_of_indefinite_length_is_refused():
    assert of("3000").chosen(frozenset((SEQUENCE,))).tag == SEQUENCE
    with pytest.raises(Malformed, match="asn1-structure"):
        of("30800000").chosen(frozenset((SEQUENCE,)))


def test_an_explicit_tag_without_content_is_refused():
    with pytest.raises(Malformed, match="asn1-structure"):
        of("a000").explicit(0)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("30 81 03 020101", "30 81 03 020101"),
        ("3080 3080 0000 0000", "3004 3080 0000"),
        ("2480 040161 040162 0000", "04026162"),
        ("8e00", None),
        ("0f00", None),
        ("0000", None),
        ("1f1f00", None),
    ],
)
def test_an_encoding_keeps_what_is_inside_and_has_a_known_number(encoding, written):
    if written is None:
        with pytest.raises(Malformed, match="asn1-structure"):
            of(encoding).encoding()
        return
    assert of(encoding).encoding() == bytes.fromhex(written)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("a003 020101", "a003 020101"),
        ("a080 020101 0000", "a003 020101"),
        ("8000", "8000"),
        ("3f8148 80 020101 0000", "3f8148 03 020101"),
        ("2480 040161 040162 0000", "04026162"),
    ],
)
def test_a_definite_length_is_given_to_an_element_of_any_tag(encoding, written):
    assert of(encoding).definite() == bytes.fromhex(written)


@given(st.integers(0, 30), st.binary(max_size=300))
def test_what_is_written_is_read(number, contents):
    encoding = encoded(number, contents)
    assert element_of(encoding).contents() == contents
    assert encoding == core.Asn1Value(class_=0, tag=number, method=0, contents=contents).dump()


@given(st.binary(max_size=40), st.integers(0, 40))
def test_any_octets_give_an_element_that_fits_or_the_word(octets, position):
    try:
        found = element_at(octets, position, len(octets))
    except Malformed as error:
        assert error.word == "asn1-structure"
        return
    assert position == found.start < found.content <= found.stop <= found.end <= len(octets)


def test_many_pieces_are_joined_in_the_time_that_they_take():
    pieces = encoded(OCTET_STRING, b"x" * 100) * 100_000
    assert len(element_of(b"\x24\x80" + pieces + b"\0\0").octets()) == 10_000_000
