"""Keeps the messages to other operators moving: one lane for each domain, a few orders at a time.

A domain that cannot be reached is tried with one order; the others that wait for it count that as an
attempt of their own, and what comes for it in the next moments stays in the queue. What became of an
order is recorded before the next step: after a crash, only an order between the peer's last answer and
our record of it is sent again, with the same bytes. Where the disk does not take the record, it is
written again, and nothing is sent again.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mssante.courier.courier import MOST_ATTEMPTS, delay_after, place_of
from mssante.courier.events import CourierEvents, Unheard
from mssante.courier.reports import Report, Reports
from mssante.directory.model import MailboxState
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.mail.delivery_status import (
    RecipientStatus,
    StatusReport,
    build_status_report,
    returned_content,
)
from mssante.mail.ports import Blobs, Carrier, RelayQueue
from mssante.mail.relay import Action, Attempt, RelayOrder, RetryRules

_LOG: Final = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 64
"""Orders under way in one process."""
MOST_WAITING: Final = 1024
"""Orders taken out of the queues and not begun."""
MOST_IN_A_LANE: Final = 64
"""Of those, to one domain: more stay in the queue, so that a slow peer's do not fill the room of the
others. Lanes that are full are as many as slow peers can hold up anyway (`MOST_AT_ONCE`)."""
_LOOK_SECONDS: Final = 1.0
_HEADER_LOOK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class RelayServices:
    """What moving an order needs."""

    carrier: Carrier
    directory: Directory
    blobs: Blobs
    reports: Reports
    clock: Clock
    rules: RetryRules
    operator: Address
    """From whom reports come."""
    operator_name: str
    per_domain: int
    """Orders to one domain at a time."""
    events: CourierEvents = field(default_factory=Unheard)


@dataclass(slots=True)
class _Lane:
    """What goes to one domain."""

    waiting: deque[tuple[RelayQueue, RelayOrder]] = field(default_factory=deque)
    tasks: int = 0


class RelayCourier:
    """Carries the orders of one or several queues."""

    def __init__(self, services: RelayServices, queues: Sequence[RelayQueue]) -> None:
        """`queues`: this worker's own, and those of workers that are no more."""
        self._services = services
        self._queues = tuple(queues)
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._ordered = asyncio.Event()
        self._looker: asyncio.Task[None] | None = None
        self._stopping = False
        self._failures: dict[OpaqueId, int] = {}
        """By order: how often it failed by our own fault, in a row."""
        self._resting: dict[str, datetime] = {}
        """Domains that cannot be reached, and until when nobody knocks there again."""
        self._unrecorded: dict[OpaqueId, tuple[RelayQueue, RelayOrder]] = {}
        """Orders as they are since an attempt of which the queue did not take the record."""

    def start(self) -> None:
        """Begin to look for orders whose time has come."""
        self._looker = asyncio.create_task(self._look(), name="relay courier")

    def ordered(self) -> None:
        """Something was put into a queue: look now."""
        self._ordered.set()

    async def stop(self, grace_seconds: float) -> None:
        """Let the orders under way end, for a while; the rest waits in the queue."""
        self._stopping = True
        if self._looker is not None:
            self._looker.cancel()
        for lane in self._lanes.values():
            while lane.waiting:
                queue, order = lane.waiting.popleft()
                if order.id not in self._unrecorded:
                    queue.release(order.id)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        # Only this process knows of them: after the next start they would be sent again.
        for queue, order in list(self._unrecorded.values()):
            try:
                await queue.record(order, tried=True)
            except Exception:  # noqa: BLE001 - the others have to be recorded, too
                _LOG.exception("what became of a message to another operator cannot be recorded")

    @property
    def under_way(self) -> int:
        """Orders that were taken out of the queues and have no outcome yet."""
        return len(self._tasks) + sum(len(lane.waiting) for lane in self._lanes.values())

    async def _look(self) -> None:
        while True:
            self._ordered.clear()
            for queue in self._queues:
                await self._look_into(queue)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._ordered.wait()
            except TimeoutError:
                pass

    async def _look_into(self, queue: RelayQueue) -> None:
        while (room := MOST_WAITING - self.under_way) > 0:
            full = {
                name for name, lane in self._lanes.items() if len(lane.waiting) >= MOST_IN_A_LANE
            }
            most = min(room, MOST_IN_A_LANE)
            try:
                orders = await queue.due(most, full | self._at_rest())
            except Exception:  # noqa: BLE001 - it may be readable again in a second
                _LOG.exception("the queue to other operators cannot be read")
                return
            for order in orders:
                self._enter(queue, order)
            if len(orders) < most:
                return

    def _at_rest(self) -> set[str]:
        now = self._services.clock.now()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        return set(self._resting)

    def _enter(self, queue: RelayQueue, order: RelayOrder) -> None:
        lane = self._lanes.setdefault(order.domain, _Lane())
        lane.waiting.append((queue, order))
        if lane.tasks < self._services.per_domain:
            lane.tasks += 1
            task = asyncio.create_task(self._drive(order.domain, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drive(self, domain: str, lane: _Lane) -> None:
        """Carry what waits in a lane, one after the other."""
        try:
            while lane.waiting and not self._stopping:
                queue, order = lane.waiting.popleft()
                if len(lane.waiting) == MOST_IN_A_LANE // 2:
                    self._ordered.set()  # there may be more in the queue
                async with self._places:
                    attempt = await self._carry(queue, order)
                if attempt is not None and attempt.unreachable:
                    # Not beyond the time when the order that was tried may be due again.
                    pause = self._services.rules.delay_after(1, jitter=0)
                    self._resting[domain] = self._services.clock.now() + pause
                    await self._pass_over(lane, attempt)
        finally:
            lane.tasks -= 1
            if not lane.tasks and not lane.waiting:
                self._lanes.pop(domain, None)

    async def _pass_over(self, lane: _Lane, attempt: Attempt) -> None:
        """What waits for a domain that cannot be reached has been tried with the one that was."""
        outcome = next(iter(attempt.outcomes.values()))
        waiting = list(lane.waiting)
        lane.waiting.clear()
        for queue, order in waiting:
            if not await self._catch_up(queue, order):
                same = Attempt(dict.fromkeys(order.waiting, outcome), why=attempt.why)
                await self._settle(queue, order, same)

    async def _catch_up(self, queue: RelayQueue, order: RelayOrder) -> bool:
        """Do what is to be done before an order may be tried; whether there was anything."""
        if order.id in self._unrecorded:
            await self._safely(queue, order, self._record(*self._unrecorded[order.id]))
        elif order.wish is not None:
            await self._settle(queue, order, None)
        elif order.untold or not order.waiting:
            await self._safely(queue, order, self._tell(queue, order))
        else:
            return False
        return True

    async def _carry(self, queue: RelayQueue, order: RelayOrder) -> Attempt | None:
        """Try an order once, where it is to be tried."""
        if await self._catch_up(queue, order):
            return None
        try:
            attempt = await self._services.carrier.carry(order)
        except Exception as failure:  # noqa: BLE001 - one bad message must not stop the others
            await self._put_back(queue, order, failure)
            return None
        self._services.events.attempted(attempt)
        await self._settle(queue, order, attempt)
        return attempt

    async def _settle(self, queue: RelayQueue, order: RelayOrder, attempt: Attempt | None) -> None:
        """Record what became of an order, then tell the sender what is to be told."""
        now = self._services.clock.now()
        if attempt is None:
            after = order.as_wished(now)
        else:
            jitter = secrets.randbelow(1000) / 1000
            after = order.after(attempt, now, self._services.rules, jitter)
        if after.waiting:
            _LOG.info(
                "a message to another operator waits",
                extra={
                    "spool_id": id_text(order.spool_id),
                    "domain": order.domain,
                    "attempt": after.attempts,
                    "why": after.why,
                },
            )
        await self._safely(queue, order, self._record(queue, after))

    async def _record(self, queue: RelayQueue, order: RelayOrder) -> None:
        self._unrecorded.pop(order.id, None)
        try:
            await queue.record(order, tried=True)
        except Exception:
            self._unrecorded[order.id] = (queue, order)
            raise
        if order.untold:
            await self._tell(queue, order)

    async def _tell(self, queue: RelayQueue, order: RelayOrder) -> None:
        if order.untold and order.mailbox_id is not None:
            mailbox = (await self._services.directory.mailboxes([order.mailbox_id])).get(
                order.mailbox_id
            )
            if mailbox is not None and mailbox.state is MailboxState.ACTIVE:
                report = self._report(order, mailbox.address)
                await self._services.reports.to_member(report, mailbox)
        await queue.record(order.told(), tried=False)

    def _report(self, order: RelayOrder, to: Address) -> Report:
        services = self._services
        whole = returned_content(order.returns, order.blob.length)
        key, kind = order.id, f"dsn {order.reports}"
        moments = [one.at for one in order.untold if one.at is not None]
        at = max(moments, default=order.accepted_at)
        content = services.blobs.read(order.blob, 0, None if whole else _HEADER_LOOK)
        report = StatusReport(
            key=Report(key, kind, order.spool_id, b"", at).id,
            spool_id=order.spool_id,
            to=to,
            operator=services.operator,
            operator_name=services.operator_name,
            recipients=_statuses(order, order.expiry(services.rules)),
            header=content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
            arrived_at=order.accepted_at,
            reported_at=at,
            envid=order.envid,
            content=content if whole else None,
        )
        return Report(key, kind, order.spool_id, build_status_report(report), at)

    async def _safely(
        self, queue: RelayQueue, order: RelayOrder, work: Coroutine[Any, Any, None]
    ) -> None:
        try:
            await work
        except Exception as failure:  # noqa: BLE001 - a full disk, a locked database: it passes
            await self._put_back(queue, order, failure)
        else:
            self._failures.pop(order.id, None)

    async def _put_back(self, queue: RelayQueue, order: RelayOrder, failure: Exception) -> None:
        """What fails by our own fault stays in the queue; again and again, it waits for a person."""
        self._services.events.failed()
        failures = self._failures[order.id] = self._failures.get(order.id, 0) + 1
        # The exception's text may quote the message: only its kind and place are logged.
        why = f"{type(failure).__name__} in {place_of(failure)}"
        _LOG.warning(
            "a message to another operator could not be carried; it stays in the queue",
            extra={"spool_id": id_text(order.spool_id), "domain": order.domain, "why": why},
        )
        if failures >= MOST_ATTEMPTS:
            try:
                await queue.set_aside(order.id, why)
            except Exception:  # noqa: BLE001 - then it goes on as before
                _LOG.exception("the queue to other operators cannot be written")
            else:
                del self._failures[order.id]
                return
        pause = delay_after(min(failures, MOST_ATTEMPTS)).total_seconds()
        asyncio.get_running_loop().call_later(pause, queue.release, order.id)


def _statuses(order: RelayOrder, expiry: datetime) -> list[RecipientStatus]:
    return [
        RecipientStatus(
            recipient=one.address,
            action=one.untold,
            status=one.status or "4.0.0",
            original=one.request.original_recipient,
            diagnostic=one.diagnostic,
            remote=one.remote,
            at=one.at,
            until=expiry if one.untold is Action.DELAYED else None,
        )
        for one in order.untold
        if one.untold is not None
    ]
