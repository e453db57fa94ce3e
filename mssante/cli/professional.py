"""``mssante professional``: health professionals with a personal mailbox."""

from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import act, open_instance
from mssante.cli.mailbox import described
from mssante.cli.output import JsonOption, show
from mssante.directory.registration import Credentials

app: Final = typer.Typer(name="professional", help="Health professionals.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    rpps: Annotated[str, typer.Option(help="Number in the shared register: 11 digits.")],
    name: Annotated[str, typer.Option(help="As correspondents see it.")],
    address: Annotated[str, typer.Option(help="Of the mailbox, in a domain of this operator.")],
    login: Annotated[
        str | None, typer.Option(help="By default the local part of the address.")
    ] = None,
    profession: Annotated[
        str | None, typer.Option(help="Code of TRE_G15: 10 doctor, 60 nurse…")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Create a professional; then give a password with `mssante account password`."""
    credentials = Credentials(login or address.partition("@")[0])
    with open_instance(config_path(ctx)) as instance:
        account, mailbox = instance.run(
            instance.registration.professional(
                name, address, rpps, profession, credentials, act("professional create")
            )
        )
        line = {"login": account.login, "rpps": account.rpps, **described(mailbox, instance)}
    show(line, as_json=json)
