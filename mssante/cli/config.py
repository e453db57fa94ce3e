"""``mssante config``: the settings as the server understands them."""

import dataclasses
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import typer

from mssante.cli.arguments import config_path
from mssante.cli.output import JsonOption, note, show
from mssante.settings import Settings, load
from mssante.storage import trust_files

app: Final = typer.Typer(name="config", help="The instance's settings.", no_args_is_help=True)


@app.command()
def check(ctx: typer.Context) -> None:
    """Check the settings file and the certificates and keys that it names."""
    settings = load(config_path(ctx))
    trust_files.check_files(settings)
    note(f"{settings.file} is right")


@app.command(name="show")
def show_settings(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show every key with its value, defaults included and secrets hidden."""
    settings = load(config_path(ctx))
    nested = described(settings)
    show(nested if json else dict(_flat(nested)), as_json=json)


def described(settings: Settings) -> dict[str, object]:
    """The settings as plain values; a password in the database URL is blanked."""
    values = _plain(dataclasses.asdict(settings))
    assert isinstance(values, dict)
    storage = values["storage"]
    assert isinstance(storage, dict)
    storage["database_url"] = _without_password(settings.storage.database_url)
    return values


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


def _flat(values: dict[str, object], before: str = "") -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{before}{name}.")
        else:
            lines.append((f"{before}{name}", value))
    return lines
