"""Signs white lists as their publisher would, and as forgers do."""

from datetime import timedelta

import signxml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Name, NameAttribute
from cryptography.x509.oid import NameOID
from lxml import etree

from mssante.trust.anchors import Trust
from mssante.trust.list_signature import ListPolicy
from tests.support import mail_pki
from tests.support.mail_pki import Party, authority

DS = "{http://www.w3.org/2000/09/xmldsig#}"


def signer(issuer: Party, organisation: str = "ANS", *, key=None, **changes) -> Party:
    """A certificate that signs lists."""
    name = Name(
        [
            NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            NameAttribute(NameOID.COMMON_NAME, "Liste blanche"),
        ]
    )
    before = mail_pki.subject
    mail_pki.subject = lambda *_: name
    try:
        return mail_pki.issue(
            "x",
            issuer,
            key or ec.generate_private_key(ec.SECP256R1()),
            [(mail_pki.usage(*changes.pop("usages", ("digital_signature",))), True)],
            **changes,
        )
    finally:
        mail_pki.subject = before


class Weak(signxml.XMLSigner):
    """Signs with SHA-1, which the library does by force only."""

    def check_deprecated_methods(self) -> None:
        pass


class SigningPki:
    """A root, an authority below it, and who signs the list."""

    def __init__(self) -> None:
        self.root = authority("Signers' root")
        self.issuing = authority("Signers' issuing", self.root)
        self.ans = signer(self.issuing)

    @property
    def anchor_pem(self) -> bytes:
        return self.root.certificate.public_bytes(Encoding.PEM)

    @property
    def policy(self) -> ListPolicy:
        return ListPolicy(Trust((self.root.certificate,)), required=True)

    def signed(self, content: bytes, by: Party | None = None, *, maker=None, chain=True, **options):
        party = by or self.ans
        root = etree.fromstring(content)
        kind = "RSA" if isinstance(party.key, rsa.RSAPrivateKey) else "ECDSA"
        make = maker or signxml.XMLSigner(
            method=signxml.SignatureConstructionMethod.enveloped,
            signature_algorithm=signxml.SignatureMethod[f"{kind}_SHA256"],
        )
        certificates = [party.certificate, *([self.issuing.certificate] if chain else [])]
        signed = make.sign(root, key=party.key, cert=certificates, **options)
        return etree.tostring(signed, encoding="UTF-8", xml_declaration=True)


HOUR = timedelta(hours=1)
RSA_KEY = rsa.generate_private_key(65537, 2048)
