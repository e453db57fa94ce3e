"""``mssante domain``: the mail domains that this operator serves."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import act, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show, show_all
from mssante.clients.dns.records import Lookup, LookupFailed
from mssante.composition.public_addresses import mail_service, public_address
from mssante.directory.model import Domain
from mssante.settings import Settings
from mssante.trust.dkim_keys import DkimKey, read_dkim_key
from mssante.wire.autoconfig.records import NOT_OFFERED, Record, records_of, signing_key

app: Final = typer.Typer(name="domain", help="Mail domains of this operator.", no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    patients: Annotated[
        bool, typer.Option("--patients", help="Its addresses are <INS>@NAME.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Serve a domain."""
    with open_instance(config_path(ctx)) as instance:
        registration = instance.registration
        created = instance.run(
            registration.domain(name, patients=patients, act=act("domain create"))
        )
    show(_described(created), as_json=json)


@app.command(name="list")
def list_domains(ctx: typer.Context, json: JsonOption = False) -> None:
    """List the domains."""
    with open_instance(config_path(ctx)) as instance:
        domains = instance.run(instance.directory.list_domains())
    show_all([_described(each) for each in domains], ("name", "patients"), as_json=json)


@app.command()
def dkim(ctx: typer.Context, name: str, json: JsonOption = False) -> None:
    """Show the DKIM record to publish for a domain: other operators check signatures with it."""
    with open_instance(config_path(ctx)) as instance:
        settings = instance.settings
        served = {domain.name for domain in instance.run(instance.directory.list_domains())}
    if name.lower() not in served:
        raise CommandFailed("this operator does not serve that domain: see mssante domain list")
    key = _dkim_key(settings)
    if key is None:
        raise CommandFailed(f"there is no DKIM key: {settings.relay.dkim_key} is missing")
    record = {
        "name": f"{settings.relay.dkim_selector}._domainkey.{name.lower()}",
        "type": "TXT",
        "value": key.record,
    }
    show(record, as_json=json)


@app.command()
def dns(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[DOMAIN]", help="By default each that is served.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look each record up, and say what differs.")
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS[:PORT]", help="Whom --check asks; by default the resolver."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the DNS records to publish, as lines of a zone file."""
    with open_instance(config_path(ctx)) as instance:
        served = instance.run(instance.directory.list_domains())
        settings = instance.settings
    domains = [each for each in served if name is None or each.name == name.lower()]
    if not domains:
        raise CommandFailed(f"{name} is not served here: see mssante domain list")
    key = _dkim_key(settings)
    records = [record for domain in domains for record in _records(settings, domain, key)]
    shown = [_recorded(record) for record in records]
    if check:
        found = asyncio.run(_looked_up(records, server))
        shown = [{**line, **answer} for line, answer in zip(shown, found, strict=True)]
    if json:
        show_all(shown, (), as_json=True)
    elif check:
        show_all(shown, ("name", "type", "value", "state", "found"), as_json=False)
    else:
        for record in records:
            print(f"{record.line():<78} ; {record.need.value}: {record.note}")
    for text in _notes(settings, key, check=check):
        note(text)


def _dkim_key(settings: Settings) -> DkimKey | None:
    try:
        return read_dkim_key(settings.relay.dkim_key)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the DKIM key cannot be used: {error}") from None


def _records(settings: Settings, domain: Domain, key: DkimKey | None) -> list[Record]:
    listeners = settings.listeners
    records = records_of(
        domain.name,
        mail_service(settings),
        exchanger=public_address(settings, "smtp") if listeners.smtp.enabled else None,
        web=public_address(settings, "https") if listeners.https.enabled else None,
        for_clients=not domain.patients or settings.access.patients_allowed,
    )
    if key is not None:
        records.append(signing_key(domain.name, settings.relay.dkim_selector, key.record))
    return records


def _recorded(record: Record) -> dict[str, object]:
    return {
        "name": record.name,
        "type": record.type,
        "value": record.value,
        "need": record.need.value,
        "note": record.note,
    }


def _notes(settings: Settings, key: DkimKey | None, *, check: bool) -> list[str]:
    web = public_address(settings, "https")
    told = ["the certificate of [tls] must name autoconfig.DOMAIN and autodiscover.DOMAIN, too"]
    if settings.listeners.https.enabled and web.port != 443:
        told.append(
            f"clients look for autoconfig.DOMAIN at port 443; this listener is at {web.port}"
        )
    if key is None:
        told.append("no DKIM record: [relay] dkim_key is missing, and mail goes out unsigned")
    if not check:
        told += [
            "no MTA-STS or TLSA: operators believe the white list and certificates, not DNS",
            "leave SPF and DMARC out where the domain also has ordinary mail",
        ]
    return told


async def _looked_up(records: Sequence[Record], server: str | None) -> list[dict[str, object]]:
    try:
        lookup = Lookup() if server is None else Lookup.at(server)
    except ValueError:
        raise CommandFailed(f"{server} is not an address, or an address and a port") from None
    # One after the other: resolvers of small networks drop what comes in a burst.
    return [await _compared(record, lookup) for record in records]


async def _compared(record: Record, lookup: Lookup) -> dict[str, object]:
    """What DNS has, and whether it is what is wanted: ``right``, ``missing``, ``different``,
    ``other`` (more is published beside it) or ``unknown``.
    """
    try:
        found = await lookup.values(record.name, record.type)
        if record.type == "CNAME" and not found:
            # An address of its own serves as well: what counts is where it leads.
            here = await lookup.addresses(record.name)
            target = await lookup.addresses(record.value.rstrip("."))
            if here and here == target:
                return {"state": "right", "found": here}
            found = here
    except LookupFailed as failure:
        return {"state": "unknown", "found": [f"no answer: {failure}"]}
    if record.type == "TXT":
        # A name has texts of many purposes: only those of the same kind are compared.
        # How a long text is cut into strings says nothing (RFC 1035 section 3.3.14).
        kind = record.value.split()[0]
        found = [_joined(each) for each in found if each.startswith(kind)]
    return {"state": _state(record, found), "found": found}


def _state(record: Record, found: Sequence[str]) -> str:
    if not found:
        # What is not offered may as well not be published, but for mail: without MX the domain's
        # own host is tried (RFC 5321 section 5.1).
        is_absence = record.type == "SRV" and record.value.endswith(f" {NOT_OFFERED}")
        return "right" if is_absence else "missing"
    wanted = _joined(record.value) if record.type == "TXT" else record.value.lower()
    if wanted not in found:
        return "different"
    return "right" if len(found) == 1 else "other"


def _joined(text: str) -> str:
    return text.replace('" "', "")


def _described(domain: Domain) -> dict[str, object]:
    return {"id": domain.id.hex(), "name": domain.name, "patients": domain.patients}
