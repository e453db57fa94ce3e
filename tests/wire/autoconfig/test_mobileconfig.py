"""Apple's profile, with Python's reader of property lists."""

import plistlib
from uuid import UUID

import pytest

from mssante.wire.autoconfig.apple import mail_profile
from mssante.wire.autoconfig.model import Endpoint, MailService

HOST = "mail.hopital.example"
ALL = MailService("Les Tilleuls", imaps=Endpoint(HOST, 993), submissions=Endpoint(HOST, 465))
ADDRESS = "dr.a@hopital.example"


def read(address: str = ADDRESS, service: MailService = ALL) -> tuple[dict, dict]:
    profile = plistlib.loads(mail_profile(service, "hopital.example", address))
    [mail] = profile["PayloadContent"]
    return profile, mail


def test_the_profile_has_what_apple_requires_of_each_payload():
    for payload, kind in zip(read(), ("Configuration", "com.apple.mail.managed"), strict=True):
        assert payload["PayloadType"] == kind
        assert payload["PayloadVersion"] == 1
        assert payload["PayloadIdentifier"].startswith("example.hopital.")
        assert str(UUID(payload["PayloadUUID"])).upper() == payload["PayloadUUID"]


def test_both_servers_are_told_with_tls_and_passwords():
    _, mail = read()

    for direction, port in (("Incoming", 993), ("Outgoing", 465)):
        assert mail[f"{direction}MailServerHostName"] == HOST
        assert mail[f"{direction}MailServerPortNumber"] == port
        assert mail[f"{direction}MailServerUseSSL"] is True
        assert mail[f"{direction}MailServerAuthentication"] == "EmailAuthPassword"
        assert mail[f"{direction}MailServerUsername"] == ADDRESS
    assert mail["EmailAccountType"] == "EmailTypeIMAP"
    assert not any("Password" in key and isinstance(value, str) and "Auth" not in value
                   for key, value in mail.items())  # fmt: skip


def test_health_mail_stays_in_its_account():
    _, mail = read()

    assert mail["PreventMove"] is True
    assert mail["PreventAppSheet"] is True
    assert mail["allowMailDrop"] is False
    assert mail["disableMailRecentsSyncing"] is True


def test_the_same_address_gives_the_same_profile_and_another_one_another():
    again, other = mail_profile(ALL, "hopital.example", ADDRESS.upper()), read("b@hopital.example")

    assert plistlib.loads(again)["PayloadUUID"] == read()[0]["PayloadUUID"]
    assert other[0]["PayloadUUID"] != read()[0]["PayloadUUID"]
    assert other[1]["PayloadUUID"] != other[0]["PayloadUUID"]


def test_without_an_address_the_device_asks():
    _, mail = read("")

    assert not {"EmailAddress", "IncomingMailServerUsername"} & set(mail)


def test_the_login_may_be_the_local_part():
    service = MailService(
        "x", imaps=Endpoint(HOST, 993), submissions=Endpoint(HOST, 465), user_name="local-part"
    )

    assert read(service=service)[1]["IncomingMailServerUsername"] == "dr.a"


def test_a_service_of_one_direction_makes_no_account():
    with pytest.raises(ValueError, match="to read from"):
        mail_profile(MailService("x", imaps=Endpoint(HOST, 993)), "d.example")
