"""Civil time in Europe/Paris: delays and months of French rules are civil, instants are UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

PARIS: Final = ZoneInfo("Europe/Paris")


def civil_month(year: int, month: int) -> tuple[datetime, datetime]:
    """The instants at which a month begins and the next one begins, in UTC.

    Raises:
        ValueError: there is no such month.
    """
    begin = datetime(year, month, 1, tzinfo=PARIS)
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    end = datetime(*following, 1, tzinfo=PARIS)
    return begin.astimezone(UTC), end.astimezone(UTC)


def a_year_before(instant: datetime) -> datetime:
    """The beginning of the same civil day a year earlier (of 28 February for 29 February)."""
    day = instant.astimezone(PARIS).replace(hour=0, minute=0, second=0, microsecond=0)
    if (day.month, day.day) == (2, 29):
        day -= timedelta(days=1)
    return day.replace(year=day.year - 1).astimezone(UTC)
