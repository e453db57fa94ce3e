"""A document without the content of its body is read as the whole document is, or is read whole."""

import re
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from make_samples import Version, biology, level1

from mssante.wire.cda import beginning
from mssante.wire.cda.reader import NotClinicalDocument, read_document
from mssante.wire.xml import XmlRefused
from tests.wire.cda.test_official_samples import SAMPLES

DOCUMENT = biology(version=Version(4, version=2, replaces="1.2.3^a"), size=6_000)
WITHOUT_ENTRIES = re.sub(rb"<entry\b.*?</entry>", b"", DOCUMENT, flags=re.DOTALL)
OPEN, CLOSE = b"<structuredBody>", b"</structuredBody>"
OFFICIAL = sorted(SAMPLES.glob("**/*.xml")) if SAMPLES else []


def outcome(content):
    try:
        return read_document(content)
    except XmlRefused as refused:
        return refused.word, refused.where
    except NotClinicalDocument as refused:
        return str(refused)


def whole(content):
    """As it is read where nothing is left out."""
    with mock.patch.object(beginning, "_cut", return_value=None):
        return outcome(content)


def is_cut(content):
    """Whether the body was left out."""
    with mock.patch.object(beginning, "parse_utf8", side_effect=AssertionError("read whole")):
        try:
            read_document(content)
        except AssertionError:
            return False
    return True


def changed(old, new, content=DOCUMENT, count=1):
    assert old in content
    return content.replace(old, new, count)


def test_the_samples_have_what_they_should():
    assert read_document(DOCUMENT).body.level == 3
    assert read_document(WITHOUT_ENTRIES).body.level == 2
    assert b"<text>" in WITHOUT_ENTRIES
    assert OPEN in DOCUMENT


@pytest.mark.parametrize(
    "content",
    [
        DOCUMENT,
        WITHOUT_ENTRIES,
        changed(OPEN, OPEN + b"<!-- a body -->"),
        changed(b"<entry", b"<?pi?><entry"),
        changed(b"<entry", b"<x:a xmlns:x='urn:x'/><entry"),
        changed(OPEN, b'<structuredBody classCode="DOCBODY">'),
        DOCUMENT + b"\n\n",
    ],
)
def test_the_body_is_left_out(content):
    assert is_cut(content)
    assert outcome(content) == whole(content)


@pytest.mark.parametrize("sample", OFFICIAL, ids=lambda path: path.name)
def test_the_bodies_of_official_samples_are_left_out(sample):
    content = sample.read_bytes()

    assert outcome(content) == whole(content)
    if b"<structuredBody" in content:
        assert is_cut(content)


def test_prefixes_do_not_matter():
    prefixed = re.sub(rb"<(/?)(?=[A-Za-z])(?!\w+:)", rb"<\1cda:", DOCUMENT)
    prefixed = changed(b' xmlns="urn:hl7-org:v3"', b' xmlns:cda="urn:hl7-org:v3"', prefixed)

    assert is_cut(prefixed)
    assert outcome(prefixed) == outcome(DOCUMENT)


SECOND = b"<component><structuredBody/></component>"
UNCERTAIN = {
    "another body": changed(b"</ClinicalDocument>", SECOND + b"</ClinicalDocument>"),
    "another body before": changed(b"<component>" + OPEN, SECOND + b"<component>" + OPEN),
    "an empty body": DOCUMENT[: DOCUMENT.index(OPEN)] + b"<structuredBody/></component></ClinicalDocument>",
    "something after the body": changed(CLOSE, CLOSE + b"<title/>"),
    "something after the component": changed(b"</ClinicalDocument>", b"<title/></ClinicalDocument>"),
    "a comment after the end": DOCUMENT + b"<!-- end -->",
    "a body in a comment": changed(OPEN, b"<!--" + OPEN + b"-->" + OPEN),
    "a text that names a body": changed(b"<text>", b"<text>structuredBody "),
    "an attribute with an angle": changed(OPEN, b'<structuredBody a=">">'),
    "another namespace": changed(OPEN, b'<structuredBody xmlns="urn:x">'),
    "another place": changed(b"<component>" + OPEN, b"<component><a>" + OPEN).replace(CLOSE, CLOSE + b"</a>"),
    "no entry, but its name": changed(b"<text>", b"<text>entry ", WITHOUT_ENTRIES),
    "an entry in a comment": changed(b"<text>", b"<!--<entry>--><text>"),
    "an entry in a comment only": changed(b"<text>", b"<!--<entry>--><text>", WITHOUT_ENTRIES),
    "an entry in CDATA": changed(b"<text>", b"<text><![CDATA[<entry>]]>"),
    "an entry under another prefix": changed(
        b"<text>", b"<x:entry xmlns:x='urn:hl7-org:v3'/><text>", WITHOUT_ENTRIES
    ),
    "an entry of another namespace": changed(
        b"<text>", b"<entry xmlns='urn:x'/><text>", WITHOUT_ENTRIES
    ),
    "an entry whose namespace comes after an angle": changed(
        b"<text>", b"<entry a='>' xmlns='urn:x'/><text>", WITHOUT_ENTRIES
    ),
    "an xml:id in the header": changed(b"<title>", b"<title xml:id='a'>"),
    "level 1": level1(),
}  # fmt: skip


@pytest.mark.parametrize("content", UNCERTAIN.values(), ids=UNCERTAIN)
def test_what_is_not_certain_is_read_whole(content):
    assert not is_cut(content)
    assert outcome(content) == whole(content)


FAULTS = {
    "cut short": DOCUMENT[:-30],
    "cut in the body": DOCUMENT[: DOCUMENT.index(b"<entry") + 40] + b"</structuredBody></component></ClinicalDocument>",
    "a wrong end": changed(b"</entry>", b"</entri>"),
    "an unknown entity": changed(b"</entry>", b"&x;</entry>"),
    "an attribute twice": changed(b"</entry>", b"<a b='' b=''/></entry>"),
    "an xml:id that is no name": changed(b"</entry>", b"<a xml:id='1 2'/></entry>"),
    "an xml:id twice": changed(b"</entry>", b"<a xml:id='a'/><b xml:id='a'/></entry>"),
    "an xml:id that is no name, in the header": changed(b"<title>", b"<title xml:id='1 2'>"),
    "an xml:id twice in the header": changed(b"<title>", b"<title xml:id='a'>").replace(b"<typeId ", b"<typeId xml:id='a' "),
    "a wrong xml:space": changed(b"</entry>", b"<a xml:space='x'/></entry>"),
    "a letter that is none": changed(b"</entry>", b"\x01</entry>"),
    "an unknown prefix": changed(b"</entry>", b"<x:a/></entry>"),
    "a fault in the header": changed(b"<title>", b"<title><"),
    "a fault behind the end": DOCUMENT + b"<a/>",
    "a late document type": changed(b"</entry>", b"<!DOCTYPE a></entry>"),
    "not UTF-8": changed(b"</entry>", b"\xe9</entry>"),
    "another root": DOCUMENT.replace(b"ClinicalDocument", b"SocialDocument"),
}  # fmt: skip


@pytest.mark.parametrize("content", FAULTS.values(), ids=FAULTS)
def test_the_faults_of_what_is_left_out_are_found_where_they_are(content):
    assert outcome(content) == whole(content)


def test_a_body_may_be_as_deep_as_the_parser_goes():
    def nested(depth):
        return changed(b"</entry>", b"<a>" * depth + b"</a>" * depth + b"</entry>")

    assert is_cut(nested(200))
    assert outcome(nested(200)) == whole(nested(200)) == outcome(DOCUMENT)
    for depth in (300, 3_000, 50_000):
        assert outcome(nested(depth))[0] == whole(nested(depth))[0] == "too-deep"


PIECES = st.sampled_from(
    [
        b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?pi ", b"?>", b"<entry>", b"</entry>", b"<entry/>", b"<entryRelationship>",
        b"<x:entry/>", b" xmlns='urn:x'", b" xmlns:x='urn:hl7-org:v3'", b"structuredBody", OPEN, CLOSE, b"<structuredBody/>",
        SECOND, b"<component>", b"</component>", b"<section>", b"</section>", b"</ClinicalDocument>", b"&amp;", b"&x;", b">", b"<",
        b"'", b'"', b"=", b" xml:id='1'", b"<a xml:id='a'/>", b"<x xml:id='1'/>", b"\0", b"\xc3\xa9", b"\xe9", b"<a>" * 60, b"</a>" * 60, b" ", b"entry",
    ]
)  # fmt: skip
INTERESTING = [
    found.start()
    for base in (DOCUMENT,)
    for found in re.finditer(rb"</?(?:structuredBody|component|entry|section|text|title|recordTarget|ClinicalDocument)", base)
]  # fmt: skip
PLACES = st.one_of(st.sampled_from(INTERESTING), st.integers(0, len(DOCUMENT)))


@given(
    st.sampled_from([DOCUMENT, WITHOUT_ENTRIES]),
    st.lists(st.tuples(PLACES, st.integers(0, 40), PIECES), max_size=4),
)
@settings(max_examples=500, deadline=None)
@example(DOCUMENT, [(DOCUMENT.index(b"<entry"), 0, b"<entry a='>' xmlns='urn:x'/>")])
def test_any_document_is_read_as_it_is_read_whole(content, changes):
    for place, gone, piece in changes:
        content = content[:place] + piece + content[place + gone :]

    assert outcome(content) == whole(content)
