"""What ``dmp check`` says about a file: a document or an archive, its fields and its problems."""

import re
from collections.abc import Iterable
from typing import Final

from mssante.dmp.model import Listing, listing_of
from mssante.filing.archive import DELETE, ArchivedDocument, open_archive
from mssante.filing.causes import DETAILS
from mssante.filing.limits import InspectLimits
from mssante.wire.cda.embedded import EmbeddedFile, look_inside
from mssante.wire.cda.model import ClinicalDocument, Outline
from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.cda.reader import NotClinicalDocument, read_document, read_outline
from mssante.wire.cda.rules import problems_of
from mssante.wire.xdm.model import XdmLimits
from mssante.wire.xdm.reader import NotXdm
from mssante.wire.xdm.unzip import MAGIC, ArchiveRefused, ZipLimits
from mssante.wire.xds.entry import code_problems, entry_from_cda
from mssante.wire.xds.model import EntryMetadata
from mssante.wire.xml import XmlLimits, XmlRefused

FILE_LIMIT: Final = 100_000_000
_VERSION: Final = re.compile(r"[0-9]{1,9}\Z")
"""A versionNumber that is shown as a number; a longer one stays the text that the sender wrote."""
_LIMITS: Final = InspectLimits(
    document_bytes=FILE_LIMIT,
    embedded_bytes=FILE_LIMIT,
    archive=XdmLimits(
        files=ZipLimits(members=10_000, total_bytes=5 * FILE_LIMIT),
        metadata=XmlLimits(size=FILE_LIMIT, nodes=5_000_000, attributes=5_000_000, depth=30),
        documents=10_000,
    ),
)
"""Wider than for a message: a whole record may have been exported into one archive."""


def document_record(
    metadata: EntryMetadata, listing: Listing, status: str | None, matricule: str | None
) -> dict[str, object]:
    """A document as the contract with scripts has it."""
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


def check_content(content: bytes) -> dict[str, object]:
    """What `check` says about the bytes of a file."""
    return _check_archive(content) if content.startswith(MAGIC) else _check_document(content)


def _check_document(content: bytes) -> dict[str, object]:
    try:
        document = read_document(content)
    except XmlRefused as refusal:
        return _not_read(Problem(Severity.ERROR, f"xml-{refusal.word}", refusal.where, "not read"))
    except NotClinicalDocument as refusal:
        return _not_read(Problem(Severity.ERROR, "not-cda", "", str(refusal)))
    checked = _checked(
        content, document, entry_from_cda(document, content), look_inside(document.body, FILE_LIMIT)
    )
    return {"kind": "cda", "documents": [checked], "problems": []}


def _check_archive(content: bytes) -> dict[str, object]:
    try:
        opened = open_archive(content, _LIMITS)
    except ArchiveRefused as refusal:
        problem = Problem(Severity.ERROR, refusal.word, refusal.where, DETAILS[refusal.word][1])
        return {"kind": "xdm", "documents": [], "problems": _described([problem])}
    except NotXdm as refusal:
        problem = Problem(Severity.ERROR, "not-xdm", "", str(refusal))
        return {"kind": "xdm", "documents": [], "problems": _described([problem])}
    documents = [_check_archived(one) for one in opened.documents]
    return {"kind": "xdm", "documents": documents, "problems": _described(opened.problems)}


def _check_archived(one: ArchivedDocument) -> dict[str, object]:
    judged, problems = one.judged, list(one.problems)
    if one.action == DELETE:
        text = "the sender asks to delete the document"
        problems.append(Problem(Severity.NOTE, "action-delete", "", text))
    if judged.document is None or judged.metadata is None:
        if judged.fault is not None:
            text = DETAILS[judged.fault][1]
            problems.append(Problem(Severity.ERROR, judged.fault, "", text))
        return {"problems": _described(problems)}
    return _checked(one.content, judged.document, judged.metadata, judged.embedded, problems)


def _not_read(problem: Problem) -> dict[str, object]:
    """A file that is no clinical document that we read: its fault is also the document's."""
    problems = _described([problem])
    return {"kind": "cda", "documents": [{"problems": problems}], "problems": problems}


def _checked(
    content: bytes,
    document: ClinicalDocument,
    metadata: EntryMetadata,
    inside: EmbeddedFile | None,
    more: Iterable[Problem] = (),
) -> dict[str, object]:
    patient = document.patient
    traits = {
        "birthName": patient.birth_name,
        "given": patient.given_names or patient.first_given,
        "sex": patient.sex,
        "birthDate": patient.birth_time.iso() if patient.birth_time else None,
    }
    problems = (
        *more,
        *problems_of(document),
        *code_problems(metadata),
        *(inside.problems if inside else ()),
    )
    listing = listing_of(document, metadata.type_code.display)
    matricule = patient.ins.extension if patient.ins else None
    return document_record(metadata, listing, None, matricule) | {
        "patientTraits": traits,
        "level": document.body.level,
        **_outlined(read_outline(content)),
        "problems": _described(problems),
    }


def _outlined(outline: Outline) -> dict[str, object]:
    """What is in a structured body; nothing for a file of level 1."""
    return {
        "sections": [
            {
                "level": section.level,
                "code": section.code.code if section.code else None,
                "title": section.title,
            }
            for section in outline.sections
        ],
        "entries": outline.entries,
        "media": [media.media_type for media in outline.media],
    }


def _described(problems: Iterable[Problem]) -> list[dict[str, object]]:
    return [
        {"severity": one.severity.value, "code": one.code, "where": one.where, "text": one.text}
        for one in problems
    ]
