"""Who must not see a document: the flags that a sender puts beside the level of confidentiality.

Codes of JDV_J58: N, R, V, and MASQUE_PS (masked from professionals), INVISIBLE_PATIENT and
INVISIBLE_REPRESENTANTS_LEGAUX (not shown to the patient, or to the representatives). A code that is
none of them counts as the most restrictive that we know.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from mssante.wire.xds import codes
from mssante.wire.xds.entry import UNRESTRICTED, VISIBILITY_SYSTEM
from mssante.wire.xds.model import Coded, EntryMetadata

MASKED: Final = "MASQUE_PS"
INVISIBLE: Final = "INVISIBLE_PATIENT"
_RESTRICTED: Final = "R"


def flags_of(codings: Iterable[Coded]) -> frozenset[str]:
    """The flags among confidentiality codes, whatever system and case they were written with."""
    known = _known()
    found = set()
    for coding in codings:
        code = coding.code.strip().upper()
        if code not in known:
            found.add(INVISIBLE)
        elif known[code].system == VISIBILITY_SYSTEM:
            found.add(code)
    return frozenset(found)


def with_flags(metadata: EntryMetadata, codings: Sequence[Coded]) -> EntryMetadata:
    """A document's metadata with the sender's flags added; its own level stays."""
    known = _known()
    is_unknown = any(coding.code.strip().upper() not in known for coding in codings)
    level = [
        known[_RESTRICTED] if is_unknown and one.code == UNRESTRICTED else one
        for one in metadata.confidentiality
    ]
    added = sorted(flags_of(codings) - {one.code for one in level})
    return replace(metadata, confidentiality=(*level, *(known[code] for code in added)))


def _known() -> dict[str, Coded]:
    return {
        code: Coded(code, system, label)
        for (code, system), label in codes.labels("confidentiality").items()
    }
