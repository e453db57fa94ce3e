"""Archives as producers write them, and what is wrong with them."""

from hashlib import sha1, sha256
from random import Random

import pytest
from lxml import etree
from make_samples import Version, biology, level1

from mssante.filing.causes import DETAILS
from mssante.wire.cda.problems import Severity
from mssante.wire.xdm.model import XdmLimits
from mssante.wire.xdm.reader import NotXdm, read_archive, shows_xdm
from mssante.wire.xdm.unzip import ArchiveRefused
from tests.support.archives import LAYOUTS, an_archive, edited, files_of, relaid, zipped

LIMITS = XdmLimits()
METADATA = "IHE_XDM/SUBSET01/METADATA.XML"
DOCUMENTS = [level1(), biology()]


def codes(archive, severity=None):
    read = read_archive(archive, LIMITS)
    return [one.code for one in read.all_problems if severity in (None, one.severity)]


def test_our_own_archive_has_no_problem_and_everything_in_it():
    archive = an_archive(*DOCUMENTS)
    read = read_archive(archive, LIMITS)

    [subset] = read.subsets
    assert [one.content for one in subset.documents] == DOCUMENTS
    assert subset.submission_set.source_id == "1.2.250.1.999"
    assert list(read.all_problems) == []
    assert sorted(files_of(archive)) == [
        "IHE_XDM/SUBSET01/DOC00001.XML",
        "IHE_XDM/SUBSET01/DOC00002.XML",
        METADATA,
        "INDEX.HTM",
        "README.TXT",
    ]


def test_the_index_links_to_the_documents_and_hides_no_markup():
    page = files_of(an_archive(level1(), title="A < B & C"))["INDEX.HTM"]
    parsed = etree.fromstring(page, etree.XMLParser(load_dtd=False, no_network=True))

    links = parsed.findall(".//{*}a")
    assert [one.get("href") for one in links] == ["IHE_XDM/SUBSET01/DOC00001.XML", "README.TXT"]
    assert parsed.findtext(".//{*}h1") == "A < B & C"


@pytest.mark.parametrize(
    ("layout", "warnings"),
    [
        ("ours", []),
        ("drimbox", []),
        ("top-folder", ["top-folder"]),
        ("lower-case", ["name-case", "uri-case"]),
        ("backslashes", ["separators"]),
        ("no-index", ["index-missing", "readme-missing"]),
    ],
)
def test_other_layouts_are_read_with_their_warnings(layout, warnings):
    read = read_archive(LAYOUTS[layout](an_archive(level1())), LIMITS)

    assert [one.content for one in read.subsets[0].documents] == [level1()]
    assert [one.code for one in read.all_problems] == warnings
    assert all(one.severity is Severity.WARNING for one in read.all_problems)


def test_subsets_come_in_the_order_of_their_folders():
    one, other = (files_of(an_archive(level1(version=Version(n)))) for n in (1, 2))
    late = {name.replace("SUBSET01", "SUBSET02"): other[name] for name in other}

    read = read_archive(zipped(late | one), LIMITS)

    assert [s.documents[0].content for s in read.subsets] == [
        level1(version=Version(1)),
        level1(version=Version(2)),
    ]
    assert [s.documents[0].where for s in read.subsets] == [
        "subset 1, document 1",
        "subset 2, document 1",
    ]


URI = b"<rim:Value>DOC00001.XML</rim:Value>"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        (b"../../INDEX.HTM", "uri-outside"),
        (b"..\\..\\INDEX.HTM", "uri-outside"),
        (b"/DOC00001.XML", "uri-outside"),
        (b"file:DOC00001.XML", "uri-outside"),
        (b"http://example.org/a", "uri-outside"),
        (b"DOC00009.XML", "uri-unknown"),
        (b"METADATA.XML", "uri-unknown"),
        (b"DOC00002.XML", "uri-repeated"),
        (b"", "uri-missing"),
    ],
)
def test_a_document_whose_file_is_not_certain_refuses_the_archive(uri, code):
    archive = edited(an_archive(*DOCUMENTS), (URI, b"<rim:Value>" + uri + b"</rim:Value>"))
    read = read_archive(archive, LIMITS)

    assert read.refusal == code
    assert code in DETAILS


@pytest.mark.parametrize(
    ("uri", "warnings"),
    [
        (b"doc00001.xml", ["uri-case"]),
        (b".\\DOC00001.XML", ["uri-separators"]),
        (b"./DOC00001.XML", []),
    ],
)
def test_careless_names_of_files_are_warnings(uri, warnings):
    archive = edited(an_archive(level1()), (URI, b"<rim:Value>" + uri + b"</rim:Value>"))

    assert codes(archive) == warnings


def test_another_hash_is_said_with_both_values():
    files = files_of(an_archive(level1()))
    changed = level1().replace(b"Camille", b"Camilla")
    read = read_archive(zipped(files | {"IHE_XDM/SUBSET01/DOC00001.XML": changed}), LIMITS)

    [problem] = read.all_problems
    assert (read.refusal, problem.where) == ("hash-differs", "subset 1, document 1")
    assert len([word for word in problem.text.replace(",", "").split() if len(word) == 40]) == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"hash": sha256(level1()).hexdigest()}, "hash-sha256"),
        ({"hash": "abc"}, "hash-malformed"),
        ({"size": len(level1()) + 1}, "size-differs"),
    ],
)
def test_wrong_integrity_refuses(changed, code):
    assert read_archive(an_archive(level1(), **changed), LIMITS).refusal == code


def test_integrity_that_is_left_out_is_a_warning_and_case_means_nothing():
    digest = sha1(level1()).hexdigest()

    assert codes(an_archive(level1(), hash="")) == ["hash-missing"]
    assert codes(an_archive(level1(), hash=digest.upper())) == []
    size = f'<rim:Slot name="size"><rim:ValueList><rim:Value>{len(level1())}</rim:Value>'
    nothing = '<rim:Slot name="size"><rim:ValueList><rim:Value>many</rim:Value>'
    archive = an_archive(level1())
    spaced = files_of(archive)[METADATA].replace(b"\n", b"").replace(b"  ", b"")
    flat = zipped(files_of(archive) | {METADATA: spaced})
    assert codes(edited(flat, (size.encode(), nothing.encode()))) == ["size-missing"]


def test_files_that_nobody_names_are_a_warning():
    files = files_of(an_archive(level1()))
    archive = zipped(files | {"IHE_XDM/SUBSET01/STYLE.XSL": b"x", "IHE_XDM/SUBSET01/A.JPG": b"y"})

    assert codes(archive) == ["file-unreferenced"]


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"IHE_XDM/SUBSET01/DOC00001.XML": b"x"}, "no-metadata"),
        ({"METADATA.XML": b"<a/>"}, "no-metadata"),
        ({"IHE_XDM/METADATA.XML": b"<a/>"}, "no-metadata"),
        ({"A/B/IHE_XDM/SUBSET01/METADATA.XML": b"<a/>"}, "no-metadata"),
        ({"A/IHE_XDM/S/METADATA.XML": b"<a/>", "IHE_XDM/S/METADATA.XML": b"<a/>"}, "several-roots"),
        ({METADATA: b"<a/>"}, "metadata-unreadable"),
        ({METADATA: b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"}, "metadata-unreadable"),
        ({METADATA: b"not xml"}, "metadata-unreadable"),
        ({METADATA: b"<a>" * 40 + b"</a>" * 40}, "metadata-unreadable"),
        ({METADATA: Random(1).randbytes(4_200_000)}, "metadata-too-large"),
        ({f"IHE_XDM/S{n}/METADATA.XML": b"<a/>" for n in range(21)}, "too-many"),
    ],
)
def test_archives_without_readable_metadata_are_refused(files, word):
    with pytest.raises(ArchiveRefused) as refused:
        read_archive(zipped(files), LIMITS)

    assert refused.value.word == word
    assert word in DETAILS


def test_too_many_documents_are_refused():
    archive = an_archive(*[level1(version=Version(n)) for n in range(1, 4)])

    with pytest.raises(ArchiveRefused, match="too-many"):
        read_archive(archive, XdmLimits(documents=2))


def test_other_zip_files_are_none_of_ours():
    other = zipped({"word/document.xml": b"<a/>", "[Content_Types].xml": b"<a/>"})

    with pytest.raises(NotXdm):
        read_archive(other, LIMITS)
    assert not shows_xdm(other)
    assert shows_xdm(relaid(an_archive(level1()), str.lower))


def test_nothing_shows_the_content_by_accident():
    read = read_archive(an_archive(level1()), LIMITS)

    assert repr(read) == "XdmArchive(***)"
    assert repr(read.subsets[0].documents[0]) == "XdmDocument(***)"
