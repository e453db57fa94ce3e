"""``mssante dmp``: filed documents, held documents, and a look into a file without filing it.

What shows clinical content asks for ``--reason`` (not in a sandbox) and leaves a trace that the
patient sees. `check` needs no instance.
"""

import getpass
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from mssante.access.audit import AuditEntry, AuditKind
from mssante.cli.instance import Instance, config_path, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show, show_all
from mssante.cli.patient import OidOption, by_ins
from mssante.dmp.model import Entry, HeldDocument, Listing, listing_of
from mssante.filing.causes import DETAILS, WORDS
from mssante.kernel.clock import from_milliseconds
from mssante.kernel.opaque import OpaqueId, id_text, parse_id
from mssante.storage.audit import StoredAuditLog
from mssante.wire.cda.embedded import look_inside
from mssante.wire.cda.model import ClinicalDocument
from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.cda.reader import NotClinicalDocument, read_document
from mssante.wire.xds.entry import code_problems, entry_from_cda
from mssante.wire.xds.model import EntryMetadata
from mssante.wire.xml import XmlRefused

app: Final = typer.Typer(name="dmp", help="The patients' shared documents.", no_args_is_help=True)
held_app: Final = typer.Typer(
    name="held", help="Documents that wait for a person.", no_args_is_help=True
)
app.add_typer(held_app)

_FILE_LIMIT: Final = 100_000_000
_VERSION: Final = re.compile(r"[0-9]{1,9}\Z")
"""A versionNumber that is shown as a number; a longer one stays the text that the sender wrote."""
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")

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
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from None
    checked = check_content(content)
    if json:
        show(checked, as_json=True)
    else:
        _show_check(checked)


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
    return _record(entry.metadata, entry.listing, entry.status.value, matricule)


def _record(
    metadata: EntryMetadata, listing: Listing, status: str | None, matricule: str | None
) -> dict[str, object]:
    version = listing.version or ""
    return {
        "uniqueId": metadata.unique_id,
        "setId": listing.set_id,
        "version": int(version) if _VERSION.match(version) else listing.version,
        "status": status,
        "typeCode": listing.type_code,
        "typeDisplay": listing.type_display,
        "title": metadata.title,
        "creationTime": listing.creation_time,
        "authorId": listing.author_id,
        "authorName": listing.author_name,
        "mimeType": metadata.mime_type,
        "size": metadata.size,
        "hash": metadata.hash,
        "patient": matricule,
    }


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


def check_content(content: bytes) -> dict[str, object]:
    """What `check` says about the bytes of a file."""
    if content.startswith(_ZIP):
        text = "archives are not read yet: check the documents inside one by one"
        problem = Problem(Severity.ERROR, "archive-unsupported", "", text)
        return {"kind": "xdm", "documents": [], "problems": _described([problem])}
    try:
        document = read_document(content)
    except XmlRefused as refusal:
        return _not_read(Problem(Severity.ERROR, f"xml-{refusal.word}", refusal.where, "not read"))
    except NotClinicalDocument as refusal:
        return _not_read(Problem(Severity.ERROR, "not-cda", "", str(refusal)))
    return {"kind": "cda", "documents": [_checked(document, content)], "problems": []}


def _not_read(problem: Problem) -> dict[str, object]:
    """A file that is no clinical document that we read: its fault is also the document's."""
    problems = _described([problem])
    return {"kind": "cda", "documents": [{"problems": problems}], "problems": problems}


def _checked(document: ClinicalDocument, content: bytes) -> dict[str, object]:
    metadata = entry_from_cda(document, content)
    inside = look_inside(document.body, _FILE_LIMIT)
    patient = document.patient
    traits = {
        "birthName": patient.birth_name,
        "given": patient.given_names or patient.first_given,
        "sex": patient.sex,
        "birthDate": patient.birth_time.iso() if patient.birth_time else None,
    }
    problems = (
        *document.problems,
        *code_problems(metadata),
        *(inside.problems if inside else ()),
    )
    listing = listing_of(document, metadata.type_code.display)
    matricule = patient.ins.extension if patient.ins else None
    return _record(metadata, listing, None, matricule) | {
        "patientTraits": traits,
        "level": document.body.level,
        "problems": _described(problems),
    }


def _described(problems: Iterable[Problem]) -> list[dict[str, object]]:
    return [
        {"severity": one.severity.value, "code": one.code, "where": one.where, "text": one.text}
        for one in problems
    ]


def _show_check(checked: dict[str, object]) -> None:
    documents = checked["documents"]
    problems = checked["problems"]
    assert isinstance(documents, list)
    assert isinstance(problems, list)
    for document in documents:
        show({name: value for name, value in document.items() if name != "problems"}, as_json=False)
        problems = problems or document["problems"]
    if problems:
        show_all(problems, ("severity", "code", "where", "text"), as_json=False)
    else:
        note("no problem found")


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
