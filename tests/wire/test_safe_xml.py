"""XML from strangers: what is accepted, and each refusal with its word."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.xml import XmlLimits, XmlRefused, parse_xml

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>&b;</title></ClinicalDocument>"""
EXTERNAL = b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>"""


def word(content, **limits):
    with pytest.raises(XmlRefused) as refused:
        parse_xml(content, XmlLimits(**limits))
    return refused.value.word


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (BOMB, "doctype"),
        (EXTERNAL, "doctype"),
        (b"<!DOCTYPE html><a/>", "doctype"),
        (b"\xef\xbb\xbf <!-- a --> <?pi?> <!DOCTYPE a><a/>", "doctype"),
        (b'<?xml version="1.0" encoding="windows-1252"?><!DOCTYPE a><a/>', "doctype"),
        (b"<a><!DOCTYPE a></a>", "malformed"),
        (b"<a>&x;</a>", "malformed"),
        (b"", "malformed"),
        (b"   ", "malformed"),
        (b"text", "malformed"),
        (b"<a>", "malformed"),
        (b"<a></b>", "malformed"),
        (b"<a/><b/>", "malformed"),
        (b"<!-- open", "malformed"),
        (b"<?xml version='1.0' encoding='no good'?><a/>", "malformed"),
        (b"<a>\0</a>", "malformed"),
        (b"\0<\0a\0/\0>", "encoding"),
        ("<a/>".encode("utf-16"), "encoding"),
        ("<a/>".encode("utf-16-le"), "encoding"),
        ("<a/>".encode("utf-32"), "encoding"),
        (b'<?xml version="1.0" encoding="UTF-16"?><a/>', "encoding"),
        (b'<?xml version="1.0" encoding="UTF-7"?><a/>', "encoding"),
        (b'\xef\xbb\xbf<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "encoding"),
        ('<?xml version="1.0" encoding="UTF-8"?><a>é</a>'.encode("latin-1"), "encoding"),
        ('<?xml version="1.0" encoding="US-ASCII"?><a>é</a>'.encode(), "encoding"),
        (b'<?xml version="1.0" encoding="windows-1252"?><a>\x81</a>', "encoding"),
    ],
)
def test_each_refusal_has_its_word(content, expected):
    assert word(content) == expected


def test_a_refusal_never_quotes_the_document():
    with pytest.raises(XmlRefused) as refused:
        parse_xml(b"<a>\n<secret279035121518989></b>")

    assert "secret" not in str(refused.value)
    assert "279035121518989" not in repr(refused.value)
    assert refused.value.where.startswith("line 2")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "iso-8859-15", "windows-1252", "US-ASCII", "ISO-8859-1"]
)
def test_the_encodings_of_senders_are_read(encoding):
    text = "Oeil" if encoding in ("US-ASCII", "ISO-8859-1") else "Œil à 3 €"

    root = parse_xml(f'<?xml version="1.0" encoding="{encoding}"?>\n<a>{text}</a>'.encode(encoding))

    assert root.text == text


def test_a_byte_order_mark_is_accepted():
    assert parse_xml(b"\xef\xbb\xbf<a>\xc3\xa9</a>").text == "é"


def test_comments_and_instructions_do_not_cut_a_name_in_two():
    root = parse_xml(b"<a>MAR<!-- <!DOCTYPE x> -->TI<?pi?>N<![CDATA[EZ]]></a>")

    assert root.text == "MARTINEZ"


def test_depth_is_limited_whatever_the_size():
    assert parse_xml(b"<a>" * 100 + b"</a>" * 100) is not None
    assert word(b"<a>" * 101 + b"</a>" * 101) == "too-deep"
    assert word(b"<a>" * 5000 + b"</a>" * 5000) == "too-deep"
    assert word(b"<a>" * 5000 + b"x" * 10_000_000 + b"</a>" * 5000) == "too-deep"


def test_counts_are_limited_before_anything_is_built():
    tracemalloc.start()
    assert word(b"<a>" + b"<b/>" * 600_000 + b"</a>") == "too-many-nodes"
    assert word(b"<a " + b'b="" ' * 600_000 + b"/>") == "too-many-attributes"
    assert word(b"<a>" + b"x" * 1000 + b"</a>", size=1000) == "too-large"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 20_000_000


def test_a_text_node_over_10_mb_is_read():
    root = parse_xml(b"<a>" + b"QUJD" * 3_000_000 + b"</a>")

    assert len(root.text) == 12_000_000


@pytest.mark.parametrize(("encoding", "letter"), [("ISO-8859-1", "é"), ("windows-1252", "€")])
def test_a_text_that_passes_10_mb_only_in_utf8_is_read(encoding, letter):
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>'
    root = parse_xml(f"{declaration}<a>{letter * 6_000_000}</a>".encode(encoding))

    assert len(root.text) == 6_000_000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    for whole in (content, b"<a>" + content + b"</a>"):
        try:
            parse_xml(whole)
        except XmlRefused as refused:
            assert refused.word in {"doctype", "encoding", "malformed", "too-deep"}
