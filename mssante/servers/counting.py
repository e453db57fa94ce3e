"""Counts what the courier tells, with the time since the message was accepted."""

from collections.abc import Sequence

from mssante.filing.clerk import FilingOutcome
from mssante.kernel.clock import Clock
from mssante.mail.model import SpoolEntry
from mssante.mail.relay import Attempt
from mssante.servers.metrics import Meters


class CountingCourier:
    """The `CourierEvents` of a worker."""

    def __init__(self, meters: Meters, clock: Clock) -> None:
        self._meters = meters
        self._clock = clock

    def delivered(self, entry: SpoolEntry, mailboxes: int) -> None:
        """See the protocol."""
        self._meters.delivered.add(mailboxes)
        self._meters.delivery_seconds.observe(self._age(entry))

    def filed(self, entry: SpoolEntry, outcomes: Sequence[FilingOutcome]) -> None:
        """See the protocol."""
        held = sum(outcome.cause is not None for outcome in outcomes)
        self._meters.held.add(held)
        self._meters.filed.add(len(outcomes) - held)
        self._meters.filing_seconds.observe(self._age(entry))

    def attempted(self, attempt: Attempt) -> None:
        """See the protocol."""
        for outcome in attempt.outcomes.values():
            self._meters.relayed[outcome.stage.value].add()

    def failed(self) -> None:
        """See the protocol."""
        self._meters.set_back.add()

    def _age(self, entry: SpoolEntry) -> float:
        return (self._clock.now() - entry.accepted_at).total_seconds()
