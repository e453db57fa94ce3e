"""Times as CDA writes them (HL7 V3 type TS): kept as written, shown in ISO 8601 or as an XDS DTM.

``YYYY[MM[DD[HH[MM[SS[.f]]]]]][+ZZzz]``. A value keeps its own precision and offset; where the
offset is missing the time is read as civil time in Europe/Paris, and the reader notes it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

_PARIS: Final = ZoneInfo("Europe/Paris")
_SHAPE: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<month>[0-9]{2})(?:(?P<day>[0-9]{2})"
    r"(?:(?P<hour>[0-9]{2})(?:(?P<minute>[0-9]{2})(?:(?P<second>[0-9]{2})(?P<fraction>\.[0-9]{1,9})?)?)?)?)?)?"
    r"(?P<zone>[+-][0-9]*)?\Z"
)
_ZONE: Final = re.compile(r"[+-](?:0[0-9]|1[0-4])[0-5][0-9]\Z")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A point in time or a date, as written; `None` where the element has no value."""

    value: str | None
    null_flavor: str | None = None

    @property
    def fault(self) -> str | None:
        """``time-malformed`` or ``time-offset`` when the value is not what the standard writes."""
        if self.value is None:
            return None
        parts = _SHAPE.match(self.value)
        if parts is None or not _exists(parts):
            return "time-malformed"
        if parts["zone"] is not None and (parts["hour"] is None or not _ZONE.match(parts["zone"])):
            return "time-offset"
        return None

    @property
    def lacks_zone(self) -> bool:
        """Whether a time of day is given without offset."""
        parts = _SHAPE.match(self.value or "")
        return parts is not None and parts["hour"] is not None and parts["zone"] is None

    def iso(self) -> str | None:
        """ISO 8601 with the value's own precision and offset; a value that cannot be read, as it is.

        ``201907011649+0100`` → ``2019-07-01T16:49+01:00``; ``20201231`` → ``2020-12-31``. A missing
        offset is the one of Europe/Paris on that day; a malformed one is left out.
        """
        if self.value is None:
            return None
        parts = _SHAPE.match(self.value)
        if parts is None or not _exists(parts):
            return self.value
        text = "-".join(part for part in (parts["year"], parts["month"], parts["day"]) if part)
        if parts["hour"] is None:
            return text
        clock = ":".join(part for part in (parts["hour"], parts["minute"], parts["second"]) if part)
        return f"{text}T{clock}{parts['fraction'] or ''}{self._iso_zone(parts)}"

    def _iso_zone(self, parts: re.Match[str]) -> str:
        zone = parts["zone"]
        if zone is None:
            zone = _moment(parts, None).strftime("%z")
        return f"{zone[:3]}:{zone[3:]}" if _ZONE.match(zone) else ""

    def dtm(self) -> str | None:
        """The XDS DTM: UTC without offset, at the value's own precision (IHE ITI TF-3 4.2.3.1.7).

        A date stays the date that was written. `None` where there is no readable value. A malformed
        offset counts as missing: civil time in Europe/Paris.
        """
        parts = _SHAPE.match(self.value or "")
        if parts is None or not _exists(parts):
            return None
        if parts["hour"] is None:
            return "".join(part for part in (parts["year"], parts["month"], parts["day"]) if part)
        moment = _moment(parts, parts["zone"]).astimezone(UTC)
        precision = (
            "%Y%m%d%H" + ("%M" if parts["minute"] else "") + ("%S" if parts["second"] else "")
        )
        return moment.strftime(precision)

    def instant(self) -> datetime | None:
        """The instant in UTC, or `None` for a date or an unreadable value."""
        parts = _SHAPE.match(self.value or "")
        if parts is None or parts["hour"] is None or not _exists(parts):
            return None
        return _moment(parts, parts["zone"]).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Interval:
    """HL7 V3 IVL_TS: a single value, or bounds."""

    low: Timestamp | None = None
    high: Timestamp | None = None
    value: Timestamp | None = None


def _exists(parts: re.Match[str]) -> bool:
    """Whether the calendar has this day and the clock this time (24:00 and leap seconds are not)."""
    try:
        _moment(parts, "+0000")
    except ValueError:
        return False
    return True


def _moment(parts: re.Match[str], zone: str | None) -> datetime:
    fields = (int(parts[name] or default) for name, default in _FIELDS)
    return datetime(*fields, tzinfo=_offset(zone))  # type: ignore[misc,arg-type]


_FIELDS: Final = (
    ("year", 1),
    ("month", 1),
    ("day", 1),
    ("hour", 0),
    ("minute", 0),
    ("second", 0),
)


def _offset(zone: str | None) -> timezone | ZoneInfo:
    if zone is None or not _ZONE.match(zone):
        return _PARIS
    minutes = int(zone[1:3]) * 60 + int(zone[3:5])
    return timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
