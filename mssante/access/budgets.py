"""What an account, an operator or a network may use in an hour, counted across workers.

Every worker may spend one hundredth of a limit without asking; beyond that it leases hundredths from
counters that all workers share. So most senders cost no write at all and the busiest a hundred an hour,
the answer to each message comes from memory, and the limit is kept to within one hundredth a worker. Hours
are fixed, so at their turn twice as much may pass within a short time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final, NamedTuple, Protocol

from mssante.kernel.clock import Clock
from mssante.kernel.reasons import Reason, Refusal

HOUR_SECONDS: Final = 3_600
_SHARES: Final = 100
"""A limit is leased in so many pieces."""
_MOST_SUBJECTS: Final = 100_000
"""Remembered by one worker, about 300 bytes each; beyond that the oldest are forgotten."""


@unique
class Use(StrEnum):
    """What is counted."""

    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    OCTETS = "octets"
    CONNECTIONS = "connections"
    UNKNOWN = "unknown"
    """Recipients that were refused: who meets many is searching for addresses."""


@unique
class Who(StrEnum):
    """Whose use is counted."""

    ACCOUNT = "account"
    OPERATOR = "operator"
    NETWORK = "network"


class Subject(NamedTuple):
    """One of those."""

    who: Who
    name: str
    """The account's id, the name in the operator's certificate, or the network."""

    def __str__(self) -> str:
        return f"{self.who}:{self.name}"


Limits = Mapping[Who, Mapping[Use, int]]
"""By the hour; what is absent or 0 has no limit."""


class UsageStore(Protocol):
    """Counters that all workers share; ``storage`` keeps them."""

    async def lease(self, hour: int, subject: str, use: Use, wanted: int, limit: int) -> int:
        """Take `wanted` from what is left of `limit`, or the rest; gives how much was taken."""
        ...


@dataclass(slots=True)
class _Purse:
    """What a worker may still spend of one use of one subject in one hour."""

    hour: int
    left: int
    empty: bool = False
    """Nothing is left anywhere until the hour is over."""


@dataclass(slots=True)
class Budgets:
    """Spends, or refuses."""

    store: UsageStore
    clock: Clock
    limits: Limits
    _purses: dict[tuple[Subject, Use], _Purse] = field(default_factory=dict)

    async def check(self, subject: Subject, use: Use) -> None:
        """Let pass while anything is left.

        Raises:
            Refusal: RATE_EXCEEDED.
        """
        purse = self._purse(subject, use)
        if purse is not None and purse.left < 1:
            await self._fill(purse, subject, use, 1)

    async def spend(self, subject: Subject, use: Use, amount: int = 1) -> None:
        """Use something up.

        Raises:
            Refusal: RATE_EXCEEDED; nothing was spent.
        """
        purse = self._purse(subject, use)
        if purse is not None:
            if purse.left < amount:
                await self._fill(purse, subject, use, amount)
            purse.left -= amount

    async def _fill(self, purse: _Purse, subject: Subject, use: Use, amount: int) -> None:
        limit = self.limits[subject.who][use]
        if not purse.empty:
            wanted = max(amount - purse.left, limit // _SHARES, 1)
            leased = await self.store.lease(purse.hour, str(subject), use, wanted, limit)
            purse.left += leased
            # Less than asked for: the rest of the hour's. A larger message may fail where a smaller
            # one passes, but who has nothing left is not asked for again.
            purse.empty = leased < wanted
        if purse.left < amount:
            detail = f"more than {limit} {use} an hour of this {subject.who}"
            raise Refusal(Reason.RATE_EXCEEDED, detail)

    def _purse(self, subject: Subject, use: Use) -> _Purse | None:
        """What is left in this hour; None without a limit."""
        limit = self.limits.get(subject.who, {}).get(use, 0)
        if not limit:
            return None
        hour = int(self.clock.now().timestamp()) // HOUR_SECONDS
        purse = self._purses.get((subject, use))
        if purse is None or purse.hour != hour:
            self._purses.pop((subject, use), None)
            purse = self._purses[subject, use] = _Purse(hour, limit // _SHARES)
            if len(self._purses) > _MOST_SUBJECTS:
                # Without its purse a subject would begin with another free hundredth.
                del self._purses[next(iter(self._purses))]
        return purse
