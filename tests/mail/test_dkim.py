"""DKIM, checked by the library's own verifier."""

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mssante.kernel.address import Address
from mssante.mail.dkim import DkimSigner
from mssante.trust.dkim_keys import new_key_pem, read_dkim_key

AUTHOR = Address("dr", "ours.example")
MESSAGE = (
    b"From: Dr <dr@ours.example>\r\nTo: b@x.fr\r\nSubject: R\xc3\xa9sultats\r\nX-MSS-NIL: A1\r\n"
    b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nBonjour\r\n.point\r\n"
)


def rsa_pem():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(params=[new_key_pem, rsa_pem])
def key(request, tmp_path):
    (tmp_path / "dkim.key").write_bytes(request.param())
    return read_dkim_key(tmp_path / "dkim.key")


def verified(message, key):
    return dkim.verify(message, dnsfunc=lambda name, timeout=5: key.record)


def test_a_signed_message_verifies_until_something_is_changed(key):
    signed = DkimSigner("mss", key).field_for(MESSAGE, AUTHOR) + MESSAGE

    assert b"d=ours.example" in signed
    assert verified(b"Received: by us\r\n" + signed, key)
    for change in (
        (b"Bonjour", b"Bonsoir"),
        (b"X-MSS-NIL: A1", b"X-MSS-NIL: A2"),
        (b"To: b", b"To: c"),
    ):
        assert not verified(signed.replace(*change), key)


def test_a_header_that_cannot_be_signed_goes_without(key):
    assert (
        DkimSigner("mss", key).field_for(b"From: a@b.fr\r\nX-MSS-NIL : a\r\n\r\nx\r\n", AUTHOR)
        == b""
    )


def test_no_file_is_no_key_and_another_key_is_refused(tmp_path):
    assert read_dkim_key(tmp_path / "none") is None
    (tmp_path / "bad").write_text("nothing")
    with pytest.raises(ValueError):
        read_dkim_key(tmp_path / "bad")
