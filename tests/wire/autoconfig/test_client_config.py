"""Thunderbird's file, read as Thunderbird for Android reads it: the stricter of the two."""

import xml.etree.ElementTree as ET

import pytest

from mssante.wire.autoconfig.model import Endpoint, MailService, domain_of
from mssante.wire.autoconfig.thunderbird import client_config

HOST = "mail.hopital.example"
ALL = MailService(
    "Hôpital <des> Tilleuls & Cie",
    imaps=Endpoint(HOST, 993),
    imap=Endpoint(HOST, 143),
    submissions=Endpoint(HOST, 465),
    submission=Endpoint(HOST, 587),
)


def read(content: bytes) -> dict:
    root = ET.fromstring(content)
    assert root.tag == "clientConfig" and root.get("version") == "1.1"
    [provider] = root.findall("emailProvider")
    [domain] = provider.findall("domain")
    servers = {"imap": [], "smtp": []}
    for tag, kind in (("incomingServer", "imap"), ("outgoingServer", "smtp")):
        for server in provider.findall(tag):
            assert server.get("type") == kind
            [authentication] = server.findall("authentication")
            assert authentication.text == "password-cleartext"
            assert server.findtext("socketType") in ("SSL", "STARTTLS")
            assert 0 < int(server.findtext("port")) < 65536
            servers[kind].append(
                (
                    server.findtext("hostname"),
                    int(server.findtext("port")),
                    server.findtext("socketType"),
                    server.findtext("username"),
                )
            )
    return {
        "id": provider.get("id"),
        "domain": domain.text,
        "name": provider.findtext("displayName"),
        **servers,
    }


def test_implicit_tls_comes_first_and_starttls_second():
    found = read(client_config(ALL, "hopital.example"))

    assert found["imap"] == [
        (HOST, 993, "SSL", "%EMAILADDRESS%"), (HOST, 143, "STARTTLS", "%EMAILADDRESS%"),
    ]  # fmt: skip
    assert found["smtp"] == [
        (HOST, 465, "SSL", "%EMAILADDRESS%"), (HOST, 587, "STARTTLS", "%EMAILADDRESS%"),
    ]  # fmt: skip


def test_the_provider_is_named_by_the_domain_and_shown_by_its_name():
    found = read(client_config(ALL, "hopital.example"))

    assert found["id"] == found["domain"] == "hopital.example"
    assert found["name"] == "Hôpital <des> Tilleuls & Cie"


def test_what_is_not_served_is_not_told():
    service = MailService("x", imaps=Endpoint(HOST, 993), submission=Endpoint(HOST, 587))

    found = read(client_config(service, "hopital.example"))

    assert [port for _, port, _, _ in found["imap"]] == [993]
    assert [port for _, port, _, _ in found["smtp"]] == [587]


def test_the_login_may_be_the_local_part():
    service = MailService("x", imaps=Endpoint(HOST, 993), user_name="local-part")

    assert read(client_config(service, "d.example"))["imap"][0][3] == "%EMAILLOCALPART%"


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("a@D.example", "d.example"), (' "odd@name"@d.example. ', "d.example"), ("a@", ""),
        ("@d.example", ""), ("d.example", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_domain_of_an_address_is_what_follows_its_last_at_sign(address, domain):
    assert domain_of(address) == domain
