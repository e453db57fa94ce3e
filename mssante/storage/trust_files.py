"""The files that say whom we believe, and those that say who we are."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from mssante.settings import Settings
from mssante.storage.files import read_all, read_file
from mssante.storage.segments import sync_folder
from mssante.trust.anchors import Trust, Unreadable, read_certificates, read_revocation_lists
from mssante.trust.list_signature import ListPolicy
from mssante.trust.peer_tls import PeerTls, check_pair_in
from mssante.trust.revocation import check_fetched, half_life
from mssante.trust.tls import OnHandshake
from mssante.trust.validity import Described, described, first_to_end
from mssante.wire.x500 import DistinguishedName, NameRefused

FETCHED: Final = "revocation"
"""The folder in ``data`` where fetched revocation lists are kept."""

_PAUSE: Final = timedelta(hours=1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate of ours, or an authority that we believe."""

    use: str
    """``members``, ``operators``, ``peer-authority``, ``mail-authority`` (its signatures on mail are
    believed) or ``mailbox-authority`` (ours, which certifies the mailboxes)."""
    file: Path
    certificate: Described


def fetched_lists(settings: Settings) -> Path:
    """Where revocation lists that were fetched are kept."""
    return settings.storage.directory / FETCHED


def fetched_list(settings: Settings, url: str) -> Path:
    """Where the revocation list of a URL is kept."""
    return fetched_lists(settings) / f"{sha256(url.encode()).hexdigest()[:32]}.crl"


def keep_fetched_list(settings: Settings, url: str, octets: bytes) -> None:
    """Put a list in the place of the one that was fetched before, which nobody ever sees half.

    Raises:
        Unreadable: it is no list, nobody that we know has signed it, or it is an older one.
        OSError: it cannot be written.
    """
    file = fetched_list(settings, url)
    present = read_file(file) if file.exists() else None
    trust = settings.trust
    authorities = read_all(read_certificates, (settings.tls.peer_ca, *trust.peer_intermediates))
    check_fetched(octets, present, authorities)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    draft = file.with_suffix(".draft")
    with draft.open("wb") as stream:
        stream.write(octets)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    sync_folder(file.parent)


def fetch_due(settings: Settings, url: str, at: datetime) -> bool:
    """Whether the list of a URL should be fetched: there is none, or it is past half of its life and
    was not fetched within the hour.
    """
    file = fetched_list(settings, url)
    try:
        fetched = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        due = half_life(read_file(file))
    except (OSError, Unreadable):
        return True
    return at - fetched > _PAUSE and (due is None or at >= due)


def revocation_files(settings: Settings) -> tuple[Path, ...]:
    """Every file with revocation lists: those that the settings name, and those fetched."""
    fetched = sorted(fetched_lists(settings).glob("*.crl"))
    return (*settings.trust.revocation_lists, *fetched)


def peer_files(settings: Settings) -> tuple[Path, ...]:
    """Every file that `peer_trust` reads."""
    trust = settings.trust
    return (settings.tls.peer_ca, *trust.peer_intermediates, *revocation_files(settings))


def peer_trust(settings: Settings) -> Trust:
    """Whom we believe among other operators.

    Raises:
        Unreadable: which file, and what is wrong with it.
    """
    return Trust(
        anchors=read_all(read_certificates, (settings.tls.peer_ca,)),
        certificates=read_all(read_certificates, settings.trust.peer_intermediates),
        revocation_lists=read_all(read_revocation_lists, revocation_files(settings)),
    )


def mail_files(settings: Settings) -> tuple[Path, ...]:
    """Every file that `mail_trust` reads."""
    return (*settings.smime.anchors, *settings.smime.revocation_lists)


def mail_trust(settings: Settings) -> Trust:
    """Whom we believe about the certificates of mail.

    Raises:
        Unreadable: which file, and what is wrong with it.
    """
    # A list that was never made revokes nothing.
    lists = [file for file in settings.smime.revocation_lists if file.exists()]
    return Trust(
        anchors=read_all(read_certificates, settings.smime.anchors),
        revocation_lists=read_all(read_revocation_lists, lists),
    )


def list_policy(settings: Settings) -> ListPolicy:
    """What the signature of a white list must be.

    Raises:
        Unreadable: which file or setting, and what is wrong with it.
    """
    trust = settings.trust
    try:
        signer = DistinguishedName.parse(trust.white_list_signer)
    except NameRefused as refused:
        raise Unreadable(f"trust.white_list_signer: {refused}") from None
    return ListPolicy(
        trust=Trust(
            anchors=read_all(read_certificates, trust.white_list_anchors),
            certificates=read_all(read_certificates, trust.peer_intermediates),
            revocation_lists=read_all(read_revocation_lists, revocation_files(settings)),
        ),
        signer=signer,
        required=trust.require_signature,
    )


def peer_tls(settings: Settings, on_handshake: OnHandshake | None = None) -> PeerTls:
    """Our certificate for other operators, with its key; `on_handshake`: see `PeerTls`.

    Raises:
        Unreadable: which file, and what is wrong with it.
    """
    certificate, key = settings.tls.operator_certificate, settings.tls.operator_key
    return _of_pair(partial(PeerTls, on_handshake=on_handshake), certificate, key)


def check_files(settings: Settings) -> None:
    """Check every file that says whom we believe and who we are: each can be read, and each
    certificate of ours and its private key belong together.

    Raises:
        Unreadable: which files, and what is wrong with them.
    """
    _of_pair(check_pair_in, settings.tls.certificate, settings.tls.key)
    peer_tls(settings)
    peer_trust(settings)
    list_policy(settings)
    read_all(read_certificates, settings.trust.white_list_ca)


def shown_certificates(settings: Settings) -> tuple[Shown, ...]:
    """Our certificates, and the authorities for peers and for mail.

    Raises:
        Unreadable: which file, and what is wrong with it.
    """
    tls = settings.tls
    own = (("members", tls.certificate), ("operators", tls.operator_certificate))
    smime = settings.smime
    believed = [("peer-authority", tls.peer_ca)]
    # Mail is carried without them, too; that they are not there is told where they are loaded.
    for_mail = [("mail-authority", file) for file in smime.anchors]
    for_mail.append(("mailbox-authority", smime.authority_certificate))
    believed += [(use, file) for use, file in for_mail if file.exists()]
    authorities = [
        Shown(use, file, each) for use, file in believed for each in read_all(described, (file,))
    ]
    return (
        # What is served together ends together.
        *(Shown(use, file, first_to_end(read_all(described, (file,)))) for use, file in own),
        *authorities,
    )


def _of_pair(make: Callable[[bytes, bytes], T], certificate: Path, key: Path) -> T:
    try:
        return make(read_file(certificate), read_file(key))
    except Unreadable as error:
        raise Unreadable(f"{certificate} and {key}: {error}") from None
