"""S/MIME of the mail room over a small PKI's files."""

from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Envelope, SpoolEntry
from mssante.mail.smime import SecureMail
from mssante.trust.trust_files import TrustFiles
from mssante.trust.validation import Validations
from mssante.wire.mime.scanner import scan
from tests.support.mail_pki import NOW, MailPki


def secure_mail(pki: MailPki, folder, keys=None) -> SecureMail:
    anchor, lists = folder / "root.pem", folder / "lists.pem"
    anchor.write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    lists.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in pki.lists))
    return SecureMail(keys, TrustFiles([anchor], [lists]), Validations())


def an_entry(at: datetime = NOW, seal=None) -> SpoolEntry:
    envelope = Envelope(
        Address("alice", "nord.example"), (Address("bob", "sud.example"),), None, None, "client",
        "ESMTPS", "TLSv1.3", operator="CN=mx.nord.example", seal=seal,
    )  # fmt: skip
    return SpoolEntry(new_id(), at, envelope, BlobRef("s", 0, 1, b""))


def examined(mail: SecureMail, message: bytes, **keys):
    """`keys`: the parties whose keys each mailbox holds, by the mailbox's name."""
    ids = {name: new_id() for name in keys}
    held = {
        ids[name]: tuple(party.decryption_key for party in parties)
        for name, parties in keys.items()
    }
    return mail.examine(an_entry(), message, scan(message), held), ids
