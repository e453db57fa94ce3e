"""Anchors, lists and keys as files hold them."""

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from mssante.trust.anchors import Unreadable, read_certificates, read_revocation_lists
from mssante.trust.key_files import read_keys
from tests.support.mail_pki import of_no_version


def pem(party):
    key = party.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return key, party.certificate.public_bytes(Encoding.PEM)


def test_a_pem_file_holds_the_key_and_its_certificate(pki):
    key, certificate = pem(pki.bob)
    _, beside = pem(pki.issuing)

    (found,) = read_keys([key + beside + certificate])

    assert found.certificate == pki.bob.certificate


def test_key_and_certificate_may_stand_in_two_files(pki):
    key, certificate = pem(pki.carol)

    (found,) = read_keys([certificate, key])

    assert found.certificate == pki.carol.certificate


@pytest.mark.parametrize("password", [None, b"correct horse"])
def test_a_pkcs12_file_is_read_with_its_password(pki, password):
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    octets = pkcs12.serialize_key_and_certificates(
        b"bob", pki.bob.key, pki.bob.certificate, None, protection
    )

    (found,) = read_keys([octets], password)

    assert found.certificate == pki.bob.certificate
    if password:
        with pytest.raises(Unreadable, match="password"):
            read_keys([octets], b"wrong")


def test_a_key_without_its_certificate_and_the_reverse_are_refused(pki):
    key, _ = pem(pki.bob)
    _, other = pem(pki.dave)

    with pytest.raises(Unreadable, match="without its certificate"):
        read_keys([key + other])
    with pytest.raises(Unreadable, match="no private key"):
        read_keys([other])


def test_neither_garbage_nor_its_octets_get_into_the_error(pki):
    for read in (read_certificates, read_revocation_lists, lambda octets: read_keys([octets])):
        for octets in (b"secret garbage", b"-----BEGIN secret garbage", b""):
            if octets.startswith(b"-----") and read not in (
                read_certificates,
                read_revocation_lists,
            ):
                continue
            with pytest.raises(Unreadable) as caught:
                read(octets)
            assert "secret" not in str(caught.value)


def test_what_has_no_known_version_cannot_be_read(pki):
    for read, one in (
        (read_certificates, pki.root.certificate),
        (read_revocation_lists, pki.lists[0]),
    ):
        with pytest.raises(Unreadable):
            read(of_no_version(one.public_bytes(Encoding.DER)))


def test_certificates_and_lists_are_read_in_both_forms(pki):
    both = (pki.root.certificate, pki.issuing.certificate)
    octets = b"".join(one.public_bytes(Encoding.PEM) for one in both)
    lists = b"".join(one.public_bytes(Encoding.PEM) for one in pki.lists)

    assert read_certificates(octets) == both
    assert read_certificates(both[0].public_bytes(Encoding.DER)) == both[:1]
    assert read_revocation_lists(lists) == pki.lists
    assert read_revocation_lists(pki.lists[0].public_bytes(Encoding.DER)) == pki.lists[:1]
