"""The path of one accepted message, in order; each step is one call into the room that knows how.

    route → open (judge, decrypt) → inspect → plan │ deliver ∥ file → report → finish

Left of the bar nothing is changed and everything may be repeated. Right of it each effect has a
key, unique in the database where it lands: a repeat after a crash finds it and does nothing. The
spool entry is the one truth until `finish`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, ParamSpec, TypeVar

from mssante.access.audit import AuditEntry, AuditKind
from mssante.directory.model import Mailbox, MailboxState
from mssante.directory.ports import Directory
from mssante.filing.clerk import Clerk, FilingOutcome, FilingPlan
from mssante.filing.inspect import FoundDocument, InspectLimits, inspect
from mssante.filing.report import ReportRequest, build_report, needs_report
from mssante.kernel.address import Address
from mssante.kernel.derived import derived_id
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import BlobRef, SpoolEntry, StoredMessage
from mssante.mail.ports import Blobs, Deliveries, Delivery, Spool
from mssante.mail.routing import Route, route
from mssante.mail.smime import Finding, Keys, Passage, SecureMail, Variant
from mssante.mail.trace_fields import trace_fields
from mssante.wire.mime.scanner import Part, scan
from mssante.wire.mime.summary import MessageSummary, summarise, summary_of

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
    documents: tuple[FoundDocument, ...]
    passage: Passage
    variants: tuple[OpenedVariant, ...]


@dataclass(frozen=True, slots=True)
class Journey:
    """Carries one message at a time through all steps; holds no rule itself."""

    operator: Operator
    directory: Directory
    blobs: Blobs
    deliveries: Deliveries
    clerk: Clerk
    smime: SecureMail
    limits: InspectLimits
    report_policy: str
    """``problems`` or ``always``: see ``filing.report``."""

    async def carry(self, entry: SpoolEntry, spool: Spool) -> None:
        """Do all that is left to do for an entry, then forget it."""
        routed = await route(self.directory, entry.envelope.recipients)
        opened = await self._open(entry, routed.mailboxes)
        sender = await self._sender(entry)
        plan = await self.clerk.plan(
            entry, opened.documents, routed.mailboxes, sender, opened.passage.reach
        )
        # Both come to their end before either's failure is told: nothing runs on beside a retry.
        delivered, outcomes = await asyncio.gather(
            self._deliver(entry, opened, routed, plan),
            self.clerk.file(entry, plan),
            return_exceptions=True,
        )
        if isinstance(delivered, BaseException):
            raise delivered
        if isinstance(outcomes, BaseException):
            raise outcomes
        await self._report(entry, opened, routed, plan, outcomes, sender)
        await spool.finish(entry.id)

    async def _open(self, entry: SpoolEntry, mailboxes: Sequence[Mailbox]) -> Opened:
        aside = entry.blob.length > _ON_A_THREAD
        content, root = await _call(aside, self._scan, entry)
        keys = await self.smime.keys_for(entry, root, mailboxes)
        return await _call(aside, self._examine, entry, content, root, keys)

    def _scan(self, entry: SpoolEntry) -> tuple[bytes, Part]:
        content = self.blobs.read(entry.blob)
        return content, scan(content)

    def _examine(self, entry: SpoolEntry, content: bytes, root: Part, keys: Keys) -> Opened:
        summary = summary_of(root, content)
        passage = self.smime.examine(entry, content, root, keys)
        variants = tuple(
            OpenedVariant(each, summary if each.content is None else summarise(each.content))
            for each in passage.variants
        )
        inner = passage.inner
        if inner is None:
            documents = inspect(content, summary, self.limits)
        else:
            documents = inspect(inner, summarise(inner), self.limits)
        return Opened(summary, documents, passage, variants)

    async def _sender(self, entry: SpoolEntry) -> Mailbox | None:
        """The local mailbox that the message came from: it gets the reports."""
        if entry.envelope.sender is None:  # no report about a report (RFC 5321 section 4.5.5)
            return None
        return await self.directory.mailbox_by_address(entry.envelope.sender)

    async def _deliver(
        self, entry: SpoolEntry, opened: Opened, routed: Route, plan: FilingPlan
    ) -> None:
        receiving = [m.id for m in routed.mailboxes if m.id not in plan.withheld]
        passage = opened.passage
        for one in opened.variants:
            theirs = [each for each in receiving if each in one.variant.mailbox_ids]
            receiving = [each for each in receiving if each not in one.variant.mailbox_ids]
            if theirs:
                await self._put_variant(entry, passage, one, theirs)
        # Also where nobody is left: the admission is recorded with the first.
        message = StoredMessage(entry.id, b"", opened.summary.encode(), entry.blob)
        await self._put(entry, passage, passage.finding, message, receiving)

    async def _put_variant(
        self, entry: SpoolEntry, passage: Passage, one: OpenedVariant, mailbox_ids: list[OpaqueId]
    ) -> None:
        content, blob, original = one.variant.content, entry.blob, None
        if content is not None:
            blob, original = await self.blobs.put(content), entry.blob
        number = derived_id(entry.id, f"variant {sha256(content or b'').hexdigest()}")
        message = StoredMessage(number, b"", one.summary.encode(), blob)
        await self._put(entry, passage, one.variant.finding, message, mailbox_ids, original)

    async def _put(
        self,
        entry: SpoolEntry,
        passage: Passage,
        finding: Finding,
        message: StoredMessage,
        mailbox_ids: list[OpaqueId],
        original: BlobRef | None = None,
    ) -> None:
        """Deliver one form of a message, with the prefix that says what was found out about it."""
        finding = await self.smime.attributed(finding)
        prefix = trace_fields(entry, self.operator.domain, self.operator.domain, finding)
        await self.deliveries.deliver(
            Delivery(
                entry.id,
                replace(message, prefix=prefix),
                len(prefix) + message.blob.length,
                entry.accepted_at,
                tuple(mailbox_ids),
                evidence=finding.evidence(entry.accepted_at, original),
                admission=_admission(entry, passage),
            )
        )

    async def _report(
        self,
        entry: SpoolEntry,
        opened: Opened,
        routed: Route,
        plan: FilingPlan,
        outcomes: Sequence[FilingOutcome],
        sender: Mailbox | None,
    ) -> None:
        """Tell the sender what was not done as asked; the same bytes however often it is tried."""
        if sender is None or sender.state is not MailboxState.ACTIVE:
            return
        request = ReportRequest(
            entry=entry,
            header=opened.summary.header,
            sender=sender,
            outcomes=tuple(outcomes),
            withheld=plan.withheld,
            waiting=_waiting(routed.mailboxes),
            undeliverable=tuple((u.recipient, u.reason) for u in routed.undeliverable),
            operator_name=self.operator.name,
            operator_address=Address("postmaster", self.operator.domain),
            invisible=plan.invisible,
            reach=plan.reach,
        )
        if not needs_report(request, self.report_policy):
            return
        content = build_report(request)
        blob = await self.blobs.put(content)
        message = StoredMessage(
            derived_id(entry.id, "report"),
            b"Return-Path: <>\r\n",
            summarise(content).encode(),
            blob,
        )
        await self.deliveries.deliver(
            Delivery(
                entry.id,
                message,
                len(message.prefix) + len(content),
                request.reported_at,
                (sender.id,),
                kind="report",
            )
        )


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


def _admission(entry: SpoolEntry, passage: Passage) -> AuditEntry:
    envelope = entry.envelope
    opened = [one for one in passage.variants if one.content is not None]
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
            # Which of the server's keys signed: a certificate's serial number names nobody.
            **({"seal": envelope.seal.serial} if envelope.seal else {}),
            "smime": (opened[0].finding if opened else passage.finding).verdict.value,
            # How many mailboxes' keys decrypted.
            **({"opened": sum(len(one.mailbox_ids) for one in opened)} if opened else {}),
        },
    )


def _waiting(mailboxes: Sequence[Mailbox]) -> tuple[Mailbox, ...]:
    """Mailboxes that receive and keep, but that nobody reads yet."""
    return tuple(m for m in mailboxes if m.state is MailboxState.NOT_ACTIVATED)
