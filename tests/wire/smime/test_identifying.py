"""Which certificate an identifier in a message names: whatever is wrong with either, an answer."""

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mssante.wire.smime import signature
from mssante.wire.smime.cms import EnvelopedData, Identity, read_cms
from mssante.wire.smime.elements import encoded
from mssante.wire.smime.errors import Malformed
from mssante.wire.smime.limits import SmimeLimits
from mssante.wire.smime.signature import identifies, key_id_of
from tests.support.enveloping import by_ecdh, by_rsa, enveloped_gcm
from tests.support.mail_pki import END, ENTITY, START, MailPki, subject

KEY = ec.generate_private_key(ec.SECP256R1())
COMMON_NAME = core.ObjectIdentifier("2.5.4.3").dump()


def certificate(issuer="An authority", *, extension=None, serial=7):
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject("A person"))
        .issuer_name(subject(issuer) if isinstance(issuer, str) else issuer)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(END)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def name(text, tag=0x0C):
    return encoded(0x30, encoded(0x31, encoded(0x30, COMMON_NAME + encoded(tag, text))))


def by_issuer(issuer, serial=7):
    return Identity(issuer, serial, None)


@pytest.mark.parametrize(
    ("issuer", "is_named"),
    [
        (name(b"An authority"), True),
        (name(b"An authority", 0x13), True),
        (name(b"AN  Authority"), True),
        (name("An authority".encode("utf-16-be"), 0x1E), True),
        (name(b"Another"), False),
        (encoded(0x30, b""), False),
    ],
)
def test_an_issuer_is_named_by_its_text(issuer, is_named):
    assert identifies(by_issuer(issuer), certificate()) is is_named
    assert not identifies(by_issuer(issuer, serial=8), certificate())


@pytest.mark.parametrize(
    "issuer",
    [
        encoded(0x30, b"\x02\x01\x01"),
        encoded(0x30, encoded(0x31, b"\x02\x01\x01")),
        name(b"\xff"),
        name(b"\x01", 0x02),
        name(b"", 0x30),
    ],
)
def test_an_issuer_that_cannot_be_read_names_nobody(issuer):
    assert not identifies(by_issuer(issuer), certificate())


def test_a_long_name_is_compared_by_its_octets_only(monkeypatch):
    text = "An authority " * 100
    long = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])
    named = certificate(long)
    monkeypatch.setattr(signature, "_prepared", None)

    assert identifies(by_issuer(long.public_bytes()), named)
    assert not identifies(by_issuer(long.public_bytes().replace(b"An", b"AN")), named)
    assert not identifies(by_issuer(name(b"An authority")), named)
    assert not identifies(by_issuer(long.public_bytes()), certificate())


@pytest.mark.parametrize("form", [3, 5], ids=["x400Address", "ediPartyName"])
def test_a_key_is_known_also_where_the_extensions_cannot_be_read(form):
    names = encoded(0x30, encoded(0xA0 | form, b"\x81\x00"))
    unread = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, names)
    odd = certificate(extension=unread)

    with pytest.raises(x509.UnsupportedGeneralNameType):
        _ = odd.extensions
    own = x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()).digest
    assert key_id_of(odd) == own
    assert identifies(Identity(None, None, own), odd)
    assert not identifies(Identity(None, None, b"another"), odd)


def test_those_who_share_an_agreed_key_are_bounded_as_all_recipients_are():
    pki = MailPki()
    agreement, transport = (
        lambda key: by_ecdh(pki.alice, key),
        lambda key: by_rsa(pki.bob, key),
    )

    def several(key):
        info = agreement(key)
        keys = info.chosen["recipient_encrypted_keys"]
        info.chosen["recipient_encrypted_keys"] = [keys[0].copy() for _ in range(3)]
        return info

    octets = enveloped_gcm(ENTITY, [several, transport])

    assert isinstance(read_cms(octets, SmimeLimits(max_recipients=4)), EnvelopedData)
    with pytest.raises(Malformed, match="too-many"):
        read_cms(octets, SmimeLimits(max_recipients=3))
