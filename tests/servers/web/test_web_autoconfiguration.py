"""Mail clients set themselves up at a real instance."""

import json
import plistlib
import shutil
import socket
import ssl
import subprocess
import warnings
import xml.etree.ElementTree as ET

import pytest

from tests.wire.autoconfig.test_autodiscover import protocols, request
from tests.wire.autoconfig.test_client_config import read

WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
SHORT = "/mail/config-v1.1.xml"
POX = "/autodiscover/autodiscover.xml"
APPLE = "/mail/apple.mobileconfig"


@pytest.mark.parametrize("path", [WELL_KNOWN, SHORT])
@pytest.mark.parametrize("host", ["autoconfig.{}", "{}", "AutoConfig.{}:443", "localhost"])
def test_thunderbird_finds_the_servers_with_and_without_an_address(site, path, host):
    host = host.format(site.domain)
    plain = site.ask(path, host=host)
    asked = site.ask(f"{path}?emailaddress=claire%40{site.domain}", host=host)

    assert plain.status == asked.status == 200
    assert plain.body == asked.body
    assert plain.headers["content-type"] == "application/xml; charset=utf-8"
    found = read(plain.body)
    ports = site.instance.demo["ports"]
    assert found["domain"] == site.domain
    assert found["imap"][0] == ("localhost", ports["imaps"], "SSL", "%EMAILADDRESS%")
    assert found["smtp"][0] == ("localhost", ports["submissions"], "SSL", "%EMAILADDRESS%")


def test_what_is_told_is_true_a_client_signs_in_by_it(site):
    import imaplib
    import smtplib

    account = site.instance.accounts("professional")[0]
    found = read(site.ask(f"{SHORT}?emailaddress={account['address']}").body)
    host, port, _, _ = found["imap"][0]
    with imaplib.IMAP4_SSL(host, port, ssl_context=site.instance.tls()) as imap:
        assert imap.login(account["address"], account["password"])[0] == "OK"
    host, port, _, _ = found["smtp"][1]
    with smtplib.SMTP(host, port) as smtp:
        smtp.starttls(context=site.instance.tls())
        assert smtp.login(account["address"], account["password"])[0] == 235


def test_patients_find_theirs_where_they_may_use_clients(site):
    found = read(site.ask(SHORT, host=f"autoconfig.{site.patient_domain}").body)

    assert found["domain"] == site.patient_domain


@pytest.mark.parametrize(
    ("query", "host"),
    [
        ("?emailaddress=a%40elsewhere.example", "autoconfig.elsewhere.example"),
        ("?emailaddress=a%40elsewhere.example", "localhost"),
        ("", "autoconfig.elsewhere.example"), ("", "127.0.0.1"), ("", "[::1]"),
        ("?emailaddress=" + "a" * 400, "localhost"), ("?emailaddress=a%0d%0ab%40x", "localhost"),
        ("?emailaddress=nobody", "localhost"),
    ],
)  # fmt: skip
def test_a_domain_that_is_not_served_is_not_found(site, query, host):
    assert site.ask(SHORT + query, host=host).status == 404


@pytest.mark.parametrize("name", ["claire.morel", "nobody-at-all", "262087511204103"])
def test_no_answer_tells_whether_a_mailbox_exists(site, name):
    address = f"{name}@{site.domain}"

    assert site.ask(f"{SHORT}?emailaddress={address}").body == site.ask(SHORT).body
    outlook = site.ask(POX, "POST", request(address)).body
    other = site.ask(POX, "POST", request(f"x@{site.domain}")).body
    assert outlook.replace(address.encode(), b"x@" + site.domain.encode()) == other


@pytest.mark.parametrize(
    "path", [POX, "/Autodiscover/Autodiscover.xml", "/AUTODISCOVER/AUTODISCOVER.XML"]
)
def test_outlook_finds_the_servers_however_it_writes_the_path(site, path):
    answer = site.ask(
        path, "POST", request(f"dr.a@{site.domain}"), Content_Type="text/xml; charset=utf-8"
    )

    assert answer.status == 200
    found = protocols(answer.body)
    assert found["IMAP"]["Port"] == str(site.instance.demo["ports"]["imaps"])
    assert found["SMTP"]["LoginName"] == f"dr.a@{site.domain}"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"<a/>", 400, "600"), (b"", 400, "600"),
        (request("a@elsewhere.example"), 404, "500"),
        (request("&x;", head='<!DOCTYPE a [<!ENTITY x "y">]>'), 400, "600"),
        (request("a@b.example") + b" " * 17_000, 400, "600"),
    ],
)  # fmt: skip
def test_outlook_is_told_what_is_wrong_in_its_own_form(site, content, status, code):
    answer = site.ask(POX, "POST", content)

    assert answer.status == status
    assert code in [element.text for element in ET.fromstring(answer.body).iter()]


def test_outlook_is_not_asked_for_a_password_by_mistake(site):
    answer = site.ask(POX)

    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("path", ["", "/v1.0/dr.a%40tilleuls.mssante.example"])
def test_the_second_autodiscover_says_where_the_first_is(site, path):
    path = f"/autodiscover/autodiscover.json{path}"
    answer = site.ask(f"{path}?Protocol=AutodiscoverV1&Email=a%40{site.domain}")
    other = site.ask(f"{path}?Protocol=ActiveSync")

    url = json.loads(answer.body)["Url"]
    assert url == f"https://localhost:{site.port}{POX}"
    assert (other.status, json.loads(other.body)["ErrorCode"]) == (400, "InvalidProtocol")


def verified(site, signed: bytes) -> bytes:
    """The content of a signed profile, by OpenSSL and the instance's authority alone."""
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-inform", "DER", "-purpose", "any",
         "-CAfile", site.instance.demo["ca_file"]],
        input=signed, capture_output=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NO OPENSSL: no signature is verified")
@pytest.mark.parametrize("address", ["", "dr.a@{}"])
def test_apple_gets_a_profile(site, address):
    address = address.format(site.domain)
    answer = site.ask(f"{APPLE}?emailaddress={address}")

    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    [mail] = plistlib.loads(verified(site, answer.body))["PayloadContent"]
    assert mail.get("EmailAddress", "") == address
    assert mail["IncomingMailServerPortNumber"] == site.instance.demo["ports"]["imaps"]


def test_the_certificate_of_a_new_instance_has_the_names_that_clients_look_for(site):
    for label in ("autoconfig", "autodiscover"):
        context = site.instance.tls()
        plain = socket.create_connection(("localhost", site.port), timeout=15)
        with context.wrap_socket(plain, server_hostname=f"{label}.{site.domain}") as tls:
            assert tls.version() == "TLSv1.3"


@pytest.mark.skipif(shutil.which("curl") is None, reason="NO CURL: only Python's client is tried")
def test_curl_gets_the_file_over_verified_tls(site):
    done = subprocess.run(
        [
            "curl", "--silent", "--fail", "--cacert", site.instance.demo["ca_file"],
            "--resolve", f"autoconfig.{site.domain}:{site.port}:127.0.0.1",
            f"https://autoconfig.{site.domain}:{site.port}{SHORT}",
        ],
        capture_output=True,
        timeout=20,
    )  # fmt: skip

    assert done.returncode == 0
    assert read(done.stdout)["domain"] == site.domain


def test_addresses_and_numbers_of_patients_never_reach_the_log(site):
    ins = "262087511204103"
    address = f"{ins}@{site.patient_domain}"
    for path in (f"{SHORT}?emailaddress={address}", f"{APPLE}?emailaddress={address}", f"/{ins}",
                 f"/autodiscover/autodiscover.json/v1.0/{address}?Protocol=AutodiscoverV1"):  # fmt: skip
        site.ask(path)
    site.ask(POX, "POST", request(address))

    log = site.log()
    assert ins not in log
    assert site.patient_domain not in log
    assert '"resource":"mobileconfig"' in log


def test_tls_1_1_is_refused_here_too(site):
    context = site.instance.tls()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection(("localhost", site.port), timeout=15)
    with pytest.raises(OSError), plain:
        context.wrap_socket(plain, server_hostname="localhost")


def test_the_listener_says_by_alpn_that_it_speaks_http(site):
    context = site.instance.tls()
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = socket.create_connection(("localhost", site.port), timeout=15)
    with context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
