"""Which leaves may be attached documents, and under what name."""

import pytest

from mssante.wire.mime.attachments import attachments
from mssante.wire.mime.scanner import scan


def named(header: str):
    content = (header + "\r\n\r\nbody").replace("\n", "\r\n").replace("\r\r", "\r").encode()
    found = attachments(scan(content))
    return [(one.media_type, one.filename, one.disposition) for one in found]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Subject: just a text", []),
        ("Content-Type: text/html", []),
        ("Content-Type: text/plain\nContent-Disposition: inline", []),
        (
            "Content-Type: text/plain\nContent-Disposition: attachment",
            [("text/plain", None, "attachment")],
        ),
        ("Content-Type: text/plain; name=a.txt", [("text/plain", "a.txt", None)]),
        ("Content-Type: text/xml", [("text/xml", None, None)]),
        (
            'Content-Type: application/pdf; name="b.pdf"\nContent-Disposition: inline; filename=a.pdf',
            [("application/pdf", "a.pdf", "inline")],
        ),
        (
            "Content-Type: application/zip\n"
            "Content-Disposition: attachment; filename*0*=utf-8''r%C3%A9; filename*1=sum.zip",
            [("application/zip", "résum.zip", "attachment")],
        ),
        (
            'Content-Type: application/pdf; name="=?utf-8?B?w6kucGRm?="',
            [("application/pdf", "é.pdf", None)],
        ),
        (
            'Content-Type: application/pdf; name="../../etc/x.pdf"',
            [("application/pdf", "x.pdf", None)],
        ),
        (
            'Content-Type: application/pdf; name="C:\\\\dir\\\\x.pdf"',
            [("application/pdf", "x.pdf", None)],
        ),
        (
            "Content-Type: application/pdf\n"
            "Content-Disposition: attachment; filename*=utf-8''a%0D%0A%00%E2%80%AEb.pdf",
            [("application/pdf", "ab.pdf", "attachment")],
        ),
        ('Content-Type: application/pdf; name=" "', [("application/pdf", None, None)]),
        (
            f"Content-Type: application/pdf; name={'n' * 300}",
            [("application/pdf", "n" * 255, None)],
        ),
    ],
)
def test_a_leaf_is_an_attachment_by_type_name_or_disposition(header, expected):
    assert named(header) == expected


def test_attachments_of_attached_messages_are_found_with_their_section():
    content = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\ntext\r\n"
        b"--b\r\nContent-Type: application/xml; name=cda.xml\r\n"
        b"Content-Transfer-Encoding: BASE64\r\n\r\nPGEvPg==\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Content-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\n\r\ninner text\r\n"
        b"--c\r\nContent-Type: application/zip\r\n\r\nzip\r\n--c--\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n"
        b"--b--\r\n"
    )

    found = attachments(scan(content))

    assert [
        (one.section, one.media_type, one.encoding, one.in_attached_message) for one in found
    ] == [
        ("2", "application/xml", "base64", False),
        ("3.2", "application/zip", "7bit", True),
        ("4", "message/rfc822", "base64", False),
    ]
    assert [content[slice(*one.span)] for one in found] == [b"PGEvPg==", b"zip", b"QUJD"]


def test_the_repr_hides_the_file_name():
    (found,) = attachments(scan(b"Content-Type: application/pdf; name=martin.pdf\r\n\r\n"))

    assert "martin" not in repr(found)
