"""``mssante serve``: run the server."""

from collections.abc import Sequence
from typing import Annotated, cast

import typer

from mssante import supervisor
from mssante.cli.arguments import config_path
from mssante.cli.output import CommandFailed
from mssante.servers import logs
from mssante.settings import ROLES, Role, load


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
    settings = load(config_path(ctx))
    chosen = roles.split(",") if roles is not None else settings.workers.roles
    for role in chosen:
        if role not in ROLES:
            raise CommandFailed(f"there is no role {role!r}; roles are {', '.join(ROLES)}")
    logs.configure(settings.logging.level)
    count = settings.workers.count if workers is None else workers
    try:
        code = supervisor.run(settings, count, cast("Sequence[Role]", chosen))
    except supervisor.StartFailed as failed:
        raise CommandFailed(str(failed)) from None
    raise typer.Exit(code)
