"""The decision about a deposit: pure, from the new document and those it is related to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from mssante.dmp.lineage import Lineage, Version, has_cycle, lineage, predecessors
from mssante.kernel.opaque import OpaqueId
from mssante.wire.cda.model import Private
from mssante.wire.xds.model import AvailabilityStatus


@unique
class Conflict(StrEnum):
    """Why a deposit is not possible as it stands."""

    NON_IDENTICAL_HASH = "XDSNonIdenticalHash"
    """The id is taken by other bytes (IHE ITI TF-3 table 4.2.4.1-2)."""
    OTHER_PATIENT = "other-patient"
    """The id is taken in another patient's record."""
    REPLACED_ELSEWHERE = "replaced-elsewhere"
    """The document to replace is in another patient's record, or was deleted."""
    SAME_VERSION = "same-version"
    """Another document has this setId and versionNumber."""
    NOT_LATEST = "not-latest"
    """The document to replace has been replaced by another, or replaces this one."""
    NOT_ALLOWED = "not-allowed"
    """Neither the author of the replaced document nor of the same organisation."""


@dataclass(frozen=True, slots=True)
class AlreadyFiled:
    """The very same document is in the record."""

    entry_id: OpaqueId


@dataclass(frozen=True, slots=True)
class Refused:
    """The deposit is to be held for a person."""

    conflict: Conflict


@dataclass(frozen=True, slots=True, repr=False)
class Accepted(Private):
    """The deposit is possible, with these changes; the entries are named by their ids."""

    status: AvailabilityStatus
    """Deprecated for a version that comes after its successor."""
    unresolved: bool
    """It replaces a document that is not known."""
    deprecate: tuple[OpaqueId, ...]
    resolve: tuple[OpaqueId, ...]
    """Entries whose replaced document is known now."""
    link: tuple[tuple[OpaqueId, OpaqueId], ...]
    """(newer, older): associations RPLC to add."""
    unlink: tuple[tuple[OpaqueId, OpaqueId], ...]
    """Associations that the new document comes in between of."""


Decision = AlreadyFiled | Refused | Accepted


def decide(new: Version, related: Sequence[Version]) -> Decision:
    """What a deposit does.

    Args:
        new: the document; its `entry_id` is the one it gets if it is filed.
        related: of any patient, the entries with its id and with the ids that it replaces; of its
            patient, the entries linked with it by setId or replacement, directly or through others.
    """
    for known in related:
        if known.key == new.key:
            return _repeated(new, known)
    claimed = [known for known in related if known.key in new.claims]
    if any(_is_elsewhere(known, new.patient_id) for known in claimed):
        return Refused(Conflict.REPLACED_ELSEWHERE)
    family = [known for known in related if known.patient_id == new.patient_id]
    conflict = _conflict(new, family)
    if conflict is not None:
        return Refused(conflict)
    after = lineage([*family, new])
    if has_cycle(after.replaces):
        return Refused(Conflict.NOT_LATEST)
    return _accepted(new, family, lineage(family), after)


def _repeated(new: Version, known: Version) -> Decision:
    if known.patient_id != new.patient_id:
        return Refused(Conflict.OTHER_PATIENT)
    if known.hash != new.hash:
        return Refused(Conflict.NON_IDENTICAL_HASH)
    return AlreadyFiled(known.entry_id)


def _is_elsewhere(known: Version, patient_id: OpaqueId) -> bool:
    return known.patient_id != patient_id or known.status is AvailabilityStatus.DELETED


def _conflict(new: Version, family: Sequence[Version]) -> Conflict | None:
    mates = [known for known in family if new.set_key is not None and known.set_key == new.set_key]
    if any(new.number is not None and mate.number == new.number for mate in mates):
        return Conflict.SAME_VERSION
    if any(not set(new.claims).isdisjoint(known.claims) for known in family):
        return Conflict.NOT_LATEST
    known = {version.key: version for version in family}
    named = [known[key] for key in new.claims if key in known]
    lower = [mate for mate in mates if (mate.number or 0) < (new.number or 0)]
    if any(not new.may_replace(one) for one in named):
        return Conflict.NOT_ALLOWED
    if lower and not predecessors(new, known, mates):
        return Conflict.NOT_ALLOWED
    return None


def _accepted(new: Version, family: Sequence[Version], before: Lineage, after: Lineage) -> Accepted:
    ids = {version.key: version.entry_id for version in (*family, new)}
    current = {
        version.key for version in family if version.status is not AvailabilityStatus.DELETED
    }
    newly_old = (after.deprecated - before.deprecated - {new.key}) & current
    return Accepted(
        status=AvailabilityStatus.DEPRECATED
        if new.key in after.deprecated
        else AvailabilityStatus.APPROVED,
        unresolved=new.key in after.unresolved,
        deprecate=tuple(ids[key] for key in sorted(newly_old)),
        resolve=tuple(ids[key] for key in sorted(before.unresolved - after.unresolved)),
        link=_ids(after.replaces - before.replaces, ids),
        unlink=_ids(before.replaces - after.replaces, ids),
    )


def _ids(
    links: frozenset[tuple[str, str]], ids: dict[str, OpaqueId]
) -> tuple[tuple[OpaqueId, OpaqueId], ...]:
    return tuple((ids[newer], ids[older]) for newer, older in sorted(links))
