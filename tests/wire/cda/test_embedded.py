"""The file inside a level 1 document."""

import base64
import time
import zlib

import pytest
from make_samples import Subject, Writer, a_pdf

from mssante.wire.cda.embedded import look_inside
from mssante.wire.cda.model import Body

PDF = a_pdf(Subject(), Writer())


def faults(content, media_type="application/pdf", *, text=None):
    embedded = base64.encodebytes(content).decode() if text is None else text
    found = look_inside(Body(1, media_type, "B64", embedded), 10_000_000)
    return [problem.code for problem in found.problems]


def object_stream(content):
    packed = zlib.compress(content)
    head = b"<< /Type /ObjStm /Filter /FlateDecode /Length %d >>\nstream\n" % len(packed)
    return PDF + b"9 0 obj\n" + head + packed + b"\nendstream\nendobj\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PDF, []),
        (b"not a pdf", ["body-type"]),
        (b"", ["body-empty"]),
        (PDF + b"trailer << /Encrypt 5 0 R >>", ["pdf-encrypted"]),
        (PDF + b"<< /S /JavaScript /JS (app.alert) >>", ["pdf-script"]),
        (PDF + b"<< /S /Java#53cript >>", ["pdf-script"]),
        (PDF + b"<< /S /Launch /F (cmd.exe) >>", ["pdf-launch"]),
        (PDF + b"<< /JSomething true /EncryptMetadata true >>", []),
        (PDF + b"<< /Length 9 >>\nstream\n/JS /Launch\nendstream", []),
        (object_stream(b"<< /S /JavaScript >>"), ["pdf-script"]),
        (object_stream(b"<< /S /GoTo >>"), []),
        (PDF + b"<< /Type /ObjStm /Filter /FlateDecode >>\nstream\nbroken\nendstream", []),
    ],
)
def test_a_pdf_is_looked_into(content, expected):
    assert faults(content) == expected


def test_a_compressed_bomb_costs_little():
    assert faults(object_stream(b"0" * 200_000_000)) == []


@pytest.mark.parametrize(
    ("media_type", "content", "expected"),
    [
        ("image/jpeg", b"\xff\xd8\xff\xe0", []),
        ("image/jpeg", b"%PDF-", ["body-type"]),
        ("image/tiff", b"II*\0", []),
        ("text/rtf", b"{\\rtf1 }", []),
        ("text/plain", b"Bonjour", []),
    ],
)
def test_other_kinds_are_known_by_their_first_bytes(media_type, content, expected):
    assert faults(content, media_type) == expected


@pytest.mark.parametrize("text", ["****", "QUJ", "éééé"])
def test_what_is_not_base64_is_unreadable(text):
    assert faults(b"", text=text) == ["body-unreadable"]


def test_blanks_in_base64_are_accepted():
    text = " \t\r\n".join(base64.b64encode(PDF).decode())

    assert faults(b"", text=text) == []


def test_plain_text_needs_no_base64():
    found = look_inside(Body(1, "text/plain", None, "Bonjour à tous"), 100)

    assert (found.size, found.problems) == (15, ())


def test_a_structured_body_has_no_file():
    assert look_inside(Body(3, "text/xml"), 100) is None


@pytest.mark.parametrize(
    "repeated",
    [b">> stream\n", b"stream\n", b"<</ObjStm>>stream\nxendstream", b">>       ", b"/#4a#6", b"<<"],
)
def test_what_is_repeated_a_million_times_is_read_in_one_pass(repeated):
    content = b"%PDF-1.7\n" + repeated * (8_000_000 // len(repeated))
    start = time.perf_counter()

    assert faults(content) == []

    assert time.perf_counter() - start < 5  # well under a second on a quiet machine
