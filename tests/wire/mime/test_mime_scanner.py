"""The scanner, checked against the standard parser and against what must always hold."""

import email
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.wire.mime.bodystructure import body_structures
from mssante.wire.mime.envelope import envelope
from mssante.wire.mime.scanner import Part, scan
from mssante.wire.mime.summary import MessageSummary, number_parts, section_span, summarise
from tests.wire.mime.imap_values import parse
from tests.wire.mime.message_trees import trees, write


def octets(text: str) -> bytes:
    return text.encode("ascii", "surrogateescape")


def compare(content: bytes, ours: Part, theirs) -> None:
    """Walk both trees; every leaf must have the same type and the same octets."""
    assert ours.media_type == theirs.get_content_type()
    if ours.children and theirs.is_multipart():
        assert len(ours.children) == len(theirs.get_payload())
        for mine, its in zip(ours.children, theirs.get_payload(), strict=True):
            compare(content, mine, its)
    elif ours.message is not None and theirs.is_multipart():
        compare(content, ours.message, theirs.get_payload(0))
    else:
        body = content[ours.body_start : ours.body_stop]
        # Not get_payload(): that one decodes 8-bit texts.
        assert body == octets(theirs._payload)


@settings(max_examples=300, deadline=None)
@given(trees())
def test_well_formed_messages_have_the_structure_that_the_standard_parser_sees(tree):
    content = write(tree)

    compare(content, scan(content), email.message_from_bytes(content, policy=email.policy.compat32))


def nodes(part: Part):
    yield part
    for child in part.children:
        yield from nodes(child)
    if part.message is not None:
        yield from nodes(part.message)


def check_invariants(content: bytes) -> None:
    root = scan(content)
    assert (root.header_start, root.body_stop) == (0, len(content))
    for part in nodes(root):
        assert 0 <= part.header_start <= part.body_start <= part.body_stop <= len(content)
        assert (part.type == b"multipart") == bool(part.children)
        position = part.body_start
        for child in part.children:
            assert position <= child.header_start
            assert child.body_stop <= part.body_stop
            position = child.body_stop
        if part.message is not None:
            span = (part.message.header_start, part.message.body_stop)
            assert span == (part.body_start, part.body_stop)
    short, long = body_structures(root, content)
    parse(short)
    parse(long)
    assert len(parse(envelope(root.fields))) == 10
    summary = MessageSummary.decode(summarise(content).encode())
    for (section, part), span in zip(number_parts(root), summary.parts, strict=True):
        assert span.section == section
        assert section_span(summary, section) == (part.body_start, part.body_stop) == span.body
        assert section_span(summary, f"{section}.MIME") == span.header


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"",
                b"",
                b"Content-Type: multipart/mixed; boundary=b",
                b"Content-Type: multipart/digest; boundary=c",
                b"Content-Type: multipart/mixed",
                b"Content-Type: message/rfc822",
                b"Content-Transfer-Encoding: base64",
                b'Content-Type: text/html; charset="x',
                b"Content-Disposition: attachment; filename*0*=utf-8''a; filename*1=b",
                b"From: a: b, <c@d>, (e; f@g",
                b"--b",
                b"--b--",
                b"--c",
                b"--c--",
                b"--bc",
                b" folded",
                b"text \xe9",
                b"\0nul",
            ]
        ),
        max_size=30,
    ),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_any_soup_of_lines_has_spans_inside_each_other_and_a_grammatical_structure(some, end):
    check_invariants(end.join(some))
    check_invariants(end.join(some) + end)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_message(content):
    check_invariants(content)


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def bodies_of(content: bytes) -> list[bytes]:
    return [content[p.body_start : p.body_stop] for p in scan(content).children]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"]),
        (b"--b\r\n\r\none\r\n\r\n--b--\r\n", [b"one\r\n"]),
        (b"--b \t\r\n\r\none\r\n--b-- \r\n", [b"one"]),
        (b"--b\r\n\r\none", [b"one"]),
        (b"--b\r\n\r\none\r\n", [b"one\r\n"]),
        (b"--b\r\n\r\none\r\n--bb\r\n\r\ntwo\r\n--b--", [b"one\r\n--bb\r\n\r\ntwo"]),
        (b"--b\r\n\r\none\r\n--b--x\r\n--b--", [b"one\r\n--b--x"]),
        (b"--b\r\n\r\none --b\r\n--b--", [b"one --b"]),
        (b"pre\r\n--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\nepilogue", [b"one"]),
        (b"--b\r\n--b\r\n\r\n--b--", [b"", b""]),
        (b"--b\n\none\n--b--\n", [b"one"]),
        (b"--b", [b""]),
        (b"--b--\r\n", [b"--b--\r\n"]),
        (b"no boundary\r\nhere", [b"no boundary\r\nhere"]),
        (b"", [b""]),
    ],
)
def test_the_line_end_before_a_boundary_belongs_to_the_boundary(body, expected):
    assert bodies_of(MIXED + body) == expected


def test_an_outer_boundary_ends_an_inner_multipart_that_was_left_open():
    content = (
        MIXED + b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\n\r\ninner\r\n--b\r\n\r\nouter\r\n--b--\r\n"
    )

    first, second = scan(content).children

    assert content[first.children[0].body_start : first.children[0].body_stop] == b"inner"
    assert content[second.body_start : second.body_stop] == b"outer"


def test_a_multipart_without_boundary_is_one_text():
    part = scan(b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\none\r\n--x--\r\n")

    (child,) = part.children
    assert child.media_type == "text/plain"
    assert (child.body_start, child.body_stop) == (part.body_start, part.body_stop)


def test_a_part_of_a_digest_is_a_message_unless_it_says_otherwise():
    content = (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n"
        b"--b\r\n\r\nSubject: one\r\n\r\ntext\r\n--b\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--b--"
    )

    first, second = scan(content).children

    assert first.media_type == "message/rfc822"
    assert first.message is not None
    assert first.message.fields[b"subject"].strip() == b"one"
    assert second.media_type == "text/plain"


def test_an_attached_message_in_base64_stays_closed():
    content = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3Vi\r\n"

    part = scan(content)

    assert part.is_closed_message
    assert part.message is not None
    assert (part.message.body_start, part.message.body_stop) == (part.body_start, part.body_stop)
    assert parse(body_structures(part, content)[1])[:2] == [b"MESSAGE", b"RFC822"]


def test_a_message_without_an_empty_line_is_all_header():
    part = scan(b"Subject: x\r\nnot a field\r\n")

    assert (part.body_start, part.body_stop) == (25, 25)


def test_the_first_content_type_counts():
    assert scan(b"Content-Type: text/html\r\nContent-Type: image/gif\r\n\r\n").subtype == b"html"


def test_a_boundary_in_sections_is_put_together():
    content = (
        b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n--ab\r\n\r\nx\r\n--ab--"
    )

    assert bodies_of(content) == [b"x"]
