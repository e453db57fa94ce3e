"""What we sign, verified by OpenSSL's command line, with its CAdES checks."""

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.wire.smime.signing import RsaPadding, multipart_signed, signed_data
from tests.support.mail_pki import ENTITY, NOW, MailPki, clear_signed, person, scheme_for_any

AT = str(int(NOW.timestamp()))


@pytest.fixture(scope="module")
def pki():
    return MailPki()


@pytest.fixture
def openssl(tmp_path, pki):
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("NO OPENSSL: our signatures are not checked by another implementation")
    anchor = tmp_path / "root.pem"
    anchor.write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))

    def verify(content):
        file = tmp_path / "mail.eml"
        file.write_bytes(b"MIME-Version: 1.0\r\n" + content)
        return subprocess.run(
            [command, "cms", "-verify", "-cades", "-in", file, "-CAfile", anchor] + ["-attime", AT],
            capture_output=True,
            timeout=30,
        )

    return verify


@pytest.mark.parametrize("padding", list(RsaPadding))
def test_an_rsa_signature_is_good_for_openssl(pki, openssl, padding):
    signer = person(pki.issuing, key=rsa.generate_private_key(65537, 2048))

    done = openssl(clear_signed(ENTITY, signer, chain=[pki.issuing], padding=padding))

    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(b"\r\n", b"\n") == ENTITY.replace(b"\r\n", b"\n")
    assert b"CAdES Verification successful" in done.stderr


def test_an_ecdsa_signature_and_two_signers_are_good_for_openssl(pki, openssl):
    one = openssl(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))
    two = openssl(clear_signed(ENTITY, pki.alice, pki.bob, chain=[pki.issuing]))

    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr


def test_openssl_sees_a_changed_content(pki, openssl):
    signed = clear_signed(ENTITY, pki.alice, chain=[pki.issuing])

    assert openssl(signed.replace(b"line one", b"line 0ne")).returncode != 0


def test_signed_data_needs_a_signature_and_the_boundary_must_be_new():
    with pytest.raises(ValueError, match="signature"):
        signed_data([])
    entity = b"Content-Type: text/plain\r\n\r\n--taken\r\n"
    with pytest.raises(ValueError, match="boundary"):
        multipart_signed(entity, b"", scheme_for_any(), "taken")
    with pytest.raises(ValueError, match="empty line"):
        multipart_signed(b"Content-Type: text/plain\r\n", b"", scheme_for_any(), "b")
