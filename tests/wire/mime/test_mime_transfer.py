"""Transfer encodings: exact round trips, and a word for each way a body is broken."""

import base64
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.wire.mime.limits import MimeError, MimeFault
from mssante.wire.mime.transfer import decode_body


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"\r\n", b"\n", b" ", b"\t\r\n "]))
def test_base64_comes_back_whatever_blanks_are_in_it(content, blank):
    encoded = base64.encodebytes(content).replace(b"\n", blank)

    assert decode_body(encoded, "base64", max_bytes=400) == content


@pytest.mark.parametrize(
    ("encoded", "fault"),
    [
        (b"QUJDR", MimeFault.BASE64_TRUNCATED),
        (b"QUJDRA", MimeFault.BASE64_TRUNCATED),
        (b"QUJDRA=", MimeFault.BASE64_TRUNCATED),
        (b"QUJDREU", MimeFault.BASE64_TRUNCATED),
        (b"QUJD=", MimeFault.BASE64_ALPHABET),
        (b"QUJDREU==", MimeFault.BASE64_ALPHABET),
        (b"QUJD====", MimeFault.BASE64_ALPHABET),
        (b"QQ==QQ==", MimeFault.BASE64_ALPHABET),
        (b"QU-_", MimeFault.BASE64_ALPHABET),
        (b"QUJD\r\n--\r\nfooter", MimeFault.BASE64_ALPHABET),
        (b"QUJ\0", MimeFault.BASE64_ALPHABET),
        (b"QUJ\xe9", MimeFault.BASE64_ALPHABET),
        (b"=", MimeFault.BASE64_ALPHABET),
    ],
)
def test_broken_base64_is_refused_with_its_word(encoded, fault):
    with pytest.raises(MimeError) as caught:
        decode_body(encoded, "base64", max_bytes=100)

    assert caught.value.fault is fault


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100), st.data())
def test_base64_that_was_cut_inside_a_group_is_noticed(content, data):
    encoded = base64.b64encode(content)
    stop = data.draw(st.integers(1, len(encoded) - 1).filter(lambda at: at % 4))

    with pytest.raises(MimeError) as caught:
        decode_body(encoded[:stop], "base64", max_bytes=100)

    assert caught.value.fault is MimeFault.BASE64_TRUNCATED


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_quoted_printable_comes_back(content):
    encoded = quopri.encodestring(content.replace(b"\r", b""))

    decoded = decode_body(encoded, "quoted-printable", max_bytes=300)

    assert decoded == content.replace(b"\r", b"")


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"caf=C3=a9", "café".encode()),
        (b"soft=\r\nbreak", b"softbreak"),
        (b"soft= \t\r\nbreak", b"softbreak"),
        (b"padded \t \r\nline ", b"padded\r\nline"),
        (b"kept=20\r\n", b"kept \r\n"),
        (b"=ZZ=4", b"=ZZ=4"),
        (b"8-bit \xe9", b"8-bit \xe9"),
        (b"a_b", b"a_b"),
    ],
)
def test_quoted_printable_is_read_as_rfc_2045_says(encoded, decoded):
    assert decode_body(encoded, "quoted-printable", max_bytes=100) == decoded


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary"])
def test_identity_encodings_change_nothing(encoding):
    assert decode_body(b"a\0\xe9\r\n", encoding, max_bytes=5) == b"a\0\xe9\r\n"


@pytest.mark.parametrize(
    ("encoded", "encoding"),
    [
        (b"x" * 11, "7bit"),
        (base64.b64encode(b"x" * 11), "base64"),
        (base64.b64encode(b"x" * 1100), "base64"),
        (b"=41" * 11, "quoted-printable"),
    ],
)
def test_a_body_over_the_limit_is_refused(encoded, encoding):
    with pytest.raises(MimeError) as caught:
        decode_body(encoded, encoding, max_bytes=10)

    assert caught.value.fault is MimeFault.BODY_TOO_LARGE


def test_a_body_just_within_the_limit_is_decoded():
    assert decode_body(base64.b64encode(b"x" * 10), "base64", max_bytes=10) == b"x" * 10


def test_an_unknown_encoding_is_refused():
    with pytest.raises(MimeError) as caught:
        decode_body(b"x", "x-uuencode", max_bytes=10)

    assert caught.value.fault is MimeFault.UNKNOWN_ENCODING
