"""``mssante smime check`` as scripts call it."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mssante.cli import main
from tests.support.enveloping import by_rsa, enveloped_gcm
from tests.support.mail_pki import ENTITY, MailPki, clear_signed, cms_entity, message


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Files: a message signed and then encrypted, anchor, lists, the reader's key."""
    pki, folder = MailPki(), tmp_path_factory.mktemp("smime")
    signed = clear_signed(ENTITY, pki.alice, chain=[pki.issuing])
    sealed = cms_entity(enveloped_gcm(signed, [lambda key: by_rsa(pki.bob, key)]))
    (folder / "mail.eml").write_bytes(message(sealed))
    (folder / "root.pem").write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    (folder / "root.crl").write_bytes(pki.lists[0].public_bytes(Encoding.DER))
    (folder / "issuing.crl").write_bytes(pki.lists[1].public_bytes(Encoding.PEM))
    key = pki.bob.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "bob.pem").write_bytes(key + pki.bob.certificate.public_bytes(Encoding.PEM))
    return folder


@pytest.fixture
def check(world, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["smime", "check", str(world / "mail.eml"), *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def test_the_answer_has_the_fields_of_the_contract(world, check):
    code, out, _ = check(
        *("--anchor", world / "root.pem", "--crl", world / "root.crl"),
        *("--crl", world / "issuing.crl", "--key", world / "bob.pem"),
        *("--at", "2027-01-15T12:00:00Z", "--json"),
    )

    assert not code
    answer = json.loads(out)
    (signer,) = answer.pop("signers")
    assert answer == {
        "verdict": "valid",
        "reason": "",
        "signed": True,
        "encrypted": True,
        "decrypt": "ok",
        "plaintextSha256": hashlib.sha256(ENTITY).hexdigest(),
        "protectedHeaders": None,
        "warnings": ["headers-not-protected"],
    }
    assert signer["address"] == "alice@nord.example"
    assert signer["subject"] == "CN=A person"
    assert signer["verdict"] == "valid"


def test_a_check_that_ran_exits_with_zero_whatever_it_found(world, check):
    code, out, _ = check("--anchor", world / "root.pem", "--at", "2027-01-15T12:00:00Z", "--json")

    assert not code
    answer = json.loads(out)
    assert (answer["verdict"], answer["reason"]) == ("none", "no-recipient-key")
    assert (answer["decrypt"], answer["plaintextSha256"]) == ("no-recipient", None)


def test_without_json_a_person_reads_a_table(world, check):
    code, out, _ = check("--anchor", world / "root.pem", "--key", world / "bob.pem")

    assert not code
    assert "verdict" in out
    assert "alice@nord.example" in out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--at", "yesterday", "ISO 8601"),
        ("--at", "2027-01-15T12:00:00", "offset"),
        ("--crl", "root.pem", "revocation list"),
        ("--key", "root.pem", "no private key"),
        ("--anchor", "absent.pem", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(world, check, option, value, said):
    value = value if option == "--at" else world / value

    code, out, err = check("--anchor", world / "root.pem", option, value, "--json")

    assert code == 1
    assert out == ""
    assert said in err
