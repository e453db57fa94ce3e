"""METADATA.XML: what is written is read back, and what producers leave out is empty."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from make_samples import Version, biology, level1

from mssante.wire.cda.reader import read_document
from mssante.wire.xds.ebrim_reader import NotMetadata, read_metadata
from mssante.wire.xds.ebrim_writer import write_metadata
from mssante.wire.xds.entry import entry_from_cda, submission_set_of
from mssante.wire.xml import XmlLimits, XmlRefused

LIMITS = XmlLimits()
RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"


def entry_of(content):
    return entry_from_cda(read_document(content), content)


def lot_of(content):
    return submission_set_of(
        read_document(content),
        entry_of(content),
        unique_id="1.2.3",
        source_id="1.2",
        submission_time="20261123080000",
    )


LOT = lot_of(level1())
ENTRIES = [entry_of(level1()), entry_of(biology(version=Version(7, replaces="1.2.3.4")))]


def test_what_is_written_is_read_back():
    names = [(entry, f"DOC{n}.XML") for n, entry in enumerate(ENTRIES)]

    read = read_metadata(write_metadata(LOT, names), LIMITS)

    assert [(one.metadata, one.uri, one.has_size, one.action) for one in read.entries] == [
        (entry, name, True, None) for entry, name in names
    ]
    assert read.submission_sets == (LOT,)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_written_as_xml(title, person):
    entry = replace(ENTRIES[0], title=title, legal_authenticator=person)

    [read] = read_metadata(write_metadata(LOT, [(entry, "A")]), LIMITS).entries

    if title.strip() and title.isprintable():
        assert read.metadata.title == title.strip()


def test_the_children_stand_in_the_order_of_the_schema():
    root = etree.fromstring(write_metadata(LOT, [(ENTRIES[0], "A")]))
    order = ["Slot", "Name", "Description", "VersionInfo", "Classification", "ExternalIdentifier"]

    for kind in ("ExtrinsicObject", "RegistryPackage"):
        [element] = root.iter(RIM + kind)
        places = [order.index(etree.QName(child).localname) for child in element]
        assert places == sorted(places)
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(set(ids)) == len(ids)


def test_associations_link_the_set_with_each_document():
    root = etree.fromstring(write_metadata(LOT, [(entry, "A") for entry in ENTRIES]))

    links = [one.attrib for one in root.iter(RIM + "Association")]
    assert [(one["sourceObject"], one["targetObject"]) for one in links] == [
        ("SubmissionSet01", "Document01"),
        ("SubmissionSet01", "Document02"),
    ]


def test_what_is_absent_is_empty():
    bare = b'<a xmlns="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"><ExtrinsicObject/></a>'

    read = read_metadata(bare, LIMITS)

    [entry] = read.entries
    assert (entry.uri, entry.action, entry.has_size) == (None, None, False)
    assert (entry.metadata.hash, entry.metadata.patient_id) == ("", None)
    assert entry.metadata.type_code.code == ""
    assert read.submission_sets == ()


def test_wrappers_blanks_and_capitals_are_looked_through():
    content = write_metadata(LOT, [(ENTRIES[0], "A")])
    body = content.partition(b"?>")[2].strip()
    typed = body.replace(b"urn:uuid:f0306f51", b"URN:UUID:F0306F51").replace(
        b">2.16.840.1.113883.6.1<", b">\n 2.16.840.1.113883.6.1 <"
    )

    [entry] = read_metadata(b"<wrapped>" + typed + b"</wrapped>", LIMITS).entries

    assert entry.metadata == ENTRIES[0]


def test_a_set_that_is_classified_from_outside_is_found():
    content = write_metadata(LOT, [(ENTRIES[0], "A")])
    root = etree.fromstring(content)
    [package] = root.iter(RIM + "RegistryPackage")
    [node] = [one for one in package if one.get("classificationNode")]
    package.getparent().append(node)

    assert read_metadata(etree.tostring(root), LIMITS).submission_sets == (LOT,)


@pytest.mark.parametrize("value", ["D", "d", " D "])
@pytest.mark.parametrize("owner", ["ExtrinsicObject", "RegistryPackage"])
@pytest.mark.parametrize("name", ["action", "urn:asip:ci-sis:action"])
def test_the_french_action_is_read_on_the_document_or_the_set(value, owner, name):
    root = etree.fromstring(write_metadata(LOT, [(ENTRIES[0], "A")]))
    [element] = root.iter(RIM + owner)
    slot = etree.fromstring(
        f'<rim:Slot xmlns:rim="{RIM[1:-1]}" name="{name}"><rim:ValueList>'
        f"<rim:Value>{value}</rim:Value></rim:ValueList></rim:Slot>"
    )
    element.insert(0, slot)

    [entry] = read_metadata(etree.tostring(root), LIMITS).entries

    assert entry.action == "D"


def test_other_xml_is_refused():
    with pytest.raises(NotMetadata):
        read_metadata(b"<a/>", LIMITS)
    with pytest.raises(XmlRefused, match="doctype"):
        read_metadata(b"<!DOCTYPE a><a/>", LIMITS)
