"""``mssante indicators``: the monthly activity of this operator, for its supervisor."""

import csv
import re
import sys
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import Instance, open_instance
from mssante.cli.output import CommandFailed, JsonOption, show_all
from mssante.kernel.civil import civil_month
from mssante.mail.indicators import COLUMNS, COUNTED, Activity, Line
from mssante.storage import versions
from mssante.storage.indicators import counted_mailboxes, leaves

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})\Z")


def indicators(
    ctx: typer.Context,
    month: Annotated[str, typer.Option(help="YYYY-MM, a civil month in Europe/Paris.")],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV with the columns of the settings.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of the CSV, NAME or NAME=HEADING, separated by commas."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Count a month's activity from the audit: mailboxes, exchanges, documents, sign-ins."""
    if as_csv and json:
        raise typer.BadParameter("--csv and --json exclude each other")
    with open_instance(config_path(ctx)) as instance:
        chosen = columns.split(",") if columns else instance.settings.indicators.columns
        headings = [_heading(one) for one in chosen]
        lines = instance.run(counted(instance, month))
    if not as_csv:
        show_all([line._asdict() for line in lines], COLUMNS, as_json=json)
        return
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow([heading for _, heading in headings])
    writer.writerows([getattr(line, name) for name, _ in headings] for line in lines)


async def counted(instance: Instance, month: str) -> list[Line]:
    """The lines of a month.

    Raises:
        CommandFailed: it is no month.
    """
    try:
        found = _MONTH.match(month)
        begin, end = civil_month(int(found[1]), int(found[2])) if found else (None, None)
    except ValueError:
        begin = end = None
    if begin is None or end is None:
        raise CommandFailed("a month is YYYY-MM")
    databases = instance.stores.databases
    activity = Activity(await counted_mailboxes(databases["directory"]), begin, end)
    for schema in (versions.DIRECTORY, versions.MAIL):
        async for leaf in leaves(databases[schema.name], schema.audit, COUNTED, begin, end):
            activity.add(leaf)
    return list(activity.lines())


def _heading(text: str) -> tuple[str, str]:
    name, _, heading = text.partition("=")
    if name not in COLUMNS:
        raise CommandFailed(f"there is no column {name!r}; columns are {', '.join(COLUMNS)}")
    return name, heading or name
