"""What the courier tells of its work, to whoever counts: never waited for, never heard back."""

from collections.abc import Sequence
from typing import Protocol

from mssante.filing.clerk import FilingOutcome
from mssante.mail.model import SpoolEntry
from mssante.mail.relay import Attempt


class CourierEvents(Protocol):
    """Somebody who counts; the methods return at once and do not raise."""

    def delivered(self, entry: SpoolEntry, mailboxes: int) -> None:
        """The message is in so many mailboxes, durably."""
        ...

    def filed(self, entry: SpoolEntry, outcomes: Sequence[FilingOutcome]) -> None:
        """Its documents are filed or held, durably; told again when the journey is repeated."""
        ...

    def attempted(self, attempt: Attempt) -> None:
        """Another operator was tried."""
        ...

    def failed(self) -> None:
        """A journey or an order failed by our own fault and is tried again."""
        ...


class Unheard:
    """Nobody counts."""

    def delivered(self, entry: SpoolEntry, mailboxes: int) -> None:
        """See the protocol."""

    def filed(self, entry: SpoolEntry, outcomes: Sequence[FilingOutcome]) -> None:
        """See the protocol."""

    def attempted(self, attempt: Attempt) -> None:
        """See the protocol."""

    def failed(self) -> None:
        """See the protocol."""
