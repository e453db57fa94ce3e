"""What ``dmp export`` writes: a patient's current documents in one XDM archive, for its owner's eyes."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from mssante.dmp.model import Entry
from mssante.kernel.opaque import OpaqueId
from mssante.storage.segments import sync_folder
from mssante.wire.xdm.writer import DocumentToWrite, write_archive
from mssante.wire.xds.hl7 import escaped
from mssante.wire.xds.model import Author, Coded, SubmissionSet

_NO_ENCOUNTER: Final = Coded("97", "1.2.250.1.213.2.2", "")
"""contentTypeCode (JDV_J03) of what no encounter occasioned."""
_PRIVATE: Final = 0o600


def exported(
    documents: Sequence[tuple[Entry, bytes]],
    *,
    set_id: OpaqueId,
    source_id: str,
    operator: str,
    at: datetime,
) -> bytes:
    """The archive.

    Args:
        documents: at least one, all of one patient, with their bytes.
        set_id: of the submission set that the archive is.
        source_id: OID of this system, which is the author.
        operator: its name, for people.
        at: the time of the export, in UTC.

    Raises:
        ArchiveTooLarge: they do not fit into one archive.
    """
    first = documents[0][0].metadata
    system = f"{source_id}^{escaped(operator)}^mssante^^^^^^&{source_id}&ISO^U^^^RI"
    lot = SubmissionSet(
        unique_id=f"2.25.{int.from_bytes(set_id, 'big')}",
        source_id=source_id,
        submission_time=at.strftime("%Y%m%d%H%M%S"),
        content_type=_NO_ENCOUNTER,
        author=Author(system, None, (), ()),
        patient_id=first.patient_id or "",
        title="Documents du DMP",
    )
    written = [DocumentToWrite(entry.metadata, content) for entry, content in documents]
    return write_archive(lot, written, sender=operator)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, durable, readable by its owner only.

    Raises:
        OSError: it cannot be written; what was at `path` is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
