"""``mssante dmp``: filed documents, held documents, archives, and a look into a file.

What shows clinical content asks for ``--reason`` (not in a sandbox) and leaves a trace that the
patient sees. `check` needs no instance.
"""

import getpass
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.access.audit import AuditEntry, AuditKind
from mssante.cli.arguments import config_path
from mssante.cli.dmp_check import FILE_LIMIT, check_content, document_record
from mssante.cli.dmp_export import exported, write_private
from mssante.cli.instance import Instance, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show, show_all
from mssante.cli.patient_choice import OidOption, by_ins
from mssante.dmp.model import Entry, HeldDocument
from mssante.filing.causes import DETAILS, WORDS
from mssante.kernel.clock import from_milliseconds
from mssante.kernel.opaque import OpaqueId, id_text, new_id, parse_id
from mssante.storage.audit import StoredAuditLog
from mssante.storage.files import read_file
from mssante.wire.xdm.writer import ArchiveTooLarge
from mssante.wire.xds.model import AvailabilityStatus

app: Final = typer.Typer(name="dmp", help="The patients' shared documents.", no_args_is_help=True)
held_app: Final = typer.Typer(
    name="held", help="Documents that wait for a person.", no_args_is_help=True
)
app.add_typer(held_app)

ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Why you look; the patient can read it.")
]


@app.command(name="list")
def list_documents(
    ctx: typer.Context,
    patient: Annotated[
        str, typer.Option("--patient", help="INS; - reads standard input, @FILE a file.")
    ],
    ins_oid: OidOption = None,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> None:
    """List a patient's documents, all versions, newest first."""
    with open_instance(config_path(ctx)) as instance:
        found = by_ins(instance, patient, ins_oid)
        _leave_trace(instance, "dmp list", reason, found.id)
        entries = instance.run(instance.documents.entries_of(found.id))
    matricule = found.ins.matricule if found.ins else None
    records = [entry_record(entry, matricule) for entry in entries]
    columns = ("creationTime", "typeDisplay", "title", "authorName", "version", "status")
    show_all(records, columns, as_json=json)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A CDA document or an XDM archive.")],
    json: JsonOption = False,
) -> None:
    """Read a file and say what is wrong with it, without filing it."""
    checked = check_content(read_file(file, FILE_LIMIT))
    if json:
        show(checked, as_json=True)
    else:
        _show_check(checked)


@app.command()
def export(
    ctx: typer.Context,
    patient: Annotated[
        str, typer.Option("--patient", help="INS; - reads standard input, @FILE a file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The archive; an older one is replaced.")],
    ins_oid: OidOption = None,
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> None:
    """Write a patient's current documents into an XDM archive."""
    with open_instance(config_path(ctx)) as instance:
        found = by_ins(instance, patient, ins_oid)
        operator = instance.settings.operator
        if not operator.oid_arc:
            raise CommandFailed("an archive names its source: set operator.oid_arc")
        _leave_trace(instance, "dmp export", reason, found.id)
        documents = _current_documents(instance, found.id)
        if not documents:
            raise CommandFailed("the patient has no current document")
        try:
            archive = exported(
                documents,
                set_id=new_id(),
                source_id=f"{operator.oid_arc}.1",
                operator=operator.name or operator.domain,
                at=instance.stores.clock.now(),
            )
            write_private(out, archive)
        except ArchiveTooLarge as error:
            raise CommandFailed(str(error)) from None
        except OSError as error:
            raise CommandFailed(f"cannot write {out}: {error.strerror}") from None
    show({"file": str(out), "documents": len(documents), "size": len(archive)}, as_json=json)


@held_app.command(name="list")
def list_held(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    json: JsonOption = False,
) -> None:
    """List held documents, newest first; patients appear under their pseudonym."""
    with open_instance(config_path(ctx)) as instance:
        records = [
            held_record(held, _pseudonym(instance, held))
            for held in instance.run(instance.documents.held(limit))
        ]
    columns = ("id", "heldAt", "code", "cause", "detail", "patient")
    show_all(records, columns, as_json=json)


@held_app.command(name="show")
def show_held(
    ctx: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="From dmp held list.")],
    reason: ReasonOption = None,
    json: JsonOption = False,
) -> None:
    """Show a held document: why it is held, and what it says about itself."""
    with open_instance(config_path(ctx)) as instance:
        held_id = _parsed(identifier)
        held = instance.run(instance.documents.held_document(held_id))
        content = instance.run(instance.documents.held_content(held_id))
        if held is None or content is None:
            raise CommandFailed("no held document has this id: see mssante dmp held list")
        _leave_trace(instance, "dmp held show", reason, held.patient_id)
        record = held_record(held, _pseudonym(instance, held))
    show(record | {"content": check_content(content)}, as_json=json)


def entry_record(entry: Entry, matricule: str | None) -> dict[str, object]:
    """A filed document as the contract with scripts has it."""
    return document_record(entry.metadata, entry.listing, entry.status.value, matricule)


def held_record(held: HeldDocument, pseudonym: str | None) -> dict[str, object]:
    """A held document for a listing."""
    words = WORDS.get(held.cause)
    detail = DETAILS.get(held.detail)
    return {
        "id": id_text(held.id),
        "heldAt": from_milliseconds(held.at).isoformat(),
        "code": words.code if words else None,
        "cause": held.cause,
        "reason": words.english if words else None,
        "detail": detail[1] if detail else held.detail or None,
        "uniqueId": held.unique_id or None,
        "patient": pseudonym,
        "sender": id_text(held.sender_id) if held.sender_id else None,
        "message": id_text(held.key.spool_id),
        "document": held.key.index + 1,
        "size": held.size,
    }


def _show_check(checked: dict[str, object]) -> None:
    documents = checked["documents"]
    problems = checked["problems"]
    assert isinstance(documents, list)
    assert isinstance(problems, list)
    for document in documents:
        show({name: value for name, value in document.items() if name != "problems"}, as_json=False)
        problems = problems + [one for one in document["problems"] if one not in problems]
    if problems:
        show_all(problems, ("severity", "code", "where", "text"), as_json=False)
    else:
        note("no problem found")


def _current_documents(instance: Instance, patient_id: OpaqueId) -> list[tuple[Entry, bytes]]:
    """A patient's Approved documents with their bytes, newest first."""
    documents = []
    for entry in instance.run(instance.documents.entries_of(patient_id)):
        if entry.status is AvailabilityStatus.APPROVED:
            content = instance.run(instance.documents.content(entry.id))
            if content is None:
                raise CommandFailed("a document was removed meanwhile: try again")
            documents.append((entry, content))
    return documents


def _parsed(identifier: str) -> OpaqueId:
    try:
        return parse_id(identifier)
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _pseudonym(instance: Instance, held: HeldDocument) -> str | None:
    if held.patient_id is None:
        return None
    patient = instance.run(instance.directory.patient(held.patient_id))
    return instance.pseudonyms.of(patient.ins.matricule) if patient and patient.ins else None


def _leave_trace(
    instance: Instance, command: str, reason: str | None, patient_id: OpaqueId | None
) -> None:
    """Record a consultation in the DMP's audit, before anything is shown.

    Raises:
        CommandFailed: no reason, outside a sandbox.
    """
    if reason is None and not instance.sandbox:
        raise CommandFailed("say why with --reason: the patient can read it")
    personal = {"user": getpass.getuser()} | ({"reason": reason} if reason else {})
    log = StoredAuditLog(instance.stores.databases["dmp"], instance.stores.clock)
    entry = AuditEntry(
        AuditKind.CONSULTATION, command, "done", subject=patient_id, personal=personal
    )
    instance.run(log.record(entry))
