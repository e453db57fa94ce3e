"""Which documents are in a message: read step without effect, pure, may run in a thread.

CDA documents attached alone, and those in archives (XDM). A part is judged by its bytes: XML whose
root is ClinicalDocument in urn:hl7-org:v3, or a ZIP file with IHE_XDM, under any of the types that
senders use for them. Other XML and other ZIP files are left alone, and so is a PDF beside: it is the
readable copy. What stands inside an attached message was sent to somebody else at another time, and is
left alone too.
"""

import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mssante.filing.archive import DELETE, ArchivedDocument, OpenedArchive, open_archive
from mssante.filing.causes import Cause
from mssante.filing.judge import NOT_CDA, judge, shows_cda
from mssante.filing.limits import InspectLimits
from mssante.filing.match import named_matricules
from mssante.filing.visibility import flags_of, with_flags
from mssante.wire.cda.embedded import EmbeddedFile
from mssante.wire.cda.model import ClinicalDocument, Private
from mssante.wire.mime.limits import MimeError, MimeFault
from mssante.wire.mime.summary import MessageSummary, PartSpan
from mssante.wire.mime.transfer import decode_body
from mssante.wire.xdm.reader import NotXdm, shows_xdm
from mssante.wire.xdm.unzip import MAGIC, ArchiveRefused
from mssante.wire.xds.entry import VISIBILITY_SYSTEM
from mssante.wire.xds.model import Coded, EntryMetadata, SubmissionSet

__all__ = ["FoundDocument", "FromArchive", "InspectLimits", "inspect"]

_XML_TYPES: Final = frozenset(
    {
        "text/xml",
        "application/xml",
        "application/hl7-v3+xml",
        "application/cda+xml",
        "application/octet-stream",
    }
)
_ZIP_TYPES: Final = frozenset(
    {
        "application/zip",
        "application/x-zip",
        "application/x-zip-compressed",
        "application/octet-stream",
    }
)
_LOOK_AT: Final = 65_536
"""Encoded bytes in which a document that cannot be decoded must show that it means to be a CDA."""
_ARCHIVE_NAME: Final = b"IHE_XDM"
"""In the part's header: it means to be an archive of documents."""
_ZIP_STARTS: Final = (*MAGIC, b"PK=03=04", b"PK=05=06")


@dataclass(frozen=True, slots=True, repr=False)
class FromArchive(Private):
    """What the archive says about a document in it, or about itself where it is held whole."""

    lot: int
    """Index of the first document of its subset: what one submission set holds."""
    submission_set: SubmissionSet | None = None
    named: tuple[frozenset[str], ...] = ()
    """The matricules that the archive names, each time that it names a patient."""
    flags: frozenset[str] = frozenset()
    asks_deletion: bool = False
    recomputed: bool = False
    """The producer's metadata differ from the document."""
    is_whole: bool = False
    """It is the archive that is held, not a document of it."""


@dataclass(frozen=True, slots=True, repr=False)
class FoundDocument(Private):
    """One document of a message. Its `index` is the second half of the effect key."""

    index: int
    section: str
    """IMAP section number of the part."""
    content: bytes
    """The document's exact bytes, or the whole archive's; the part as it came where it cannot be
    decoded."""
    document: ClinicalDocument | None
    """`None` where it cannot be read: `fault` says why."""
    metadata: EntryMetadata | None
    embedded: EmbeddedFile | None
    """The file inside a level 1 document."""
    fault: str | None = None
    """A word of `filing.causes.DETAILS`."""
    archive: FromArchive | None = None
    """`None` for a document that is attached alone, unless an archive beside has it too and asks to
    delete it."""

    @property
    def cause(self) -> Cause | None:
        """Why it cannot be filed whoever gets it, `fault` being the detail."""
        if self.fault is None:
            return None
        whole = self.archive is not None and self.archive.is_whole
        return Cause.ARCHIVE_REFUSED if whole else Cause.UNREADABLE

    @property
    def named(self) -> tuple[frozenset[str], ...]:
        """Each set of matricules under which a person is named."""
        own = named_matricules(self.document.patient) if self.document else frozenset()
        stated = self.archive.named if self.archive else ()
        return (own, *stated) if own else stated

    @property
    def flags(self) -> frozenset[str]:
        """Who must not see it: see `filing.visibility`."""
        own = flags_of(self.metadata.confidentiality) if self.metadata else frozenset[str]()
        return own | self.archive.flags if self.archive else own

    @property
    def lot(self) -> int:
        """Documents of one lot go into one submission set."""
        return self.archive.lot if self.archive else self.index


def inspect(
    content: bytes, summary: MessageSummary, limits: InspectLimits
) -> tuple[FoundDocument, ...]:
    """The documents of a message, in the order of its parts, then of their DocumentEntries.

    Args:
        content: the whole message.
        summary: of this message.
        limits: what it may cost.
    """
    found: list[FoundDocument] = []
    inflated = 0
    for part in _candidates(summary):
        if _begins(content, part, _ZIP_STARTS) and part.media_type in _ZIP_TYPES:
            most = max(0, limits.archive.files.total_bytes - inflated)
            files = replace(limits.archive.files, total_bytes=most)
            left = replace(limits, archive=replace(limits.archive, files=files))
            in_archive = _archived(content, part, len(found), left)
            inflated += sum(len(one.content) for one in in_archive)
            found += in_archive
        elif part.media_type in _XML_TYPES:
            document = _alone(content, part, len(found), limits)
            found += [document] if document is not None else []
    return tuple(_agreed(found))


def _candidates(summary: MessageSummary) -> Iterator[PartSpan]:
    attached: tuple[str, ...] = ()
    for part in summary.iter_parts():
        if part.section.startswith(attached):
            continue
        if part.message_text is not None:
            attached += (f"{part.section}.",)
        elif part.media_type in _XML_TYPES or part.media_type in _ZIP_TYPES:
            yield part


def _alone(
    message: bytes, part: PartSpan, index: int, limits: InspectLimits
) -> FoundDocument | None:
    """A document that is a part of its own."""
    start, stop = part.body
    encoded = message[start:stop]
    if not _may_be_xml(encoded, part.encoding):
        return None
    try:
        content = decode_body(encoded, part.encoding, max_bytes=limits.document_bytes)
    except MimeError as error:
        claims = shows_cda(_start_of(encoded, part.encoding))
        return _unreadable(index, part, encoded, _word(error)) if claims else None
    if index >= limits.documents:
        return _unreadable(index, part, content, "too-many") if shows_cda(content) else None
    judged = judge(content, limits)
    if judged.fault == NOT_CDA:
        return None
    return FoundDocument(
        index,
        part.section,
        content,
        judged.document,
        judged.metadata,
        judged.embedded,
        judged.fault,
    )


def _archived(
    message: bytes, part: PartSpan, index: int, limits: InspectLimits
) -> list[FoundDocument]:
    """The documents of an archive; the archive itself where it is refused; nothing for another ZIP."""
    start, stop = part.body
    encoded = message[start:stop]
    claims = _ARCHIVE_NAME in message[slice(*part.header)].upper()
    try:
        content = decode_body(encoded, part.encoding, max_bytes=limits.document_bytes)
    except MimeError as error:
        return [_refused(index, part, encoded, _word(error))] if claims else []
    means = claims or shows_xdm(content)
    if index >= limits.documents:
        return [_refused(index, part, content, "too-many")] if means else []
    try:
        opened = open_archive(content, limits)
    except NotXdm:
        return [_refused(index, part, content, "no-metadata")] if claims else []
    except ArchiveRefused as refusal:
        return [_refused(index, part, content, refusal.word)] if means else []
    word = "too-many" if index + len(opened.documents) > limits.documents else opened.refusal
    if word is not None:
        return [_refused(index, part, content, word, opened)]
    return list(_documents(opened, part, index))


def _documents(opened: OpenedArchive, part: PartSpan, index: int) -> Iterator[FoundDocument]:
    firsts: dict[int, int] = {}
    for place, one in enumerate(opened.documents, start=index):
        lot = firsts.setdefault(one.subset, place)
        judged = one.judged
        said = _said(one, lot, opened)
        yield FoundDocument(
            place,
            part.section,
            one.content,
            judged.document,
            judged.metadata,
            judged.embedded,
            judged.fault,
            said,
        )


def _said(one: ArchivedDocument, lot: int, opened: OpenedArchive) -> FromArchive:
    return FromArchive(
        lot=lot,
        submission_set=opened.submission_sets[one.subset],
        named=opened.named,
        flags=one.flags,
        asks_deletion=one.action == DELETE,
        recomputed=one.recomputed,
    )


def _refused(
    index: int, part: PartSpan, content: bytes, word: str, opened: OpenedArchive | None = None
) -> FoundDocument:
    """An archive that is held whole; what it says about persons and visibility still counts."""
    said = FromArchive(
        lot=index,
        named=opened.named if opened else (),
        flags=opened.flags if opened else frozenset(),
        is_whole=True,
    )
    return FoundDocument(index, part.section, content, None, None, None, word, said)


def _agreed(found: Sequence[FoundDocument]) -> Iterator[FoundDocument]:
    """The same document alone and in an archive, or in two, is one document: what any of them says of
    it counts, so that the first to be filed lacks nothing. The flags of an archive that is refused may
    be about any document.
    """
    refused = frozenset[str]().union(*(one.flags for one in found if one.document is None))
    flags: dict[str, frozenset[str]] = {}
    deleted: set[str] = set()
    for one in found:
        if one.document is not None:
            key = one.document.unique_id
            flags[key] = flags.get(key, refused) | one.flags
            if one.archive is not None and one.archive.asks_deletion:
                deleted.add(key)
    for one in found:
        if one.document is None or one.metadata is None:
            yield one
            continue
        key, agreed = one.document.unique_id, one
        missing = flags[key] - one.flags
        if missing:
            codings = [Coded(flag, VISIBILITY_SYSTEM, "") for flag in missing]
            agreed = replace(agreed, metadata=with_flags(one.metadata, codings))
        if key in deleted:
            said = one.archive or FromArchive(lot=one.index)
            agreed = replace(agreed, archive=replace(said, asks_deletion=True))
        yield agreed


def _word(error: MimeError) -> str:
    return "too-large" if error.fault is MimeFault.BODY_TOO_LARGE else "transfer"


def _unreadable(index: int, part: PartSpan, content: bytes, word: str) -> FoundDocument:
    return FoundDocument(index, part.section, content, None, None, None, word)


def _start_of(encoded: bytes, encoding: str) -> bytes:
    """The first bytes of a part, decoded as far as that is possible."""
    piece = encoded[:_LOOK_AT]
    if encoding != "base64":
        return piece
    clean = piece.translate(None, _NOT_BASE64)
    return binascii.a2b_base64(clean[: len(clean) // 4 * 4])


_BASE64_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64: Final = bytes(set(range(256)).difference(_BASE64_ALPHABET))


def _may_be_xml(encoded: bytes, encoding: str) -> bool:
    """Whether the part begins as XML does: spares decoding images and archives."""
    start = _start_of(encoded[:400], encoding).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    return start.startswith((b"<", b"=3C", b"=EF=BB=BF"))


def _begins(message: bytes, part: PartSpan, starts: tuple[bytes, ...]) -> bool:
    start, stop = part.body
    return _start_of(message[start : min(stop, start + 400)], part.encoding).startswith(starts)
