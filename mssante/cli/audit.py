"""``mssante audit``: what happened, and whether the record of it is whole."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from mssante.access.audit import AuditKind
from mssante.cli.arguments import config_path
from mssante.cli.instance import Instance, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show, show_all
from mssante.kernel.clock import from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId, parse_id
from mssante.storage import audit, versions
from mssante.storage.audit import AuditLine, ChainReport
from mssante.storage.database import Database
from mssante.storage.layout import SHARED_SCHEMAS
from mssante.storage.versions import Schema

app: Final = typer.Typer(name="audit", help="The audit chains.", no_args_is_help=True)


@app.command(name="show")
def show_entries(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    kind: Annotated[AuditKind | None, typer.Option(help="Only this kind.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only about this mailbox, patient or document (its id).")
    ] = None,
    correlation: Annotated[
        str | None, typer.Option(help="Only this message (the id in its Received field).")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"])
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the newest entries of all chains, newest first."""
    wanted: dict[str, Any] = {
        "limit": limit,
        "kind": kind,
        "subject": _id(subject),
        "correlation": _id(correlation),
        "since": to_milliseconds(since.astimezone()) if since else None,
    }
    lines: list[AuditLine] = []
    with open_instance(config_path(ctx)) as instance:
        for name, schema, database in chains(instance):
            lines += _entries(instance, name, schema, database, wanted)
    lines.sort(key=lambda line: (line.at, line.sequence), reverse=True)
    described = [_described(line) for line in lines[:limit]]
    columns = ("time", "database", "kind", "action", "outcome", "subject", "correlation")
    show_all(described, columns, as_json=json)


@app.command()
def verify(ctx: typer.Context, json: JsonOption = False) -> None:
    """Recompute every chain; says also what no verification can see."""
    reports: list[ChainReport] = []
    with open_instance(config_path(ctx)) as instance:
        for name, schema, database in chains(instance):
            reports.append(_verified(instance, name, schema, database))
    shown: list[dict[str, object]] = [
        {
            "database": report.database,
            "intact": report.intact,
            "entries": report.entries,
            "head": report.head,
            "erased": report.erased,
            "faults": list(report.faults),
        }
        for report in reports
    ]
    intact = all(report.intact for report in reports)
    if json:
        show({"intact": intact, "chains": shown, "cannotSee": list(audit.CANNOT_SEE)}, as_json=True)
        return
    show_all(shown, ("database", "intact", "entries", "erased", "head", "faults"), as_json=False)
    note("every chain is intact" if intact else "THE AUDIT WAS CHANGED: see the faults above")
    for limit in audit.CANNOT_SEE:
        note(f"  this cannot see {limit}")


def chains(instance: Instance) -> Iterator[tuple[str, Schema, Database]]:
    """Every database that has a chain, the workers' spools included."""
    for schema in SHARED_SCHEMAS:
        yield schema.name, schema, instance.stores.databases[schema.name]
    for slot in instance.stores.layout.slots():
        database = instance.stores.layout.open(versions.SPOOL, slot)
        try:
            yield f"{versions.SPOOL.name}-{slot}", versions.SPOOL, database
        finally:
            instance.run(database.close())


def _entries(
    instance: Instance, name: str, schema: Schema, database: Database, wanted: dict[str, Any]
) -> list[AuditLine]:
    return instance.run(database.read(lambda conn: audit.show(conn, schema.audit, name, **wanted)))


def _verified(instance: Instance, name: str, schema: Schema, database: Database) -> ChainReport:
    return instance.run(database.read(lambda conn: audit.verify(conn, schema.audit, name)))


def _id(text: str | None) -> OpaqueId | None:
    try:
        return None if text is None else parse_id(text)
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _described(line: AuditLine) -> dict[str, object]:
    leaf = {name: value for name, value in line.leaf.items() if name not in {"at", "personal"}}
    return {
        "time": from_milliseconds(line.at).isoformat(timespec="milliseconds"),
        "database": line.database,
        **leaf,
        "personal": line.personal,
    }
