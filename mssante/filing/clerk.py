"""The clerk: the documents of a message into the right records, once, or held with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mssante.directory.model import Mailbox, MailboxType, Patient
from mssante.directory.ports import Directory
from mssante.dmp.lineage import version_of
from mssante.dmp.model import Deposit, EffectKey, Hold, Recorded, listing_of
from mssante.dmp.ports import DocumentStore
from mssante.filing.causes import Cause
from mssante.filing.inspect import FoundDocument
from mssante.filing.match import match, subject_ins
from mssante.filing.policy import (
    feeds_dmp,
    is_contradictory,
    is_kept_from_patient,
    must_not_receive,
)
from mssante.kernel.derived import derived_id
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import SpoolEntry
from mssante.mail.smime import Reach
from mssante.wire.cda.model import ClinicalDocument, Private
from mssante.wire.xds.entry import submission_set_of
from mssante.wire.xds.model import EntryMetadata, SubmissionSet

FLAG_RECOMPUTED: Final = "metadata-recomputed"
"""Filed, but the archive's metadata were not those of the document."""
FilingOutcome = Recorded
"""What the store recorded about one document, the same however often it is asked."""


@dataclass(frozen=True, slots=True, repr=False)
class PlannedDocument(Private):
    """What is to be done with one document."""

    found: FoundDocument
    patient: Patient | None
    """To file to, or the candidate where it is held."""
    cause: Cause | None
    """Why it is to be held; `None` to file it."""
    detail: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class FilingPlan(Private):
    """What is to be done with a message's documents; nothing has happened yet."""

    documents: tuple[PlannedDocument, ...]
    """Empty where the policy leaves the message alone."""
    withheld: frozenset[OpaqueId]
    """Mailboxes of patients that must not receive the message."""
    invisible: bool = False
    """Some are withheld because a document is not visible to the patient."""
    sender_id: OpaqueId | None = None
    reach: Reach = Reach.OPEN
    """`OPEN` too for what the policy leaves alone."""


@dataclass(frozen=True, slots=True)
class Clerk:
    """Plans without effect, then files; both may be repeated."""

    directory: Directory
    documents: DocumentStore
    source_id: str
    """OID of this system, for submission sets."""
    sandbox: bool
    """Whether test identities are accepted."""

    async def plan(
        self,
        entry: SpoolEntry,
        found: Sequence[FoundDocument],
        recipients: Sequence[Mailbox],
        sender_mailbox: Mailbox | None,
        reach: Reach = Reach.OPEN,
    ) -> FilingPlan:
        """Decide about each document of a message and about each patient's delivery.

        Args:
            entry: the message.
            found: its documents.
            recipients: local mailboxes.
            sender_mailbox: the local one that it comes from.
            reach: what its signature and encryption allow.
        """
        withheld = await self._withheld(found, recipients)
        sender_id = sender_mailbox.id if sender_mailbox else None
        invisible = bool(withheld) and _has_invisible(found)
        null_path = entry.envelope.sender is None
        feeds = feeds_dmp(sender_mailbox, null_reverse_path=null_path, recipients=recipients)
        if not (withheld or feeds):
            return FilingPlan((), frozenset(withheld), invisible, sender_id)
        planned = [_vouched(await self._planned(one), reach) for one in found]
        if withheld:
            mixed = any(_names_others(one, withheld) for one in found)
            planned = [_kept_back(one, withheld, mixed=mixed) for one in planned]
        return FilingPlan(tuple(planned), frozenset(withheld), invisible, sender_id, reach)

    async def file(self, entry: SpoolEntry, plan: FilingPlan) -> tuple[FilingOutcome, ...]:
        """File or hold each document of a plan; one whose effect is recorded is left alone."""
        return tuple([await self._carry_out(entry, plan, planned) for planned in plan.documents])

    async def _withheld(
        self, found: Sequence[FoundDocument], recipients: Sequence[Mailbox]
    ) -> dict[OpaqueId, str]:
        """Patients' mailboxes that must not receive the message, with the patient's matricule."""
        named = [matricules for one in found for matricules in one.named]
        invisible = _has_invisible(found)
        withheld: dict[OpaqueId, str] = {}
        if not named and not invisible:
            return withheld
        for mailbox in recipients:
            if mailbox.type is MailboxType.CITIZEN:
                matricule = await self._matricule(mailbox)
                if invisible or must_not_receive(matricule, named):
                    withheld[mailbox.id] = matricule
        return withheld

    async def _matricule(self, mailbox: Mailbox) -> str:
        """The present matricule of a patient; the address keeps the one it was made with."""
        patient = await self.directory.patient(mailbox.patient_id) if mailbox.patient_id else None
        if patient is not None and patient.ins is not None:
            return patient.ins.matricule
        return mailbox.address.local.upper()

    async def _planned(self, found: FoundDocument) -> PlannedDocument:
        document = found.document
        if document is None:
            return PlannedDocument(found, None, found.cause, found.fault or "")
        if not document.id.root:
            return PlannedDocument(found, None, Cause.ID_MISSING)
        named = subject_ins(document.patient, sandbox=self.sandbox)
        if named.ins is None:
            return PlannedDocument(found, None, named.cause)
        patients = await self.directory.patients_by_ins(named.ins.matricule)
        matched = match(document.patient, named.ins, patients, sandbox=self.sandbox)
        planned = PlannedDocument(
            found, matched.patient, matched.cause, matched.detail, matched.notes
        )
        return planned if planned.cause is not None else _admissible(planned)

    async def _carry_out(
        self, entry: SpoolEntry, plan: FilingPlan, planned: PlannedDocument
    ) -> FilingOutcome:
        found, patient = planned.found, planned.patient
        key = EffectKey(entry.id, found.index)
        document, metadata = found.document, found.metadata
        if planned.cause is None and patient and document and metadata:
            deposit = self._deposit(entry, found, document, metadata, patient.id)
            return await self.documents.deposit(
                replace(deposit, sender_id=plan.sender_id, flags=planned.notes)
            )
        return await self.documents.hold(
            Hold(
                key=key,
                held_id=derived_id(entry.id, f"held {found.index}"),
                cause=(planned.cause or Cause.RECORD_UNAVAILABLE).value,
                detail=planned.detail,
                unique_id=document.unique_id if document else "",
                patient_id=patient.id if patient else None,
                sender_id=plan.sender_id,
                content=found.content,
            )
        )

    def _deposit(
        self,
        entry: SpoolEntry,
        found: FoundDocument,
        document: ClinicalDocument,
        metadata: EntryMetadata,
        patient_id: OpaqueId,
    ) -> Deposit:
        """The deposit of one document; its ids follow from the spool id, so that a repeat agrees."""
        key = EffectKey(entry.id, found.index)
        entry_id = derived_id(entry.id, f"entry {key.index}")
        set_id = derived_id(entry.id, f"submission set {found.lot}")
        return Deposit(
            key=key,
            version=version_of(
                document, entry_id=entry_id, patient_id=patient_id, sha1=metadata.hash
            ),
            logical_id=derived_id(entry.id, f"logical {key.index}"),
            submission_set_id=set_id,
            submission_set=_as_sent(
                submission_set_of(
                    document,
                    metadata,
                    # ITU-T X.667: any UUID is an OID under 2.25.
                    unique_id=f"2.25.{int.from_bytes(set_id, 'big')}",
                    source_id=self.source_id,
                    submission_time=entry.accepted_at.strftime("%Y%m%d%H%M%S"),
                ),
                found.archive.submission_set if found.archive else None,
            ),
            metadata=metadata,
            listing=listing_of(document, metadata.type_code.display),
            sender_id=None,
            content=found.content,
        )


def _as_sent(ours: SubmissionSet, sent: SubmissionSet | None) -> SubmissionSet:
    """Our submission set with what only the sender can say: who sends, on what occasion, the title."""
    if sent is None:
        return ours
    return replace(
        ours,
        author=sent.author if sent.author.person else ours.author,
        content_type=sent.content_type if sent.content_type.code else ours.content_type,
        title=sent.title,
    )


_OWN_FAULTS: Final = frozenset(
    {
        Cause.UNREADABLE,
        Cause.ID_MISSING,
        Cause.INS_MISSING,
        Cause.INS_WRONG,
        Cause.INS_SEVERAL,
        Cause.INS_TEST_AUTHORITY,
        Cause.ARCHIVE_REFUSED,
    }
)
"""What is wrong with a document whoever gets it."""
_UNVOUCHED: Final = {
    Reach.SIGNATURE_BAD: Cause.SIGNATURE_NOT_VALID,
    Reach.UNUSABLE: Cause.PROTECTION_UNUSABLE,
    Reach.NO_KEY: Cause.PROTECTION_UNUSABLE,
}


def _admissible(planned: PlannedDocument) -> PlannedDocument:
    """What still stands between a matched document and the record."""
    embedded, archive = planned.found.embedded, planned.found.archive
    if embedded is not None and embedded.problems:
        return replace(planned, cause=Cause.BODY_UNSAFE, detail=embedded.problems[0].code)
    if planned.patient is not None and not planned.patient.dmp_active:
        return replace(planned, cause=Cause.RECORD_UNAVAILABLE)
    if is_contradictory(planned.found.flags):
        return replace(planned, cause=Cause.VISIBILITY_CONTRADICTORY)
    if archive is not None and archive.asks_deletion:
        return replace(planned, cause=Cause.DELETION_ASKED)
    if archive is not None and archive.recomputed:
        return replace(planned, notes=(*planned.notes, FLAG_RECOMPUTED))
    return planned


def _vouched(planned: PlannedDocument, reach: Reach) -> PlannedDocument:
    """A document that nothing good vouches for waits for a person, whatever else is right with it."""
    cause = _UNVOUCHED.get(reach)
    if cause is None or planned.cause in _OWN_FAULTS:
        return planned
    return replace(planned, cause=cause, detail="", notes=())


def _has_invisible(found: Sequence[FoundDocument]) -> bool:
    return any(is_kept_from_patient(one.flags) for one in found)


def _names_others(found: FoundDocument, withheld: dict[OpaqueId, str]) -> bool:
    """Whether a document names another person than one of these patients."""
    return any(must_not_receive(matricule, found.named) for matricule in withheld.values())


def _kept_back(
    planned: PlannedDocument, withheld: dict[OpaqueId, str], *, mixed: bool
) -> PlannedDocument:
    """A document of a message that a patient must not receive is not filed either.

    What is wrong with the document itself is said first, then with whom it is about, then with who
    must not see it; `mixed`: some document of the message names another person.
    """
    if planned.cause in _OWN_FAULTS:
        return planned
    if _names_others(planned.found, withheld):
        cause = Cause.OTHER_PERSON
    elif is_kept_from_patient(planned.found.flags):
        cause = Cause.INVISIBLE_PATIENT
    else:
        cause = Cause.MIXED_PERSONS if mixed else Cause.INVISIBLE_BESIDE
    return replace(planned, cause=cause, detail="", notes=())
