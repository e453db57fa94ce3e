"""What is counted, and the memory that all processes of an instance count in.

The supervisor makes the memory before it starts the workers: one page of numbers for each worker,
and one for itself. Each process writes to its own page alone, so nothing is locked; whoever is
asked adds the pages up. A worker that is replaced goes on with its predecessor's page: counters
never go back while the instance runs.

Every number has its place before the first one is counted: labels take values of short, closed lists
only, and no name of a person, a domain or a peer can become one.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from mssante.kernel.reasons import Reason

if TYPE_CHECKING:
    Numbers: TypeAlias = memoryview[float]
else:  # in Python 3.11 it cannot be subscripted yet
    Numbers = memoryview

_DONE: Final = "done"
_OTHER: Final = "other"
_RECEIVING: Final = ("smtp", "reception")
"""Doors by which messages come in, in the words of the audit."""
_ROLES: Final = ("submission", "reception", "imap", "web")
TLS_CONTEXTS: Final = ("members", "operators", "web")

SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
)  # fmt: skip
"""Upper bounds of the histograms' buckets; above the last one stands infinity."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the ending that its kind gives it."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "oldest", "histogram"]
    """``oldest``: a gauge of which the whole instance has the largest of all pages, not the sum."""
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Each label with the values that it can have."""

    @property
    def series(self) -> Iterator[tuple[str, ...]]:
        """Every combination of label values, in their order in memory."""
        return product(*(values for _, values in self.labels))

    @property
    def width(self) -> int:
        """Numbers of one series: a histogram has its buckets, and its sum."""
        return len(SECONDS) + 2 if self.kind == "histogram" else 1


_REASONS: Final = (*(reason.value for reason in Reason), _OTHER)

ACCEPTED: Final = Family(
    "mssante_messages_accepted", "Messages durable in the spool.", "counter",
    (("service", _RECEIVING),),
)  # fmt: skip
REFUSED: Final = Family(
    "mssante_smtp_refusals", "STARTTLS, MAIL, RCPT and DATA refused, by reason.", "counter",
    (("service", _RECEIVING), ("reason", _REASONS)),
)  # fmt: skip
DELIVERED: Final = Family(
    "mssante_messages_delivered", "Messages put into mailboxes, each counted once a mailbox.",
    "counter",
)  # fmt: skip
FILED: Final = Family("mssante_documents_filed", "Documents filed into records.", "counter")
HELD: Final = Family("mssante_documents_held", "Documents that wait for a person.", "counter")
RELAYED: Final = Family(
    "mssante_relay_attempts", "Recipients at other operators, by what an attempt gave.", "counter",
    (("outcome", ("sent", "waiting", "failed")),),
)  # fmt: skip
SET_BACK: Final = Family(
    "mssante_journeys_failed", "Journeys that failed by our own fault and are tried again.",
    "counter",
)  # fmt: skip
SIGN_INS: Final = Family(
    "mssante_sign_ins", "Sign-ins, by outcome.", "counter",
    (("service", ("smtp", "imap", _OTHER)), ("outcome", (_DONE, *_REASONS))),
)  # fmt: skip
HANDSHAKES: Final = Family(
    "mssante_tls_handshakes", "TLS handshakes, by version or as failed.", "counter",
    (("certificate", TLS_CONTEXTS), ("outcome", ("TLSv1.2", "TLSv1.3", "failed"))),
)  # fmt: skip
REQUESTS: Final = Family(
    "mssante_http_requests", "Requests to the web listener, by status class.", "counter",
    (("status", ("2xx", "3xx", "4xx", "5xx")),),
)  # fmt: skip
MALFORMED: Final = Family(
    "mssante_http_malformed", "Connections to the web listener that did not speak HTTP.", "counter"
)
STARTS: Final = Family("mssante_worker_starts", "Worker processes started.", "counter")
ACCEPT_SECONDS: Final = Family(
    "mssante_accept_seconds", "From the end of a message's data to its being durable.", "histogram"
)
DELIVERY_SECONDS: Final = Family(
    "mssante_delivery_seconds", "From acceptance to the mailboxes.", "histogram"
)
FILING_SECONDS: Final = Family(
    "mssante_filing_seconds", "From acceptance to the record, documents held included.", "histogram"
)
SESSIONS: Final = Family("mssante_sessions", "Connections open.", "gauge", (("listener", _ROLES),))
QUEUE: Final = Family(
    "mssante_queue_messages",
    "Accepted and not wholly done: under way or tried again (due), waiting for a person (held).",
    "gauge", (("way", ("here", "relay")), ("state", ("due", "held"))),
)  # fmt: skip
OLDEST: Final = Family(
    "mssante_queue_oldest_seconds", "Age of the oldest message that is due; 0 where none is.",
    "oldest", (("way", ("here", "relay")),),
)  # fmt: skip
JOURNAL: Final = Family(
    "mssante_journal_fullest_ratio", "How full the fullest worker's journal is; at 1 it refuses.",
    "oldest",
)  # fmt: skip
HEARTBEAT: Final = Family(
    "mssante_heartbeat", "Seconds of the machine's monotonic clock at the last sign of life.",
    "oldest",
)  # fmt: skip
LOADED: Final = Family(
    "mssante_loaded",
    "Seconds of the machine's monotonic clock when the last look at certificates, keys and "
    "revocation lists began, of those that have ended.",
    "oldest",
)  # fmt: skip
AMONG_OURSELVES: Final = frozenset({HEARTBEAT.name, LOADED.name})
"""What says nothing to others."""

FAMILIES: Final = (
    ACCEPTED, REFUSED, DELIVERED, FILED, HELD, RELAYED, SET_BACK, SIGN_INS, HANDSHAKES, REQUESTS,
    MALFORMED, STARTS, ACCEPT_SECONDS, DELIVERY_SECONDS, FILING_SECONDS, SESSIONS, QUEUE, OLDEST,
    JOURNAL, HEARTBEAT, LOADED,
)  # fmt: skip


def _places() -> tuple[dict[str, dict[tuple[str, ...], int]], int]:
    """By family and label values, where the series begins in a page; and the page's length."""
    places: dict[str, dict[tuple[str, ...], int]] = {}
    position = 0
    for family in FAMILIES:
        series = places[family.name] = {}
        for values in family.series:
            series[values] = position
            position += family.width
    return places, position


_PLACES, _LENGTH = _places()


class Memory:
    """The pages of one instance, shared by the processes that are forked after it is made."""

    def __init__(self, workers: int = 1) -> None:
        """One page for each worker, and the supervisor's after them."""
        self.workers = workers
        # Without a file: private to these processes, and gone with them.
        self._map = mmap.mmap(-1, (workers + 1) * _LENGTH * 8)
        self._numbers = memoryview(self._map).cast("d")

    def page(self, number: int) -> Numbers:
        """The numbers of one worker, or (last) of the supervisor."""
        return self._numbers[number * _LENGTH : (number + 1) * _LENGTH]

    @property
    def supervisor(self) -> Numbers:
        """The supervisor's own page."""
        return self.page(self.workers)

    def values(self, family: Family) -> dict[tuple[str, ...], list[float]]:
        """By label values, the numbers of the whole instance: one, or those of a histogram."""
        merge = max if family.kind == "oldest" else sum
        pages = [self.page(number) for number in range(self.workers + 1)]
        return {
            values: [
                merge([page[start + offset] for page in pages]) for offset in range(family.width)
            ]
            for values, start in _PLACES[family.name].items()
        }

    def of_each_worker(self, family: Family) -> list[float]:
        """The number of a family without labels, in each worker's page."""
        place = _PLACES[family.name][()]
        return [self.page(number)[place] for number in range(self.workers)]


def cell(family: Family, *labels: str) -> int:
    """Where a series stands in a page; a value that the label does not have counts as ``other``.

    Raises:
        KeyError: the label has no ``other``.
    """
    series = _PLACES[family.name]
    found = series.get(labels)
    if found is not None:
        return found
    known = zip(labels, family.labels, strict=True)
    return series[tuple(label if label in values else _OTHER for label, (_, values) in known)]


class Counter:
    """Counts one series up."""

    __slots__ = ("_page", "_place")

    def __init__(self, page: Numbers, family: Family, *labels: str) -> None:
        self._page = page
        self._place = cell(family, *labels)

    def add(self, number: int = 1) -> None:
        """Count."""
        self._page[self._place] += number


class Histogram:
    """Counts durations into buckets."""

    __slots__ = ("_page", "_place")

    def __init__(self, page: Numbers, family: Family) -> None:
        self._page = page
        self._place = cell(family)

    def observe(self, seconds: float) -> None:
        """Count one duration; a clock that was set back gives none below zero."""
        seconds = max(seconds, 0.0)
        page, place = self._page, self._place
        page[place + bisect_left(SECONDS, seconds)] += 1
        page[place + len(SECONDS) + 1] += seconds


class Gauge:
    """Says how much there is of something now."""

    __slots__ = ("_page", "_place")

    def __init__(self, page: Numbers, family: Family, *labels: str) -> None:
        self._page = page
        self._place = cell(family, *labels)

    def set(self, value: float) -> None:
        """Say it."""
        self._page[self._place] = value


def _each(page: Numbers, family: Family, values: Iterable[str]) -> Mapping[str, Counter]:
    return {value: Counter(page, family, value) for value in values}


class Meters:
    """The counters of one process, ready to count: no name is looked up on a message's way."""

    def __init__(self, page: Numbers | None = None) -> None:
        """`page`: by default one that nobody else sees, for what runs by itself."""
        page = self._page = Memory().page(0) if page is None else page
        self.accepted = _each(page, ACCEPTED, _RECEIVING)
        self.delivered = Counter(page, DELIVERED)
        self.filed = Counter(page, FILED)
        self.held = Counter(page, HELD)
        self.set_back = Counter(page, SET_BACK)
        self.relayed = _each(page, RELAYED, ("sent", "waiting", "failed"))
        self.malformed = Counter(page, MALFORMED)
        self.requests = _each(page, REQUESTS, ("2xx", "3xx", "4xx", "5xx"))
        self.accept_seconds = Histogram(page, ACCEPT_SECONDS)
        self.delivery_seconds = Histogram(page, DELIVERY_SECONDS)
        self.filing_seconds = Histogram(page, FILING_SECONDS)
        self.heartbeat = Gauge(page, HEARTBEAT)
        self.loaded = Gauge(page, LOADED)
        self.journal = Gauge(page, JOURNAL)

    def refused(self, service: str, reason: Reason) -> None:
        """SMTP said no."""
        self._page[cell(REFUSED, service, reason.value)] += 1

    def signed_in(self, service: str, reason: Reason | None) -> None:
        """Somebody signed in, or was refused."""
        outcome = _DONE if reason is None else reason.value
        self._page[cell(SIGN_INS, service, outcome)] += 1

    def handshake(self, certificate: str, version: str | None) -> None:
        """TLS stands, in this version; or (None) it came to nothing."""
        self._page[cell(HANDSHAKES, certificate, version or "failed")] += 1

    def sessions(self, listener: str, count: int) -> None:
        """So many connections are open."""
        self._page[cell(SESSIONS, listener)] = count

    def queue(self, way: str, due: int, held: int, oldest_seconds: float) -> None:
        """What this worker's spools hold."""
        self._page[cell(QUEUE, way, "due")] = due
        self._page[cell(QUEUE, way, "held")] = held
        self._page[cell(OLDEST, way)] = oldest_seconds

    def begin(self) -> None:
        """Forget what was now for a former process of the same page; what was counted stays."""
        for family in FAMILIES:
            if family.kind in ("gauge", "oldest"):
                for place in _PLACES[family.name].values():
                    self._page[place] = 0.0


def cumulative(numbers: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
    """A histogram's numbers as it is shown: each bucket with those below it, and the sum."""
    buckets, total = [], 0.0
    for bound, count in zip((*map(str, SECONDS), "+Inf"), numbers[:-1], strict=True):
        total += count
        buckets.append((bound, total))
    return buckets, numbers[-1]
