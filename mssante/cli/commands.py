"""The commands by name; a command's module is loaded when it is called, and none to list them.

To load them all takes longer than most of them take to run.
"""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

VERBS: Final[dict[str, str]] = {
    "indicators": "Count a month's activity from the audit: mailboxes, exchanges, documents, sign-ins.",
    "init": "Make an instance: settings, keys, a private certification authority, databases.",
    "reload": "Load certificates, keys, authorities and revocation lists again, without a restart.",
    "serve": "Serve until SIGTERM; prints `ready` when every listener accepts.",
    "trace": "Follow messages: one timeline for each, the newest first.",
}
"""Each is the function of its name in the module of its name; here is its first sentence."""

NOUNS: Final[dict[str, str]] = {
    "account": "Accounts and passwords.",
    "application": "Software with a mailbox.",
    "audit": "The audit chains.",
    "config": "The instance's settings.",
    "db": "The databases.",
    "dmp": "The patients' shared documents.",
    "domain": "Mail domains of this operator.",
    "limits": "Limits by the hour.",
    "mailbox": "Mailboxes.",
    "organisation": "Member structures.",
    "patient": "Registered patients.",
    "professional": "Health professionals.",
    "queue": "Accepted messages on their way.",
    "smime": "Signatures and encryption.",
    "systemd": "The service's unit.",
    "trust": "The white list of operators, and certificates.",
}
"""Each is ``app`` in the module of its name; here is its help."""


class Commands(TyperGroup):
    """All of them, each with its sentence until somebody asks for more."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, sentence in (VERBS | NOUNS).items():
            self.add_command(TyperCommand(name, help=sentence))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is called, or whose arguments a shell completes."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else loaded(name), rest


def loaded(name: str) -> Any:
    """A command with its options and verbs."""
    module = import_module(f"mssante.cli.{name}")
    holder = typer.Typer()
    if name in NOUNS:
        holder.add_typer(module.app)
    else:
        holder.command()(getattr(module, name))
    return get_group(holder).commands[name]
