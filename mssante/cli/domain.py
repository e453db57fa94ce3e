"""``mssante domain``: the mail domains that this operator serves."""

from typing import Annotated, Final

import typer

from mssante.cli.instance import act, config_path, open_instance
from mssante.cli.output import JsonOption, show, show_all
from mssante.directory.model import Domain

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


def _described(domain: Domain) -> dict[str, object]:
    return {"id": domain.id.hex(), "name": domain.name, "patients": domain.patients}
