"""The records to publish, read by dnspython as a zone file."""

import dns.zone

from mssante.wire.autoconfig.model import Endpoint, MailService
from mssante.wire.autoconfig.records import records_of

HOST = "mail.operator.example"
ALL = MailService(
    "x", imaps=Endpoint(HOST, 993), imap=Endpoint(HOST, 143),
    submissions=Endpoint(HOST, 465), submission=Endpoint(HOST, 587),
)  # fmt: skip
DOMAIN = "hopital.example"


def zone(service=ALL, **options) -> dict[tuple[str, str], list[str]]:
    options = {
        "exchanger": Endpoint("mx.operator.example", 25),
        "web": Endpoint(HOST, 443),
        **options,
    }
    lines = [record.line() for record in records_of(DOMAIN, service, **options)]
    text = "\n".join([f"{DOMAIN}. IN SOA ns. root. 1 1 1 1 1", f"{DOMAIN}. IN NS ns.", *lines])
    found = dns.zone.from_text(text, origin=DOMAIN, relativize=False)
    return {
        (name.to_text().removesuffix("."), dns.rdatatype.to_text(rdataset.rdtype)): [
            each.to_text() for each in rdataset
        ]
        for name, rdataset in found.iterate_rdatasets()
    }


def test_operators_find_the_exchanger_and_clients_the_servers():
    found = zone()

    assert found[DOMAIN, "MX"] == ["10 mx.operator.example."]
    assert found[f"_submissions._tcp.{DOMAIN}", "SRV"] == [f"0 1 465 {HOST}."]
    assert found[f"_submission._tcp.{DOMAIN}", "SRV"] == [f"10 1 587 {HOST}."]
    assert found[f"_imaps._tcp.{DOMAIN}", "SRV"] == [f"0 1 993 {HOST}."]
    assert found[f"_imap._tcp.{DOMAIN}", "SRV"] == [f"10 1 143 {HOST}."]
    assert found[f"autoconfig.{DOMAIN}", "CNAME"] == [f"{HOST}."]
    assert found[f"autodiscover.{DOMAIN}", "CNAME"] == [f"{HOST}."]
    assert found[f"_autodiscover._tcp.{DOMAIN}", "SRV"] == [f"0 1 443 {HOST}."]


def test_what_is_not_offered_is_published_as_such():
    found = zone(MailService("x", imaps=Endpoint(HOST, 993)), exchanger=None)

    assert found[f"_imap._tcp.{DOMAIN}", "SRV"] == ["0 0 0 ."]
    assert found[DOMAIN, "MX"] == ["0 ."]


def test_a_domain_whose_members_use_no_clients_has_no_services():
    found = zone(for_clients=False)

    assert [name for name, kind in found if kind in ("SRV", "CNAME")] == []


def test_the_open_internet_is_told_that_no_mail_comes_from_here():
    found = zone()

    assert found[DOMAIN, "TXT"] == ['"v=spf1 -all"']
    assert "p=reject" in found[f"_dmarc.{DOMAIN}", "TXT"][0]
