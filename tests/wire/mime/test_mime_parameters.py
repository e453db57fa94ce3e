"""Parameters of Content-Type and Content-Disposition, as written by the RFCs and by clients."""

import email
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.wire.mime.limits import MimeError, MimeFault, MimeLimits
from mssante.wire.mime.parameters import (
    content_type,
    disposition,
    raw_parameter,
    strip_comments,
    text_parameter,
    token,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", (b"text", b"plain", ())),
        (b" TEXT / HTML ;charset = UTF-8 ", (b"text", b"html", ((b"charset", b"UTF-8"),))),
        # RFC 2045 section 5.1
        (
            b"text/plain; charset=us-ascii (Plain text)",
            (b"text", b"plain", ((b"charset", b"us-ascii"),)),
        ),
        (b'text/plain; charset="us-ascii"', (b"text", b"plain", ((b"charset", b"us-ascii"),))),
        (
            b'multipart/mixed;\r\n boundary="a;b=\\"c\\\\";\r\n\tx=y',
            (b"multipart", b"mixed", ((b"boundary", b'a;b="c\\'), (b"x", b"y"))),
        ),
        (
            b"application/pdf; name=compte rendu.pdf; x=1",
            (b"application", b"pdf", ((b"name", b"compte rendu.pdf"), (b"x", b"1"))),
        ),
        (
            b'application/pdf; name="unterminated; x=1',
            (b"application", b"pdf", ((b"name", b"unterminated; x=1"),)),
        ),
        (b"text/plain;;; =x; ; charset=a;", (b"text", b"plain", ((b"charset", b"a"),))),
        (b'text/plain; a=""; b=', (b"text", b"plain", ((b"a", b""), (b"b", b"")))),
        (b"text/plain; a=1; A=2", (b"text", b"plain", ((b"a", b"1"),))),
        (b"(c (nested; a=b) \\)) text/(x)plain", (b"text", b"plain", ())),
        (b'text/plain (a " b); a=b', (b"text", b"plain", ((b"a", b"b"),))),
        (b"text/plain) ; a=b", (b"text", b"plain", ((b"a", b"b"),))),
        (b'text/plain (c) ; a="\\', (b"text", b"plain", ((b"a", b""),))),
        (b"text/plain; (unterminated; a=b", (b"text", b"plain", ())),
        (b"text", None),
        (b"", None),
        (b"text/", None),
        (b"/plain", None),
        (b"t\xe9xt/plain", None),
    ],
)
def test_a_content_type_is_read_as_far_as_it_can_be(value, expected):
    assert content_type(value) == expected


@pytest.mark.parametrize(
    ("value", "pairs", "text"),
    [
        # RFC 2231 section 3
        (
            b'm/e; url*0="ftp://"; url*1="cs.utk.edu/pub/moore/bulk-mailer.tar"',
            ((b"url", b"ftp://cs.utk.edu/pub/moore/bulk-mailer.tar"),),
            "ftp://cs.utk.edu/pub/moore/bulk-mailer.tar",
        ),
        # RFC 2231 section 4
        (
            b"a/x; url*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            ((b"url*", b"us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),),
            "This is ***fun***",
        ),
        # RFC 2231 section 4.1
        (
            b"a/x; url*0*=us-ascii'en'This%20is%20even%20more%20;"
            b' url*1*=%2A%2A%2Afun%2A%2A%2A%20; url*2="isn\'t it!"',
            (
                (
                    b"url*",
                    b"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it%21",
                ),
            ),
            "This is even more ***fun*** isn't it!",
        ),
        (b"a/x; url*1=b; url*0=a; url*3=never", ((b"url", b"ab"),), "ab"),
        (b"a/x; url*1=b", (), None),
        (b"a/x; url*=utf-8''caf%C3%A9; url=cafe", None, "café"),
        (b"a/x; url=cafe; url*=utf-8''caf%C3%A9", None, "café"),
        (b"a/x; url*=iso-8859-1''caf%E9", None, "café"),
        (b"a/x; url*=bogus''caf%C3%A9", None, "caf\ufffd\ufffd"),
        (b"a/x; url*=caf%C3%A9", None, "café"),
        (b'a/x; url="=?utf-8?Q?caf=C3=A9?="', None, "café"),
        (b'a/x; url="caf\xc3\xa9"', None, "café"),
        (b"a/x; url*0=plain%; url*1*=%41", ((b"url*", b"''plain%25%41"),), "plain%A"),
        (b"a/x; url**=1; *=2; *0=3; url*x=4", None, None),
    ],
)
def test_continued_and_extended_parameters_are_put_together(value, pairs, text):
    parsed = content_type(value)

    assert parsed is not None
    assert pairs is None or parsed[2] == pairs
    assert text_parameter(parsed[2], b"url") == text


def test_the_octets_of_an_extended_parameter_are_percent_decoded():
    parameters = disposition(b"attachment; filename*=utf-8''caf%C3%A9")[1]

    assert raw_parameter(parameters, b"filename") == "café".encode()
    assert raw_parameter(parameters, b"name") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"attachment", (b"attachment", ())),
        (b'Inline; filename="a b"', (b"inline", ((b"filename", b"a b"),))),
        (b'"attachment"; filename=a', (b"attachment", ((b"filename", b"a"),))),
        (b"", None),
        (b";filename=a", None),
    ],
)
def test_a_disposition_is_read_as_far_as_it_can_be(value, expected):
    assert disposition(value) == expected


def test_a_token_is_read_past_comments_and_quotes():
    assert token(b" (why) Base64 (because)") == b"base64"
    assert token(b'"8bit"') == b"8bit"
    assert token(b" ; ") == b""


def test_parentheses_in_a_quoted_string_are_no_comment():
    assert strip_comments(b'a "(b)" (c) d') == b'a "(b)"   d'
    assert strip_comments(b'a "\\"(b" c') == b'a "\\"(b" c'


safe = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=60
)


@settings(deadline=None)
@given(safe)
def test_what_the_standard_library_writes_is_read_back(name):
    message = email.message.Message(policy=email.policy.compat32)
    message.add_header("Content-Disposition", "attachment", filename=("utf-8", "", name))

    parameters = disposition(message["Content-Disposition"].encode())[1]

    assert text_parameter(parameters, b"filename") == name


def test_too_many_parameters_are_refused():
    value = b"text/plain" + b"; a*%d=b" * 11 % tuple(range(11))

    with pytest.raises(MimeError) as caught:
        content_type(value, MimeLimits(max_parameters=10))

    assert caught.value.fault is MimeFault.TOO_MANY_PARAMETERS
