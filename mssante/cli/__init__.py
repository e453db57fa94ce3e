"""The administrator's commands: one file per noun, one function per verb."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli.arguments import CONFIG_VARIABLE
from mssante.cli.commands import Commands
from mssante.cli.output import FAILED, fail

app: Final = typer.Typer(
    name="mssante",
    help="Secure health mail: an operator's server and its administration.",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its traces show local values: passwords, INS
)


@app.callback()
def _root(
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            envvar=CONFIG_VARIABLE,
            help="The instance's settings file (DIR/mssante.toml); may also follow the verb.",
        ),
    ] = None,
) -> None:
    """Read the options that stand before the noun."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit."""
    try:
        app(config_first(sys.argv[1:] if arguments is None else arguments), prog_name="mssante")
    except Exception as error:
        # It names what every part may refuse, and needs them all.
        from mssante.cli.expected import explained  # noqa: PLC0415 - slow to load, and rarely needed

        lines = explained(error)
        if not lines:
            raise
        for line in lines:
            fail(line)
        sys.exit(FAILED)


def config_first(arguments: list[str]) -> list[str]:
    """Move ``-c FILE`` to the front, so that it may stand before or after the verb."""
    found: list[str] = []
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            others += [argument, *rest]
        elif argument in ("-c", "--config"):
            found += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        elif argument.startswith("--config="):
            found.append(argument)
        else:
            others.append(argument)
    return found + others
