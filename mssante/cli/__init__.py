"""The administrator's commands: one file per noun, one function per verb."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli import (
    account,
    application,
    audit,
    config,
    db,
    dmp,
    domain,
    indicators,
    init,
    limits,
    mailbox,
    organisation,
    patient,
    patient_contact,
    professional,
    queue,
    reload,
    serve,
    smime,
    systemd,
    trace,
    trust,
)
from mssante.cli.instance import CONFIG_VARIABLE
from mssante.cli.output import FAILED, CommandFailed, fail
from mssante.directory.ports import Duplicate, Unknown
from mssante.directory.registration import RegistrationError
from mssante.kernel.ins import InsError
from mssante.kernel.professionals import IdentifierError
from mssante.kernel.reasons import Refusal
from mssante.settings import SettingsError
from mssante.storage.encryption import KeyUnavailable
from mssante.storage.versions import WrongVersion
from mssante.supervisor import StartFailed
from mssante.trust.anchors import Unreadable
from mssante.wire.whitelist.reader import WhiteListRefused

app: Final = typer.Typer(
    name="mssante",
    help="Secure health mail: an operator's server and its administration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its traces show local values: passwords, INS
)
app.add_typer(account.app)
app.add_typer(application.app)
app.add_typer(audit.app)
app.add_typer(config.app)
app.add_typer(db.app)
app.add_typer(dmp.app)
app.add_typer(domain.app)
app.add_typer(limits.app)
app.add_typer(mailbox.app)
app.add_typer(organisation.app)
patient.app.add_typer(patient_contact.app)
app.add_typer(patient.app)
app.add_typer(professional.app)
app.add_typer(queue.app)
app.add_typer(smime.app)
app.add_typer(systemd.app)
app.add_typer(trust.app)
app.command()(indicators.indicators)
app.command()(init.init)
app.command()(reload.reload)
app.command()(serve.serve)
app.command()(trace.trace)

_EXPECTED: Final = (
    CommandFailed,
    Duplicate,
    Unknown,
    RegistrationError,
    InsError,
    IdentifierError,
    Refusal,
    KeyUnavailable,
    StartFailed,
    Unreadable,
    WhiteListRefused,
    WrongVersion,
)
"""What a command may run into; each message is written for the person who typed it."""


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
    except SettingsError as error:
        for problem in error.problems:
            fail(f"{error.path}: {problem}")
        sys.exit(FAILED)
    except _EXPECTED as error:
        fail(str(error))
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
