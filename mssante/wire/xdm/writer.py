"""Documents to an archive as the rules have it: one subset, names of 8.3 capitals, an index for people.

IHE ITI TF-2 3.32.4.1.2; the same arguments give the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from mssante.wire.cda.model import Private
from mssante.wire.xdm.reader import INDEX, METADATA, README, ROOT
from mssante.wire.xds.ebrim_writer import write_metadata
from mssante.wire.xds.model import EntryMetadata, SubmissionSet

_SUBSET: Final = f"{ROOT}/SUBSET01"
_MOST_DOCUMENTS: Final = 99_999
"""Five digits remain of DOC00001.XML."""
_MOST_BYTES: Final = 2_000_000_000
"""Readers without ZIP64 end at 4 GB."""


class ArchiveTooLarge(ValueError):
    """The documents do not fit into one archive."""


@dataclass(frozen=True, slots=True, repr=False)
class DocumentToWrite(Private):
    """A document with its metadata; hash and size must be those of the content."""

    metadata: EntryMetadata
    content: bytes


def write_archive(
    submission_set: SubmissionSet, documents: Sequence[DocumentToWrite], *, sender: str
) -> bytes:
    """An archive of one submission set.

    Args:
        submission_set: the lot; its time is also that of the files.
        documents: in the order of the metadata.
        sender: who made the archive, for README.TXT.

    Raises:
        ArchiveTooLarge: too many documents, or too large ones.
    """
    if len(documents) > _MOST_DOCUMENTS or sum(len(one.content) for one in documents) > _MOST_BYTES:
        raise ArchiveTooLarge("more than one archive holds")
    names = [f"DOC{number:05d}.XML" for number in range(1, len(documents) + 1)]
    entries = [(one.metadata, name) for one, name in zip(documents, names, strict=True)]
    files = {
        INDEX: _index(submission_set, entries).encode(),
        README: _readme(submission_set, entries, sender).encode(),
        f"{_SUBSET}/{METADATA}": write_metadata(submission_set, entries),
    }
    for one, name in zip(documents, names, strict=True):
        files[f"{_SUBSET}/{name}"] = one.content
    return _zipped(files, submission_set.submission_time)


def _zipped(files: dict[str, bytes], at: str) -> bytes:
    buffer = BytesIO()
    # ZIP has no time before 1980.
    moment = (
        max(1980, int(at[:4])),
        int(at[4:6]),
        int(at[6:8]),
        int(at[8:10] or 0),
        int(at[10:12] or 0),
        int(at[12:14] or 0),
    )
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = ZipInfo(name, moment)
            info.compress_type = ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def _index(submission_set: SubmissionSet, entries: Sequence[tuple[EntryMetadata, str]]) -> str:
    """The page that people open first (XHTML Basic 1.1)."""
    rows = "\n".join(
        f'<li><a href="{_SUBSET}/{name}">{escape(entry.title)}</a> '
        f"({escape(_day(entry.creation_time))}, {escape(entry.type_code.display)})</li>"
        for entry, name in entries
    )
    title = escape(submission_set.title or "Documents")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML Basic 1.1//EN" '
        '"http://www.w3.org/TR/xhtml-basic/xhtml-basic11.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr">\n'
        f"<head><title>{title}</title></head>\n"
        f'<body>\n<h1>{title}</h1>\n<ul>\n{rows}\n</ul>\n<p><a href="{README}">{README}</a></p>\n'
        "</body>\n</html>\n"
    )


def _readme(
    submission_set: SubmissionSet, entries: Sequence[tuple[EntryMetadata, str]], sender: str
) -> str:
    lines = [
        f"Archive XDM de {sender}",
        f"Date : {_day(submission_set.submission_time)}",
        f"Documents : {len(entries)} (CDA R2), dans {_SUBSET}",
        f"Métadonnées : {_SUBSET}/{METADATA}",
        "",
        f"XDM archive made by {sender}. Open {INDEX} to read.",
        "",
    ]
    return "\r\n".join(lines)


def _day(at: str) -> str:
    return f"{at[6:8]}/{at[4:6]}/{at[:4]}" if len(at) >= len("YYYYMMDD") else at
