"""``mssante reload``: make a running server load its certificates again."""

import os
import signal

import typer

from mssante.cli.arguments import config_path
from mssante.cli.output import CommandFailed, note
from mssante.settings import load
from mssante.storage import trust_files


def reload(ctx: typer.Context) -> None:
    """Load certificates, keys, authorities and revocation lists again, without a restart."""
    settings = load(config_path(ctx))
    trust_files.check_files(settings)
    try:
        number = int((settings.workers.run_directory / "mssante.pid").read_text())
        os.kill(number, signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError):
        raise CommandFailed("the server is not running") from None
    except (ValueError, OSError) as error:
        raise CommandFailed(f"the server cannot be told: {error}") from None
    note("the server was told; its log says what it has loaded")
