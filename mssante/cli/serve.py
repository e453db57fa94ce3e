"""``mssante serve``: run the server."""

from typing import Annotated

import typer

from mssante import supervisor
from mssante.cli.instance import config_path
from mssante.cli.output import CommandFailed
from mssante.settings import ROLES


def serve(
    ctx: typer.Context,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; by default as the settings say.")
    ] = None,
    roles: Annotated[
        str | None, typer.Option(help="What they do, separated by commas: submission,imap.")
    ] = None,
) -> None:
    """Serve until SIGTERM; prints `ready` when every listener accepts."""
    chosen = tuple(roles.split(",")) if roles is not None else None
    for role in chosen or ():
        if role not in ROLES:
            raise CommandFailed(f"there is no role {role!r}; roles are {', '.join(ROLES)}")
    raise typer.Exit(supervisor.run(config_path(ctx), workers, chosen))
