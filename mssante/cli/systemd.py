"""``mssante systemd``: the unit that runs an instance under systemd."""

import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.output import note
from mssante.settings import Listener, Listeners, Settings, load

app: Final = typer.Typer(name="systemd", help="The service's unit.", no_args_is_help=True)

_PRIVILEGED: Final = 1024
_HOMES: Final = ("/home", "/root", "/run/user")


@app.command(name="print")
def print_unit(
    ctx: typer.Context,
    user: Annotated[
        str, typer.Option(help="The account that owns the instance's files.")
    ] = "mssante",
) -> None:
    """Print a hardened unit for this instance, for /etc/systemd/system/mssante.service."""
    settings = load(config_path(ctx))
    print(unit_of(settings, user, program()), end="")
    note("then: systemctl daemon-reload; systemctl enable --now mssante")


def program() -> Path:
    """The `mssante` command beside the interpreter that runs now."""
    return Path(sys.executable).parent / "mssante"


def unit_of(settings: Settings, user: str, command: Path) -> str:
    """The text of the unit.

    Args:
        settings: of the instance; its paths and ports shape the sandbox.
        user: account and group.
        command: the program.
    """
    capabilities = "CAP_NET_BIND_SERVICE" if _needs_low_port(settings) else ""
    written = [settings.storage.directory, settings.workers.run_directory]
    at_home = str(settings.directory).startswith(_HOMES) or str(command).startswith(_HOMES)
    with_database = bool(settings.storage.database_url)
    lines = [
        "[Unit]",
        f"Description=mssante, secure health mail of {settings.operator.domain}",
        "Wants=network-online.target",
        f"After=network-online.target{' postgresql.service' if with_database else ''}",
        "",
        "[Service]",
        "Type=notify",
        f"User={user}",
        f"Group={user}",
        f"ExecStart={_quoted(command)} serve -c {_quoted(settings.file)}",
        "# Checks the files first: what is broken fails here, and changes nothing.",
        f"ExecReload={_quoted(command)} reload -c {_quoted(settings.file)}",
        *(["EnvironmentFile=-/etc/mssante/environment"] if with_database else []),
        "Restart=always",
        "RestartSec=2",
        "# A start may have to read a long journal; a stop waits for sessions and deliveries.",
        "TimeoutStartSec=600",
        f"TimeoutStopSec={settings.workers.stop_seconds + 10}",
        "WatchdogSec=60",
        "# The supervisor stops its workers in order; only what is left is killed.",
        "KillMode=mixed",
        "UMask=0077",
        "LimitNOFILE=65536",
        "",
        "# What it may do",
        f"AmbientCapabilities={capabilities}",
        f"CapabilityBoundingSet={capabilities}",
        "NoNewPrivileges=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "# Not MemoryDenyWriteExecute: the library of the operators' TLS makes functions as it runs.",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "# A worker with much to do chooses longer turns on the processor; real time stays forbidden.",
        "SystemCallFilter=sched_setscheduler",
        "SystemCallErrorNumber=EPERM",
        "",
        "# What it may see",
        "ProtectSystem=strict",
        *[f"ReadWritePaths={_quoted(path)}" for path in dict.fromkeys(written)],
        *([] if at_home else ["ProtectHome=yes"]),
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "RemoveIPC=yes",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _needs_low_port(settings: Settings) -> bool:
    """Whether a port is asked for that only a privileged process may bind."""
    listeners: list[Listener] = [
        getattr(settings.listeners, each.name) for each in fields(Listeners)
    ]
    return any(each.enabled and each.port < _PRIVILEGED for each in listeners)


def _quoted(path: Path) -> str:
    """A path as a unit file takes it: systemd.syntax(7), with ``%`` and ``$`` doubled."""
    text = str(path).replace("%", "%%").replace("$", "$$")
    return shlex.quote(text)
