"""``mssante smime certificate``, ``import``, ``list`` and ``revoke`` on a real instance."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from tests.support.mail_pki import authority, person


@pytest.fixture
def accounts(demo):
    return json.loads((demo / "demo.json").read_text(encoding="utf-8"))["accounts"]


def address_of(accounts, role, index=0):
    return [each for each in accounts if each["role"] == role][index]["address"]


def test_a_certificate_is_printed_with_its_issuer_once_it_is_made(mssante, demo, accounts):
    doctor = address_of(accounts, "professional")
    missing = mssante("smime", "certificate", doctor)
    made = mssante("smime", "certificate", doctor, "--issue")
    again = mssante("smime", "certificate", doctor)

    assert (missing.code, made.code) == (1, 0)
    assert "--issue" in missing.err
    assert made.out == again.out
    leaf, issuer = x509.load_pem_x509_certificates(made.out.encode())
    leaf.verify_directly_issued_by(issuer)
    (root,) = x509.load_pem_x509_certificates((demo / "tls" / "ca.pem").read_bytes())
    issuer.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [doctor]


@pytest.mark.parametrize(
    ("purpose", "allowed"), [("sign", {"digital_signature"}), ("encrypt", {"key_agreement"})]
)
def test_each_purpose_has_a_pair_that_may_do_nothing_else(mssante, accounts, purpose, allowed):
    doctor = address_of(accounts, "professional")
    made = mssante("smime", "certificate", doctor, "--purpose", purpose, "--issue")
    leaf = x509.load_pem_x509_certificates(made.out.encode())[0]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value

    asked = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign",
    )  # fmt: skip
    assert {name for name in asked if getattr(usage, name)} == allowed
    described = mssante("smime", "certificate", doctor, "--purpose", purpose, "--json").json
    assert described["serial"] == f"{leaf.serial_number:X}"
    assert described["purpose"] == purpose


def test_a_patient_has_a_key_to_sign_only_and_stays_unseen(mssante, accounts, tmp_path):
    patient = address_of(accounts, "patient")
    (tmp_path / "address").write_text(patient)
    shown = mssante("smime", "certificate", "-", "--issue", "--json", stdin=patient)
    refused = mssante("smime", "certificate", f"@{tmp_path / 'address'}", "--purpose", "encrypt")
    listed = mssante("smime", "list", "--json")

    assert shown.json["address"].startswith("pat-")
    assert (refused.code, patient[:13] in refused.err) == (1, False)
    assert patient[:13] not in listed.out + shown.out
    pem = mssante("smime", "certificate", "-", stdin=patient).out.encode()
    leaf = x509.load_pem_x509_certificates(pem)[0]
    assert "CN=Mailbox" in leaf.subject.rfc4514_string()


def test_a_revoked_pair_stands_in_the_list_of_the_authority_and_is_followed(
    mssante, demo, accounts
):
    doctor = address_of(accounts, "professional")
    first = mssante("smime", "certificate", doctor, "--issue", "--json").json["serial"]
    done = mssante("smime", "revoke", doctor)
    again = mssante("smime", "revoke", doctor, "--serial", first)
    second = mssante("smime", "certificate", doctor, "--issue", "--json").json["serial"]

    assert (done.code, again.code) == (0, 0)
    crl = x509.load_pem_x509_crl((demo / "tls" / "mailbox-ca.crl").read_bytes())
    assert [f"{each.serial_number:X}" for each in crl] == [first]
    states = {
        line["serial"]: line["state"]
        for line in mssante("smime", "list", "--address", doctor, "--json").json
    }
    assert states == {first: "revoked", second: "active"}
    assert mssante("smime", "revoke", doctor, "--serial", "00").code == 1


@pytest.fixture
def theirs(accounts):
    now = datetime.now(UTC)
    root = authority("Root of others", not_before=now - timedelta(days=9))
    issuing = authority("Issuing of others", root, not_before=now - timedelta(days=9))
    party = person(
        issuing,
        address_of(accounts, "professional"),
        key=rsa.generate_private_key(65537, 2048),
        usages=("digital_signature", "key_encipherment"),
        not_before=now - timedelta(days=1),
    )
    return party, issuing, root


def test_a_pair_of_another_authority_is_taken_from_pkcs12_with_its_chain(
    mssante, accounts, theirs, tmp_path
):
    party, issuing, root = theirs
    doctor = address_of(accounts, "professional")
    octets = pkcs12.serialize_key_and_certificates(
        b"x", party.key, party.certificate, [issuing.certificate, root.certificate],
        BestAvailableEncryption(b"secret"),
    )  # fmt: skip
    (tmp_path / "pair.p12").write_bytes(octets)
    (tmp_path / "password").write_text("secret\n")
    wrong = mssante("smime", "import", doctor, tmp_path / "pair.p12")
    done = mssante(
        *("smime", "import", doctor, tmp_path / "pair.p12"),
        *("--password-file", tmp_path / "password", "--json"),
    )

    assert (wrong.code, done.code) == (1, 0)
    assert [line["purpose"] for line in done.json] == ["sign", "encrypt"]
    assert {line["origin"] for line in done.json} == {"imported"}
    printed = x509.load_pem_x509_certificates(mssante("smime", "certificate", doctor).out.encode())
    assert printed == [party.certificate, issuing.certificate]


def test_a_pair_for_another_address_is_refused(mssante, accounts, theirs, tmp_path):
    party, _, _ = theirs
    key = party.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "pair.pem").write_bytes(key + party.certificate.public_bytes(Encoding.PEM))
    nurse = address_of(accounts, "professional", 1)
    refused = mssante("smime", "import", nurse, tmp_path / "pair.pem")

    assert refused.code == 1
    assert "not for this address" in refused.err
    assert mssante("smime", "list", "--json").json == []


def test_without_the_authoritys_key_nothing_is_made(mssante, demo, accounts):
    (demo / "tls" / "mailbox-ca.key").unlink()
    refused = mssante("smime", "certificate", address_of(accounts, "professional"), "--issue")

    assert refused.code == 1
    assert "authority_key" in refused.err


def test_an_authority_whose_key_is_anothers_is_told(mssante, demo, accounts):
    (demo / "tls" / "mailbox-ca.key").write_bytes((demo / "tls" / "ca.key").read_bytes())
    refused = mssante("smime", "certificate", address_of(accounts, "professional"), "--issue")

    assert refused.code == 1
    assert "is not the key of" in refused.err


def test_a_server_whose_authority_cannot_be_used_does_not_start(mssante, demo):
    (demo / "tls" / "mailbox-ca.key").write_bytes(b"no key")
    refused = mssante("serve")

    assert refused.code == 1
    assert "[smime]" in refused.err
