"""``mssante limits``: what accounts, operators and networks may use in an hour, and have used."""

from typing import Annotated, Final

import typer

from mssante.access.budgets import HOUR_SECONDS, Use, Who
from mssante.cli.arguments import config_path
from mssante.cli.instance import Instance, open_instance
from mssante.cli.output import JsonOption, show_all
from mssante.composition.access import limits_of
from mssante.storage.usage import StoredUsage

app: Final = typer.Typer(name="limits", help="Limits by the hour.", no_args_is_help=True)


@app.command(name="show")
def show_limits(
    ctx: typer.Context,
    everybody: Annotated[
        bool, typer.Option("--used", help="Show who has used how much in this hour.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show the limits, or with --used what was leased from them in this hour (without the first
    hundredth, which each worker spends unasked).
    """
    with open_instance(config_path(ctx)) as instance:
        limits = limits_of(instance.settings)
        if everybody:
            lines = _used(instance)
        else:
            lines = [
                {"who": who.value, **{use.value: limits[who].get(use) or None for use in Use}}
                for who in Who
            ]
    first = "subject" if everybody else "who"
    show_all(lines, (first, *(use.value for use in Use)), as_json=json)


def _used(instance: Instance) -> list[dict[str, object]]:
    hour = int(instance.stores.clock.now().timestamp()) // HOUR_SECONDS
    usage = StoredUsage(instance.stores.databases["directory"])
    lines = instance.run(usage.lines(hour))
    return [
        {"subject": line.subject, **{use.value: count for use, count in line.used.items()}}
        for line in lines
    ]
