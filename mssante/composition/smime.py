"""S/MIME: the mailboxes' keys with the authority that issues them, and whom mail is believed."""

from dataclasses import replace

from mssante.composition.stores import Stores
from mssante.settings import Settings
from mssante.storage import trust_files
from mssante.trust.anchors import Trust
from mssante.trust.mailbox_keys import MailboxKeys, read_authority
from mssante.wire.smime.signing_template import SignatureTemplate


def prepare(settings: Settings) -> None:
    """Do once, before workers are forked, what each would do again for its first seal.

    Raises:
        ValueError, OSError: the mailbox authority's files are there and cannot be used.
    """
    smime = settings.smime
    authority = read_authority(smime.authority_certificate, smime.authority_key)
    if authority is not None:
        SignatureTemplate(authority.certificate)


def mailbox_keys(stores: Stores) -> MailboxKeys:
    """The keys of the mailboxes, with the authority that issues them where its key is here.

    Raises:
        ValueError, OSError: the authority's files are there and cannot be used.
    """
    smime = stores.settings.smime
    authority = read_authority(smime.authority_certificate, smime.authority_key)
    return MailboxKeys(stores.mailbox_keys, authority, stores.clock)


def mail_trust(settings: Settings, keys: MailboxKeys) -> Trust:
    """Whom mail is believed, now; messages may leave out our own authority's certificate.

    Raises:
        Unreadable: which file, and what is wrong with it.
    """
    known = () if keys.authority is None else (keys.authority,)
    return replace(trust_files.mail_trust(settings), certificates=known)
