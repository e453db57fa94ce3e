"""An archive with its documents read and compared: METADATA.XML is believed only where it must be.

The document says what it is; its metadata are computed from it as for one that comes alone, and what
the producer wrote otherwise is a warning. Two things only the sender can say, and they are obeyed: who
must not see the document (confidentialityCode), and that it replaces or deletes (action). Two things
must agree, or nothing of the archive is used: the bytes (hash and size, `wire.xdm.reader`) and the
patient.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from mssante.filing.judge import Judged, judge, text_length
from mssante.filing.limits import InspectLimits
from mssante.filing.match import named_matricules
from mssante.filing.visibility import flags_of, with_flags
from mssante.kernel.ins import INS_OIDS
from mssante.wire.cda.model import Patient, Private
from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.xdm.model import XdmArchive, XdmDocument
from mssante.wire.xdm.reader import read_archive
from mssante.wire.xdm.unzip import ArchiveRefused
from mssante.wire.xds.hl7 import cx_parts
from mssante.wire.xds.model import EntryMetadata, SubmissionSet

DELETE: Final = "D"
REPLACE: Final = "C"

_TEXTS: Final = {
    "patient-differs": "the metadata name another patient than the document",
    "patients-mixed": "the archive is about more than one patient",
    "patient-missing": "the metadata name no patient",
    "patient-authority": "the metadata name another authority of the INS than the document",
    "metadata-differs": "the metadata differ from the document, which is trusted",
    "action-unknown": "the action is neither C nor D",
    "replaced-missing": "the action is C, but the document does not say what it replaces",
}


@dataclass(frozen=True, slots=True, repr=False)
class ArchivedDocument(Private):
    """One DocumentEntry with what its file turned out to be."""

    subset: int
    """From 0."""
    content: bytes
    """Empty where the archive has no such file."""
    judged: Judged
    """Its metadata are computed from the document, with the sender's flags added."""
    flags: frozenset[str]
    """The sender's."""
    action: str | None
    recomputed: bool
    """The producer's metadata differ from the document."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, repr=False)
class OpenedArchive(Private):
    """Everything that filing needs to know of an archive."""

    documents: tuple[ArchivedDocument, ...]
    submission_sets: tuple[SubmissionSet | None, ...]
    """By subset."""
    named: tuple[frozenset[str], ...]
    """The matricules that each patientId and each document names; a person is not left out."""
    problems: tuple[Problem, ...]
    """Of the archive and its subsets; those of documents stand with them."""
    refusal: str | None
    """Why nothing of it is to be filed: a word of `filing.causes.DETAILS`."""

    @property
    def flags(self) -> frozenset[str]:
        """Of any document."""
        return frozenset[str]().union(*(one.flags for one in self.documents))


def open_archive(content: bytes, limits: InspectLimits) -> OpenedArchive:
    """Read an archive and each document in it.

    Raises:
        ArchiveRefused: it cannot be read safely, or has no readable metadata.
        NotXdm: it is another kind of ZIP file.
    """
    archive = read_archive(content, limits.archive)
    sets = tuple(subset.submission_set for subset in archive.subsets)
    if any(lot and text_length(lot) > limits.metadata_characters for lot in sets):
        raise ArchiveRefused("metadata-too-large")
    documents = tuple(
        _archived(document, number, lot, limits)
        for number, (subset, lot) in enumerate(zip(archive.subsets, sets, strict=True))
        for document in subset.documents
    )
    named = tuple(_named(archive, documents))
    problems = [
        *archive.problems,
        *(problem for subset in archive.subsets for problem in subset.problems),
    ]
    if named and not frozenset.intersection(*named):
        problems.append(_problem(Severity.ERROR, "patients-mixed", ""))
    # What differs within one document explains more than that two persons are named.
    errors = [
        problem.code
        for problem in (*(p for one in documents for p in one.problems), *problems)
        if problem.severity is Severity.ERROR
    ]
    return OpenedArchive(documents, sets, named, tuple(problems), next(iter(errors), None))


def _archived(
    one: XdmDocument, subset: int, lot: SubmissionSet | None, limits: InspectLimits
) -> ArchivedDocument:
    received = one.received.metadata
    judged = judge(one.content, limits) if one.content is not None else Judged()
    problems = list(one.problems)
    recomputed = False
    if judged.document is not None and judged.metadata is not None:
        subject = judged.document.patient
        stated = [received.patient_id or "", lot.patient_id if lot else ""]
        problems += _patient_problems(stated, subject, one.where)
        differences = list(_differences(received, judged.metadata))
        recomputed = bool(differences)
        problems += [
            _problem(Severity.WARNING, "metadata-differs", f"{one.where}, {name}")
            for name in differences
        ]
        problems += _action_problems(one, replaces=bool(judged.document.replaced_ids))
        judged = replace(judged, metadata=with_flags(judged.metadata, received.confidentiality))
    return ArchivedDocument(
        subset=subset,
        content=one.content or b"",
        judged=judged,
        flags=flags_of(received.confidentiality),
        action=one.received.action,
        recomputed=recomputed,
        problems=tuple(problems),
    )


def _action_problems(one: XdmDocument, *, replaces: bool) -> Iterator[Problem]:
    action = one.received.action
    if action == REPLACE and not replaces:
        yield _problem(Severity.WARNING, "replaced-missing", one.where)
    if action not in (None, REPLACE, DELETE):
        yield _problem(Severity.WARNING, "action-unknown", one.where)


def _patient_problems(stated: list[str], subject: Patient, where: str) -> Iterator[Problem]:
    """Whether each patientId is the document's patient. A document without INS names nobody: it is
    held for that.
    """
    matricules = named_matricules(subject)
    if not stated[0]:
        yield _problem(Severity.WARNING, "patient-missing", where)
    for text in filter(None, stated):
        number, authority = cx_parts(text)
        if authority in INS_OIDS or not authority:
            same = not matricules or _matricule(number) in matricules
        else:
            own = {(found.extension, found.root) for found in subject.other_ids}
            same = (number, authority) in own
        if not same:
            yield _problem(Severity.ERROR, "patient-differs", where)
        elif matricules and authority not in {found.root for found in subject.ids}:
            yield _problem(Severity.WARNING, "patient-authority", where)


def _named(
    archive: XdmArchive, documents: tuple[ArchivedDocument, ...]
) -> Iterator[frozenset[str]]:
    for subset in archive.subsets:
        stated = [one.received.metadata.patient_id for one in subset.documents]
        if subset.submission_set is not None:
            stated.append(subset.submission_set.patient_id)
        for text in filter(None, stated):
            number, authority = cx_parts(text)
            if authority in INS_OIDS:
                yield frozenset((_matricule(number),))
    for document in documents:
        if document.judged.document is not None:
            matricules = named_matricules(document.judged.document.patient)
            if matricules:
                yield matricules


def _matricule(text: str) -> str:
    return text.replace(" ", "").upper()


def _differences(received: EntryMetadata, computed: EntryMetadata) -> Iterator[str]:
    """The names of metadata that the producer wrote otherwise, or left out.

    Labels are not compared, nor is the title, which is for people; nor are names of persons.
    """
    for name in ("unique_id", "creation_time", "service_start", "language"):
        if (getattr(received, name) or "") != (getattr(computed, name) or ""):
            yield _XDS_NAMES[name]
    for name in ("class_code", "type_code", "format_code", "facility_type", "practice_setting"):
        one, other = getattr(received, name), getattr(computed, name)
        if (one.code if one else "") != (other.code if other else ""):
            yield _XDS_NAMES[name]


_XDS_NAMES: Final = {
    "unique_id": "uniqueId",
    "creation_time": "creationTime",
    "service_start": "serviceStartTime",
    "language": "languageCode",
    "class_code": "classCode",
    "type_code": "typeCode",
    "format_code": "formatCode",
    "facility_type": "healthcareFacilityTypeCode",
    "practice_setting": "practiceSettingCode",
}


def _problem(severity: Severity, code: str, where: str) -> Problem:
    return Problem(severity, code, where, _TEXTS[code])
