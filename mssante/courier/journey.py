"""The path of one accepted message, in order; each step is one call into the room that knows how.

    open → inspect → route → plan │ deliver ∥ file ∥ relay → report → finish

Left of the bar nothing is changed and everything may be repeated. Right of it each effect has a
key, unique in the database where it lands: a repeat after a crash finds it and does nothing. The
spool entry is the one truth until `finish`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mssante.access.audit import AuditEntry, AuditKind
from mssante.courier.events import CourierEvents, Unheard
from mssante.courier.reports import Report, Reports
from mssante.directory.model import Mailbox, MailboxState
from mssante.directory.ports import Directory
from mssante.filing.clerk import Clerk, FilingOutcome, FilingPlan
from mssante.filing.inspect import FoundDocument, InspectLimits, inspect
from mssante.filing.report import ReportRequest, build_report, needs_report
from mssante.kernel.address import Address
from mssante.mail.delivery_status import (
    RecipientStatus,
    StatusReport,
    build_status_report,
    returned_content,
)
from mssante.mail.model import SpoolEntry, StoredMessage, Wish
from mssante.mail.ports import Blobs, Deliveries, Delivery, RelayQueue, Spool
from mssante.mail.receipts import dropped_statuses, statuses_of
from mssante.mail.routing import Route, orders_of, route
from mssante.mail.trace_fields import relayed_trace, trace_fields
from mssante.wire.mime.summary import MessageSummary, summarise

_ON_A_THREAD: Final = 512 * 1024
"""Messages larger than this are opened off the event loop (about 5 ms of work)."""


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
class Opened:
    """A message as the read steps see it."""

    summary: MessageSummary
    documents: tuple[FoundDocument, ...]
    is_8bit: bool
    """It has octets beyond ASCII."""


@dataclass(frozen=True, slots=True)
class Journey:
    """Carries one message at a time through all steps; holds no rule itself."""

    operator: Operator
    directory: Directory
    blobs: Blobs
    deliveries: Deliveries
    clerk: Clerk
    limits: InspectLimits
    report_policy: str
    """``problems`` or ``always``: see ``filing.report``."""
    on_ordered: Callable[[], None]
    """Called when messages to other operators were put into the queue."""
    events: CourierEvents = field(default_factory=Unheard)

    async def carry(self, entry: SpoolEntry, spool: Spool) -> None:
        """Do all that is left to do for an entry, then forget it."""
        opened = await self._open(entry)
        routed = await route(self.directory, entry)
        sender = await self._sender(entry)
        if entry.wish is not None:
            await self._give_up(_Told(entry, opened, routed, _NO_PLAN, sender, spool.relays))
            await spool.finish(entry.id)
            return
        plan = await self.clerk.plan(entry, opened.documents, routed.mailboxes, sender)
        # All come to their end before any's failure is told: nothing runs on beside a retry.
        delivered, outcomes, relayed = await asyncio.gather(
            self._deliver(entry, opened, routed, plan),
            self._file(entry, plan),
            self._relay(entry, opened, routed, sender, spool.relays),
            return_exceptions=True,
        )
        for failure in (delivered, relayed):
            if isinstance(failure, BaseException):
                raise failure
        if isinstance(outcomes, BaseException):
            raise outcomes
        told = _Told(entry, opened, routed, plan, sender, spool.relays)
        await self._report(told, outcomes)
        await self._notify(told, statuses_of(entry, routed, plan.withheld))
        await spool.finish(entry.id)

    async def _open(self, entry: SpoolEntry) -> Opened:
        if entry.blob.length > _ON_A_THREAD:
            return await asyncio.to_thread(self._open_now, entry)
        return self._open_now(entry)

    def _open_now(self, entry: SpoolEntry) -> Opened:
        content = self.blobs.read(entry.blob)
        summary = summarise(content)
        documents = inspect(content, summary, self.limits)
        return Opened(summary, documents, is_8bit=not content.isascii())

    async def _sender(self, entry: SpoolEntry) -> Mailbox | None:
        """The local mailbox that the message came from: it gets the reports."""
        if entry.envelope.sender is None:  # no report about a report (RFC 5321 section 4.5.5)
            return None
        return await self.directory.mailbox_by_address(entry.envelope.sender)

    async def _deliver(
        self, entry: SpoolEntry, opened: Opened, routed: Route, plan: FilingPlan
    ) -> None:
        receiving = tuple(m.id for m in routed.mailboxes if m.id not in plan.withheld)
        prefix = trace_fields(entry, self.operator.domain, self.operator.domain)
        message = StoredMessage(entry.id, prefix, opened.summary.encode(), entry.blob)
        size = len(prefix) + entry.blob.length
        await self.deliveries.deliver(
            Delivery(
                entry.id,
                message,
                size,
                entry.accepted_at,
                receiving,
                admission=_admission(entry),
            )
        )
        if receiving:
            self.events.delivered(entry, len(receiving))

    async def _file(self, entry: SpoolEntry, plan: FilingPlan) -> tuple[FilingOutcome, ...]:
        outcomes = await self.clerk.file(entry, plan)
        if outcomes:
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
        if not routed.remote:
            return
        prefix = relayed_trace(entry, self.operator.domain)
        orders = orders_of(
            entry, routed, entry.blob, prefix=prefix, sender=sender, is_8bit=opened.is_8bit
        )
        await relays.order(orders)
        self.on_ordered()

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
            content=self.blobs.read(entry.blob) if whole else None,
        )
        await self._tell(told, "dsn", build_status_report(report), report.reported_at)

    async def _give_up(self, told: "_Told") -> None:
        """What an administrator dropped: effects that are done stay, the rest never comes."""
        if told.entry.wish is Wish.DROP:
            await self._notify(told, dropped_statuses(told.entry))

    async def _tell(self, told: "_Told", kind: str, content: bytes, at: datetime) -> None:
        """Hand a report to the sender: the same bytes however often it is tried."""
        report = Report(told.entry.id, kind, told.entry.id, content, at)
        reports = Reports(self.blobs, self.deliveries)
        if told.sender is not None:
            await reports.to_member(report, told.sender)
        elif told.address is not None:
            await reports.to_operator(report, told.address, told.relays)
            self.on_ordered()


_NO_PLAN: Final = FilingPlan((), frozenset())


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


def _admission(entry: SpoolEntry) -> AuditEntry:
    envelope = entry.envelope
    return AuditEntry(
        AuditKind.ADMISSION,
        "DATA",
        "done",
        actor=envelope.account_id,
        subject=envelope.mailbox_id,
        correlation=entry.id,
        facts={
            "size": entry.blob.length,
            "recipients": len(envelope.recipients),
            **({"operator": envelope.operator} if envelope.operator else {}),
        },
    )


def _waiting(mailboxes: Sequence[Mailbox]) -> int:
    """How many mailboxes receive and keep, but nobody reads them yet."""
    return sum(m.state is MailboxState.NOT_ACTIVATED for m in mailboxes)
