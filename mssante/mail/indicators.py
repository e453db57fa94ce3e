"""The monthly activity of an operator, counted from what the audit recorded.

Counted are, for each domain of ours: mailboxes, exchanges (one message to one recipient) by who wrote to
whom and by the way they took, volume, the codes of MSSanté's header fields, and who signed in. A month is
civil, in Europe/Paris; a message belongs to the month in which it was accepted, a delivery to that in which it
was done.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from mssante.access.audit import AuditKind
from mssante.kernel.civil import PARIS
from mssante.kernel.clock import from_milliseconds

COUNTED: Final = (AuditKind.ADMISSION, AuditKind.DELIVERY, AuditKind.SIGN_IN)
"""The kinds of entry that matter."""
COLUMNS: Final = ("month", "domain", "indicator", "detail", "value")


class CountedMailbox(NamedTuple):
    """A mailbox, as far as it is counted."""

    type: str
    domain: str
    created_at: datetime
    closed_at: datetime | None


class Line(NamedTuple):
    """One number."""

    month: str
    """YYYY-MM."""
    domain: str
    indicator: str
    detail: str
    """What it is broken down by; empty for a total."""
    value: int


@dataclass(slots=True)
class Activity:
    """Gathers one month; feed it every entry, in any order."""

    mailboxes: Mapping[str, CountedMailbox]
    """By id, hexadecimal."""
    begin: datetime
    end: datetime
    _counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _active: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    _signed_in: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, leaf: Mapping[str, Any]) -> None:
        """Count one audit entry, given as its leaf; what is not of this month or kind is passed over."""
        at = from_milliseconds(leaf["at"])
        mailbox = self.mailboxes.get(leaf["subject"] or "")
        if mailbox is None or not self.begin <= at < self.end:
            return
        facts = leaf["facts"]
        match leaf["kind"]:
            case AuditKind.ADMISSION.value:
                self._sent(mailbox, facts)
            case AuditKind.DELIVERY.value:
                self._received(mailbox, facts)
            case AuditKind.SIGN_IN.value:
                self._active[mailbox.domain, mailbox.type].add(leaf["subject"])
                day = f"{at.astimezone(PARIS):%Y-%m-%d}"
                service = facts.get("service", "")
                self._signed_in[mailbox.domain, f"{day} {service}"].add(leaf["actor"] or "")
            case _:
                pass

    def lines(self) -> Iterator[Line]:
        """What was counted, sorted."""
        counts = Counter(self._counts)
        for mailbox in self.mailboxes.values():
            if mailbox.created_at < self.end and (
                mailbox.closed_at is None or mailbox.closed_at >= self.end
            ):
                counts[mailbox.domain, "mailboxes", mailbox.type] += 1
            for at, indicator in (
                (mailbox.created_at, "mailboxes-created"),
                (mailbox.closed_at, "mailboxes-closed"),
            ):
                if at is not None and self.begin <= at < self.end:
                    counts[mailbox.domain, indicator, mailbox.type] += 1
        for (domain, kind), ids in self._active.items():
            counts[domain, "mailboxes-active", kind] = len(ids)
        for (domain, detail), accounts in self._signed_in.items():
            counts[domain, "accounts-signed-in", detail] = len(accounts)
        month = f"{self.begin.astimezone(PARIS):%Y-%m}"
        for (domain, indicator, detail), value in sorted(counts.items()):
            yield Line(month, domain, indicator, detail, value)

    def _sent(self, mailbox: CountedMailbox, facts: Mapping[str, Any]) -> None:
        domain, who = mailbox.domain, facts.get("from", "pro")
        if facts.get("receipt"):
            self._counts[domain, "receipts-sent", ""] += 1
            return
        self._counts[domain, "messages-sent", ""] += 1
        self._counts[domain, "octets-sent", ""] += facts["size"]
        for to in ("pro", "patient"):
            for place, way in (("here", "local"), ("elsewhere", "out")):
                count = facts.get(f"{to}_{place}", 0)
                if count:
                    self._counts[domain, "exchanges-sent", f"{who}-{to} {way}"] += count
        if "codecda" in facts:
            self._counts[domain, "messages-with-documents", ""] += 1
            for code in facts["codecda"].split(","):
                self._counts[domain, "messages-by-document-code", code] += 1
        for fact, indicator in (("ins", "messages-by-ins"), ("nil", "messages-by-product")):
            if fact in facts:
                self._counts[domain, indicator, facts[fact]] += 1
        if facts.get("fin"):
            self._counts[domain, "messages-ending", ""] += 1

    def _received(self, mailbox: CountedMailbox, facts: Mapping[str, Any]) -> None:
        domain = mailbox.domain
        if facts.get("receipt"):
            self._counts[domain, "receipts-received", ""] += 1
            return
        to = "patient" if mailbox.type == "CIT" else "pro"
        detail = f"{facts.get('from', 'pro')}-{to} {facts.get('way', 'local')}"
        self._counts[domain, "exchanges-received", detail] += 1
        self._counts[domain, "octets-received", ""] += facts.get("size", 0)
