"""The records to publish, and a real question to a small name server."""

import socketserver
import threading

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mssante.trust import pki


DOMAIN = "tests.example"


class NameServer(socketserver.ThreadingUDPServer):
    """Answers from lines of a zone file."""

    def __init__(self, lines: list[str]) -> None:
        self.sets: dict = {}
        for line in lines:
            name, _, kind, value = line.split(maxsplit=3)
            self.sets.setdefault((name.lower(), kind), []).append(value)
        super().__init__(("127.0.0.1", 0), _Answerer)


class _Answerer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        octets, sender = self.request
        query = dns.message.from_wire(octets)
        question = query.question[0]
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        key = (question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype))
        if key in self.server.sets:
            answer.answer.append(
                dns.rrset.from_text(question.name, 60, "IN", key[1], *self.server.sets[key])
            )
        sender.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def serve():
    servers = []

    def start(lines):
        server = NameServer(lines)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_domain_gets_its_records_as_lines_of_a_zone_file(mssante):
    outcome = mssante("domain", "dns")

    assert f"_imaps._tcp.{DOMAIN}. IN SRV 0 1 20993 localhost." in outcome.out
    assert f"autoconfig.patient.{DOMAIN}. IN CNAME localhost." in outcome.out
    assert f'mss._domainkey.{DOMAIN}. IN TXT "v=DKIM1; k=ed25519; p=' in outcome.out
    assert "must name autoconfig.DOMAIN" in outcome.err


def test_the_key_of_dkim_is_among_the_records_of_each_domain_while_there_is_one(mssante, demo):
    shown = mssante("domain", "dkim", DOMAIN, "--json").json
    records = {r["name"]: r for r in mssante("domain", "dns", "--json").json}

    assert records[shown["name"]]["value"] == f'"{shown["value"]}"'
    assert shown["name"].replace(DOMAIN, f"patient.{DOMAIN}") in records

    (demo / "keys" / "dkim.key").unlink()
    outcome = mssante("domain", "dns")
    assert "_domainkey" not in outcome.out
    assert "no DKIM record" in outcome.err


def test_what_is_published_as_shown_is_right(mssante, serve):
    records = mssante("domain", "dns", DOMAIN, "--json").json
    server = serve([f"{r['name']}. IN {r['type']} {r['value']}" for r in records])

    checked = mssante("domain", "dns", DOMAIN, "--check", "--server", server, "--json").json

    assert {line["name"]: line["state"] for line in checked} == {
        record["name"]: "right" for record in records
    }


def test_a_long_key_may_be_published_in_strings_of_any_length(mssante, demo, serve):
    (demo / "keys" / "dkim.key").write_bytes(pki.key_pem(rsa.generate_private_key(65537, 2048)))
    records = mssante("domain", "dns", DOMAIN, "--json").json
    [record] = (each for each in records if "_domainkey" in each["name"])
    whole = record["value"].replace('" "', "").strip('"')
    otherwise = " ".join(f'"{whole[i : i + 100]}"' for i in range(0, len(whole), 100))
    server = serve([f"{record['name']}. IN TXT {otherwise}"])

    checked = mssante("domain", "dns", DOMAIN, "--check", "--server", server, "--json").json

    assert len(record["value"].split('" "')[0]) == 256
    assert {c["name"]: c["state"] for c in checked}[record["name"]] == "right"


def test_what_differs_is_told_with_what_was_found(mssante, serve):
    server = serve(
        [
            f"{DOMAIN}. IN MX 10 old.example.",
            f"_imaps._tcp.{DOMAIN}. IN SRV 0 1 20993 LOCALHOST.",
            f"_submissions._tcp.{DOMAIN}. IN SRV 0 1 20465 localhost.",
            f"_submissions._tcp.{DOMAIN}. IN SRV 0 1 465 old.example.",
            f'{DOMAIN}. IN TXT "google-site-verification=x"',
            f"autoconfig.{DOMAIN}. IN A 192.0.2.7",
            "localhost. IN A 192.0.2.7",
            f"autodiscover.{DOMAIN}. IN A 192.0.2.8",
        ]
    )

    checked = mssante("domain", "dns", DOMAIN, "--check", "--server", server, "--json").json

    states = {(line["name"], line["type"]): (line["state"], line["found"]) for line in checked}
    assert states[DOMAIN, "MX"] == ("different", ["10 old.example."])
    assert states[f"_imaps._tcp.{DOMAIN}", "SRV"] == ("right", ["0 1 20993 localhost."])
    assert states[f"_submissions._tcp.{DOMAIN}", "SRV"][0] == "other"
    assert states[f"_imap._tcp.{DOMAIN}", "SRV"] == ("missing", [])
    assert states[DOMAIN, "TXT"] == ("missing", [])
    assert states[f"autoconfig.{DOMAIN}", "CNAME"] == ("right", ["192.0.2.7"])
    assert states[f"autodiscover.{DOMAIN}", "CNAME"] == ("different", ["192.0.2.8"])


def test_a_domain_that_is_not_served_is_told(mssante):
    outcome = mssante("domain", "dns", "elsewhere.example")

    assert outcome.code == 1
    assert "is not served here" in outcome.err


@pytest.mark.parametrize("server", ["nonsense", "1.2.3", "127.0.0.1:x", "[::1"])
def test_a_server_that_is_no_address_is_told(mssante, server):
    outcome = mssante("domain", "dns", "--check", "--server", server)

    assert outcome.code == 1
    assert "is not an address" in outcome.err
