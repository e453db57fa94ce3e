import asyncio
import json
import os
import ssl
import stat
import tomllib
from itertools import islice
from pathlib import Path

import pytest

from mssante.access.passwords import Passwords
from mssante.composition.access import argon2_cost
from mssante.cli import demo_world
from mssante.cli.instance import open_instance
from mssante.directory.model import MailboxState
from mssante.kernel.address import Address
from mssante.kernel.ins import Ins
from mssante.kernel.professionals import Finess, Rpps
from mssante.settings import load


@pytest.fixture
def world(demo):
    return json.loads((demo / "demo.json").read_text(encoding="utf-8"))


def accounts(world, role):
    return [account for account in world["accounts"] if account["role"] == role]


def test_demo_json_says_all_that_an_external_client_needs(world, demo):
    assert set(world) == {
        "host", "ca_file", "ports", "domain", "patient_domain", "accounts", "remote_operators",
    }  # fmt: skip
    assert world["domain"] == "tests.example"
    assert world["ports"] == {
        "submission": 20587, "submissions": 20465, "smtp": 20025, "imap": 20143,
        "imaps": 20993, "https": 20443,
    }  # fmt: skip
    required = {"role", "mailboxType", "name", "address", "login", "password", "smime"}
    assert all(required <= set(account) for account in world["accounts"])


def test_the_world_has_the_people_of_the_contract(world):
    professionals, patients = accounts(world, "professional"), accounts(world, "patient")

    assert [p["profession"] for p in professionals] == ["10", "60", "21"]
    assert len(patients) == 4
    assert [p["activated"] for p in patients].count(False) == 1
    assert [p["identityStatus"] for p in patients].count("PROV") == 1
    assert [len(accounts(world, r)) for r in ("administrator", "organisation", "application")] == [
        1, 1, 1,
    ]  # fmt: skip
    assert {a["mailboxType"] for a in world["accounts"]} == {"PER", "ORG", "APP", "CIT", None}
    assert [operator["listed"] for operator in world["remote_operators"]] == [True, False]


def test_every_identifier_has_its_right_key(world):
    for professional in accounts(world, "professional"):
        assert Rpps.parse(professional["rpps"]).number.startswith("99700")
    for patient in accounts(world, "patient"):
        ins = Ins.parse(patient["ins"], patient["insOid"])
        assert ins.oid.is_test
        assert patient["address"] == f"{ins.matricule}@{world['patient_domain']}"
        assert ins.matricule[:13] not in patient["login"]
    Finess.parse(accounts(world, "organisation")[0]["finess"])


def test_the_instance_holds_what_demo_json_says(world, demo):
    with open_instance(demo / "mssante.toml") as instance:
        passwords = Passwords(argon2_cost(instance.settings))
        for told in world["accounts"]:
            found = instance.run(instance.directory.account_by_login(told["login"]))
            assert found.display_name == told["name"]
            assert instance.run(passwords.verify(found.password_hash, told["password"]))
            accesses = instance.run(instance.directory.mailboxes_of(found.id))
            own = [str(access.mailbox.address) for access in accesses if access.is_owner]
            assert own == ([told["address"]] if told["address"] else [])
            if told["role"] == "patient":
                (patient,) = instance.run(instance.directory.patients_by_ins(told["ins"]))
                assert patient.status == told["identityStatus"]
                assert patient.dmp_active
                state = accesses[0].mailbox.state
                assert (state is MailboxState.ACTIVE) == told["activated"]
        passwords.close()


def test_two_professionals_share_the_organisations_mailbox(world, demo):
    address = accounts(world, "organisation")[0]["address"]
    with open_instance(demo / "mssante.toml") as instance:
        mailbox = instance.run(instance.directory.mailbox_by_address(Address.split(address)))
        granted = instance.run(instance.directory.grants_on(mailbox.id))

    assert [(a.login, g.is_owner) for a, g in granted] == [
        ("secretariat", True), ("claire.morel", False), ("julien.bertin", False),
    ]  # fmt: skip


def test_nothing_in_the_instance_is_readable_by_others(demo):
    for path in [demo, *demo.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_certificates_load_and_name_the_server(demo, world):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings = load(demo / "mssante.toml")
    context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    client = ssl.create_default_context(cafile=str(demo / "tls" / "ca.pem"))
    for operator in world["remote_operators"]:
        client.load_cert_chain(operator["client_certificate"], operator["client_key"])


def test_an_instance_is_never_made_twice_in_one_place(run, demo):
    before = (demo / "keys" / "master.key").read_text()

    outcome = run("init", demo, "--demo")

    assert outcome.code == 1
    assert "is an instance already" in outcome.err
    assert (demo / "keys" / "master.key").read_text() == before


def test_an_interrupted_init_leaves_no_instance_and_says_what_to_do(run, tmp_path, monkeypatch):
    def power_cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mssante.cli.init.populate", power_cut)
        assert run("init", tmp_path / "x", "--demo").code != 0
    assert not (tmp_path / "x" / "mssante.toml").exists()

    outcome = run("init", tmp_path / "x", "--demo")

    assert outcome.code == 1
    assert "was interrupted: remove" in outcome.err


def test_a_real_instance_has_standard_ports_strict_defaults_and_nobody(run, tmp_path):
    assert run("init", tmp_path / "x", "--domain", "Hopital.example").code == 0
    settings = load(tmp_path / "x" / "mssante.toml")

    assert settings.operator.domain == "hopital.example"
    assert not settings.operator.sandbox
    assert not settings.access.patients_allowed
    assert settings.access.argon2_memory_kib == 65536
    assert settings.listeners.submission.port == 587
    assert settings.operator.oid_arc.startswith("2.25.")
    assert not (tmp_path / "x" / "demo.json").exists()
    assert run("-c", settings.file, "patient", "list", "--json").json == []
    assert [d["name"] for d in run("-c", settings.file, "domain", "list", "--json").json] == [
        "hopital.example"
    ]


def test_more_accounts_lift_the_limit_per_peer(run, tmp_path):
    outcome = run("init", tmp_path / "x", "--demo", "--demo-accounts", 20, "--port-base", 30000)

    assert outcome.code == 0
    settings = load(tmp_path / "x" / "mssante.toml")
    assert settings.limits.connections_per_peer == 0
    assert settings.listeners.imaps.port == 30993
    world = json.loads((tmp_path / "x" / "demo.json").read_text(encoding="utf-8"))
    assert len(accounts(world, "professional")) == 23
    assert len(accounts(world, "patient")) == 24
    assert len({a["password"] for a in world["accounts"]}) == len(world["accounts"])


@pytest.mark.parametrize(
    "arguments",
    [("--demo-accounts", "5"), ("--demo", "--demo-accounts", "-1"), ("--port-base", "70000")],
)
def test_wrong_usage_ends_with_two(run, tmp_path, arguments):
    assert run("init", tmp_path / "x", *arguments).code == 2
    assert not (tmp_path / "x").exists()


def test_identities_of_load_accounts_are_all_different_and_valid():
    count = 5000
    numbers = {each.ins.matricule for each in demo_world.load_patients(count)}
    rpps = {Rpps.parse(each.rpps).number for each in demo_world.load_professionals(count)}

    assert len(numbers) == count
    assert len(rpps) == count
    last = next(islice(demo_world.load_patients(99_000), 98_999, None))
    Ins.parse(last.ins.matricule, last.ins.oid)


def test_the_settings_of_a_new_instance_are_toml_without_secrets(demo):
    text = (demo / "mssante.toml").read_text(encoding="utf-8")

    assert tomllib.loads(text)["operator"]["sandbox"] is True
    for account in json.loads((demo / "demo.json").read_text(encoding="utf-8"))["accounts"]:
        assert account["password"] not in text


def test_the_process_may_run_under_any_umask(run, tmp_path):
    former = os.umask(0o000)
    try:
        assert run("init", tmp_path / "x", "--domain", "a.example").code == 0
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700


def test_one_professional_signs_with_a_pair_that_the_server_does_not_hold(world, demo, run):
    pairs = [account["smime"] for account in accounts(world, "professional")]
    assert pairs[:2] == [None, None]
    assert all(
        account["smime"] is None
        for account in world["accounts"]
        if account["role"] != "professional"
    )
    assert {Path(pairs[2][name]).exists() for name in ("certificate", "key")} == {True}
    assert stat.S_IMODE(Path(pairs[2]["key"]).stat().st_mode) == 0o600
    assert run("-c", demo / "mssante.toml", "smime", "list", "--json").json == []


def test_the_mailbox_authority_stands_below_the_root_and_is_for_mail_alone(demo):
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    tls = demo / "tls"
    root, mailboxes = (
        x509.load_pem_x509_certificate((tls / name).read_bytes())
        for name in ("ca.pem", "mailbox-ca.pem")
    )
    mailboxes.verify_directly_issued_by(root)
    found = mailboxes.extensions
    assert found.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    usages = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert stat.S_IMODE((tls / "mailbox-ca.key").stat().st_mode) == 0o600
    for name, issuer in (("ca.crl", root), ("mailbox-ca.crl", mailboxes)):
        crl = x509.load_pem_x509_crl((tls / name).read_bytes())
        assert list(crl) == []
        assert crl.is_signature_valid(issuer.public_key())
