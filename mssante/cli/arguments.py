"""How commands are told what to work on: the settings file, and what must not be seen."""

from pathlib import Path
from typing import Final

import typer

from mssante.cli.output import CommandFailed
from mssante.kernel.ins import Ins

CONFIG_VARIABLE: Final = "MSSANTE_CONFIG"
_MAX_INS_INPUT: Final = 100


def config_path(ctx: typer.Context) -> Path:
    """The settings file that ``-c`` or the environment names.

    Raises:
        CommandFailed: neither does.
    """
    path = ctx.find_root().params.get("config")
    if path is None:
        raise CommandFailed(
            f"say which instance: -c DIR/mssante.toml, or the variable {CONFIG_VARIABLE}"
        )
    return Path(path)


def read_secret_argument(value: str) -> str:
    """The text of an option that also takes ``-`` (standard input) or ``@FILE``, so that an INS need
    not stand in the process list.

    Raises:
        CommandFailed: the file cannot be read.
    """
    if value == "-":
        return typer.get_text_stream("stdin").read(_MAX_INS_INPUT).strip()
    if value.startswith("@"):
        try:
            with Path(value[1:]).open(encoding="utf-8") as file:
                return file.read(_MAX_INS_INPUT).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"cannot read {value[1:]}: {error}") from None
    return value


def checked_ins(value: str, oid: str) -> Ins:
    """An INS given on the command line, checked; see `read_secret_argument`."""
    return Ins.parse(read_secret_argument(value), oid)
