"""Mail on its way to other operators: what is to be sent, what became of it, when to try again.

One order is one message to the recipients in one domain. It lives in the queue until each recipient
has an outcome and the sender has been told what is to be told. Pure: the courier keeps the orders
moving, ``clients`` carries them, ``storage`` remembers them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import BlobRef, Wish
from mssante.wire.smtp.notifications import UNASKED, DeliveryRequest, Notify, Return

EXPIRED: Final = "4.4.7"
"""Delivery time expired (RFC 3463 section 3.5)."""
DROPPED: Final = "5.3.0"
"""Given up by an administrator (RFC 3463 section 3.4, other mail system status)."""


@unique
class Action(StrEnum):
    """What happened to a recipient, in the words of RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    """Handed to another system that does not tell more."""


@unique
class Stage(StrEnum):
    """How far a recipient of an order has come."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """What one attempt meant for one recipient. The diagnostic is the peer's text: it may name the
    recipient.
    """

    stage: Stage
    """WAITING: to be tried again."""
    status: str
    """Enhanced status code (RFC 3463)."""
    diagnostic: str = ""
    """The peer's answer, printable ASCII; empty where there was none."""
    remote: str = ""
    """Host that answered."""
    passed_on: bool = False
    """The peer took over what was asked about notifications (RFC 3461 section 5.2.1)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an order at one attempt."""

    outcomes: Mapping[int, Outcome]
    """By the recipient's place in the order; each that was waiting."""
    unreachable: bool = False
    """No host of the domain takes mail at all: other orders to it need not be tried now."""
    why: str = ""
    """For logs and listings: free of addresses and of the peer's words."""


@dataclass(frozen=True, slots=True, repr=False)
class RelayRecipient:
    """One recipient of an order and how far it has come."""

    address: Address
    request: DeliveryRequest = UNASKED
    stage: Stage = Stage.WAITING
    status: str = ""
    diagnostic: str = ""
    remote: str = ""
    at: datetime | None = None
    """Of the last attempt."""
    untold: Action | None = None
    """What the sender is still to be told."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """When an order is tried again, and how long (RFC 5321 section 4.5.4.1)."""

    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)
    warn_after: timedelta = timedelta(hours=4)
    """When the sender hears that the message is late."""
    expire_after: timedelta = timedelta(hours=72)

    def delay_after(self, attempts: int, jitter: float) -> timedelta:
        """How long to wait after so many attempts: doubling, with a quarter of jitter.

        Args:
            attempts: made so far, at least one.
            jitter: from 0 to 1, drawn by the caller.
        """
        delay: timedelta = min(self.first * 2 ** min(attempts - 1, 20), self.longest)
        return delay * (0.75 + jitter / 2)


@dataclass(frozen=True, slots=True, repr=False)
class RelayOrder:
    """One message to the recipients in one domain of another operator."""

    id: OpaqueId
    """Follows from the spool id and the domain: a repeat makes the same order."""
    spool_id: OpaqueId
    """Of the message, for the audit and the trace."""
    domain: str
    """Lower case."""
    sender: Address | None
    """Reverse-path; None for what the server writes itself."""
    mailbox_id: OpaqueId | None
    """The member's mailbox that is told of failures; None where nobody is (null reverse-path)."""
    recipients: tuple[RelayRecipient, ...]
    blob: BlobRef
    prefix: bytes
    """Trace fields that go before the message."""
    accepted_at: datetime
    returns: Return | None = None
    envid: str = ""
    is_8bit: bool = False
    is_utf8: bool = False
    """Its header has characters beyond ASCII (RFC 6532)."""
    require_tls: bool = False
    """See `Envelope.require_tls`."""
    attempts: int = 0
    reports: int = 0
    """Reports written so far: each has a key of its own."""
    warned: bool = False
    due_at: datetime | None = None
    """When it is tried again; None for at once."""
    wish: Wish | None = None
    """What an administrator wants of it."""
    why: str = ""
    """Of the last attempt; see `Attempt`."""

    @property
    def waiting(self) -> tuple[int, ...]:
        """Places of the recipients that are to be tried."""
        return tuple(
            place for place, one in enumerate(self.recipients) if one.stage is Stage.WAITING
        )

    @property
    def untold(self) -> tuple[RelayRecipient, ...]:
        """The recipients of whom the sender is to be told something."""
        return tuple(one for one in self.recipients if one.untold is not None)

    @property
    def is_done(self) -> bool:
        """Every recipient has an outcome and the sender knows what is to be known."""
        return not self.waiting and not self.untold

    def after(
        self, attempt: Attempt, at: datetime, rules: RetryRules, jitter: float
    ) -> "RelayOrder":
        """The order once an attempt is over."""
        tried = replace(
            self,
            attempts=self.attempts + 1,
            recipients=tuple(
                _after(one, attempt.outcomes[place], at) if place in attempt.outcomes else one
                for place, one in enumerate(self.recipients)
            ),
            why=attempt.why,
        )
        if not tried.waiting:
            return _told_to_somebody(tried)
        if at - self.accepted_at >= rules.expire_after:
            return tried.given_up(EXPIRED, at)
        due = at + rules.delay_after(tried.attempts, jitter)
        tried = replace(tried, due_at=due)
        if not self.warned and at - self.accepted_at >= rules.warn_after:
            tried = replace(tried, warned=True, recipients=tuple(map(_late, tried.recipients)))
        return _told_to_somebody(tried)

    def given_up(self, status: str, at: datetime) -> "RelayOrder":
        """The order with every waiting recipient failed: nobody tries it again."""
        given_up = tuple(
            _failed(one, status, at) if one.stage is Stage.WAITING else one
            for one in self.recipients
        )
        return _told_to_somebody(replace(self, recipients=given_up))

    def as_wished(self, at: datetime) -> "RelayOrder":
        """The order once an administrator gave it up."""
        dropped = self.given_up(DROPPED, at)
        if self.wish is Wish.DISCARD:
            return _told_to_somebody(replace(dropped, mailbox_id=None))
        return dropped

    def told(self) -> "RelayOrder":
        """The order once its report is written."""
        return replace(
            self,
            reports=self.reports + 1,
            recipients=tuple(replace(one, untold=None) for one in self.recipients),
        )

    def expiry(self, rules: RetryRules) -> datetime:
        """Until when it is tried."""
        return self.accepted_at + rules.expire_after


def _told_to_somebody(order: RelayOrder) -> RelayOrder:
    """No report about a report: where nobody is to be told, nothing is to be told."""
    if order.mailbox_id is not None:
        return order
    silent = tuple(replace(one, untold=None) for one in order.recipients)
    return replace(order, recipients=silent)


def _after(one: RelayRecipient, outcome: Outcome, at: datetime) -> RelayRecipient:
    untold: Action | None = None
    if outcome.stage is Stage.FAILED and one.request.wants(Notify.FAILURE):
        untold = Action.FAILED
    elif (
        outcome.stage is Stage.SENT and one.request.wants(Notify.SUCCESS) and not outcome.passed_on
    ):
        untold = Action.RELAYED
    return replace(
        one,
        stage=outcome.stage,
        status=outcome.status,
        diagnostic=outcome.diagnostic,
        remote=outcome.remote,
        at=at,
        untold=untold,
    )


def _late(one: RelayRecipient) -> RelayRecipient:
    late = one.stage is Stage.WAITING and one.request.wants(Notify.DELAY)
    return replace(one, untold=Action.DELAYED) if late else one


def _failed(one: RelayRecipient, status: str, at: datetime) -> RelayRecipient:
    """The last answer stays: it says why the time ran out."""
    return replace(
        one,
        stage=Stage.FAILED,
        status=status,
        at=one.at or at,
        untold=Action.FAILED if one.request.wants(Notify.FAILURE) else None,
    )
