"""Summaries: what is stored comes back, and spans cut the message where IMAP says."""

import pytest

from mssante.wire.mime.summary import (
    MessageSummary,
    PartSpan,
    SummaryUnreadable,
    section_span,
    summarise,
)


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


PLAIN = crlf(
    """\
From: Anne <anne@hopital.example>
Subject: Bonjour
Content-Type: text/plain; charset=utf-8

Une ligne.
Deux lignes.
"""
)

# The example of RFC 9051 section 6.4.5.1, with the same part numbers.
COMPLEX = crlf(
    """\
From: a@b.example
Content-Type: multipart/mixed; boundary=top

preamble
--top
Content-Type: text/plain

one
--top
Content-Type: application/octet-stream

two
--top
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=top3

--top3
Content-Type: text/plain

three.one
--top3
Content-Type: application/octet-stream

three.two
--top3--
--top
Content-Type: multipart/mixed; boundary=top4

--top4
Content-Type: image/gif

four.one
--top4
Content-Type: message/rfc822

Subject: four.two
Content-Type: multipart/mixed; boundary=top42

--top42

four.two.one
--top42
Content-Type: multipart/alternative; boundary=top422

--top422
Content-Type: text/plain

four.two.two.one
--top422
Content-Type: text/richtext

four.two.two.two
--top422--
--top42--
--top4--
--top--
epilogue
"""
)


def cut(content: bytes, section: str) -> bytes | None:
    span = section_span(MessageSummary.decode(summarise(content).encode()), section)
    return None if span is None else content[span[0] : span[1]]


def test_parts_are_numbered_as_in_the_example_of_rfc_9051():
    parts = summarise(COMPLEX).parts

    assert [(part.section, part.media_type) for part in parts] == [
        ("1", "text/plain"),
        ("2", "application/octet-stream"),
        ("3", "message/rfc822"),
        ("3.1", "text/plain"),
        ("3.2", "application/octet-stream"),
        ("4", "multipart/mixed"),
        ("4.1", "image/gif"),
        ("4.2", "message/rfc822"),
        ("4.2.1", "text/plain"),
        ("4.2.2", "multipart/alternative"),
        ("4.2.2.1", "text/plain"),
        ("4.2.2.2", "text/richtext"),
    ]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("1", b"one"),
        ("2", b"two"),
        ("2.MIME", b"Content-Type: application/octet-stream\r\n\r\n"),
        ("3.HEADER", b"Subject: three\r\nContent-Type: multipart/mixed; boundary=top3\r\n\r\n"),
        ("3.1", b"three.one"),
        ("4.1.MIME", b"Content-Type: image/gif\r\n\r\n"),
        ("4.1.mime", b"Content-Type: image/gif\r\n\r\n"),
        ("4.2.1", b"four.two.one"),
        ("4.2.1.MIME", b"\r\n"),
        ("4.2.2.2", b"four.two.two.two"),
    ],
)
def test_a_section_is_cut_to_the_octet(section, expected):
    assert cut(COMPLEX, section) == expected


@pytest.mark.parametrize(
    "section", ["0", "5", "1.1", "1.HEADER", "1.TEXT", "4.HEADER", "4.2.3", "MIME", "x", "1.", "01"]
)
def test_a_section_that_the_message_does_not_have_is_none(section):
    assert cut(COMPLEX, section) is None


def test_header_and_text_make_the_message_at_every_level():
    assert cut(COMPLEX, "") == COMPLEX
    assert cut(COMPLEX, "HEADER") + cut(COMPLEX, "TEXT") == COMPLEX
    assert cut(COMPLEX, "3.HEADER") + cut(COMPLEX, "3.TEXT") == cut(COMPLEX, "3")
    assert cut(COMPLEX, "4.2.HEADER") + cut(COMPLEX, "4.2.TEXT") == cut(COMPLEX, "4.2")


def test_a_message_of_one_part_has_the_part_1_with_the_header_of_the_message():
    start = PLAIN.index(b"Une ligne")

    assert summarise(PLAIN).parts == (
        PartSpan("1", (0, start), (start, len(PLAIN)), None, None, "text/plain", "7bit"),
    )


def test_an_attached_message_of_one_part_has_that_part_as_its_part_1():
    content = b"Content-Type: message/rfc822\r\n\r\n" + PLAIN

    assert cut(content, "1") == PLAIN
    assert cut(content, "1.HEADER") + cut(content, "1.TEXT") == PLAIN
    assert cut(content, "1.1") == cut(content, "1.TEXT") == b"Une ligne.\r\nDeux lignes.\r\n"
    assert cut(content, "1.1.MIME") == cut(content, "1.HEADER")


def test_a_stored_summary_gives_back_what_was_computed():
    summary = summarise(COMPLEX)
    again = MessageSummary.decode(summary.encode())

    assert again == summary
    assert again.size == len(COMPLEX)
    assert again.header == COMPLEX[: COMPLEX.index(b"preamble")]
    assert again.header_length == len(again.header)
    assert again.envelope.startswith(b"(NIL NIL ((NIL NIL ")
    assert again.body.endswith(b' "MIXED")')
    assert again.body_structure.endswith(b' "MIXED" ("BOUNDARY" "top") NIL NIL NIL)')
    assert again.parts == summary.parts


def test_a_summary_of_another_version_is_refused():
    encoded = summarise(PLAIN).encode()

    with pytest.raises(SummaryUnreadable):
        MessageSummary.decode(b"\x02" + encoded[1:])
    with pytest.raises(SummaryUnreadable):
        MessageSummary.decode(encoded[:10])


def test_the_repr_of_a_summary_shows_no_content():
    assert "anne" not in repr(summarise(PLAIN))
