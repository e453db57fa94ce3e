"""The sandbox's private certification authority: a P-256 root, server and client certificates.

Only for instances with synthetic data. A real operator's certificates come from IGC-Santé (ANS) and
are files that the settings name. Profiles: RFC 5280; server names: RFC 9525 (subjectAltName only).
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mssante.trust.path import Purpose

ROOT_VALIDITY: Final = timedelta(days=3650)
LEAF_VALIDITY: Final = timedelta(days=825)
"""Some platforms refuse server certificates that last longer."""
AUTHORITY_VALIDITY: Final = timedelta(days=3650)
MAILBOX_VALIDITY: Final = timedelta(days=730)
LIST_VALIDITY: Final = timedelta(days=3650)
"""A list of a sandbox's authority is written when something is revoked, and by nothing else."""
_BACKDATING: Final = timedelta(minutes=5)
"""Clocks of peers differ a little."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def read(cls, certificate_path: Path, key_path: Path) -> "Credential":
        """Read both from PEM files.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is not what it should be, or the two do not belong together.
        """
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ValueError(  # noqa: TRY004 - it is the file that is wrong
                f"{key_path} holds no key on an elliptic curve"
            )
        if key.public_key() != certificate.public_key():
            raise ValueError(f"{key_path} is not the key of {certificate_path}")
        return cls(certificate, key)

    def write(
        self, certificate_path: Path, key_path: Path, chain: Sequence[x509.Certificate] = ()
    ) -> None:
        """Write both as PEM, the certificate with its `chain`, the key with mode 0600; both durable
        on return.

        Raises:
            FileExistsError: one of them exists; certificates and keys are never overwritten.
        """
        write_new(key_path, key_pem(self.key), mode=0o600)
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *chain))
        write_new(certificate_path, pem, mode=0o644)


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """The private key as unencrypted PKCS #8 PEM: the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Create a file that must not exist yet, with `mode` from its first instant, and sync it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another, whole or not at all; durable on return."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    write_new(draft, content, mode=0o644)
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def make_root(name: str, now: datetime) -> Credential:
    """A self-signed root: leaf certificates, and authorities that issue leaves (pathLenConstraint
    1).
    """
    key = generate_ec_key(SECP256R1())
    subject = _subject(name)
    builder = (
        _builder(subject, subject, key, now, ROOT_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    return Credential(builder.sign(key, SHA256()), key)


def make_mailbox_authority(root: Credential, name: str, now: datetime) -> Credential:
    """The authority of mailboxes' certificates: for mail and nothing else, no authority below it.

    With it at hand the root's key can be kept elsewhere.
    """
    key = generate_ec_key(SECP256R1())
    issuer = root.certificate.subject
    builder = (
        _builder(_subject(name), issuer, key, now, AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
            critical=False,
        )
    )
    return Credential(builder.sign(root.key, SHA256()), key)


def issue_mailbox(
    authority: Credential, address: str, name: str, purpose: Purpose, now: datetime
) -> Credential:
    """A pair for one mailbox and one purpose, without nonRepudiation: what it signs is sealed by the
    operator for this mailbox, not signed by a person.

    Args:
        authority: see `make_mailbox_authority`.
        address: ASCII; the certificate's one alternative name.
        name: the subject's, for people; never a patient's.
        purpose: of the key.
        now: the certificate is valid from a little before.
    """
    key = generate_ec_key(SECP256R1())
    signs = purpose is Purpose.SIGN
    until = min(now + MAILBOX_VALIDITY, authority.certificate.not_valid_after_utc)
    builder = (
        _builder(_subject(name), authority.certificate.subject, key, now, until - now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=signs, key_agreement=not signs), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    return Credential(builder.sign(authority.key, SHA256()), key)


def revocation_list(
    authority: Credential, revoked: Sequence[tuple[int, datetime]], number: int, now: datetime
) -> bytes:
    """A complete list of an authority in PEM (RFC 5280 section 5), of (serial, since when)."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - _BACKDATING)
        .next_update(now + LIST_VALIDITY)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    for serial, since in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, SHA256()).public_bytes(Encoding.PEM)


def issue_server(issuer: Credential, names: Sequence[str], now: datetime) -> Credential:
    """A TLS server certificate for host names and IP addresses; the first name is the subject's."""
    return _issue(issuer, _subject(names[0]), names, [ExtendedKeyUsageOID.SERVER_AUTH], now)


def issue_operator(
    issuer: Credential, organisation: str, names: Sequence[str], now: datetime
) -> Credential:
    """What an operator's connector shows: client when it sends, server when it receives.

    The subject carries the attributes that the white list compares (CN, OU, O, ST, C); the common
    name is the first of `names`, host names and IP addresses.
    """
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Paris (75)"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "1750000000"),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64]),  # ub-common-name, RFC 5280
        ]
    )
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return _issue(issuer, subject, names, usages, now)


def _issue(
    issuer: Credential,
    subject: x509.Name,
    names: Sequence[str],
    usages: list[x509.ObjectIdentifier],
    now: datetime,
) -> Credential:
    key = generate_ec_key(SECP256R1())
    builder = (
        _builder(subject, issuer.certificate.subject, key, now, LEAF_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    return Credential(builder.sign(issuer.key, SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    now: datetime,
    validity: timedelta,
) -> x509.CertificateBuilder:
    """What every certificate has, the subject's key identifier included."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATING)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(
    *,
    digital_signature: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,  # ECDSA keys encipher nothing
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mssante sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),  # ub-common-name, RFC 5280
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
