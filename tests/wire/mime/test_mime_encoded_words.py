"""Encoded words, with the examples of RFC 2047 section 8."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.wire.mime.builder import header_field
from mssante.wire.mime.encoded_words import decode_encoded_words, decode_text
from mssante.wire.mime.headers import unfold


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=   =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b"=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
        (
            b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= "
            b"=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        # A character cut in two words, as several clients do.
        (b"=?utf-8?B?w6nD?= =?UTF-8?B?qQ==?=", "éé"),
        (b"x=?utf-8?q?=C3=A9?=y", "xéy"),
        (b"=?utf-8*fr?q?=C3=A9?=", "é"),
        (b"=?utf-8?B?w6k?=", "é"),
        (b"=?utf-8?Q?Compte rendu?=", "Compte rendu"),
        (b"=?utf-8?B?w?=", ""),
        (b"=?bogus?Q?a=E9?=", "a\ufffd"),
        (b"=?hex?Q?6161?=", "6161"),
        (b"=?idna?Q?xn--a?=", "xn--a"),
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"=?utf-8?Q?a", "=?utf-8?Q?a"),
        (b"=?utf-8?Q?=ZZ=4?=", "=ZZ=4"),
        ("déjà".encode(), "déjà"),
        ("déjà".encode("latin-1"), "d\ufffdj\ufffd"),
        (b"", ""),
    ],
)
def test_encoded_words_are_read_as_text(value, expected):
    assert decode_encoded_words(value) == expected


@settings(deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=12))
def test_any_octets_in_any_charset_are_some_text(octets, charset):
    assert isinstance(decode_text(octets, charset), str)
    assert isinstance(decode_encoded_words(b"=?%b?B?%b?=" % (charset, octets)), str)


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=200))
def test_what_the_builder_writes_is_read_back(text):
    written = header_field("Subject", text)

    assert decode_encoded_words(unfold(written.partition(b":")[2])).strip() == text.strip()
    assert written.isascii()
    if " " not in text or not text.isascii():
        longest = max(len(line) for line in written.split(b"\r\n"))
        assert longest <= 78 or (text.isascii() and longest <= len(text) + 1)
