import json
import re
import sqlite3
from contextlib import closing

import pytest

from mssante.cli import config_first
from mssante.cli.instance import open_instance
from mssante.kernel.ins import matricule_key


def an_ins(body="2790375121001") -> str:
    return f"{body}{matricule_key(body):02d}"


TRAITS = (
    "--birth-name", "PETIT", "--given", "ANNE LISE", "--sex", "F", "--birth-date", "1979-03-02",
)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        (["patient", "list", "-c", "f"], ["-c", "f", "patient", "list"]),
        (["-c", "f", "patient", "list"], ["-c", "f", "patient", "list"]),
        (["patient", "--config=f", "list"], ["--config=f", "patient", "list"]),
        (["patient", "--", "-c", "f"], ["patient", "--", "-c", "f"]),
        (["patient", "-c"], ["-c", "patient"]),
    ],
)
def test_the_settings_file_is_named_before_or_after_the_verb(given, moved):
    assert config_first(given) == moved


def test_a_patient_is_created_with_mailbox_and_dmp(mssante, demo):
    created = mssante(
        "patient", "create", "--ins", an_ins(), *TRAITS, "--birth-place", "75121", "--json"
    )

    assert created.code == 0
    assert created.json["identityStatus"] == "QUAL"
    assert created.json["dmpActive"] is True
    assert created.json["address"] == f"{an_ins()}@patient.tests.example"
    shown = mssante("patient", "show", "--ins", an_ins(), "--json").json
    assert {k: shown[k] for k in ("birthName", "given", "firstGiven", "sex", "birthDate")} == {
        "birthName": "PETIT", "given": "ANNE LISE", "firstGiven": "ANNE", "sex": "F",
        "birthDate": "19790302",
    }  # fmt: skip
    assert shown["id"] == created.json["id"]


def test_without_all_five_traits_an_identity_is_provisional(mssante):
    created = mssante("patient", "create", "--ins", an_ins(), *TRAITS, "--json")

    assert created.json["identityStatus"] == "PROV"


def test_a_given_status_and_first_name_are_taken(mssante):
    created = mssante(
        "patient", "create", "--ins", an_ins(), *TRAITS, "--first-given", "LISE",
        "--identity-status", "VALI", "--not-activated", "--json",
    )  # fmt: skip

    assert created.json["identityStatus"] == "VALI"
    shown = mssante("patient", "show", "--ins", an_ins(), "--json").json
    assert shown["firstGiven"] == "LISE"
    assert mssante("patient", "activate", "--ins", an_ins()).code == 0


def test_an_ins_comes_by_standard_input_or_a_file(mssante, tmp_path):
    file = tmp_path / "ins"
    file.write_text(an_ins() + "\n")

    assert mssante("patient", "create", "--ins", "-", *TRAITS, stdin=an_ins() + "\n").code == 0
    assert mssante("patient", "show", "--ins", f"@{file}").code == 0
    assert mssante("patient", "show", "--ins", "@/absent").code == 1


@pytest.mark.parametrize(
    ("ins", "oid", "said"),
    [
        (an_ins()[:13] + "01", None, "key"),
        ("123", None, "15 characters"),
        (an_ins(), "1.2.3", "not the OID"),
    ],
)
def test_a_wrong_ins_is_refused_in_a_sandbox_too_and_not_repeated(mssante, ins, oid, said):
    oid_option = ["--ins-oid", oid] if oid else []
    refused = mssante("patient", "create", "--ins", ins, *oid_option, *TRAITS)

    assert refused.code == 1
    assert said in refused.err
    assert an_ins()[:13] not in refused.err


def test_in_a_sandbox_the_production_and_test_authorities_are_one_name_space(mssante):
    production = "1.2.250.1.213.1.4.8"
    assert mssante("patient", "create", "--ins", an_ins(), *TRAITS).code == 0

    again = mssante("patient", "create", "--ins", an_ins(), "--ins-oid", production, *TRAITS)
    found = mssante("patient", "show", "--ins", an_ins(), "--ins-oid", production, "--json")
    as_nia = mssante("patient", "show", "--ins", an_ins(), "--ins-oid", "1.2.250.1.213.1.4.9")

    assert (again.code, found.code, as_nia.code) == (1, 0, 1)
    assert "already" in again.err


def test_outside_a_sandbox_test_identities_are_refused(run, tmp_path):
    run("init", tmp_path / "x", "--domain", "a.example")
    file = tmp_path / "x" / "mssante.toml"
    file.write_text(
        file.read_text().replace("[operator]", '[operator]\npatient_domains = ["p.example"]')
    )

    refused = run(
        "-c",
        file,
        "patient",
        "create",
        "--ins",
        an_ins(),
        "--ins-oid",
        "1.2.250.1.213.1.4.10",
        *TRAITS,
    )
    real = run(
        "-c",
        file,
        "patient",
        "create",
        "--ins",
        an_ins(),
        *TRAITS,
        "--birth-place",
        "75121",
        "--json",
    )

    assert refused.code == 1
    assert "outside a sandbox" in refused.err
    assert real.json["identityStatus"] == "PROV"


@pytest.mark.parametrize(
    "arguments",
    [
        ("patient", "create", "--ins", "1", *TRAITS[:-1], "02/03/1979"),
        ("patient", "create", "--ins", "1"),
        ("nothing",),
        ("patient", "create", "--ins", "1", *TRAITS[:5], "X", *TRAITS[6:]),
        ("audit", "show", "--limit", "0"),
    ],
)
def test_wrong_usage_ends_with_two_and_prints_nothing_on_standard_output(mssante, arguments):
    outcome = mssante(*arguments)

    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err


def test_members_are_created_and_found(mssante):
    doctor = mssante(
        "professional", "create", "--rpps", "99700900006", "--name", "Dr A", "--address",
        "dr.a@tests.example", "--profession", "10", "--json",
    )  # fmt: skip
    software = mssante(
        "application", "create", "--name", "LPS", "--address", "lps@tests.example", "--json"
    )
    structure = mssante(
        "organisation", "create", "--name", "Clinique", "--finess", "750712184", "--address",
        "accueil@tests.example", "--feeds-dmp", "--json",
    )  # fmt: skip

    assert (doctor.json["type"], software.json["type"]) == ("PER", "APP")
    assert doctor.json["login"] == "dr.a"
    assert structure.json["nationalId"] == "1750712184"
    assert structure.json["feedsDmp"] is True
    assert mssante("account", "grant", "dr.a", "accueil@tests.example", "--read-only").code == 0
    shown = mssante("mailbox", "show", "accueil@tests.example", "--json").json
    assert shown["access"] == [
        {"login": "accueil", "maySend": True, "owner": True},
        {"login": "dr.a", "maySend": False, "owner": False},
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rpps", "99700900007", "--address", "x@tests.example"), "key"),
        (("--rpps", "99700900006", "--address", "x@elsewhere.example"), "does not serve"),
        (("--rpps", "99700900006", "--address", "x@patient.tests.example"), "for patients only"),
        (("--rpps", "99700900006", "--address", "a b@tests.example"), "dot-string"),
        (("--rpps", "99700900006", "--address", "nothing"), "local-part@domain"),
        (("--rpps", "99700900006", "--address", "claire.morel@tests.example"), "already"),
    ],
)
def test_a_member_that_breaks_a_rule_is_refused(mssante, arguments, said):
    refused = mssante("professional", "create", "--name", "X", *arguments)

    assert refused.code == 1
    assert said in refused.err


def test_a_password_comes_by_standard_input_and_ends_the_former_one(mssante, demo):
    def stored():
        with open_instance(demo / "mssante.toml") as instance:
            return instance.run(instance.directory.account_by_login("claire.morel"))

    before = stored()
    changed = mssante("account", "password", "claire.morel", stdin="correct horse\n")
    after = stored()

    assert changed.code == 0
    assert after.password_hash != before.password_hash
    assert after.credential_version == before.credential_version + 1
    assert "correct horse" not in changed.out + changed.err


def test_a_drawn_password_is_printed_once(mssante):
    drawn = mssante("account", "password", "claire.morel", "--generate", "--json").json

    assert len(drawn["password"]) >= 20


def test_an_empty_password_and_an_unknown_login_are_refused(mssante):
    assert mssante("account", "password", "claire.morel", stdin="\n").code == 1
    assert mssante("account", "password", "nobody", stdin="x\n").code == 1


def test_an_account_is_disabled_and_enabled(mssante, demo):
    assert mssante("account", "disable", "claire.morel").code == 0
    with open_instance(demo / "mssante.toml") as instance:
        assert not instance.run(instance.directory.account_by_login("claire.morel")).enabled
    assert mssante("account", "enable", "claire.morel").code == 0


def test_listings_show_no_ins(mssante, demo):
    world = json.loads((demo / "demo.json").read_text(encoding="utf-8"))
    numbers = [a["ins"] for a in world["accounts"] if a["role"] == "patient"]

    for command in (
        ("patient", "list"),
        ("mailbox", "list"),
        ("audit", "show"),
        ("config", "show"),
    ):
        for options in ((), ("--json",)):
            outcome = mssante(*command, *options)
            assert outcome.code == 0
            assert not any(number[:13] in outcome.out + outcome.err for number in numbers), command


def test_json_is_the_only_thing_on_standard_output(mssante):
    for command in (
        ("patient", "list"), ("mailbox", "list"), ("domain", "list"), ("audit", "show"),
        ("audit", "verify"), ("config", "show"), ("db", "check"),
    ):  # fmt: skip
        json.loads(mssante(*command, "--json").out)


def test_a_human_sees_every_row_of_a_table(mssante):
    outcome = mssante("mailbox", "list")

    assert len(outcome.out.strip().splitlines()) == 1 + 9
    assert "claire.morel@tests.example" in outcome.out


def test_the_audit_is_verified_and_an_altered_entry_is_told_with_exit_code_zero(mssante, demo):
    whole = mssante("audit", "verify", "--json").json
    with closing(sqlite3.connect(demo / "data" / "directory.sqlite")) as raw:
        raw.execute("UPDATE directory_audit SET leaf = x'7b7d7d' WHERE sequence = 2")
        raw.execute("UPDATE directory_audit SET at = at + 1 WHERE sequence = 4")
        raw.commit()
    altered = mssante("audit", "verify", "--json")

    assert whole["intact"] is True
    assert whole["cannotSee"]
    assert altered.code == 0
    assert altered.json["intact"] is False
    (directory,) = [c for c in altered.json["chains"] if c["database"] == "directory"]
    assert any(fault.startswith("entry 2") for fault in directory["faults"])
    assert any(fault.startswith("entry 4") for fault in directory["faults"])


def test_audit_entries_carry_times_with_offset(mssante):
    entries = mssante("audit", "show", "--json", "--limit", "3").json

    assert len(entries) == 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", e["time"]) for e in entries)
    assert mssante("audit", "show", "--subject", "zz").code == 1


def test_without_an_instance_the_error_says_how_to_name_one(run, tmp_path):
    unnamed = run("patient", "list")
    absent = run("-c", tmp_path / "absent.toml", "patient", "list")

    assert (unnamed.code, absent.code) == (1, 1)
    assert "MSSANTE_CONFIG" in unnamed.err
    assert "No such file" in absent.err


def test_the_environment_may_name_the_instance(run, demo, monkeypatch):
    monkeypatch.setenv("MSSANTE_CONFIG", str(demo / "mssante.toml"))

    assert run("domain", "list", "--json").code == 0


def test_each_problem_of_the_settings_is_told(run, demo):
    file = demo / "mssante.toml"
    file.write_text(file.read_text() + "\n[limits]\nmesage_bytes = 1\nrecipients = 0\n")

    outcome = run("config", "check", "-c", file)

    assert outcome.code == 1
    assert len(outcome.err.strip().splitlines()) == 2
    assert "did you mean message_bytes?" in outcome.err


def test_shown_settings_hide_the_password_of_the_database(run, demo, monkeypatch):
    monkeypatch.setenv("MSSANTE_DATABASE_URL", "postgresql://u:verysecret@h/d")

    shown = run("-c", demo / "mssante.toml", "config", "show", "--json")

    assert "verysecret" not in shown.out
    assert shown.json["storage"]["database_url"] == "postgresql://u:***@h/d"


def test_another_master_key_is_told(mssante, demo):
    (demo / "keys" / "master.key").write_text("00" * 32 + "\n")

    outcome = mssante("patient", "list")

    assert outcome.code == 1
    assert "was not made with the master key" in outcome.err


def test_an_unknown_role_is_refused(mssante):
    assert "roles are submission, reception, imap, web" in mssante("serve", "--roles", "ldap").err


def test_domains_can_be_added(mssante):
    assert mssante("domain", "create", "New.example").code == 0
    assert mssante("domain", "create", "new.example").code == 1
    assert "new.example" in [d["name"] for d in mssante("domain", "list", "--json").json]
