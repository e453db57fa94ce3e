"""Certificates of operators, as an authority with an issuing one below it makes them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mssante.trust.names import name_of
from tests.support.mail_pki import Party, authority, revocation_list, usage

BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
DAY = timedelta(days=1)


def operator_name(host: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Paris (75)"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "1750000000"),
            x509.NameAttribute(NameOID.COMMON_NAME, host),
        ]
    )


@dataclass
class OperatorPki:
    """A root, an authority below it that issues, and one that nobody of ours knows."""

    folder: Path
    now: datetime

    def __post_init__(self) -> None:
        span = {"not_before": self.now - 300 * DAY, "not_after": self.now + 3000 * DAY}
        self.root = authority("Operators' root", **span)
        self.issuing = authority("Operators' issuing", self.root, path_length=0, **span)
        self.foreign = authority("Operators' issuing", **span)
        self.revoked_issuing = authority("Operators' former", self.root, path_length=0, **span)
        self.write_pem("ca.pem", self.root.certificate)
        self.write_pem("issuing.pem", self.issuing.certificate)

    def write_pem(self, name: str, *certificates: x509.Certificate) -> Path:
        path = self.folder / name
        path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
        return path

    def operator(
        self,
        name: str,
        host: str,
        *,
        issuer: Party | None = None,
        usages=BOTH,
        key_usage=("digital_signature", "key_encipherment"),
        since: timedelta = -DAY,
        until: timedelta = 30 * DAY,
        organisation: str | None = None,
        chain: bool = True,
        digest=None,
    ) -> Party:
        """Issue a certificate; its files are NAME.pem (with its issuer, if `chain`) and NAME.key."""
        above = issuer or self.issuing
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(operator_name(host, organisation or name.split("-", 1)[0]))
            .issuer_name(above.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + since)
            .not_valid_after(self.now + until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(usage(*key_usage), True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host), x509.DNSName("localhost")]), False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key()), False
            )
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
        party = Party(builder.sign(above.key, digest or hashes.SHA256()), key)
        above_it = [above.certificate] if chain and above is not self.root else []
        self.write_pem(f"{name}.pem", party.certificate, *above_it)
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return party

    def revoke(self, *parties: Party, issuer: Party | None = None, **dates) -> bytes:
        """A revocation list of the issuing authority, in DER."""
        above = issuer or self.issuing
        dates.setdefault("this_update", self.now - DAY)
        dates.setdefault("next_update", self.now + DAY)
        since = self.now - DAY
        found = revocation_list(above, *((one.certificate, since) for one in parties), **dates)
        return found.public_bytes(Encoding.DER)


def name_in(party: Party):
    return name_of(party.certificate.subject)
