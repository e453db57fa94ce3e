"""S/MIME of the mail room over a small PKI."""

from datetime import datetime

from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Envelope, SpoolEntry
from mssante.mail.smime import SecureMail
from mssante.trust.validation import Validations
from mssante.wire.mime.scanner import scan
from tests.support.mail_pki import NOW, MailPki


def secure_mail(pki: MailPki, keys=None) -> SecureMail:
    trust = pki.trust()
    return SecureMail(keys, lambda: trust, Validations())


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
