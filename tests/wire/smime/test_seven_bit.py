"""What is signed passes any relay unchanged, and decodes to what was written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.mime.scanner import scan
from mssante.wire.mime.transfer import decode_body
from mssante.wire.smime.seven_bit import quoted_printable, seven_bit
from tests.support.mail_pki import MailPki, clear_signed
from tests.wire.mime.message_trees import trees, write

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "From me", "From ", ". ", ".", " ", "\t", "-- ", "a=b", "x" * 76, "é"]
        ),
        st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=90),
    ),
    max_size=8,
)
BODIES = st.builds(
    lambda lines, end: "\r\n".join(lines).encode() + end, LINES, st.sampled_from([b"", b"\r\n"])
)


def leaves_of(entity):
    """Media type and decoded content of each leaf, attached messages looked into."""

    def walk(part):
        if part.children:
            for child in part.children:
                yield from walk(child)
        elif part.message is not None and not part.is_closed_message:
            yield from walk(part.message)
        else:
            body = entity[part.body_start : part.body_stop]
            encoding = part.encoding.decode()
            yield part.media_type, decode_body(body, encoding, max_bytes=1 << 20)

    return list(walk(scan(entity)))


def message(body, header="Content-Type: text/plain; charset=utf-8\r\n"):
    return header.encode() + b"\r\n" + body


@given(BODIES)
def test_a_text_in_quoted_printable_reads_as_before_in_short_7_bit_lines(body):
    encoded = quoted_printable(body)

    assert decode_body(encoded, "quoted-printable", max_bytes=1 << 20) == body
    assert encoded.isascii()
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert not re.search(rb"(?m)^From |[ \t]\r\n|[ \t]\Z|(?<!\r)\n", encoded)


@given(BODIES, st.sampled_from(["text/plain", "application/json", "image/svg+xml"]))
def test_a_single_part_is_7_bit_and_decodes_to_what_was_written(body, kind):
    entity = message(body, f"Content-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n")
    made = seven_bit(entity)

    assert leaves_of(made) == leaves_of(entity)
    assert made.isascii()
    assert seven_bit(made) == made


@given(trees())
def test_any_tree_keeps_its_parts_and_what_they_decode_to(tree):
    entity = write(tree)
    made = seven_bit(entity)

    assert leaves_safely(made) == leaves_safely(entity)
    assert seven_bit(made) == made


def leaves_safely(entity):
    """As `leaves_of`; base64 that was broken before compares as it stands."""
    from mssante.wire.mime.limits import MimeError

    found = []

    def walk(part):
        if part.children:
            for child in part.children:
                walk(child)
        elif part.message is not None and not part.is_closed_message:
            walk(part.message)
        else:
            body = entity[part.body_start : part.body_stop]
            try:
                body = decode_body(body, part.encoding.decode(), max_bytes=1 << 20)
            except MimeError:
                pass
            found.append((part.media_type, body))

    walk(scan(entity))
    return found


def test_containers_get_the_label_of_what_is_in_them():
    entity = (
        b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        b"pr\xc3\xa9ambule\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9t\xc3\xa9\r\n"
        b"--b\r\nContent-Type: application/pdf\r\n\r\n%PDF \xff\r\n--b--\r\n\xc3\xa9pilogue\r\n"
    )
    made = seven_bit(entity)

    assert made.isascii()
    assert b"8bit" not in made
    root = scan(made)
    assert [part.encoding for part in (root, *root.children)] == [
        b"7bit",
        b"quoted-printable",
        b"base64",
    ]
    assert leaves_of(made) == leaves_of(entity)


@pytest.mark.parametrize("around", ["multipart", "rfc822"])
def test_what_another_signature_covers_keeps_every_byte(around):
    pki = MailPki()
    text = message("été \r\n".encode())
    signed = clear_signed(text, pki.alice)
    if around == "rfc822":
        signed = b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\n" + signed
    entity = (
        b'Content-Type: multipart/mixed; boundary="o"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        b"--o\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa9\r\n--o\r\n"
        + signed
        + b"\r\n--o--\r\n"
    )
    made = seven_bit(entity)

    assert signed in made
    assert b"=C3=A9" in made
    assert scan(made).encoding == b"8bit"


def test_a_message_attached_without_a_signature_is_made_7_bit_inside():
    entity = (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n"
    )
    made = seven_bit(entity)

    assert made.isascii()
    assert leaves_of(made) == leaves_of(entity)
    assert scan(made).message.encoding == b"quoted-printable"


def test_a_message_attached_with_a_domain_signature_keeps_its_bytes():
    inner = b"DKIM-Signature: v=1\r\nSubject: x\r\n\r\n\xc3\xa9 \r\n"
    entity = b"Content-Type: message/rfc822\r\n\r\n" + inner

    assert seven_bit(entity) == entity


def test_what_is_7_bit_already_is_given_back_as_it_is():
    entity = message(b"plain\r\n-- \x20") + b"\r\n"
    encoded = message(b"=C3=A9\r\n", "Content-Transfer-Encoding: quoted-printable\r\n")

    assert seven_bit(encoded) is encoded
    assert seven_bit(entity) is not entity
