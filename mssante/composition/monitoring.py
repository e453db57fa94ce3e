"""How the instance is: its health, and what a worker tells of itself again and again."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from mssante.composition.operators import list_age
from mssante.composition.stores import Stores
from mssante.kernel.clock import Clock
from mssante.servers.health import Health, Subjects, Thresholds
from mssante.servers.metrics import Memory, Meters
from mssante.servers.sampling import Count, Sampler, Waiting
from mssante.storage.database import Database
from mssante.storage.spool import StoredSpool


def health_of(stores: Stores, numbers: Memory, slot: str) -> Health:
    """What tells whether the instance is ready."""
    settings, monitoring = stores.settings, stores.settings.monitoring

    async def nothing(database: Database) -> None:
        await database.write(lambda _conn: None)

    return Health(
        Subjects(
            data=settings.storage.directory,
            slot=slot,
            databases={name: partial(nothing, each) for name, each in stores.databases.items()},
            certificates={
                "members": settings.tls.certificate,
                "operators": settings.tls.operator_certificate,
            },
            white_list=list_age(stores),
        ),
        Thresholds(
            least_free_octets=monitoring.least_free_megabytes * 1_000_000,
            late=timedelta(minutes=monitoring.late_minutes),
            certificate=timedelta(days=monitoring.certificate_days),
            white_list="reception" in settings.workers.roles,
        ),
        numbers,
        stores.clock,
    )


def sampler_of(
    meters: Meters, clock: Clock, sessions: Mapping[str, Count], spools: Sequence[StoredSpool]
) -> Sampler:
    """What counts the open sessions of each listener, and what the spools hold."""
    return Sampler(
        meters,
        clock,
        sessions,
        {
            "here": [partial(_waiting_here, spool) for spool in spools],
            "relay": [partial(_waiting_to_go, spool) for spool in spools],
        },
    )


async def _waiting_here(spool: StoredSpool) -> Waiting:
    return Waiting(*await spool.census())


async def _waiting_to_go(spool: StoredSpool) -> Waiting:
    return Waiting(*await spool.relays.census())
