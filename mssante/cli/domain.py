"""``mssante domain``: the mail domains that this operator serves."""

from typing import Annotated, Final

import typer

from mssante.cli.instance import act, config_path, open_instance
from mssante.cli.output import CommandFailed, JsonOption, show, show_all
from mssante.directory.model import Domain
from mssante.trust.dkim_keys import read_dkim_key

app: Final = typer.Typer(name="domain", help="Mail domains of this operator.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    patients: Annotated[
        bool, typer.Option("--patients", help="Its addresses are <INS>@NAME.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Serve a domain."""
    with open_instance(config_path(ctx)) as instance:
        registration = instance.registration
        created = instance.run(
            registration.domain(name, patients=patients, act=act("domain create"))
        )
    show(_described(created), as_json=json)


@app.command(name="list")
def list_domains(ctx: typer.Context, json: JsonOption = False) -> None:
    """List the domains."""
    with open_instance(config_path(ctx)) as instance:
        domains = instance.run(instance.directory.list_domains())
    show_all([_described(each) for each in domains], ("name", "patients"), as_json=json)


@app.command()
def dkim(ctx: typer.Context, name: str, json: JsonOption = False) -> None:
    """Show the DKIM record to publish for a domain: other operators check signatures with it."""
    with open_instance(config_path(ctx)) as instance:
        relay = instance.settings.relay
        served = {domain.name for domain in instance.run(instance.directory.list_domains())}
    if name.lower() not in served:
        raise CommandFailed("this operator does not serve that domain: see mssante domain list")
    try:
        key = read_dkim_key(relay.dkim_key)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the DKIM key cannot be used: {error}") from None
    if key is None:
        raise CommandFailed(f"there is no DKIM key: {relay.dkim_key} is missing")
    record = {
        "name": f"{relay.dkim_selector}._domainkey.{name.lower()}",
        "type": "TXT",
        "value": key.record,
    }
    show(record, as_json=json)


def _described(domain: Domain) -> dict[str, object]:
    return {"id": domain.id.hex(), "name": domain.name, "patients": domain.patients}
