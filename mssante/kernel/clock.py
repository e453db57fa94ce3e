"""Time comes from one injected clock, in UTC; only the edge turns it into civil time."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests move it by hand."""

    def now(self) -> datetime:
        """The present instant, timezone-aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return datetime.now(UTC)


def to_milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z: how instants are kept in the stores."""
    return round(instant.timestamp() * 1000)


def from_milliseconds(milliseconds: int) -> datetime:
    """The instant that :func:`to_milliseconds` stored."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
