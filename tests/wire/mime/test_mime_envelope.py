"""ENVELOPE, with the example of RFC 3501 section 8 and the rules for what is absent."""

import pytest

from mssante.wire.mime.envelope import envelope
from mssante.wire.mime.headers import collect
from tests.wire.mime.imap_values import parse


def of(header: bytes) -> bytes:
    return envelope(collect(header))


RFC_3501 = b"""\
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

""".replace(b"\n", b"\r\n")


def test_the_example_of_rfc_3501_gives_its_octets():
    assert of(RFC_3501) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" '
        b'"IMAP4rev1 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) '
        b"NIL NIL "
        b'"<B27397-0100000@cac.washington.edu>")'
    )


def test_without_header_everything_is_nil():
    assert of(b"\r\n") == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def test_an_empty_string_field_is_the_empty_string_and_an_empty_list_is_nil():
    header = b"Date:\r\nSubject: \r\nFrom:\r\nTo: \r\nIn-Reply-To:\r\nMessage-ID:\r\n\r\n"

    assert of(header) == b'("" "" NIL NIL NIL NIL NIL NIL "" "")'


def test_sender_and_reply_to_repeat_from_when_absent_or_empty():
    values = parse(of(b"From: a@b.example\r\nSender:\r\nReply-To: c@d.example\r\n\r\n"))

    assert values[2] == values[3] == [[None, None, b"a", b"b.example"]]
    assert values[4] == [[None, None, b"c", b"d.example"]]


def test_a_group_begins_and_ends_with_nil_hosts():
    assert b' ((NIL NIL "Team" NIL)(NIL NIL "a" "b.example")(NIL NIL NIL NIL)) ' in of(
        b"To: Team: a@b.example;\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (b'say "hi" \\o/', rb'"say \"hi\" \\o/"'),
        (b"=?utf-8?Q?=C3=A9?=", b'"=?utf-8?Q?=C3=A9?="'),
        ("été".encode(), b"{5}\r\n" + "été".encode()),
        (b"a\0b", b"{2}\r\nab"),
        (b"folded\r\n  here\r\n\tand here", b'"folded  here\tand here"'),
        (b"a\rb", b'"a b"'),
    ],
)
def test_strings_are_quoted_or_literal_as_their_octets_demand(written, sent):
    assert of(b"Subject: " + written + b"\r\n\r\n").startswith(b"(NIL " + sent + b" NIL")


def test_two_from_fields_are_both_shown():
    values = parse(of(b"From: a@b.example\r\nFrom: c@d.example\r\n\r\n"))

    assert [address[2] for address in values[2]] == [b"a", b"c"]
