"""``mssante application``: software with a mailbox of its own."""

from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import act, open_instance
from mssante.cli.mailbox import described
from mssante.cli.output import JsonOption, show
from mssante.directory.registration import Credentials

app: Final = typer.Typer(name="application", help="Software with a mailbox.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="As correspondents see it.")],
    address: Annotated[str, typer.Option(help="Of the mailbox, in a domain of this operator.")],
    login: Annotated[
        str | None, typer.Option(help="By default the local part of the address.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Create an application; then give a password with `mssante account password`."""
    credentials = Credentials(login or address.partition("@")[0])
    with open_instance(config_path(ctx)) as instance:
        account, mailbox = instance.run(
            instance.registration.application(name, address, credentials, act("application create"))
        )
        line = {"login": account.login, **described(mailbox, instance)}
    show(line, as_json=json)
