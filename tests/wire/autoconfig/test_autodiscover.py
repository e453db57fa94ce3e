"""Autodiscover's plain XML, with an independent reader."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from mssante.wire.autoconfig import autodiscover
from mssante.wire.autoconfig.autodiscover import (
    INVALID_REQUEST,
    SCHEMA_UNKNOWN,
    RequestRefused,
    error_answer,
    requested_address,
    settings_answer,
)
from mssante.wire.autoconfig.model import Endpoint, MailService

IN = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
OUT = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
MOBILE = "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"
HOST = "mail.hopital.example"
ALL = MailService(
    "x", imaps=Endpoint(HOST, 993), imap=Endpoint(HOST, 143),
    submissions=Endpoint(HOST, 465), submission=Endpoint(HOST, 587),
)  # fmt: skip


def request(address: str, schema: str = OUTLOOK, head: str = '<?xml version="1.0"?>') -> bytes:
    return (
        f'{head}<Autodiscover xmlns="{IN}"><Request><EMailAddress>{address}</EMailAddress>'
        f"<AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
    ).encode()


def protocols(answer: bytes) -> dict[str, dict[str, str]]:
    root = ET.fromstring(answer)
    assert root.tag == f"{{{OUT}}}Autodiscover"
    account = root.find(f"{{{OUTLOOK}}}Response/{{{OUTLOOK}}}Account")
    assert account.findtext(f"{{{OUTLOOK}}}AccountType") == "email"
    assert account.findtext(f"{{{OUTLOOK}}}Action") == "settings"
    found = {}
    for protocol in account.findall(f"{{{OUTLOOK}}}Protocol"):
        values = {child.tag.partition("}")[2]: child.text for child in protocol}
        found[values.pop("Type")] = values
    return found


def test_the_address_asked_about_is_read():
    assert requested_address(request("dr.a@hopital.example")) == "dr.a@hopital.example"


def test_outlook_gets_the_server_with_implicit_tls_of_each_kind():
    found = protocols(settings_answer(ALL, "dr.a@hopital.example"))

    assert found["IMAP"] == {
        "Server": HOST, "Port": "993", "DomainRequired": "off",
        "LoginName": "dr.a@hopital.example", "SPA": "off", "SSL": "on", "AuthRequired": "on",
    }  # fmt: skip
    assert (found["SMTP"]["Port"], found["SMTP"]["UsePOPAuth"]) == ("465", "off")


def test_starttls_is_told_where_there_is_nothing_else():
    service = MailService("x", imap=Endpoint(HOST, 143), submission=Endpoint(HOST, 587))

    found = protocols(settings_answer(service, "a@b.example"))

    assert [(p["SSL"], p["Encryption"]) for p in found.values()] == [("on", "TLS")] * 2


def test_an_address_cannot_write_markup_into_the_answer():
    address = requested_address(request("a&lt;/LoginName&gt;&lt;x&gt;@b.example"))

    assert protocols(settings_answer(ALL, address))["IMAP"]["LoginName"] == address


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no xml", b"<a/>", request(""), request("nobody"), request("a@b.example\nx: y"),
        request("a" * 400 + "@b.example"), request("é@b.example"),
        request("&x;", head='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        request("a@b.example").replace(b"</Autodiscover>", b""),
        b"<a>" * 300 + b"</a>" * 300,
        request("a@b.example") + b" " * autodiscover.MAX_REQUEST,
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_in_one_word(content):
    with pytest.raises(RequestRefused) as refused:
        requested_address(content)

    assert refused.value.code == INVALID_REQUEST


def test_a_request_for_a_phone_is_told_that_there_is_no_such_answer():
    with pytest.raises(RequestRefused) as refused:
        requested_address(request("a@b.example", MOBILE))

    assert refused.value.code == SCHEMA_UNKNOWN


def test_an_error_is_told_in_the_protocols_own_form():
    at = datetime(2026, 11, 23, 8, 1, 2, 345678, tzinfo=UTC)

    error = ET.fromstring(error_answer(600, "Invalid Request", at)).find(
        f"{{{OUT}}}Response/{{{OUT}}}Error"
    )

    assert error.get("Time") == "08:01:02.3456780"
    assert error.findtext(f"{{{OUT}}}ErrorCode") == "600"
