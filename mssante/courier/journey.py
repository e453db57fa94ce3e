"""The path of one accepted message, in order; each step is one call into the room that knows how.

    route → open (judge, decrypt) → screen → inspect → plan │ deliver ∥ file ∥ relay → report → finish

Left of the bar nothing is changed and everything may be repeated. Right of it each effect has a
key, unique in the database where it lands: a repeat after a crash finds it and does nothing. The
spool entry is the one truth until `finish`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, ParamSpec, TypeVar

from mssante.access.audit import AuditEntry, AuditKind
from mssante.courier.events import CourierEvents, Unheard
from mssante.courier.reports import Report, Reports
from mssante.directory.model import Mailbox, MailboxState, MailboxType
from mssante.directory.ports import Directory
from mssante.filing.clerk import Clerk, FilingOutcome, FilingPlan
from mssante.filing.inspect import FoundDocument, InspectLimits, inspect
from mssante.filing.report import ReportRequest, build_report, needs_report
from mssante.kernel.address import Address
from mssante.kernel.derived import derived_id
from mssante.kernel.opaque import OpaqueId
from mssante.kernel.reasons import Reason
from mssante.mail.contacts import Correspondence, read_correspondence
from mssante.mail.delivery_status import (
    RecipientStatus,
    StatusReport,
    build_status_report,
    returned_content,
)
from mssante.mail.dkim import DkimSigner
from mssante.mail.exchange_facts import header_facts, kind_facts, recipient_facts
from mssante.mail.model import BlobRef, SpoolEntry, StoredMessage, Wish
from mssante.mail.policy import Policy
from mssante.mail.ports import Blobs, Deliveries, Delivery, RelayQueue, Spool
from mssante.mail.receipts import dropped_statuses, refused_statuses, statuses_of
from mssante.mail.routing import Route, orders_of, route
from mssante.mail.rules.authorship import author_of
from mssante.mail.rules.header import Header
from mssante.mail.rules.who_may_write import Party
from mssante.mail.screening import Objection, Screening
from mssante.mail.smime import Finding, Keys, Passage, Reach, SecureMail, Variant
from mssante.mail.trace_fields import relayed_trace, trace_fields
from mssante.mail.tracing import Confirmation, confirmation, traced
from mssante.wire.mime.reports import read_report
from mssante.wire.mime.scanner import Part, scan
from mssante.wire.mime.summary import MessageSummary, summarise, summary_of

_NOBODY: Final[Mapping[OpaqueId, str]] = MappingProxyType({})
_ON_A_THREAD: Final = 512 * 1024
"""Messages larger than this are opened off the event loop (about 5 ms of work)."""
_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Operator:
    """How this operator names itself in what it writes."""

    domain: str
    """Also the authserv-id (RFC 8601) and the host in Received."""
    name: str
    """For people."""

    @property
    def postmaster(self) -> Address:
        """From whom reports come."""
        return Address("postmaster", self.domain)


@dataclass(frozen=True, slots=True)
class OpenedVariant:
    """A form of the message for some of its recipients, with what is computed of it."""

    variant: Variant
    summary: MessageSummary


@dataclass(frozen=True, slots=True)
class Opened:
    """A message as the read steps see it."""

    summary: MessageSummary
    """Of the message as it came."""
    content: bytes = field(repr=False)
    """The message as it came."""
    root: Part
    """As it was scanned."""
    documents: tuple[FoundDocument, ...]
    is_8bit: bool
    """It has octets beyond ASCII."""
    passage: Passage
    variants: tuple[OpenedVariant, ...]
    confirmation: Confirmation | None
    """What it says about an earlier message, where it is a report."""


@dataclass(frozen=True, slots=True)
class Journey:
    """Carries one message at a time through all steps; holds no rule itself."""

    operator: Operator
    directory: Directory
    policy: Policy
    blobs: Blobs
    deliveries: Deliveries
    clerk: Clerk
    smime: SecureMail
    screening: Screening
    limits: InspectLimits
    report_policy: str
    """``problems`` or ``always``: see ``filing.report``."""
    dkim: DkimSigner | None
    """None: what goes to other operators bears no DKIM signature."""
    on_ordered: Callable[[], None]
    """Called when messages to other operators were put into the queue."""
    events: CourierEvents = field(default_factory=Unheard)

    async def carry(self, entry: SpoolEntry, spool: Spool) -> None:
        """Do all that is left to do for an entry, then forget it."""
        routed = await route(self.directory, entry, self.policy.postmaster)
        opened = await self._open(entry, routed.mailboxes)
        sender = await self._sender(entry)
        party = self.policy.party(entry, sender)
        read: Correspondence | None = None
        if any(mailbox.type is MailboxType.CITIZEN for mailbox in routed.mailboxes):
            read = read_correspondence(opened.summary.header)
            routed = await self.policy.screen(entry, sender, read, routed)
        if entry.wish is not None:
            await self._give_up(_Told(entry, opened, routed, _NO_PLAN, sender, spool.relays))
            await spool.finish(entry.id)
            return
        objection = await self._screen(opened)
        if objection is not None:
            sending = _Sending(entry, opened, routed, None, party, sender, objection)
            await self._refuse(sending, spool.relays)
            await spool.finish(entry.id)
            return
        plan = await self.clerk.plan(
            entry, opened.documents, routed.mailboxes, sender, opened.passage.reach
        )
        sending = _Sending(
            entry, opened, routed, self.policy.correspondence(entry, sender, read), party, sender
        )
        outcomes: tuple[FilingOutcome, ...] = ()

        async def file() -> None:
            nonlocal outcomes
            outcomes = await self._file(entry, plan)

        await _side_by_side(
            self._deliver(sending, plan),
            file() if plan.documents else None,
            self._relay(entry, opened, routed, sender, spool.relays) if routed.remote else None,
        )
        told = _Told(entry, opened, routed, plan, sender, spool.relays)
        await self._report(told, outcomes)
        await self._notify(told, statuses_of(entry, routed, plan.withheld, _untold(opened, routed)))
        await spool.finish(entry.id)

    async def _screen(self, opened: Opened) -> Objection | None:
        passage = opened.passage
        forms = [one.content for one in passage.variants if one.content is not None]
        if passage.inner is not None and passage.inner not in forms:
            forms.append(passage.inner)
        return await self.screening.objection(opened.content, opened.root, forms)

    async def _refuse(self, sending: "_Sending", relays: RelayQueue) -> None:
        """Nothing becomes of the message but the record of it and the word to its sender."""
        entry, opened = sending.entry, sending.opened
        message = StoredMessage(entry.id, b"", opened.summary.encode(), entry.blob)
        await self._put(sending, opened.passage.finding, message, ())
        told = _Told(entry, opened, sending.routed, _NO_PLAN, sending.sender, relays)
        await self._notify(told, refused_statuses(entry, Reason.CONTENT_REFUSED))

    async def _open(self, entry: SpoolEntry, mailboxes: Sequence[Mailbox]) -> Opened:
        aside = entry.blob.length > _ON_A_THREAD
        content, root = await _call(aside, self._scan, entry)
        keys = await self.smime.keys_for(entry, root, mailboxes)
        return await _step_by_step(aside, self._examine(entry, content, root, keys))

    def _scan(self, entry: SpoolEntry) -> tuple[bytes, Part]:
        content = self.blobs.read(entry.blob) if entry.content is None else entry.content
        return content, scan(content) if entry.root is None else entry.root

    def _examine(
        self, entry: SpoolEntry, content: bytes, root: Part, keys: Keys
    ) -> Iterator[Opened | None]:
        """Open a message, in steps of some half a millisecond where it is no large one."""
        summary = summary_of(root, content)
        yield None
        passage = self.smime.examine(entry, content, root, keys)
        yield None
        variants = tuple(
            OpenedVariant(each, summary if each.content is None else summarise(each.content))
            for each in passage.variants
        )
        inner = passage.inner
        if inner is None:
            documents = inspect(content, summary, self.limits)
        else:
            documents = inspect(inner, summarise(inner), self.limits)
        yield None
        is_8bit = not content.isascii()
        report = confirmation(read_report(content, root))
        yield Opened(summary, content, root, documents, is_8bit, passage, variants, report)

    async def _sender(self, entry: SpoolEntry) -> Mailbox | None:
        """The local mailbox that the message came from: it gets the reports."""
        if entry.envelope.sender is None:  # no report about a report (RFC 5321 section 4.5.5)
            return None
        return await self.directory.mailbox_by_address(entry.envelope.sender)

    async def _deliver(self, sending: "_Sending", plan: FilingPlan) -> None:
        entry, opened = sending.entry, sending.opened
        receiving = [m for m in sending.routed.mailboxes if m.id not in plan.withheld]
        count = len(receiving)
        for one in opened.variants:
            theirs = [each for each in receiving if each.id in one.variant.mailbox_ids]
            receiving = [each for each in receiving if each.id not in one.variant.mailbox_ids]
            if theirs:
                await self._put_variant(sending, one, theirs)
        # Also where nobody is left: the admission, and who does not receive, are recorded with it.
        message = StoredMessage(entry.id, b"", opened.summary.encode(), entry.blob)
        refused = {
            gone.mailbox_id: gone.detail
            for gone in sending.routed.undeliverable
            if gone.mailbox_id is not None
        }
        await self._put(sending, opened.passage.finding, message, receiving, refused=refused)
        if count:
            self.events.delivered(entry, count)

    async def _put_variant(
        self, sending: "_Sending", one: OpenedVariant, mailboxes: Sequence[Mailbox]
    ) -> None:
        entry = sending.entry
        content, blob, original = one.variant.content, entry.blob, None
        if content is not None:
            blob, original = await self.blobs.put(content), entry.blob
        number = derived_id(entry.id, f"variant {sha256(content or b'').hexdigest()}")
        message = StoredMessage(number, b"", one.summary.encode(), blob)
        await self._put(sending, one.variant.finding, message, mailboxes, original)

    async def _put(
        self,
        sending: "_Sending",
        finding: Finding,
        message: StoredMessage,
        mailboxes: Sequence[Mailbox],
        original: BlobRef | None = None,
        *,
        refused: Mapping[OpaqueId, str] = _NOBODY,
    ) -> None:
        """Deliver one form of a message, with the prefix that says what was found out about it."""
        entry = sending.entry
        finding = await self.smime.attributed(finding)
        prefix = trace_fields(entry, self.operator.domain, self.operator.domain, finding)
        patients = [m for m in mailboxes if m.type is MailboxType.CITIZEN]
        await self.deliveries.deliver(
            Delivery(
                entry.id,
                StoredMessage(message.id, prefix, message.summary, message.blob),
                len(prefix) + message.blob.length,
                entry.accepted_at,
                tuple(m.id for m in mailboxes),
                evidence=finding.evidence(entry.accepted_at, original),
                admission=self._admission(sending),
                facts={
                    **kind_facts(sending.party, receipt=entry.envelope.sender is None),
                    "way": "in" if entry.envelope.operator else "local",
                    "size": entry.blob.length,
                },
                traced=traced(
                    entry,
                    sending.opened.root.fields,
                    sending.sender.id if sending.sender is not None else None,
                ),
                confirmation=sending.opened.confirmation,
                correspondence=sending.correspondence,
                patients=frozenset(m.id for m in patients),
                not_activated=frozenset(
                    m.id for m in patients if m.state is MailboxState.NOT_ACTIVATED
                ),
                refused=refused,
            )
        )

    def _admission(self, sending: "_Sending") -> AuditEntry:
        """What the audit keeps of the message itself."""
        entry, routed, passage = sending.entry, sending.routed, sending.opened.passage
        envelope = entry.envelope
        away = [one for addresses in routed.remote.values() for one in addresses]
        patients_away = sum(self.policy.elsewhere(one).is_patient for one in away)
        opened = [one for one in passage.variants if one.content is not None]
        return AuditEntry(
            AuditKind.ADMISSION,
            "DATA",
            "done" if sending.objection is None else Reason.CONTENT_REFUSED.value,
            actor=envelope.account_id,
            subject=envelope.mailbox_id,
            correlation=entry.id,
            facts={
                "size": entry.blob.length,
                "recipients": len(envelope.recipients),
                **kind_facts(sending.party, receipt=envelope.sender is None),
                **recipient_facts(
                    [mailbox.type for mailbox in routed.mailboxes],
                    patients_away,
                    len(away) - patients_away,
                ),
                **header_facts(sending.opened.summary.header),
                **({"operator": envelope.operator} if envelope.operator else {}),
                # Which of the server's keys signed: a certificate's serial number names nobody.
                **({"seal": envelope.seal.serial} if envelope.seal else {}),
                "smime": (opened[0].finding if opened else passage.finding).verdict.value,
                **(
                    {"screened": sending.objection.cause, "found": sending.objection.found}
                    if sending.objection
                    else {}
                ),
                # How many mailboxes' keys decrypted.
                **({"opened": sum(len(one.mailbox_ids) for one in opened)} if opened else {}),
            },
        )

    async def _file(self, entry: SpoolEntry, plan: FilingPlan) -> tuple[FilingOutcome, ...]:
        outcomes = await self.clerk.file(entry, plan)
        self.events.filed(entry, outcomes)
        return outcomes

    async def _relay(
        self,
        entry: SpoolEntry,
        opened: Opened,
        routed: Route,
        sender: Mailbox | None,
        relays: RelayQueue,
    ) -> None:
        signature = await _call(entry.blob.length > _ON_A_THREAD, self._signature, opened)
        prefix = relayed_trace(entry, self.operator.domain) + signature
        orders = orders_of(
            entry,
            routed,
            entry.blob,
            prefix=prefix,
            sender=sender,
            is_8bit=opened.is_8bit,
            is_utf8=not opened.summary.header.isascii(),
        )
        await relays.order(orders)
        self.on_ordered()

    def _signature(self, opened: Opened) -> bytes:
        """The DKIM-Signature field; nothing where no domain of ours speaks."""
        author = author_of(Header.cut(opened.summary.header))
        if self.dkim is None or author is None:
            return b""
        return self.dkim.field_for(opened.content, author)

    async def _report(self, told: "_Told", outcomes: Sequence[FilingOutcome]) -> None:
        """Tell the sender what was not filed or not delivered as asked, and why."""
        address = told.address
        if address is None:
            return
        request = ReportRequest(
            entry=told.entry,
            header=told.opened.summary.header,
            to=address,
            outcomes=tuple(outcomes),
            withheld=told.plan.withheld,
            waiting=_waiting(told.routed.mailboxes),
            operator_name=self.operator.name,
            operator_address=self.operator.postmaster,
            invisible=told.plan.invisible,
            reach=told.plan.reach,
        )
        if needs_report(request, self.report_policy):
            await self._tell(told, "report", build_report(request), request.reported_at)

    async def _notify(self, told: "_Told", statuses: Sequence[RecipientStatus]) -> None:
        """Tell the sender what became of recipients, as far as it asked (RFC 3461)."""
        address, entry = told.address, told.entry
        if address is None or not statuses:
            return
        whole = returned_content(entry.envelope.returns, entry.blob.length)
        report = StatusReport(
            key=entry.id,
            spool_id=entry.id,
            to=address,
            operator=self.operator.postmaster,
            operator_name=self.operator.name,
            recipients=statuses,
            header=told.opened.summary.header,
            arrived_at=entry.accepted_at,
            reported_at=entry.accepted_at,
            envid=entry.envelope.envid,
            content=told.opened.content if whole else None,
        )
        await self._tell(told, "dsn", build_status_report(report), report.reported_at)

    async def _give_up(self, told: "_Told") -> None:
        """What an administrator dropped: effects that are done stay, the rest never comes."""
        if told.entry.wish is Wish.DROP:
            await self._notify(told, dropped_statuses(told.entry))

    async def _tell(self, told: "_Told", kind: str, content: bytes, at: datetime) -> None:
        """Hand a report to the sender: the same bytes however often it is tried."""
        require_tls = told.entry.envelope.require_tls
        report = Report(told.entry.id, kind, told.entry.id, content, at, require_tls=require_tls)
        reports = Reports(self.blobs, self.deliveries)
        if told.sender is not None:
            await reports.to_member(report, told.sender)
        elif told.address is not None:
            await reports.to_operator(report, told.address, told.relays)
            self.on_ordered()


def _untold(opened: Opened, routed: Route) -> frozenset[OpaqueId]:
    """Mailboxes about which no notification says anything: whether a patient gets an encrypted message
    follows from what is inside, which its sender perhaps cannot read himself.
    """
    if opened.passage.reach not in (Reach.UNVOUCHED, Reach.UNUSABLE):
        return frozenset()
    return frozenset(one.id for one in routed.mailboxes if one.type is MailboxType.CITIZEN)


_NO_PLAN: Final = FilingPlan((), frozenset())


@dataclass(frozen=True, slots=True)
class _Sending:
    """A message that was read: what its deliveries are made of."""

    entry: SpoolEntry
    opened: Opened
    routed: Route
    correspondence: Correspondence | None
    """What it says to the contacts of the patients who receive it."""
    party: Party
    """Who sends, as the policy sees it."""
    sender: Mailbox | None
    """Where it is a member's."""
    objection: Objection | None = None
    """Why it is not carried."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A message whose effects are done: what its sender may have to hear."""

    entry: SpoolEntry
    opened: Opened
    routed: Route
    plan: FilingPlan
    sender: Mailbox | None
    """Where the sender is a member."""
    relays: RelayQueue

    @property
    def address(self) -> Address | None:
        """To whom reports go: a member whose mailbox is open, or somebody at another operator."""
        if self.sender is not None:
            return self.sender.address if self.sender.state is MailboxState.ACTIVE else None
        return self.entry.envelope.sender if self.entry.envelope.operator else None


async def _call(
    aside: bool,  # noqa: FBT001
    work: Callable[_Arguments, _Answer],
    *arguments: _Arguments.args,
    **options: _Arguments.kwargs,
) -> _Answer:
    """Do some work here, or `aside` on a thread."""
    if aside:
        return await asyncio.to_thread(work, *arguments, **options)
    return work(*arguments, **options)


async def _step_by_step(
    aside: bool,  # noqa: FBT001
    steps: Iterator[_Answer | None],
) -> _Answer:
    """Do some work in steps, of which the last gives the answer, here or `aside` on a thread.

    Here, others have their turn after each. Of messages that came together each step is then done in a
    row, while the processor has at hand what it needs: about a twentieth of the main job's cost.
    """
    answer: _Answer | None = None
    if aside:
        *_, answer = await asyncio.to_thread(list, steps)
    else:
        for step in steps:
            answer = step
            await asyncio.sleep(0)
    assert answer is not None
    return answer


async def _side_by_side(*works: Coroutine[Any, Any, None] | None) -> None:
    """Do all, then tell the first failure: nothing runs on beside a retry."""
    asked = [work for work in works if work is not None]
    if len(asked) == 1:
        await asked[0]
        return
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        if outcome is not None:
            raise outcome


def _waiting(mailboxes: Sequence[Mailbox]) -> int:
    """How many mailboxes receive and keep, but nobody reads them yet."""
    return sum(m.state is MailboxState.NOT_ACTIVATED for m in mailboxes)
