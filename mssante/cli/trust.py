"""``mssante trust``: the white list of operators, with whom alone mail is exchanged."""

from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show, show_all
from mssante.clients.http import FetchFailed
from mssante.kernel.clock import SystemClock
from mssante.renewal import fetch_revocation_list, refresh_white_list
from mssante.settings import load
from mssante.storage import trust_files
from mssante.storage.files import read_file
from mssante.trust.anchors import Unreadable
from mssante.trust.list_signature import checked_white_list
from mssante.trust.whitelist import Difference, check_replacement
from mssante.wire.whitelist.reader import WhiteListRefused, a_label, read_white_list

app: Final = typer.Typer(
    name="trust", help="The white list of operators, and certificates.", no_args_is_help=True
)

_Force = Annotated[
    bool, typer.Option("--force", help="Even if it loses more than half of the domains.")
]
_File = Annotated[Path, typer.Argument(help="listeblanchemssante.xml as ANS publishes it.")]


@app.command(name="import")
def import_list(
    ctx: typer.Context,
    file: _File,
    force: _Force = False,
    json: JsonOption = False,
) -> None:
    """Put a white list in force at once, in all processes; a list that is refused changes nothing."""
    content = read_file(file)
    with open_instance(config_path(ctx)) as instance:
        policy = trust_files.list_policy(instance.settings)
        difference = instance.run(
            instance.white_list.replace(content, act("trust import"), policy, force=force)
        )
        told = _in_force(instance)
    show({**told, **_changes(difference)}, as_json=json)


@app.command()
def refresh(ctx: typer.Context, force: _Force = False, json: JsonOption = False) -> None:
    """Fetch the white list and the revocation lists from where the settings say, now."""
    with open_instance(config_path(ctx)) as instance:
        settings = instance.settings
        if not settings.trust.white_list_url:
            raise CommandFailed("[trust] white_list_url does not say from where")
        try:
            difference = instance.run(
                refresh_white_list(settings, instance.white_list, act("trust refresh"), force=force)
            )
        except FetchFailed as failed:
            raise CommandFailed(f"the white list could not be fetched: {failed}") from None
        except OSError as error:
            raise CommandFailed(f"{error.filename} cannot be read: {error.strerror}") from None
        for url in settings.trust.revocation_urls:
            try:
                instance.run(fetch_revocation_list(settings, url))
            except (FetchFailed, Unreadable) as failed:
                note(f"{url} could not be fetched: {failed}")
        told = _in_force(instance)
    show({**told, **_changes(difference or Difference((), (), ()))}, as_json=json)


@app.command(name="show")
def show_list(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show which list is in force, how old it is, and the certificates that end first."""
    with open_instance(config_path(ctx)) as instance:
        told = _in_force(instance)
        now = instance.stores.clock.now()
        ending = [
            f"{one.use}: {one.certificate.days_left(now)} days"
            for one in trust_files.shown_certificates(instance.settings)
            if one.certificate.warning_due(now) is not None
        ]
    show({**told, "certificatesEnding": ending}, as_json=json)


@app.command()
def certificates(ctx: typer.Context, json: JsonOption = False) -> None:
    """List our certificates and the authorities of other operators, with the days they have left."""
    settings = load(config_path(ctx))
    now = SystemClock().now()
    records = [
        {
            "use": one.use,
            "subject": str(one.certificate.subject),
            "issuer": str(one.certificate.issuer),
            "notBefore": one.certificate.not_before.isoformat(),
            "notAfter": one.certificate.not_after.isoformat(),
            "daysLeft": one.certificate.days_left(now),
            "file": str(one.file),
        }
        for one in trust_files.shown_certificates(settings)
    ]
    show_all(records, ("use", "subject", "notAfter", "daysLeft"), as_json=json)


@app.command()
def diff(ctx: typer.Context, file: _File, json: JsonOption = False) -> None:
    """Show what importing a file would change, and whether it would be refused."""
    content = read_file(file)
    new = read_white_list(content)
    with open_instance(config_path(ctx)) as instance:
        present = instance.run(instance.white_list.white_list())
        policy = trust_files.list_policy(instance.settings)
        now = instance.stores.clock.now()
    refused = None
    try:
        new = checked_white_list(content, policy, now)
        check_replacement(present, new)
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


def _in_force(instance: Instance) -> dict[str, object]:
    standing = instance.run(instance.white_list.standing())
    if standing is None:
        raise CommandFailed("no white list was imported: nothing comes from or goes to others")
    age = instance.stores.clock.now() - standing.known_until
    signature = "none"
    if standing.signed:
        signature = "verified" if standing.signer else "not verified"
    return {
        "generated": standing.generated.isoformat(),
        "imported": standing.imported.isoformat(),
        "confirmed": standing.confirmed.isoformat() if standing.confirmed else None,
        "ageHours": round(age.total_seconds() / 3600, 1),
        "source": standing.source or "file",
        "domains": standing.domains,
        "listings": standing.listings,
        "signature": signature,
        "signer": standing.signer or None,
        "sha256": standing.digest,
    }


def _changes(difference: Difference) -> dict[str, object]:
    return {
        "added": list(difference.added),
        "removed": list(difference.removed),
        "changed": list(difference.changed),
    }
