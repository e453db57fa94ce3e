"""``mssante init``: make a self-contained instance in a directory.

The settings file is written last: it is there when everything else is, and durable.
"""

import dataclasses
import json
import os
import socket
import uuid
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.cli import demo_world
from mssante.cli.demo import DemoAccount, RemoteOperator, populate
from mssante.cli.demo_world import MAX_ACCOUNTS, ORGANISATION, REMOTE_OPERATORS
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.neighbours import (
    check_neighbour,
    introduce,
    patients_elsewhere_line,
    routes_line,
)
from mssante.cli.output import CommandFailed, note
from mssante.composition.stores import layout_of
from mssante.kernel.clock import SystemClock
from mssante.settings import Limits, Listeners, Settings, load
from mssante.storage.encryption import create_keys
from mssante.storage.segments import sync_folder
from mssante.trust import pki
from mssante.trust.dkim_keys import new_key_pem
from mssante.trust.list_signature import ListPolicy
from mssante.trust.names import name_of, subject_in
from mssante.trust.path import Purpose
from mssante.wire.whitelist.model import Listing
from mssante.wire.whitelist.writer import write_white_list

DEMO_DOMAIN: Final = "tilleuls.mssante.example"
DEMO_PORT_BASE: Final = 20_000
DEMO_WHITE_LIST: Final = "listeblanchemssante.xml"
_SETTINGS: Final = "mssante.toml"


def init(
    directory: Annotated[Path, typer.Argument(help="Where the instance will live.")],
    domain: Annotated[
        str | None, typer.Option(help="Its first domain; by default the host's own.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="With a synthetic world and DIR/demo.json.")
    ] = False,
    demo_accounts: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_ACCOUNTS - 1000,
            help="With --demo: so many more professionals and patients, and no limit per peer.",
        ),
    ] = 0,
    port_base: Annotated[
        int | None,
        typer.Option(min=0, max=64_000, help="Ports are this plus the standard port."),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="With --demo: the directory of another demo instance, stopped; the two operators "
            "then know each other and exchange mail."
        ),
    ] = None,
) -> None:
    """Make an instance: settings, keys, a private certification authority, databases."""
    for option, given in (("--demo-accounts", demo_accounts), ("--beside", beside)):
        if given and not demo:
            raise typer.BadParameter(f"{option} goes with --demo")
    if beside is not None:
        check_neighbour(beside, domain)
    os.umask(0o077)
    directory = directory.absolute()
    if (directory / _SETTINGS).exists():
        raise CommandFailed(f"{directory} is an instance already: remove it, or choose another")
    name = (domain or (DEMO_DOMAIN if demo else _own_domain())).lower()
    base = port_base if port_base is not None else (DEMO_PORT_BASE if demo else 0)
    text = _settings_text(name, base, demo=demo, unlimited=demo_accounts > 0)
    try:
        settings = _prepare(directory, text)
        remote = _certificates(directory, settings, demo=demo)
    except FileExistsError as error:
        raise CommandFailed(
            f"{error.filename} is there already, from an init that was interrupted: "
            f"remove {directory} and begin again"
        ) from None
    _domains(settings)
    if demo:
        with open_instance(settings.file) as instance:
            accounts = _with_a_client_pair(instance, populate(instance, demo_accounts))
            _import_demo_list(instance, remote)
        _write_demo_json(directory, settings, accounts, remote)
    if beside is not None:
        introduce(settings.file, beside / _SETTINGS)
    (directory / _DRAFT).rename(directory / _SETTINGS)
    _sync_tree(directory)
    note(f"{directory} is ready: mssante serve -c {directory / _SETTINGS}")


_DRAFT: Final = f"{_SETTINGS}.draft"


def _own_domain() -> str:
    full = socket.getfqdn().lower()
    return full if "." in full.strip(".") else f"{full}.localdomain"


def _prepare(directory: Path, text: str) -> Settings:
    """Folders, settings draft, keys and empty databases."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in ("tls", "keys"):
        (directory / folder).mkdir(mode=0o700, exist_ok=True)
    draft = directory / _DRAFT
    draft.unlink(missing_ok=True)
    pki.write_new(draft, text.encode(), mode=0o600)
    settings = load(draft)
    layout = layout_of(settings)
    layout.create_folders()
    create_keys(settings.keys.master_key, layout.instance_keys)
    layout.upgrade()
    return settings


def _certificates(directory: Path, settings: Settings, *, demo: bool) -> list[RemoteOperator]:
    """The private authority, the server's pair and, for a demo, those of other operators."""
    now = SystemClock().now()
    domain = settings.operator.domain
    root = pki.make_root(f"Sandbox root of {domain}", now)
    root.write(directory / "tls" / "ca.pem", directory / "tls" / "ca.key")
    if demo:
        # A file of its own: other operators' authorities come beside ours.
        pki.write_new(settings.tls.peer_ca, (directory / "tls" / "ca.pem").read_bytes(), mode=0o644)
    mailboxes = pki.make_mailbox_authority(root, f"Mailboxes of {domain}", now)
    mailboxes.write(settings.smime.authority_certificate, settings.smime.authority_key)
    for authority, path in (
        (root, directory / "tls" / "ca.crl"),
        (mailboxes, settings.smime.authority_revocation_list),
    ):
        pki.write_new(path, pki.revocation_list(authority, (), 1, now), mode=0o644)
    pki.write_new(settings.relay.dkim_key, new_key_pem(), mode=0o600)
    own = [domain, "localhost", "127.0.0.1", "::1", socket.gethostname().lower()]
    domains = [domain, *settings.operator.patient_domains]
    # Where mail clients look for their settings.
    looked_for = [f"{label}.{each}" for each in domains for label in ("autoconfig", "autodiscover")]
    names = list(dict.fromkeys([*own, *domains, *looked_for]))
    server = pki.issue_server(root, names, now)
    server.write(settings.tls.certificate, settings.tls.key)
    operator = pki.issue_operator(
        root, settings.operator.name or domain, [f"mx.{domain}", *own], now
    )
    operator.write(settings.tls.operator_certificate, settings.tls.operator_key)
    if not demo:
        return []
    remote = directory / "remote"
    remote.mkdir(mode=0o700, exist_ok=True)
    operators = []
    for number, (other, organisation, listed) in enumerate(REMOTE_OPERATORS):
        certificate, key = remote / f"{other}.pem", remote / f"{other}.key"
        credential = pki.issue_operator(root, organisation, [f"mx.{other}"], now)
        credential.write(certificate, key)
        name = name_of(credential.certificate.subject)
        port = settings.listeners.smtp.port + 1 + number
        operators.append(RemoteOperator(other, certificate, key, listed, name, port))
    return operators


def _with_a_client_pair(instance: Instance, accounts: list[DemoAccount]) -> list[DemoAccount]:
    """The last professional of the demo's three signs with a key of his or her own."""
    login = demo_world.PROFESSIONALS[-1].login
    settings = instance.settings
    authority = pki.Credential.read(
        settings.smime.authority_certificate, settings.smime.authority_key
    )
    folder = settings.directory / "clients"
    folder.mkdir(mode=0o700, exist_ok=True)
    made = []
    for account in accounts:
        if account.account.login != login or account.mailbox is None:
            made.append(account)
            continue
        address, name = str(account.mailbox.address), account.account.display_name
        pair = pki.issue_mailbox(authority, address, name, Purpose.SIGN, SystemClock().now())
        certificate, key = folder / f"{login}.pem", folder / f"{login}.key"
        pair.write(certificate, key, chain=(authority.certificate,))
        made.append(dataclasses.replace(account, client_pair=(certificate, key)))
    return made


def _import_demo_list(instance: Instance, remote: list[RemoteOperator]) -> None:
    """A white list with this operator and those of the demo that are listed, kept as a file too."""
    operator = instance.settings.operator
    own = subject_in(instance.settings.tls.operator_certificate.read_bytes())
    listings = [
        Listing(domain, own, "This demo instance")
        for domain in (operator.domain, *operator.patient_domains)
    ]
    listings += [
        Listing(each.domain, each.name, "Another operator of the demo")
        for each in remote
        if each.listed
    ]
    content = write_white_list(SystemClock().now(), listings)
    pki.write_new(instance.settings.directory / DEMO_WHITE_LIST, content, mode=0o600)
    instance.run(instance.white_list.replace(content, act("init --demo"), ListPolicy()))


def _domains(settings: Settings) -> None:
    by = act("init")
    with open_instance(settings.file) as instance:
        registration = instance.registration
        operator = settings.operator
        instance.run(registration.domain(operator.domain, patients=False, act=by))
        for domain in operator.patient_domains:
            instance.run(registration.domain(domain, patients=True, act=by))


def _settings_text(domain: str, base: int, *, demo: bool, unlimited: bool) -> str:
    """The settings of a new instance: only what differs from the defaults."""
    lines = [
        "# Settings of this instance; every key with its default and meaning is in",
        "# config/mssante.toml of the distribution. Check with: mssante config check -c FILE",
        "",
        "[operator]",
        f"domain = {json.dumps(domain)}",
        # 2.25 and a UUID: an arc that needs no registration (ITU-T X.667).
        f'oid_arc = "2.25.{uuid.uuid4().int}"',
    ]
    if demo:
        lines += [
            f'patient_domains = ["patient.{domain}"]',
            patients_elsewhere_line([]),
            f"postmaster = {json.dumps(f'{ORGANISATION[2]}@{domain}')}",
            "# The demo's domains are invented: its clients are on this machine.",
            'public_host = "localhost"',
            "sandbox = true",
        ]
    host = "127.0.0.1" if demo else "*"
    for listener in dataclasses.fields(Listeners):
        port = base + getattr(Listeners(), listener.name).port
        lines += ["", f"[listeners.{listener.name}]", f"port = {port}", f'host = "{host}"']
    if demo:
        routes = {
            other: ("127.0.0.1", base + Listeners().smtp.port + 1 + number)
            for number, (other, _, listed) in enumerate(REMOTE_OPERATORS)
            if listed
        }
        lines += [
            "",
            "[tls]",
            'peer_ca = "tls/peers.pem"',
            "",
            "[smime]",
            'anchors = ["tls/peers.pem"]',
            "",
            "[relay]",
            "# Where other operators of the demo would listen: see demo.json.",
            routes_line(routes),
            "first_retry_seconds = 5",
            "",
            "[access]",
            "patients_allowed = true",
            "# Cheap, so that many synthetic accounts are made and checked quickly.",
            "argon2_memory_kib = 8192",
            "argon2_passes = 1",
            "argon2_lanes = 1",
        ]
    if unlimited:
        names = [f.name for f in dataclasses.fields(Limits) if f.name.endswith("_per_hour")]
        lines += ["", "[limits]", "connections_per_peer = 0", *(f"{name} = 0" for name in names)]
    return "\n".join(lines) + "\n"


def _write_demo_json(
    directory: Path,
    settings: Settings,
    accounts: list[DemoAccount],
    remote: list[RemoteOperator],
) -> None:
    """What an external client needs to log in, send, and play another operator."""
    listeners = settings.listeners
    content = {
        "host": "localhost",
        "ca_file": str(directory / "tls" / "ca.pem"),
        "ports": {
            field.name: getattr(listeners, field.name).port
            for field in dataclasses.fields(Listeners)
        },
        "domain": settings.operator.domain,
        "patient_domain": settings.operator.patient_domains[0],
        "accounts": [account.described() for account in accounts],
        "remote_operators": [operator.described() for operator in remote],
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    pki.write_new(directory / "demo.json", text.encode(), mode=0o600)


def _sync_tree(directory: Path) -> None:
    """Make every file and name under `directory`, and its own, survive a power cut."""
    for folder, _, files in os.walk(directory):
        for name in files:
            descriptor = os.open(Path(folder) / name, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        sync_folder(Path(folder))
    sync_folder(directory.parent)
