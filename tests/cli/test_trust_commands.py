from datetime import UTC, datetime, timedelta

import pytest

from mssante.settings import load
from tests.support.operator_pki import DAY, OperatorPki
from tests.support.signing import SigningPki
from tests.support.white_lists import ENTRIES, white_list


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "list.xml"
        path.write_bytes(content)
        return path

    return write


FUTURE = "2126-01-01T00:00:00Z"


def test_a_demo_instance_trusts_itself_and_the_listed_operator_alone(mssante):
    own = mssante("trust", "check", "tests.example", "--json").json
    listed = mssante("trust", "check", "hopital-voisin.example", "--json").json
    unlisted = mssante("trust", "check", "hors-liste.example", "--json").json

    assert (own["listed"], own["local"]) == (True, True)
    assert own["operators"][0].startswith("CN=mx.tests.example,OU=")
    assert mssante("trust", "check", "PATIENT.tests.example", "--json").json["listed"]
    assert (listed["listed"], listed["local"]) == (True, False)
    assert listed["operators"][0].startswith("CN=mx.hopital-voisin.example,OU=1750000000,O=Hôpital")
    assert unlisted == {
        "domain": "hors-liste.example", "listed": False, "local": False, "operators": [],
    }  # fmt: skip


def test_a_list_is_compared_imported_and_shown(mssante, file):
    path = file(white_list(generated=FUTURE))

    told = mssante("trust", "diff", path, "--json").json
    assert told["refused"].startswith("halved")
    assert told["added"] == ["cabinet.un.mssante.fr", "labo.deux.mssante.fr", "x.y.un.mssante.fr"]
    assert "tests.example" in told["removed"]
    assert mssante("trust", "import", path).code == 1
    assert mssante("trust", "check", "tests.example", "--json").json["listed"]

    done = mssante("trust", "import", path, "--force", "--json")

    assert done.code == 0
    assert (done.json["domains"], done.json["signature"]) == (3, "none")
    shown = mssante("trust", "show", "--json").json
    assert shown["generated"] == "2126-01-01T00:00:00+00:00"
    assert all(done.json[name] == shown[name] for name in ("imported", "sha256", "source"))
    assert not mssante("trust", "check", "tests.example", "--json").json["listed"]
    assert mssante("audit", "verify").code == 0


def test_the_demos_list_is_a_file_that_may_be_imported_again(mssante, demo):
    again = mssante("trust", "import", demo / "listeblanchemssante.xml", "--json")

    assert again.code == 0
    assert (again.json["added"], again.json["removed"], again.json["changed"]) == ([], [], [])


def test_a_truncated_list_is_refused_with_its_reason(mssante, file):
    outcome = mssante("trust", "import", file(white_list(generated=FUTURE)[:-20]))

    assert outcome.code == 1
    assert "malformed" in outcome.err
    assert outcome.out == ""


def test_a_signed_list_is_taken_where_its_signer_is_believed(run, demo, file):
    signers = SigningPki()
    path = file(signers.signed(white_list(ENTRIES, FUTURE)))
    config = demo / "mssante.toml"
    arguments = ("-c", config, "trust", "import", path, "--force", "--json")
    assert "white_list_anchors" in run(*arguments).err

    (demo / "tls" / "ans.pem").write_bytes(signers.anchor_pem)
    with config.open("a") as settings:
        settings.write('\n[trust]\nwhite_list_anchors = ["tls/ans.pem"]\n')
        settings.write("require_signature = true\n")
    done = run(*arguments)

    assert (done.json["signature"], done.json["signer"]) == ("verified", "CN=Liste blanche,O=ANS")
    assert run("-c", config, "trust", "diff", path, "--json").json["refused"] is None
    unsigned = run(*arguments[:4], file(white_list(ENTRIES, FUTURE)), "--force")
    assert unsigned.code == 1
    assert "not signed" in unsigned.err


def test_the_certificates_are_listed_with_their_days(mssante, demo):
    listed = mssante("trust", "certificates", "--json").json

    assert {one["use"]: one["daysLeft"] for one in listed} == {
        "members": 824,
        "operators": 824,
        "peer-authority": 3649,
        "mail-authority": 3649,
        "mailbox-authority": 3649,
    }
    assert listed[1]["subject"].startswith("CN=mx.tests.example,OU=")
    assert mssante("trust", "show", "--json").json["certificatesEnding"] == []


def test_a_certificate_that_ends_soon_is_shown_with_the_list(mssante, demo):
    pki = OperatorPki(demo, datetime.now(UTC))
    pki.operator("soon", "mx.tests.example", until=6 * DAY + timedelta(hours=1))
    (demo / "soon.pem").replace(demo / "tls" / "operator.pem")

    shown = mssante("trust", "show", "--json").json

    assert shown["certificatesEnding"] == ["operators: 6 days"]
    assert shown["source"] == "file"


def test_a_key_that_is_not_the_certificates_is_found_by_the_check_of_the_settings(mssante, demo):
    assert mssante("config", "check").code == 0
    (demo / "tls" / "server.key").replace(demo / "tls" / "operator.key")

    outcome = mssante("config", "check")

    assert outcome.code == 1
    assert "server.key" in outcome.err


def test_there_is_nothing_to_refresh_or_reload_without_a_source_or_a_server(mssante):
    assert "white_list_url" in mssante("trust", "refresh").err
    assert "not running" in mssante("reload").err


def test_an_instance_without_a_list_says_that_it_trusts_nobody(run, tmp_path):
    run("init", tmp_path / "x", "--domain", "a.example")
    settings = load(tmp_path / "x" / "mssante.toml")

    outcome = run("-c", settings.file, "trust", "show")

    assert outcome.code == 1
    assert "nothing comes from or goes to others" in outcome.err
    assert settings.tls.operator_certificate.exists()


@pytest.mark.parametrize("text", ["", "a b", "x@y.fr"])
def test_what_is_no_domain_is_refused(mssante, text):
    assert mssante("trust", "check", text).code == 1


def test_a_file_that_is_not_there_is_told(mssante, tmp_path):
    assert "cannot be read" in mssante("trust", "import", tmp_path / "absent.xml").err
