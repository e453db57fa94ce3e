"""Which document replaces which: a pure function of the documents that are known.

Because statuses and replacements are computed from the set of known versions, never from the order of
their arrival, V1 → V2 → V3 end the same whichever comes first.

A version replaces, by first match: (1) the documents that its relatedDocument names; (2) in its setId,
the version just below its own; (3) nothing that is known. Only the author, or an actor of the same
organisation, may replace (code 901 of the French returns).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mssante.kernel.opaque import OpaqueId
from mssante.wire.cda.model import ClinicalDocument, Entity, Identifier, Private
from mssante.wire.xds.model import AvailabilityStatus

_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def document_key(unique_id: str) -> str:
    """The form under which two spellings of one document id are equal: a GUID has no case."""
    guid = _GUID.match(unique_id)
    return unique_id if guid is None else guid[0].upper() + unique_id[guid.end() :]


@dataclass(frozen=True, slots=True, repr=False)
class Version(Private):
    """What decides about versions, of a document that is filed or about to be."""

    entry_id: OpaqueId
    patient_id: OpaqueId
    key: str
    """`document_key` of its id."""
    hash: str
    """SHA-1 of its bytes, hexadecimal, lower case."""
    set_key: str | None
    number: int | None
    claims: tuple[str, ...]
    """`document_key` of the documents that it says it replaces."""
    actors: frozenset[str]
    """Ids of its authors, their structures and its custodian."""
    status: AvailabilityStatus

    def may_replace(self, other: "Version") -> bool:
        """Whether both have the author or a structure in common."""
        return not self.actors.isdisjoint(other.actors)


def version_of(
    document: ClinicalDocument,
    *,
    entry_id: OpaqueId,
    patient_id: OpaqueId,
    sha1: str,
) -> Version:
    """The version that a document is, before it is filed."""
    return Version(
        entry_id=entry_id,
        patient_id=patient_id,
        key=document_key(document.unique_id),
        hash=sha1.lower(),
        set_key=document_key(document.set_id.text)
        if document.set_id and document.set_id.root
        else None,
        number=document.version_number,
        claims=tuple(document_key(text) for text in document.replaced_ids),
        actors=frozenset(_actors(document)),
        status=AvailabilityStatus.APPROVED,
    )


def _actors(document: ClinicalDocument) -> Iterable[str]:
    for author in document.authors:
        yield from _texts(author.entity.ids)
        yield from _structure(author.entity)
    if document.custodian is not None:
        yield from _texts(document.custodian.ids)


def _structure(entity: Entity) -> Iterable[str]:
    return _texts(entity.organization.ids) if entity.organization is not None else ()


def _texts(ids: Iterable[Identifier]) -> Iterable[str]:
    return (document_key(one.text) for one in ids if one.root)


@dataclass(frozen=True, slots=True, repr=False)
class Lineage(Private):
    """How known versions stand to each other. Everything is by `Version.key`."""

    replaces: frozenset[tuple[str, str]]
    """(newer, older)."""
    deprecated: frozenset[str]
    unresolved: frozenset[str]
    """Versions that replace something that is not known."""


def lineage(versions: Iterable[Version]) -> Lineage:
    """Work out the links between versions of one patient's documents."""
    known = {version.key: version for version in versions}
    sets: dict[str, list[Version]] = {}
    for version in known.values():
        if version.set_key is not None and version.number is not None:
            sets.setdefault(version.set_key, []).append(version)
    links: set[tuple[str, str]] = set()
    unresolved: set[str] = set()
    for version in known.values():
        older = predecessors(version, known, sets.get(version.set_key or "", ()))
        links.update((version.key, found.key) for found in older)
        if not older and (version.claims or (version.number or 1) > 1):
            unresolved.add(version.key)
    outdated = {
        version.key for mates in sets.values() for version in mates if _is_outdated(version, mates)
    }
    return Lineage(
        frozenset(links), frozenset(outdated.union(old for _, old in links)), frozenset(unresolved)
    )


def predecessors(
    version: Version, known: Mapping[str, Version], mates: Sequence[Version]
) -> list[Version]:
    """The known documents that `version` replaces; `mates` are the versions of its set."""
    named = [
        known[key]
        for key in version.claims
        if key in known and key != version.key and version.may_replace(known[key])
    ]
    if named:
        return named
    lower = [mate for mate in mates if _is_lower(mate, version) and version.may_replace(mate)]
    return [max(lower, key=lambda mate: mate.number or 0)] if lower else []


def _is_lower(one: Version, other: Version) -> bool:
    return (one.number or 0) < (other.number or 0)


def _is_outdated(version: Version, mates: Sequence[Version]) -> bool:
    """A higher version of the set is known, also where a link in between is missing."""
    return any(_is_lower(version, mate) and mate.may_replace(version) for mate in mates)


def has_cycle(links: Iterable[tuple[str, str]]) -> bool:
    """Whether following "replaces" leads back to where it started."""
    older: dict[str, set[str]] = {}
    for new, old in links:
        older.setdefault(new, set()).add(old)
    while older:
        ends = {key for key, targets in older.items() if not any(one in older for one in targets)}
        if not ends:
            return True
        for key in ends:
            del older[key]
    return False
