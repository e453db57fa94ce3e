"""``mssante trust``: the white list of operators, with whom alone mail is exchanged."""

from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli.instance import act, config_path, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show
from mssante.trust.whitelist import Difference, Standing, check_replacement
from mssante.wire.whitelist.reader import WhiteListRefused, a_label, read_white_list

app: Final = typer.Typer(name="trust", help="The white list of operators.", no_args_is_help=True)

_MAX_FILE: Final = 50_000_000
_File = Annotated[Path, typer.Argument(help="listeblanchemssante.xml as ANS publishes it.")]


@app.command(name="import")
def import_list(
    ctx: typer.Context,
    file: _File,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it loses more than half of the domains.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put a white list in force at once, in all processes; a list that is refused changes nothing."""
    content = _content(file)
    with open_instance(config_path(ctx)) as instance:
        accept_signed = instance.settings.trust.accept_unverified_signature
        difference = instance.run(
            instance.white_list.replace(
                content, act("trust import"), accept_signed=accept_signed, force=force
            )
        )
        standing = instance.run(instance.white_list.standing())
    assert standing is not None
    if standing.signed:
        note("this list is signed; the signature was not verified")
    show({**_described(standing), **_changes(difference)}, as_json=json)


@app.command(name="show")
def show_list(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show which list is in force."""
    with open_instance(config_path(ctx)) as instance:
        standing = instance.run(instance.white_list.standing())
    if standing is None:
        raise CommandFailed("no white list was imported: nothing comes from or goes to others")
    show(_described(standing), as_json=json)


@app.command()
def diff(ctx: typer.Context, file: _File, json: JsonOption = False) -> None:
    """Show what importing a file would change, and whether it would be refused."""
    content = _content(file)
    new = read_white_list(content)
    with open_instance(config_path(ctx)) as instance:
        present = instance.run(instance.white_list.white_list())
        accept_signed = instance.settings.trust.accept_unverified_signature
    refused = None
    try:
        check_replacement(present, new, accept_signed=accept_signed)
    except WhiteListRefused as refusal:
        refused = str(refusal)
    show({**_changes(Difference.between(present, new)), "refused": refused}, as_json=json)


@app.command()
def check(ctx: typer.Context, domain: str, json: JsonOption = False) -> None:
    """Show which certificate names may speak for a domain."""
    try:
        name = a_label(domain)
    except ValueError:
        raise CommandFailed("this is not a domain") from None
    with open_instance(config_path(ctx)) as instance:
        operators = instance.run(instance.white_list.operators_of(name))
        local = instance.run(instance.directory.is_local_domain(name))
    found = sorted(map(str, operators))
    show({"domain": name, "listed": bool(found), "local": local, "operators": found}, as_json=json)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None


def _described(standing: Standing) -> dict[str, object]:
    return {
        "generated": standing.generated.isoformat(),
        "imported": standing.imported.isoformat(),
        "domains": standing.domains,
        "listings": standing.listings,
        "signature": "not verified" if standing.signed else "none",
        "sha256": standing.digest,
    }


def _changes(difference: Difference) -> dict[str, object]:
    return {
        "added": list(difference.added),
        "removed": list(difference.removed),
        "changed": list(difference.changed),
    }
