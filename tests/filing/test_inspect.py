"""Which documents are found in a message."""

import base64

import pytest
from make_samples import biology, level1

from mssante.filing.inspect import InspectLimits, inspect
from mssante.wire.mime.builder import (
    attachment_entity,
    build_message,
    header_field,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.summary import summarise

CDA = level1()


def message(*attached):
    parts = [text_entity("Bonjour"), *(attachment_entity(*one) for one in attached)]
    return build_message(
        [header_field("Subject", "x")], multipart_entity("mixed", "b0undary", parts)
    )


def found(content, **limits):
    return inspect(content, summarise(content), InspectLimits(**limits))


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("text/xml", "a.xml"),
        ("application/xml", "a.xml"),
        ("application/hl7-v3+xml", "a"),
        ("application/cda+xml", "a.cda"),
        ("application/octet-stream", "a.xml"),
    ],
)
def test_a_document_is_found_under_any_type_that_senders_use(media_type, name):
    [one] = found(message((CDA, media_type, name)))

    assert one.content == CDA
    assert one.document.title == "Compte rendu hospitalier"
    assert one.metadata.size == len(CDA)
    assert one.embedded.media_type == "application/pdf"
    assert one.fault is None


def test_several_documents_are_found_in_the_order_of_the_message():
    documents = [level1(), biology(), b"<other/>", level1(size=20_000)]

    ones = found(message(*((one, "text/xml", "a.xml") for one in documents)))

    assert [one.index for one in ones] == [0, 1, 2]
    assert [one.content for one in ones] == [documents[0], documents[1], documents[3]]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"<html/>", "text/xml"),
        (b"<a>broken", "text/xml"),
        (b"%PDF-1.7", "application/octet-stream"),
        (b"\x00\x01\x02", "application/octet-stream"),
        (CDA, "text/plain"),
        (CDA, "application/pdf"),
        (b"", "text/xml"),
    ],
)
def test_what_is_no_clinical_document_is_left_alone(content, media_type):
    assert found(message((content, media_type, "a.xml"))) == ()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (CDA[:-30], "malformed"),
        (b"<!DOCTYPE a>" + CDA.partition(b"?>")[2].lstrip(), "doctype"),
        (CDA.replace(b"urn:hl7-org:v3", b"urn:hl7-org:v2"), "namespace"),
        (CDA.decode().encode("utf-16"), "encoding"),
        (CDA.replace("é".encode(), b"\xe9"), "encoding"),
        (CDA.replace(b"<title>", b"<title>" + b"<b>" * 150), "malformed"),
    ],
)
def test_a_broken_document_is_found_with_its_fault(content, fault):
    [one] = found(message((content, "text/xml", "a.xml")))

    assert (one.fault, one.document, one.content) == (fault, None, content)


def test_a_damaged_transfer_encoding_is_a_fault_of_a_document_that_shows_itself():
    encoded = base64.b64encode(CDA)
    whole = message((CDA, "text/xml", "a.xml"))
    start = whole.index(base64.encodebytes(CDA)[:60])
    damaged = whole[: start + 3000] + b"****" + whole[start + 3004 :]

    [one] = found(damaged)

    assert one.fault == "transfer"
    assert encoded[:60] in one.content


def test_limits_are_faults_of_the_document():
    [large] = found(message((CDA, "text/xml", "a.xml")), document_bytes=1000)
    two = found(message(*[(CDA, "text/xml", "a.xml")] * 2), documents=1)

    assert large.fault == "too-large"
    assert [one.fault for one in two] == [None, "too-many"]


@pytest.mark.parametrize(
    "change",
    [
        (b"<author>", b"<author/>" * 300 + b"<author>"),
        (b"<title>", b"<title>" + b"x" * 300_000),
        (b'<id root="1.2.250.1.999.1.1.1"/>', b'<id root="1.' + b"2" * 300_000 + b'"/>'),
        (
            b"<componentOf>",
            b"<relatedDocument typeCode='RPLC'><parentDocument>"
            + b'<id root="1"/>' * 300
            + b"</parentDocument></relatedDocument><componentOf>",
        ),
    ],
)
def test_a_header_beyond_all_measure_is_a_fault(change):
    [one] = found(message((CDA.replace(*change, 1), "text/xml", "a.xml")))

    assert (one.fault, one.document) == ("too-complex", None)


def test_a_document_in_a_forwarded_message_is_left_alone():
    forwarded = b"Content-Type: message/rfc822\r\n\r\n" + message((CDA, "text/xml", "a.xml"))
    whole = (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="outer"\r\n\r\n'
        b"--outer\r\n" + forwarded + b"\r\n--outer--\r\n"
    )

    assert found(whole) == ()
    assert len(found(message((CDA, "text/xml", "a.xml")))) == 1


def test_a_message_that_is_nothing_but_a_document_counts():
    whole = b"Content-Type: text/xml\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + CDA

    [one] = found(whole)

    assert one.content == CDA


def test_a_text_node_over_10_mb_in_an_attachment_is_read():
    content = level1(pdf=b"%PDF-1.7 " + b"0" * 9_000_000)

    [one] = found(message((content, "text/xml", "a.xml")))

    assert len(content) > 12_000_000
    assert one.embedded.size == 9_000_009


def test_nothing_shows_the_content_by_accident():
    [one] = found(message((CDA, "text/xml", "a.xml")))

    assert repr(one) == "FoundDocument(***)"
