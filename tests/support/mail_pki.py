"""A small PKI for mail, made once per session: root, issuing authorities, people."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mssante.trust.anchors import Trust
from mssante.wire.smime.decryption import DecryptionKey
from mssante.wire.smime.signing import (
    RsaPadding,
    Signature,
    multipart_signed,
    scheme_for,
    sign_attributes,
    signed_data,
    to_sign,
)

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2035, 1, 1, tzinfo=UTC)
SIGNED_AT = datetime(2026, 6, 1, 9, tzinfo=UTC)

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def usage(*names):
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def subject(name, email=None):
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if email:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    return x509.Name(attributes)


@dataclass(frozen=True)
class Party:
    certificate: x509.Certificate
    key: object = field(repr=False)

    @property
    def decryption_key(self):
        return DecryptionKey(self.certificate, self.key)


def authority(name, issuer=None, key=None, path_length=None, extra=(), **changes):
    extensions = [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage("key_cert_sign", "crl_sign"), True),
        *extra,
    ]
    return issue(
        name, issuer, key or ec.generate_private_key(ec.SECP256R1()), extensions, **changes
    )


def issue(
    name, issuer, key, extensions, *, not_before=START, not_after=END, digest=None, email=None
):
    above = issuer.certificate.subject if issuer else subject(name)
    signing = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name, email))
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    edwards = isinstance(signing, ed25519.Ed25519PrivateKey)
    return Party(builder.sign(signing, None if edwards else digest or hashes.SHA256()), key)


def person(
    issuer,
    address="alice@nord.example",
    *,
    key=None,
    names=None,
    usages=("digital_signature", "key_encipherment", "key_agreement"),
    extended=(ExtendedKeyUsageOID.EMAIL_PROTECTION,),
    extra=(),
    **changes,
):
    extensions = [(x509.BasicConstraints(ca=False, path_length=None), True), *extra]
    if usages is not None:
        extensions.append((usage(*usages), True))
    if extended is not None:
        extensions.append((x509.ExtendedKeyUsage(extended), False))
    if names is None:
        names = [x509.RFC822Name(address)]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    key = key or ec.generate_private_key(ec.SECP256R1())
    return issue("A person", issuer, key, extensions, **changes)


def utf8_mailbox(address):
    oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
    return x509.OtherName(oid, core.UTF8String(address).dump())


def revocation_list(
    issuer, *revoked, extensions=(), this_update=START, next_update=END, signer=None
):
    """`revoked`: pairs of certificate and datetime, or triples with a list of entry extensions."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    for certificate, since, *more in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(since)
        )
        for extension, critical in more[0] if more else ():
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign((signer or issuer).key, hashes.SHA256())


class MailPki:
    def __init__(self):
        self.root = authority("Root")
        self.issuing = authority("Issuing", self.root, path_length=0)
        self.alice = person(self.issuing)
        self.carol = person(self.issuing, "carol@nord.example")
        self.bob = person(
            self.issuing, "bob@sud.example", key=rsa.generate_private_key(65537, 2048)
        )
        self.dave = person(
            self.issuing, "dave@sud.example", key=rsa.generate_private_key(65537, 2048)
        )
        self.lists = (revocation_list(self.root), revocation_list(self.issuing))

    def trust(self, *lists, certificates=(), anchors=None):
        return Trust(
            anchors or (self.root.certificate,),
            tuple(one.certificate for one in certificates),
            lists or self.lists,
        )


ENTITY = (
    b"Content-Type: text/plain; charset=us-ascii\r\n"
    b"Content-Transfer-Encoding: 7bit\r\n"
    b"\r\n"
    b"A report, line one.  \r\n"
    b"\r\n"
    b"Line two.\r\n"
)


def message(entity, sender="alice@nord.example", extra=b""):
    return (
        b"From: Someone <%s>\r\nTo: bob@sud.example\r\nSubject: outside\r\n" % sender.encode()
        + extra
        + b"MIME-Version: 1.0\r\n"
        + entity
    )


def signature_by(party, entity, padding=RsaPadding.PKCS1, at=SIGNED_AT):
    scheme = scheme_for(party.certificate, padding)
    attributes = to_sign(entity, party.certificate, scheme, at)
    return Signature(
        party.certificate, scheme, attributes, sign_attributes(attributes, party.key, scheme)
    )


def detached(entity, *parties, chain=(), padding=RsaPadding.PKCS1):
    signatures = [signature_by(party, entity, padding) for party in parties]
    return signed_data(signatures, [one.certificate for one in chain])


def clear_signed(entity, *parties, chain=(), padding=RsaPadding.PKCS1, boundary="b-signed"):
    """The entity multipart/signed, as octets without message fields."""
    return wrapped(entity, detached(entity, *parties, chain=chain, padding=padding), boundary)


def wrapped(entity, signature, boundary="b-signed"):
    scheme = scheme_for_any()
    return multipart_signed(entity, signature, scheme, boundary).to_bytes()


def scheme_for_any():
    from mssante.wire.smime.keys import SHA256
    from mssante.wire.smime.signing import Scheme

    return Scheme(SHA256, "")


def opaque_signed(entity, *parties, chain=()):
    signatures = [signature_by(party, entity) for party in parties]
    return cms_entity(
        signed_data(signatures, [one.certificate for one in chain], entity), "signed-data"
    )


def of_no_version(der):
    """A certificate or a list in DER, with a version that does not exist."""
    for known in (b"\xa0\x03\x02\x01\x02", b"\x02\x01\x01"):
        if known in der[:16]:
            return der.replace(known, known[:-1] + b"\x05", 1)
    raise ValueError(der[:16])


def of_no_text(der):
    """A certificate in DER, with a common name in its subject that is no text but bits."""
    before, name, after = der.rpartition(b"\x06\x03\x55\x04\x03\x0c")
    return before + name[:-1] + b"\x03" + after[:1] + b"\0" + after[2:]


def cms_entity(der, kind=None, *, media="application/pkcs7-mime", name="smime.p7m"):
    import base64

    parameter = f"; smime-type={kind}" if kind else ""
    return (
        f'Content-Type: {media}{parameter}; name="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + base64.encodebytes(der).replace(b"\n", b"\r\n")
