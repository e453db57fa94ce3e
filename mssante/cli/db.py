"""``mssante db``: the databases' versions."""

from typing import Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.output import JsonOption, note, show_all
from mssante.composition.stores import layout_of
from mssante.settings import load

app: Final = typer.Typer(name="db", help="The databases.", no_args_is_help=True)


@app.command()
def upgrade(ctx: typer.Context) -> None:
    """Bring every database to this program's version; a copy of an older file is kept first."""
    layout = layout_of(load(config_path(ctx)))
    layout.create_folders()
    layout.upgrade()
    note("every database has this program's version")


@app.command()
def check(ctx: typer.Context, json: JsonOption = False) -> None:
    """Say how each database's version relates to this program's."""
    layout = layout_of(load(config_path(ctx)))
    lines = [{"database": where, "version": version.value} for where, version in layout.present()]
    show_all(lines, ("database", "version"), as_json=json)
