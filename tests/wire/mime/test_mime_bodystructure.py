"""BODY and BODYSTRUCTURE, with the examples of RFC 3501 and what a message may leave out."""

from mssante.wire.mime.bodystructure import body_structures
from mssante.wire.mime.scanner import scan
from tests.wire.mime.imap_values import parse


def of(content: bytes) -> tuple[bytes, bytes]:
    return body_structures(scan(content), content)


def test_the_examples_of_rfc_3501_give_their_octets():
    text = b"x" * 2183 + b"\r\n" * 48
    header = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"

    assert of(header + text)[0] == (
        b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2279 48)'
    )


def test_the_two_part_example_of_rfc_3501_gives_its_octets():
    content = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain; charset=US-ASCII\r\n\r\n"
        + b"a" * 1106
        + b"\r\n" * 23
        + b"\r\n--b\r\n"
        b"Content-Type: text/plain; charset=US-ASCII; name=cc.diff\r\n"
        b"Content-ID: <960723163407.20117h@cac.washington.edu>\r\n"
        b"Content-Description: Compiler diff\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"b" * 4408 + b"\r\n" * 73 + b"\r\n--b--\r\n"
    )

    assert of(content)[0] == (
        b'(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)'
        b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") '
        b'"<960723163407.20117h@cac.washington.edu>" "Compiler diff" "BASE64" 4554 73) "MIXED")'
    )


def test_a_message_that_says_nothing_is_text_in_ascii_and_7bit():
    assert of(b"Subject: x\r\n\r\nhello\r\n") == (
        b'("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 7 1)',
        b'("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 7 1 NIL NIL NIL NIL)',
    )


def test_extension_data_stands_in_the_order_of_the_rfc():
    content = (
        b"Content-Type: application/pdf\r\n"
        b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n"
        b'Content-Disposition: attachment; filename="a.pdf"; size=3\r\n'
        b"Content-Language: fr, en (English)\r\n"
        b"Content-Location: http://x.example/a.pdf\r\n"
        b"Content-Transfer-Encoding: base64 (of course)\r\n\r\nAAA="
    )

    assert of(content) == (
        b'("APPLICATION" "PDF" NIL NIL NIL "BASE64" 4)',
        b'("APPLICATION" "PDF" NIL NIL NIL "BASE64" 4 "Q2hlY2sgSW50ZWdyaXR5IQ==" '
        b'("ATTACHMENT" ("FILENAME" "a.pdf" "SIZE" "3")) ("fr" "en") "http://x.example/a.pdf")',
    )


def test_an_attached_message_shows_its_envelope_its_structure_and_its_lines():
    nested = b"Subject: inner\r\nContent-Type: text/html\r\n\r\n<p>\r\n"
    content = b"Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n" + nested
    shown = b'(NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL)'

    assert of(content) == (
        b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 48 ' + shown + b" "
        b'("TEXT" "HTML" NIL NIL NIL "7BIT" 5 1) 4)',
        b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 48 ' + shown + b" "
        b'("TEXT" "HTML" NIL NIL NIL "7BIT" 5 1 NIL NIL NIL NIL) 4 NIL ("INLINE" NIL) NIL NIL)',
    )


def test_other_message_types_are_basic():
    content = b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n"

    assert of(content)[0] == b'("MESSAGE" "DELIVERY-STATUS" NIL NIL NIL "7BIT" 23)'


def test_a_multipart_without_a_part_shows_one_empty_text():
    assert of(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n")[0] == (
        b'(("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 0 0) "MIXED")'
    )


def test_continued_parameters_are_joined_and_keep_their_charset_form():
    content = (
        b"Content-Type: application/pdf; name*0=compte; name*1=rendu\r\n"
        b"Content-Disposition: attachment; filename*0*=utf-8''%C3%A9; filename*1=t%\r\n\r\n"
    )

    structure = parse(of(content)[1])

    assert structure[2] == [b"NAME", b"compterendu"]
    assert structure[8] == [b"ATTACHMENT", [b"FILENAME*", b"utf-8''%C3%A9t%25"]]


def test_octets_that_no_quoted_string_holds_travel_as_literals():
    content = b'Content-Type: text/plain; name="\xe9"\r\nContent-Description: a\\"b\r\n\r\n'

    short = of(content)[0]

    assert b'("NAME" {1}\r\n\xe9)' in short
    assert parse(short)[4] == b'a\\"b'
