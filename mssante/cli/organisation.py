"""``mssante organisation``: member structures and their shared mailbox."""

from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import act, open_instance
from mssante.cli.mailbox import described
from mssante.cli.output import JsonOption, show
from mssante.directory.registration import Credentials

app: Final = typer.Typer(name="organisation", help="Member structures.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="As correspondents see it.")],
    finess: Annotated[str, typer.Option(help="FINESS number: 9 characters.")],
    address: Annotated[
        str | None, typer.Option(help="Opens a shared mailbox there, in a domain of this operator.")
    ] = None,
    login: Annotated[
        str | None, typer.Option(help="By default the local part of the address.")
    ] = None,
    feeds_dmp: Annotated[
        bool,
        typer.Option("--feeds-dmp", help="File the documents that it sends into patients' DMP."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Create an organisation; members open its mailbox after `mssante account grant`."""
    by = act("organisation create")
    with open_instance(config_path(ctx)) as instance:
        registration = instance.registration
        organisation = instance.run(registration.organisation(name, finess, by))
        line: dict[str, object] = {
            "organisation": organisation.id.hex(),
            "name": organisation.name,
            "nationalId": organisation.national_id,
        }
        if address is not None:
            account, mailbox = instance.run(
                registration.organisation_mailbox(
                    organisation,
                    address,
                    Credentials(login or address.partition("@")[0]),
                    by,
                    feeds_dmp=feeds_dmp,
                )
            )
            line |= {"login": account.login, **described(mailbox, instance)}
    show(line, as_json=json)
