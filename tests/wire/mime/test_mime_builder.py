"""Messages that the server writes, read back by the standard parser and by our own."""

import email
import email.policy
import email.utils
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mssante.kernel.address import Address
from mssante.wire.mime.address_lists import read_addresses
from mssante.wire.mime.attachments import attachments
from mssante.wire.mime.builder import (
    address_field,
    attachment_entity,
    build_message,
    date_field,
    fields_entity,
    header_field,
    headers_entity,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.encoded_words import decode_encoded_words
from mssante.wire.mime.scanner import scan
from mssante.wire.mime.transfer import decode_body


def read(content: bytes):
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert not message.defects
    return message


def a_report() -> bytes:
    status = fields_entity(
        "message/delivery-status",
        [
            [header_field("Reporting-MTA", "dns; mx.hopital.example")],
            [header_field("Action", "failed"), header_field("Status", "5.1.1")],
        ],
    )
    return build_message(
        [
            date_field("Date", datetime(2026, 5, 4, 10, 0, tzinfo=timezone(timedelta(hours=2)))),
            address_field("From", [("Système de courrier", Address("postmaster", "a.example"))]),
            address_field("To", [("", Address("anne", "b.example"))]),
            header_field("Subject", "Non remis : compte rendu d'hospitalisation du 3 mai"),
            header_field("Message-ID", "<1@a.example>"),
            header_field("Auto-Submitted", "auto-replied"),
        ],
        multipart_entity(
            "report",
            "=_1",
            [
                text_entity("Bonjour,\n\nVotre message n'a pas été remis.\n"),
                status,
                headers_entity(b"Subject: x\r\nTo: a@b.example\r\n"),
                attachment_entity(b"%PDF-1.7" * 50, "application/pdf", "reçu.pdf"),
            ],
            [("report-type", "delivery-status")],
        ),
    )


def test_a_report_is_read_back_by_the_standard_parser():
    message = read(a_report())

    assert message["subject"] == "Non remis : compte rendu d'hospitalisation du 3 mai"
    assert message["from"].addresses[0].display_name == "Système de courrier"
    assert message["from"].addresses[0].addr_spec == "postmaster@a.example"
    assert message["to"].addresses[0].addr_spec == "anne@b.example"
    assert message["date"].datetime == datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    text, status, header, pdf = message.get_payload()
    assert text.get_content() == "Bonjour,\r\n\r\nVotre message n'a pas été remis.\r\n"
    assert [dict(group) for group in status.get_payload()] == [
        {"Reporting-MTA": "dns; mx.hopital.example"},
        {"Action": "failed", "Status": "5.1.1"},
    ]
    assert header.get_content_type() == "text/rfc822-headers"
    assert pdf.get_filename() == "reçu.pdf"
    assert pdf.get_content() == b"%PDF-1.7" * 50


def test_a_report_is_the_same_octets_each_time_in_short_7_bit_lines():
    content = a_report()

    assert content == a_report()
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(len(line) for line in content.split(b"\r\n")) <= 78


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)


@settings(deadline=None)
@given(texts)
def test_any_text_comes_back(text):
    entity = text_entity(text)
    content = build_message([], entity)
    part = scan(content)

    body = decode_body(content[part.body_start :], part.encoding.decode(), max_bytes=5000)

    expected = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert body.decode() == expected
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998


names = (
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"], exclude_characters="/\\"),
        min_size=1,
        max_size=200,
    )
    .map(str.strip)
    .filter(bool)
)


@settings(deadline=None)
@given(names)
@example("'")
@example("=?utf-8?B?w6k=?=")
@example("a" * 61)
def test_any_file_name_comes_back(name):
    content = build_message([], attachment_entity(b"x", "application/xml", name))

    (found,) = attachments(scan(content))

    assert found.filename == name
    assert read(content).get_filename() == name
    assert max(len(line) for line in content.split(b"\r\n")) <= 140


@settings(deadline=None)
@given(names)
def test_any_display_name_comes_back(name):
    written = address_field("To", [(name, Address("a", "b.example")), ("", Address("c", "d.test"))])

    first, second = read_addresses(written.partition(b":")[2])
    ((theirs, _), _) = email.utils.getaddresses([written.decode().partition(":")[2]])

    assert decode_encoded_words(first.name).split() == name.split()
    assert str(make_header(decode_header(theirs))).split() == name.split()
    assert first[2:] == (b"a", b"b.example")
    assert second == (None, None, b"c", b"d.test")


@pytest.mark.parametrize("bad", ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_control_characters_never_reach_a_header(bad):
    with pytest.raises(ValueError, match="control"):
        header_field("Subject", bad)
    with pytest.raises(ValueError, match="control"):
        address_field("To", [(bad, Address("a", "b.example"))])
    with pytest.raises(ValueError, match="control"):
        address_field("To", [("", Address(bad, "b.example"))])
    with pytest.raises(ValueError, match="control"):
        attachment_entity(b"", "application/pdf", bad)


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\r\n"])
def test_a_field_name_is_checked(name):
    with pytest.raises(ValueError, match="field name"):
        header_field(name, "x")


def test_a_multipart_refuses_what_would_break_it():
    part = text_entity("--=_1 inside")

    with pytest.raises(ValueError, match="occurs"):
        multipart_entity("mixed", "=_1", [part])
    with pytest.raises(ValueError, match="allow"):
        multipart_entity("mixed", "a\r\nb", [part])
    with pytest.raises(ValueError, match="needs a part"):
        multipart_entity("mixed", "b", [])


def test_a_date_without_offset_is_refused():
    with pytest.raises(ValueError, match="offset"):
        date_field("Date", datetime(2026, 1, 1))


def test_an_address_field_without_mailbox_is_refused():
    with pytest.raises(ValueError, match="mailbox"):
        address_field("To", [])


def test_a_media_type_is_checked():
    with pytest.raises(ValueError, match="media type"):
        attachment_entity(b"", "application/pdf; x=y", "a")


def test_long_lines_and_8_bit_headers_are_encoded():
    assert b"quoted-printable" in headers_entity("Subject: é\r\n".encode()).header
    assert b"quoted-printable" in text_entity("x" * 999).header
    assert b"7bit" in text_entity("x" * 998 + "\n").header
