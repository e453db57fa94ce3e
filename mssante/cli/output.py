"""How commands speak: results on standard output, the rest on standard error, three exit codes.

0 done · 1 refused or failed with a reason · 2 wrong usage. With ``--json`` standard output holds
one object or array and nothing else.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

FAILED: Final = 1

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
"""Every command that shows or lists something takes it."""

Record = Mapping[str, object]


class CommandFailed(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


def show(record: Record, *, as_json: bool) -> None:
    """Print one thing: an object, or a table of its fields."""
    if as_json:
        _print_json(record)
        return
    table = Table(show_header=False, box=None)
    for name, value in record.items():
        table.add_row(f"[bold]{name}[/bold]", _text(value))
    Console().print(table)


def show_all(records: Sequence[Record], columns: Iterable[str], *, as_json: bool) -> None:
    """Print many things: an array, or a table with these columns."""
    if as_json:
        _print_json(records)
        return
    if not records:
        note("nothing to show")
        return
    names = list(columns)
    table = Table(*names, box=None)
    for record in records:
        table.add_row(*(_text(record.get(name)) for name in names))
    # Without a terminal (a pipe) rich would cut columns at 80 characters.
    console = Console()
    console.print(table) if console.is_terminal else Console(width=400).print(table)


def note(text: str) -> None:
    """Tell a person something beside the result."""
    print(text, file=sys.stderr)


def fail(text: str) -> None:
    """Tell why nothing was done."""
    print(f"mssante: {text}", file=sys.stderr)


def progress() -> Progress:
    """A bar on standard error for long work."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "\n".join(_text(item) for item in value)
    return str(value)
