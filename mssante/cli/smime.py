"""``mssante smime``: what the signature and the encryption of a message are worth.

`check` needs no instance: anchors, revocation lists and keys are files. The content is not shown,
only its digest; of its header fields, those that a reader would see in place of the outer ones.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from mssante.cli.output import CommandFailed, JsonOption, show, show_all
from mssante.kernel.clock import SystemClock
from mssante.trust.anchors import Trust, Unreadable, read_certificates, read_revocation_lists
from mssante.trust.judgement import Judgement, judge
from mssante.trust.key_files import read_keys

app: Final = typer.Typer(name="smime", help="Signatures and encryption.", no_args_is_help=True)

_MESSAGE_LIMIT: Final = 100_000_000
_FILE_LIMIT: Final = 64_000_000
"""National revocation lists are large."""

Found = TypeVar("Found")


@app.callback()
def _noun() -> None:
    """Keep `check` a verb of its own while there is only one."""


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
    message = _read(file, _MESSAGE_LIMIT)
    trust = Trust(
        anchors=tuple(_all_of(anchor, read_certificates)),
        revocation_lists=tuple(_all_of(crl or (), read_revocation_lists)),
    )
    password = None
    if key_password_file is not None:
        password = _read(key_password_file, _FILE_LIMIT).rstrip(b"\r\n")
    try:
        keys = read_keys([_read(path, _FILE_LIMIT) for path in key or ()], password)
    except Unreadable as error:
        raise CommandFailed(str(error)) from None
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


def _all_of(paths: Iterable[Path], read: Callable[[bytes], tuple[Found, ...]]) -> Iterable[Found]:
    for path in paths:
        try:
            yield from read(_read(path, _FILE_LIMIT))
        except Unreadable as error:
            raise CommandFailed(f"{path}: {error}") from None


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise CommandFailed(f"cannot read {path}: {error.strerror}") from None
    if len(content) > limit:
        raise CommandFailed(f"{path} is larger than {limit} bytes")
    return content
