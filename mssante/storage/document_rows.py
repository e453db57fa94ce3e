"""Rows of the DMP database to values and back. Metadata is JSON; what decides stands in columns."""

import json
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Row

from mssante.dmp.lineage import Version
from mssante.dmp.model import (
    Deposit,
    EffectKey,
    Entry,
    HeldDocument,
    Hold,
    Listing,
    Recorded,
    Verdict,
)
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import BlobRef
from mssante.wire.xds.model import Author, AvailabilityStatus, Coded, EntryMetadata


def to_json(value: object) -> str:
    """Compact JSON of a dataclass, or of a list of texts."""
    return _ENCODER.encode(value)


def _fields_of(value: object) -> dict[str, object]:
    """A dataclass as JSON writes it; `asdict` would copy all that is in it."""
    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]


_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=_fields_of, check_circular=False
)


def opaque(value: bytes | None) -> OpaqueId | None:
    """An identifier from its column."""
    return None if value is None else OpaqueId(bytes(value))


def _certain(value: bytes) -> OpaqueId:
    return OpaqueId(bytes(value))


def blob_columns(ref: BlobRef) -> dict[str, object]:
    """Where the content lies."""
    return {
        "segment": ref.segment,
        "offset": ref.offset,
        "length": ref.length,
        "wrapped_key": ref.wrapped_key,
    }


def blob_of(row: Row[Any]) -> BlobRef:
    """Where the content of a row lies."""
    return BlobRef(row.segment, row.offset, row.length, bytes(row.wrapped_key))


def entry_columns(
    deposit: Deposit, status: AvailabilityStatus, *, unresolved: bool, at: int, ref: BlobRef
) -> dict[str, object]:
    """A new entry."""
    version = deposit.version
    return {
        "id": version.entry_id,
        "logical_id": deposit.logical_id,
        "submission_set_id": deposit.submission_set_id,
        "patient_id": version.patient_id,
        "document_key": version.key,
        "hash": version.hash,
        "set_key": version.set_key,
        "number": version.number,
        "status": status.value,
        "unresolved": unresolved,
        "actors": to_json(sorted(version.actors)),
        "claims": to_json(list(version.claims)),
        "created": deposit.metadata.creation_time,
        "filed_at": at,
        "metadata": to_json(deposit.metadata),
        "listing": to_json(deposit.listing),
        **blob_columns(ref),
    }


def version_of_row(row: Row[Any]) -> Version:
    """What decides about versions, of a stored entry."""
    return Version(
        entry_id=_certain(row.id),
        patient_id=_certain(row.patient_id),
        key=row.document_key,
        hash=row.hash,
        set_key=row.set_key,
        number=row.number,
        claims=tuple(json.loads(row.claims)),
        actors=frozenset(json.loads(row.actors)),
        status=AvailabilityStatus(row.status),
    )


def entry_of_row(row: Row[Any]) -> Entry:
    """A stored entry."""
    return Entry(
        id=_certain(row.id),
        logical_id=_certain(row.logical_id),
        patient_id=_certain(row.patient_id),
        status=AvailabilityStatus(row.status),
        metadata=_metadata(json.loads(row.metadata)),
        listing=Listing(**json.loads(row.listing)),
        unresolved=bool(row.unresolved),
        filed_at=row.filed_at,
    )


def _metadata(plain: dict[str, Any]) -> EntryMetadata:
    for name in ("class_code", "type_code", "format_code", "facility_type", "practice_setting"):
        plain[name] = None if plain[name] is None else Coded(**plain[name])
    for name in ("confidentiality", "event_codes"):
        plain[name] = tuple(Coded(**one) for one in plain[name])
    for name in ("source_patient_info", "reference_ids"):
        plain[name] = tuple(plain[name])
    plain["authors"] = tuple(
        Author(one["person"], one["institution"], tuple(one["roles"]), tuple(one["specialties"]))
        for one in plain["authors"]
    )
    return EntryMetadata(**plain)


def held_columns(hold: Hold, at: int, ref: BlobRef) -> dict[str, object]:
    """A new held document."""
    return {
        "id": hold.held_id,
        "spool_id": hold.key.spool_id,
        "place": hold.key.index,
        "at": at,
        "cause": hold.cause,
        "detail": hold.detail,
        "unique_id": hold.unique_id,
        "patient_id": hold.patient_id,
        "sender_id": hold.sender_id,
        **blob_columns(ref),
    }


def held_of_row(row: Row[Any]) -> HeldDocument:
    """A stored held document."""
    return HeldDocument(
        id=_certain(row.id),
        key=EffectKey(_certain(row.spool_id), row.place),
        at=row.at,
        cause=row.cause,
        detail=row.detail,
        unique_id=row.unique_id,
        patient_id=opaque(row.patient_id),
        sender_id=opaque(row.sender_id),
        size=row.length,
    )


def effect_columns(recorded: Recorded) -> dict[str, object]:
    """A new effect."""
    return {
        "spool_id": recorded.key.spool_id,
        "place": recorded.key.index,
        "at": recorded.at,
        "verdict": recorded.verdict.value,
        "cause": recorded.cause,
        "detail": recorded.detail,
        "unique_id": recorded.unique_id,
        "flags": to_json(list(recorded.flags)),
        "entry_id": recorded.entry_id,
        "held_id": recorded.held_id,
        "patient_id": recorded.patient_id,
    }


def recorded_of_row(row: Row[Any]) -> Recorded:
    """A stored effect."""
    return Recorded(
        key=EffectKey(_certain(row.spool_id), row.place),
        at=row.at,
        verdict=Verdict(row.verdict),
        cause=row.cause,
        detail=row.detail,
        unique_id=row.unique_id,
        flags=tuple(json.loads(row.flags)),
        entry_id=opaque(row.entry_id),
        held_id=opaque(row.held_id),
        patient_id=opaque(row.patient_id),
    )
