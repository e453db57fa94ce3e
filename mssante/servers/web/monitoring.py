"""``/healthz``, ``/readyz``, ``/metrics``: for those networks, or that token, that may ask."""

import hmac
import logging
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute

from mssante.access.audit import AuditEntry, AuditKind
from mssante.access.audit_log import CondensedAudit
from mssante.kernel.clock import Clock
from mssante.kernel.reasons import Reason
from mssante.servers.health import Health
from mssante.servers.metrics import AMONG_OURSELVES, FAMILIES, Family, Memory, cumulative
from mssante.servers.web.pages import Page, Resource

_LOG: Final = logging.getLogger(__name__)
_SHORTEST_TOKEN: Final = 20
_LONGEST_TOKEN: Final = 1_000
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "via", "x-real-ip")
"""What proxies add: the peer is then not who asks."""

Network = IPv4Network | IPv6Network


class Monitoring:
    """The pages of whoever watches the instance."""

    def __init__(
        self,
        health: Health,
        memory: Memory,
        clock: Clock,
        audit: CondensedAudit,
        *,
        version: str,
        networks: Sequence[Network],
        token_file: Path,
    ) -> None:
        """Args:
        health: what is ready.
        memory: the numbers of all workers.
        clock: the one clock.
        audit: where a wrong token is recorded.
        version: of this program.
        networks: may ask without a token.
        token_file: the token that lets others ask; read at each request.
        """
        self._health = health
        self._memory = memory
        self._clock = clock
        self._audit = audit
        self._version = version
        self._networks = tuple(networks)
        self._token_file = token_file

    def routes(self) -> Sequence[BaseRoute]:
        """The three addresses."""
        return [
            *Resource("healthz", get=self._guarded(self.alive)).at("/healthz"),
            *Resource("readyz", get=self._guarded(self.ready)).at("/readyz"),
            *Resource("metrics", get=self._guarded(self.metrics)).at("/metrics"),
        ]

    async def alive(self, request: Request) -> Response:  # noqa: ARG002 - the same for everybody
        """This process answers."""
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:  # noqa: ARG002
        """Whether the instance can do its work; otherwise why not, in fixed words."""
        reasons = await self._health.reasons()
        if reasons:
            return JSONResponse({"status": "not ready", "reasons": reasons}, 503)
        return JSONResponse({"status": "ready", "reasons": []})

    async def metrics(self, request: Request) -> Response:
        """All numbers of all workers, in the form of Prometheus or of OpenMetrics."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given([*self._counted(), *await self._looked_up()]))
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type})

    # --- who may ask --------------------------------------------------------------------

    def _guarded(self, page: Page) -> Page:
        async def answer(request: Request) -> Response:
            refused = await self._refused(request)
            return await page(request) if refused is None else refused

        return answer

    async def _refused(self, request: Request) -> Response | None:
        peer = request.client.host if request.client else ""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        token = self._token()
        if scheme.lower() == "bearer" and token:
            if hmac.compare_digest(given.strip().encode(errors="replace"), token):
                return None
            await self._note(peer)
        elif self._is_near(peer) and not any(name in request.headers for name in _FORWARDED):
            return None
        if not token:
            return PlainTextResponse("Not for you\n", 403)
        return PlainTextResponse("A token is needed\n", 401, {"www-authenticate": "Bearer"})

    def _is_near(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def _token(self) -> bytes:
        """The token; empty where there is none, or one that could be guessed."""
        try:
            with self._token_file.open("rb") as file:
                token = file.read(_LONGEST_TOKEN).strip()
        except FileNotFoundError:
            return b""
        except OSError:
            _LOG.warning("the monitoring token cannot be read")
            return b""
        if len(token) < _SHORTEST_TOKEN:
            _LOG.warning("the monitoring token is too short: nobody gets in by it")
            return b""
        return token

    async def _note(self, peer: str) -> None:
        entry = AuditEntry(
            AuditKind.REFUSAL,
            "monitoring",
            Reason.CREDENTIALS_INVALID.value,
            facts={"service": "web"},
            personal={"peer": peer},
        )
        await self._audit.record(("monitoring", peer), entry)

    # --- the numbers --------------------------------------------------------------------

    def _counted(self) -> Iterator[Metric]:
        for family in FAMILIES:
            if family.name not in AMONG_OURSELVES:
                yield _metric(family, self._memory)

    async def _looked_up(self) -> list[Metric]:
        """What is not counted but looked at when somebody asks."""
        now = self._clock.now()
        build = GaugeMetricFamily("mssante_build_info", "The program.", labels=["version"])
        build.add_metric([self._version], 1)
        workers = GaugeMetricFamily("mssante_workers", "Worker processes that there should be.")
        workers.add_metric([], self._memory.workers)
        free = GaugeMetricFamily("mssante_disk_free_bytes", "Where the stores are.")
        free.add_metric([], self._health.disk_free())
        certificates = GaugeMetricFamily(
            "mssante_certificate_expiry_seconds", "Until it ends.", labels=["certificate"]
        )
        for name, expiry in self._health.certificate_expiries().items():
            if expiry is not None:
                certificates.add_metric([name], (expiry - now).total_seconds())
        age = GaugeMetricFamily(
            "mssante_white_list_age_seconds",
            "Since the list in force was last known to be current.",
        )
        known = await self._health.white_list_known_until()
        if known is not None:
            age.add_metric([], (now - known).total_seconds())
        return [build, workers, free, certificates, age]


class _Given(Collector):
    """Hands over what was gathered before: the registry asks synchronously."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        yield from self._metrics


def _metric(family: Family, memory: Memory) -> Metric:
    labels = [name for name, _ in family.labels]
    values = memory.values(family)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=labels)
        for series, numbers in values.items():
            buckets, total = cumulative(numbers)
            histogram.add_metric(series, buckets, total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=labels)
    for series, numbers in values.items():
        metric.add_metric(series, numbers[0])
    return metric
