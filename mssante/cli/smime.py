"""``mssante smime``: what a message's protection is worth, and the mailboxes' certificates.

`check` needs no instance: anchors, revocation lists and keys are files. The content is not shown,
only its digest; of its header fields, those that a reader would see in place of the outer ones.

The other commands are about the pairs that the server holds for its mailboxes. An address may be
given as ``-`` (standard input) or ``@FILE``: a patient's is the social security number.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path, read_secret_argument
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.mailbox import by_address
from mssante.cli.output import CommandFailed, JsonOption, note, show, show_all
from mssante.composition.smime import mailbox_keys
from mssante.directory.model import Mailbox, MailboxType
from mssante.kernel.clock import SystemClock
from mssante.mail.smime import holder_of
from mssante.storage.files import read_all, read_file
from mssante.trust.anchors import Trust, read_certificates, read_revocation_lists
from mssante.trust.judgement import Judgement, judge
from mssante.trust.key_files import read_keys, read_pairs
from mssante.trust.mailbox_keys import MailboxKeys, NotForMailbox, pem_of, serial_of
from mssante.trust.path import Purpose
from mssante.trust.pki import replace_file
from mssante.trust.ports import KeyAct, KeyOrigin, KeyState, StoredPair

app: Final = typer.Typer(name="smime", help="Signatures and encryption.", no_args_is_help=True)

_MESSAGE_LIMIT: Final = 100_000_000


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A message, as received.")],
    anchor: Annotated[
        list[Path], typer.Option("--anchor", help="Trusted certificates, PEM or DER; repeatable.")
    ],
    crl: Annotated[
        list[Path] | None, typer.Option("--crl", help="Revocation lists, PEM or DER; repeatable.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            help="To decrypt: PKCS #12, or PEM with private key and certificate; repeatable.",
        ),
    ] = None,
    key_password_file: Annotated[
        Path | None, typer.Option("--key-password-file", help="Password of protected keys.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Judge at this instant, ISO 8601 with offset; by default now."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Open a message as far as the keys allow, and judge its signatures."""
    moment = SystemClock().now() if at is None else _moment(at)
    message = read_file(file, _MESSAGE_LIMIT)
    trust = Trust(
        anchors=read_all(read_certificates, anchor),
        revocation_lists=read_all(read_revocation_lists, crl or ()),
    )
    keys = read_keys(map(read_file, key or ()), _password(key_password_file))
    judged = record(judge(message, trust, keys, at=moment))
    if json:
        show(judged, as_json=True)
    else:
        _show_table(judged)


def record(judgement: Judgement) -> dict[str, object]:
    """A judgement as the contract with scripts has it."""
    content = judgement.plaintext
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "signed": judgement.signed,
        "encrypted": judgement.encrypted,
        "signers": [
            {
                "address": one.address,
                "subject": one.subject,
                "verdict": one.verdict.value,
                "reason": one.reason,
                "signingTime": one.signing_time.isoformat() if one.signing_time else None,
            }
            for one in judgement.signers
        ],
        "decrypt": judgement.decryption.value if judgement.decryption else None,
        "plaintextSha256": hashlib.sha256(content).hexdigest() if content is not None else None,
        "protectedHeaders": judgement.protected_headers,
        "warnings": list(judgement.warnings),
    }


def _show_table(judged: dict[str, object]) -> None:
    signers = judged["signers"]
    assert isinstance(signers, list)
    show({name: value for name, value in judged.items() if name != "signers"}, as_json=False)
    if signers:
        show_all(signers, ("address", "subject", "verdict", "reason"), as_json=False)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed("--at is not an ISO 8601 date and time") from None
    if moment.tzinfo is None:
        raise CommandFailed("--at needs an offset: Z, or +01:00 for instance")
    return moment


AddressArgument = Annotated[str, typer.Argument(help="Of a mailbox; - or @FILE to keep it unseen.")]
PurposeOption = Annotated[Purpose, typer.Option(help="What the key is used for.")]
_COLUMNS: Final = ("address", "purpose", "state", "origin", "serial", "notAfter")


@app.command()
def certificate(
    ctx: typer.Context,
    address: AddressArgument,
    purpose: PurposeOption = Purpose.SIGN,
    issue: Annotated[
        bool, typer.Option("--issue", help="Make a pair where there is none, or renew one.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print a mailbox's certificate and its intermediates (PEM), or with --json what it says."""
    with open_instance(config_path(ctx)) as instance:
        mailbox = by_address(instance, read_secret_argument(address))
        if purpose is Purpose.ENCRYPT and mailbox.type is MailboxType.CITIZEN:
            raise CommandFailed("patients' mailboxes have a key to sign and none to decrypt")
        keys = _keys(instance)
        if issue:
            pair = instance.run(keys.pair(holder_of(mailbox), purpose, user=_user()))
        else:
            pair = instance.run(instance.stores.mailbox_keys.active(mailbox.id, purpose))
        if pair is None:
            raise CommandFailed(
                "the authority's key is not here: see [smime] authority_key"
                if issue
                else "the mailbox has no such certificate yet: --issue makes one"
            )
        if json:
            show(_described(pair, instance, mailbox), as_json=True)
        else:
            typer.echo(pem_of((pair.certificate, *pair.chain)), nl=False)


@app.command(name="import")
def import_pair(
    ctx: typer.Context,
    address: AddressArgument,
    file: Annotated[Path, typer.Argument(help="PKCS #12, or PEM with key and certificates.")],
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Its password.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Take a mailbox's pair that another authority certified; it follows the present one."""
    pairs = read_pairs([read_file(file)], _password(password_file))
    with open_instance(config_path(ctx)) as instance:
        mailbox = by_address(instance, read_secret_argument(address))
        keys, lines = _keys(instance), []
        for pair in pairs:
            try:
                added = instance.run(keys.take(holder_of(mailbox), pair, user=_user()))
            except NotForMailbox as refused:
                raise CommandFailed(str(refused)) from None
            lines += [_described(each, instance, mailbox) for each in added]
    show_all(lines, _COLUMNS, as_json=json)


@app.command(name="list")
def list_pairs(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Option(help="Of one mailbox; - or @FILE.")] = None,
    json: JsonOption = False,
) -> None:
    """List the pairs that the server holds; patients appear under their pseudonym."""
    with open_instance(config_path(ctx)) as instance:
        only = by_address(instance, read_secret_argument(address)).id if address else None
        pairs = instance.run(instance.stores.mailbox_keys.list_pairs(only))
        mailboxes = instance.run(instance.directory.mailboxes({pair.mailbox_id for pair in pairs}))
        lines = [_described(pair, instance, mailboxes[pair.mailbox_id]) for pair in pairs]
    show_all(lines, _COLUMNS, as_json=json)


@app.command()
def revoke(
    ctx: typer.Context,
    address: AddressArgument,
    purpose: PurposeOption = Purpose.SIGN,
    serial: Annotated[
        str | None, typer.Option(help="Of another pair than the active one, hexadecimal.")
    ] = None,
) -> None:
    """Use a pair no more, and write the authority's revocation list. What it encrypts stays readable."""
    with open_instance(config_path(ctx)) as instance:
        mailbox = by_address(instance, read_secret_argument(address))
        keys, store = _keys(instance), instance.stores.mailbox_keys
        found = [
            pair
            for pair in instance.run(store.history(mailbox.id, purpose))
            if (serial_of(pair) == serial.upper() if serial else pair.state is KeyState.ACTIVE)
        ]
        if not found:
            raise CommandFailed("the mailbox has no such pair: see mssante smime list")
        instance.run(store.revoke(found[0].id, KeyAct("revoke", _user())))
        content = instance.run(keys.revocation_list())
        path = instance.settings.smime.authority_revocation_list
        if content is not None:
            replace_file(path, content)
    if found[0].origin is KeyOrigin.IMPORTED:
        note("revoked here; tell the authority that issued it: our list says nothing about it")
    elif content is None:
        note("revoked here; the authority's key is not here, so no list was written")
    else:
        note(f"revoked; {path} says so")


def _password(file: Path | None) -> bytes | None:
    return None if file is None else read_file(file).rstrip(b"\r\n")


def _keys(instance: Instance) -> MailboxKeys:
    try:
        return mailbox_keys(instance.stores)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the mailbox authority cannot be used: {error}") from None


def _user() -> str:
    return act("smime").user


def _described(pair: StoredPair, instance: Instance, mailbox: Mailbox) -> dict[str, object]:
    return {
        "address": instance.pseudonyms.of_address(mailbox.address),
        "purpose": pair.purpose.value,
        "state": pair.state.value,
        "origin": pair.origin.value,
        "serial": serial_of(pair),
        "notBefore": pair.not_before.isoformat(),
        "notAfter": pair.not_after.isoformat(),
        "revokedAt": pair.revoked_at.isoformat() if pair.revoked_at else None,
        "fingerprint": hashlib.sha256(pair.certificate).hexdigest(),
    }
