"""The `DocumentStore` port: a deposit is one transaction, keyed, serial for each patient.

The bytes go to the DMP's own segments first and are durable before the transaction names them; a
crash in between leaves ciphertext without a key. The decision is taken inside the transaction, on
what the record holds at that moment.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    insert,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mssante.access.audit import AuditEntry, AuditKind
from mssante.dmp.deposit import Accepted, AlreadyFiled, Decision, Refused, decide
from mssante.dmp.lineage import Version
from mssante.dmp.model import Deposit, EffectKey, Entry, HeldDocument, Hold, Recorded, Verdict
from mssante.kernel.clock import Clock, to_milliseconds
from mssante.kernel.derived import derived_id
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import BlobRef
from mssante.mail.ports import Blobs
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.document_rows import (
    blob_of,
    effect_columns,
    entry_columns,
    entry_of_row,
    held_columns,
    held_of_row,
    recorded_of_row,
    to_json,
    version_of_row,
)
from mssante.storage.prepared import Prepared
from mssante.storage.schema.dmp import (
    ASSOCIATION,
    CLAIM,
    EFFECT,
    ENTRY,
    HELD,
    PATIENT_RECORD,
    SUBMISSION_SET,
)
from mssante.wire.xds.model import AssociationType, AvailabilityStatus

FLAG_UNRESOLVED: Final = "replaced-document-unknown"
"""Filed, but what it replaces is not in the record."""
FLAG_SUPERSEDED: Final = "superseded-on-arrival"
"""Filed as Deprecated: a later version was there already."""

_VERSION_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
    ENTRY.c.id,
    ENTRY.c.patient_id,
    ENTRY.c.document_key,
    ENTRY.c.hash,
    ENTRY.c.set_key,
    ENTRY.c.number,
    ENTRY.c.claims,
    ENTRY.c.actors,
    ENTRY.c.status,
)

# Built once: making a statement costs more than running it.
_EFFECT: Final = Prepared(
    select(EFFECT).where(
        EFFECT.c.spool_id == bindparam("spool"), EFFECT.c.place == bindparam("index")
    )
)
_OPEN_RECORD: Final = Prepared(
    sqlite_insert(PATIENT_RECORD).on_conflict_do_nothing(),
    postgresql=postgres_insert(PATIENT_RECORD).on_conflict_do_nothing(),
)
_LOCK_RECORD: Final = Prepared(
    select(PATIENT_RECORD.c.patient_id)
    .where(PATIENT_RECORD.c.patient_id == bindparam("patient"))
    .with_for_update()
)
_VERSIONS: Final = select(*_VERSION_COLUMNS)
_KNOWN_KEY: Final = Prepared(
    select(ENTRY.c.id).where(ENTRY.c.document_key == bindparam("key")).limit(1)
)
_BY_KEY: Final = Prepared(_VERSIONS.where(ENTRY.c.document_key == bindparam("key")))
_BY_KEYS: Final = _VERSIONS.where(ENTRY.c.document_key.in_(bindparam("keys", expanding=True)))
# Each branch is found by an index of its own: with OR the planner reads the patient's whole record.
_BESIDE_ONE: Final = Prepared(
    union_all(
        _VERSIONS.where(
            ENTRY.c.id.in_(
                select(CLAIM.c.entry_id).where(
                    CLAIM.c.patient_id == bindparam("patient"),
                    CLAIM.c.document_key == bindparam("key"),
                )
            )
        ),
        _VERSIONS.where(
            ENTRY.c.patient_id == bindparam("patient"), ENTRY.c.set_key == bindparam("set")
        ),
    )
)
_NEIGHBOURS: Final = union_all(
    _VERSIONS.where(
        ENTRY.c.id.in_(
            select(CLAIM.c.entry_id).where(
                CLAIM.c.patient_id == bindparam("patient"),
                CLAIM.c.document_key.in_(bindparam("keys", expanding=True)),
            )
        )
    ),
    _VERSIONS.where(
        ENTRY.c.patient_id == bindparam("patient"),
        ENTRY.c.set_key.in_(bindparam("sets", expanding=True)),
    ),
    _VERSIONS.where(ENTRY.c.document_key.in_(bindparam("claimed", expanding=True))),
)
"""The last branch finds documents of whoever: see `_neighbours`."""
_OPEN_SUBMISSION_SET: Final = Prepared(
    # The documents of one lot come one after the other: the first brings the set.
    sqlite_insert(SUBMISSION_SET).on_conflict_do_nothing(index_elements=[SUBMISSION_SET.c.id]),
    postgresql=postgres_insert(SUBMISSION_SET).on_conflict_do_nothing(
        index_elements=[SUBMISSION_SET.c.id]
    ),
)
_INSERT_ENTRY: Final = Prepared(insert(ENTRY))
_INSERT_CLAIM: Final = Prepared(insert(CLAIM))
_INSERT_ASSOCIATION: Final = Prepared(insert(ASSOCIATION))
_INSERT_HELD: Final = Prepared(insert(HELD))
_INSERT_EFFECT: Final = Prepared(insert(EFFECT))


class StoredDocuments:
    """Filed and held documents in one database and one blob space."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        """`blobs` must be the DMP's own space: a filed document outlives the message."""
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def deposit(self, deposit: Deposit) -> Recorded:
        """File a document, or hold it when the decision refuses."""
        found, decision = await self._database.read(lambda conn: _foresee(conn, deposit))
        if found is not None:
            return found
        # The same document again needs no second copy; the transaction decides afresh.
        ref = None if isinstance(decision, AlreadyFiled) else await self._blobs.put(deposit.content)
        at = to_milliseconds(self._clock.now())
        recorded = await self._database.write(
            lambda conn: _deposit(conn, deposit, ref, at), brief=True
        )
        if recorded is None:
            return await self.deposit(deposit)  # the document that was there is gone since
        return recorded

    async def hold(self, hold: Hold) -> Recorded:
        """Keep a document for a person."""
        found = await self._database.read(lambda conn: _effect(conn, hold.key))
        if found is not None:
            return found
        ref = await self._blobs.put(hold.content)
        at = to_milliseconds(self._clock.now())
        return await self._database.write(lambda conn: _hold(conn, hold, ref, at), brief=True)

    async def entries_of(self, patient_id: OpaqueId) -> list[Entry]:
        """All documents of a patient, newest first."""
        statement = (
            select(ENTRY)
            .where(ENTRY.c.patient_id == patient_id)
            .order_by(
                ENTRY.c.created.desc(),
                ENTRY.c.number.desc(),
                ENTRY.c.filed_at.desc(),
                ENTRY.c.id,
            )
        )
        rows = await self._database.read(lambda conn: conn.execute(statement).all())
        return [entry_of_row(row) for row in rows]

    async def content(self, entry_id: OpaqueId) -> bytes | None:
        """The exact bytes of a filed document."""
        return await self._content(select(ENTRY).where(ENTRY.c.id == entry_id))

    async def held(self, limit: int) -> list[HeldDocument]:
        """Held documents, newest first."""
        statement = select(HELD).order_by(HELD.c.at.desc(), HELD.c.id).limit(limit)
        rows = await self._database.read(lambda conn: conn.execute(statement).all())
        return [held_of_row(row) for row in rows]

    async def held_document(self, held_id: OpaqueId) -> HeldDocument | None:
        """One held document."""
        statement = select(HELD).where(HELD.c.id == held_id)
        row = await self._database.read(lambda conn: conn.execute(statement).first())
        return None if row is None else held_of_row(row)

    async def held_content(self, held_id: OpaqueId) -> bytes | None:
        """The exact bytes of a held document."""
        return await self._content(select(HELD).where(HELD.c.id == held_id))

    async def _content(self, statement: Select[Any]) -> bytes | None:
        row = await self._database.read(lambda conn: conn.execute(statement).first())
        return None if row is None else self._blobs.read(blob_of(row))


def _foresee(conn: Connection, deposit: Deposit) -> tuple[Recorded | None, Decision | None]:
    found = _effect(conn, deposit.key)
    if found is not None:
        return found, None
    if not _KNOWN_KEY.all(conn, {"key": deposit.version.key}):
        return None, None  # the usual case: a document that was never seen
    return None, decide(deposit.version, related(conn, deposit.version))


def _effect(conn: Connection, key: EffectKey) -> Recorded | None:
    row = _EFFECT.first(conn, {"spool": key.spool_id, "index": key.index})
    return None if row is None else recorded_of_row(row)


def _deposit(conn: Connection, deposit: Deposit, ref: BlobRef | None, at: int) -> Recorded | None:
    """The unit of work; `None` when content is needed after all and was not stored."""
    _lock_record(conn, deposit.version.patient_id, at)
    found = _effect(conn, deposit.key)
    if found is not None:
        return found
    decision = decide(deposit.version, related(conn, deposit.version))
    if isinstance(decision, AlreadyFiled):
        return _record(conn, _outcome(deposit, at, Verdict.ALREADY_FILED, decision.entry_id))
    if ref is None:
        return None
    if isinstance(decision, Refused):
        return _hold(conn, _refusal(deposit, decision), ref, at)
    _file(conn, deposit, decision, ref, at)
    flags = (
        *deposit.flags,
        *((FLAG_UNRESOLVED,) if decision.unresolved else ()),
        *((FLAG_SUPERSEDED,) if decision.status is AvailabilityStatus.DEPRECATED else ()),
    )
    return _record(
        conn, _outcome(deposit, at, Verdict.FILED, deposit.version.entry_id, flags=flags)
    )


def _lock_record(conn: Connection, patient_id: OpaqueId, at: int) -> None:
    """Open the record where it is new, and keep other deposits of this patient waiting."""
    values = {"patient_id": patient_id, "opened_at": at}
    _OPEN_RECORD.do(conn, values)
    _LOCK_RECORD.first(conn, {"patient": patient_id})


def related(conn: Connection, new: Version) -> list[Version]:
    """The entries that bear on a deposit: see `decide`. The family is followed to its ends."""
    found = _known(conn, new)
    family: dict[str, Version] = {
        key: version for key, version in found.items() if version.patient_id == new.patient_id
    }
    frontier = [new, *family.values()]
    while frontier:
        step = _neighbours(conn, new.patient_id, frontier)
        frontier = [version for key, version in step.items() if key not in family]
        family.update(step)
    return list((found | family).values())


def _known(conn: Connection, new: Version) -> dict[str, Version]:
    """Whoever's: the document itself where it is filed, and what it claims to replace."""
    if not new.claims:
        return _by_key(_BY_KEY.all(conn, {"key": new.key}))
    return _by_key(conn.execute(_BY_KEYS, {"keys": [new.key, *new.claims]}))


def _neighbours(
    conn: Connection, patient_id: OpaqueId, versions: Sequence[Version]
) -> dict[str, Version]:
    """Of one patient: the set mates of versions, what they claim, who claims the same or them."""
    claimed = {key for version in versions for key in version.claims}
    if len(versions) == 1 and not claimed:  # nearly always
        only = versions[0]
        one = {"patient": patient_id, "key": only.key, "set": only.set_key}
        return _by_key(_BESIDE_ONE.all(conn, one))
    parameters = {
        "patient": patient_id,
        "keys": list(claimed.union(version.key for version in versions)),
        "sets": list({version.set_key for version in versions if version.set_key is not None}),
        "claimed": list(claimed),
    }
    found = _by_key(conn.execute(_NEIGHBOURS, parameters))
    return {key: version for key, version in found.items() if version.patient_id == patient_id}


def _by_key(rows: Iterable[Row[Any]]) -> dict[str, Version]:
    return {row.document_key: version_of_row(row) for row in rows}


def _file(conn: Connection, deposit: Deposit, decision: Accepted, ref: BlobRef, at: int) -> None:
    version = deposit.version
    _OPEN_SUBMISSION_SET.do(
        conn,
        {
            "id": deposit.submission_set_id,
            "unique_id": deposit.submission_set.unique_id,
            "patient_id": version.patient_id,
            "submitted_at": at,
            "metadata": to_json(deposit.submission_set),
        },
    )
    row = entry_columns(deposit, decision.status, unresolved=decision.unresolved, at=at, ref=ref)
    _INSERT_ENTRY.do(conn, row)
    claims = [
        {"entry_id": version.entry_id, "document_key": key, "patient_id": version.patient_id}
        for key in dict.fromkeys(version.claims)
    ]
    if claims:
        _INSERT_CLAIM.do(conn, claims)
    _change_others(conn, decision)
    links = [
        (deposit.submission_set_id, version.entry_id, AssociationType.HAS_MEMBER),
        *((newer, older, AssociationType.RPLC) for newer, older in decision.link),
    ]
    _INSERT_ASSOCIATION.do(
        conn,
        [{"source": one, "target": two, "type": kind.value} for one, two, kind in links],
    )


def _change_others(conn: Connection, decision: Accepted) -> None:
    if decision.deprecate:
        conn.execute(
            update(ENTRY)
            .where(ENTRY.c.id.in_(decision.deprecate))
            .values(status=AvailabilityStatus.DEPRECATED.value)
        )
    if decision.resolve:
        conn.execute(update(ENTRY).where(ENTRY.c.id.in_(decision.resolve)).values(unresolved=False))
    if decision.unlink:
        conn.execute(
            delete(ASSOCIATION).where(
                ASSOCIATION.c.type == AssociationType.RPLC.value,
                tuple_(ASSOCIATION.c.source, ASSOCIATION.c.target).in_(decision.unlink),
            )
        )


def _refusal(deposit: Deposit, decision: Refused) -> Hold:
    return Hold(
        key=deposit.key,
        held_id=derived_id(deposit.version.entry_id, "held"),
        cause=decision.conflict.value,
        detail="",
        unique_id=deposit.metadata.unique_id,
        patient_id=deposit.version.patient_id,
        sender_id=deposit.sender_id,
        content=deposit.content,
    )


def _hold(conn: Connection, hold: Hold, ref: BlobRef, at: int) -> Recorded:
    found = _effect(conn, hold.key)
    if found is not None:
        return found
    _INSERT_HELD.do(conn, held_columns(hold, at, ref))
    return _record(
        conn,
        Recorded(
            key=hold.key,
            at=at,
            verdict=Verdict.HELD,
            cause=hold.cause,
            detail=hold.detail,
            unique_id=hold.unique_id,
            flags=(),
            entry_id=None,
            held_id=hold.held_id,
            patient_id=hold.patient_id,
        ),
    )


def _outcome(
    deposit: Deposit,
    at: int,
    verdict: Verdict,
    entry_id: OpaqueId,
    *,
    flags: tuple[str, ...] = (),
) -> Recorded:
    return Recorded(
        key=deposit.key,
        at=at,
        verdict=verdict,
        cause=None,
        detail="",
        unique_id=deposit.metadata.unique_id,
        flags=flags,
        entry_id=entry_id,
        held_id=None,
        patient_id=deposit.version.patient_id,
    )


def _record(conn: Connection, recorded: Recorded) -> Recorded:
    """Write the effect and its audit entry."""
    _INSERT_EFFECT.do(conn, effect_columns(recorded))
    is_held = recorded.verdict is Verdict.HELD
    facts: dict[str, str | int] = {"index": recorded.key.index}
    subject = recorded.entry_id or recorded.held_id
    if subject is not None:
        facts["document"] = subject.hex()
    if recorded.flags:
        facts["flags"] = " ".join(recorded.flags)
    if recorded.detail:
        facts["detail"] = recorded.detail
    audit.record(
        conn,
        recorded.at,
        AuditEntry(
            AuditKind.HELD if is_held else AuditKind.FILING,
            "hold" if is_held else "deposit",
            recorded.cause or recorded.verdict.value,
            subject=recorded.patient_id,
            correlation=recorded.key.spool_id,
            facts=facts,
        ),
    )
    return recorded
