"""Two demo instances that know each other: two operators on one machine."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.output import CommandFailed
from mssante.kernel.clock import SystemClock
from mssante.settings import Settings, SettingsError, load, route_of
from mssante.trust.list_signature import ListPolicy
from mssante.wire.whitelist.model import Listing
from mssante.wire.whitelist.writer import write_white_list

_ROUTES: Final = re.compile(r"^routes = \[.*\]$", re.MULTILINE)
_PATIENTS_ELSEWHERE: Final = re.compile(r"^remote_patient_domains = \[.*\]$", re.MULTILINE)
_SETTINGS: Final = "mssante.toml"


def routes_line(routes: Mapping[str, tuple[str, int]]) -> str:
    """The line of the settings that says where domains' hosts are."""
    written = [f"{domain}={host}:{port}" for domain, (host, port) in routes.items()]
    return f"routes = {json.dumps(written)}"


def check_neighbour(directory: Path, domain: str | None) -> None:
    """Refuse before anything is made.

    Raises:
        CommandFailed: there is no demo instance, or it has the same domain.
    """
    try:
        settings = load(directory / _SETTINGS)
    except SettingsError as error:
        raise CommandFailed(f"--beside: {error}") from None
    if not settings.operator.sandbox or not _ROUTES.search(settings.file.read_text()):
        raise CommandFailed(f"--beside: {directory} is not a demo instance")
    if domain is None or domain.lower() == settings.operator.domain:
        raise CommandFailed(
            f"--beside: the new operator needs a domain of its own (--domain); "
            f"{settings.operator.domain} is that of {directory}"
        )


def introduce(first: Path, second: Path) -> None:
    """Make two operators known to each other: authorities, white list, routes.

    Args:
        first: settings file of one.
        second: settings file of the other. The servers read what changed at their next start.
    """
    one, other = load(first), load(second)
    roots = [each.tls.peer_ca.read_text() for each in (one, other)]
    for settings, theirs in ((one, roots[1]), (other, roots[0])):
        with settings.tls.peer_ca.open("a") as peers:
            peers.write(theirs)
    for settings, theirs_too in ((one, other), (other, one)):
        _add_routes(settings, theirs_too)
        _add_patients(settings, theirs_too)
    with open_instance(first) as here, open_instance(second) as there:
        listings = [listing for instance in (here, there) for listing in _listings(instance)]
        unique = {(each.domain, each.operator): each for each in listings}
        content = write_white_list(SystemClock().now(), list(unique.values()))
        for instance in (here, there):
            by = act("init --beside")
            instance.run(instance.white_list.replace(content, by, ListPolicy()))


def _listings(instance: Instance) -> tuple[Listing, ...]:
    found = instance.run(instance.white_list.white_list())
    return found.listings if found is not None else ()


def patients_elsewhere_line(domains: Sequence[str]) -> str:
    """The line of the settings that names the domains of other operators' patients."""
    return f"remote_patient_domains = {json.dumps(list(domains))}"


def _add_patients(settings: Settings, other: Settings) -> None:
    """Which domains are the other operator's patients'."""
    known = (*settings.operator.remote_patient_domains, *other.operator.patient_domains)
    line = patients_elsewhere_line(list(dict.fromkeys(known)))
    text = settings.file.read_text()
    settings.file.write_text(_PATIENTS_ELSEWHERE.sub(lambda _: line, text, count=1))


def _add_routes(settings: Settings, other: Settings) -> None:
    """Where the other operator's domains are."""
    routes: dict[str, tuple[str, int]] = {}
    for text in settings.relay.routes:
        route = route_of(text)
        if route is not None:
            routes[route[0]] = route[1:]
    operator = other.operator
    for domain in (operator.domain, *operator.patient_domains):
        routes[domain] = ("127.0.0.1", other.listeners.smtp.port)
    text = settings.file.read_text()
    settings.file.write_text(_ROUTES.sub(lambda _: routes_line(routes), text, count=1))
