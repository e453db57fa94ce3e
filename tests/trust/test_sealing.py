"""What the server seals for a mailbox: good for others, the same each time, nothing else changed."""

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.trust.judgement import Verdict, judge
from mssante.trust.sealing import SealingKey, _boundary, is_for_sealing, seal
from mssante.wire.mime.scanner import scan
from tests.support.mail_pki import ENTITY, NOW, SIGNED_AT, MailPki, clear_signed, message

AT = str(int(NOW.timestamp()))
TEXT = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
PLAIN = b"Content-Type: text/plain\r\nContent-ID:  <x> \r\n\r\nPlain.\r\n"
EIGHT_BIT = (TEXT + "Été \r\nFrom here on\r\n-- \r\n").encode()


@pytest.fixture(scope="module")
def pki():
    return MailPki()


@pytest.fixture(scope="module")
def key(pki):
    return SealingKey.of(
        "alice@nord.example", pki.alice.certificate, [pki.issuing.certificate], pki.alice.key
    )


@pytest.mark.parametrize("entity", [ENTITY, EIGHT_BIT, b"\r\nno header of its own\r\n"])
def test_a_sealed_message_is_good_for_us_and_for_openssl(pki, key, tmp_path, entity):
    sealed = seal(message(entity), key, SIGNED_AT)

    judged = judge(sealed, pki.trust(), at=NOW)
    assert (judged.verdict, judged.reason, judged.warnings) == (
        Verdict.VALID, "", ("headers-not-protected",),
    )  # fmt: skip
    assert judged.signers[0].address == "alice@nord.example"
    assert judged.signers[0].signing_time == SIGNED_AT
    assert sealed.isascii()
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("NO OPENSSL: our seals are not checked by another implementation")
    (tmp_path / "root.pem").write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "mail.eml").write_bytes(sealed)
    done = subprocess.run(
        [command, "cms", "-verify", "-cades", "-in", tmp_path / "mail.eml"]
        + ["-CAfile", tmp_path / "root.pem", "-attime", AT],
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_the_same_message_key_and_time_give_the_same_bytes(key):
    assert seal(message(EIGHT_BIT), key, SIGNED_AT) == seal(message(EIGHT_BIT), key, SIGNED_AT)


def test_the_messages_own_fields_stay_outside_byte_for_byte(key):
    own = (
        b"From: Someone <alice@nord.example>\r\nX-MSS-Odd:   two\r\n\tlines \r\n"
        b"Subject: =?utf-8?q?=C3=A9?=\r\nreferences:<a@b.example>\r\n"
    )
    sealed = seal(own + b"MIME-Version: 1.0\r\n" + PLAIN, key, SIGNED_AT)

    assert sealed.startswith(own + b"MIME-Version: 1.0\r\nContent-Type: multipart/signed;")
    root = scan(sealed)
    inside = root.children[0]
    assert sealed[inside.header_start : inside.body_stop] == PLAIN


def test_a_boundary_that_stands_in_the_message_is_not_taken():
    digest = bytes(32)
    first = _boundary(b"", digest)

    assert _boundary(b"anything", digest) == first
    assert _boundary(b"quoting --" + first, digest) != first


@pytest.mark.parametrize(
    ("header", "sealed"),
    [
        (b"", True),
        (b"Content-Type: text/plain", True),
        (b"Content-Type: multipart/mixed; boundary=b", True),
        (b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b', True),
        (b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"', False),
        (b"Content-Type: Multipart/Signed; boundary=b", False),
        (b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data", False),
        (b"Content-Type: application/x-pkcs7-mime", False),
        (b'Content-Type: application/octet-stream; name="smime.P7M"', False),
        (b"Content-Type: multipart/report; report-type=disposition-notification", False),
    ],
)
def test_what_a_client_protected_and_reports_are_left_alone(header, sealed):
    assert is_for_sealing(b"From: a@b.example\r\n" + header + b"\r\n\r\nbody\r\n") is sealed


def test_a_change_of_any_byte_inside_is_seen(pki, key):
    sealed = seal(message(ENTITY), key, SIGNED_AT)

    judged = judge(sealed.replace(b"line one", b"line 0ne"), pki.trust(), at=NOW)
    assert judged.verdict is Verdict.INVALID


def test_a_client_signature_and_the_seal_look_alike_to_a_verifier(pki, key):
    signed = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))

    assert not is_for_sealing(signed)
    assert judge(signed, pki.trust(), at=NOW).verdict is Verdict.VALID


def test_no_key_shows_itself(key):
    assert "alice" not in repr(key)
    assert "PRIVATE" not in repr(key)
