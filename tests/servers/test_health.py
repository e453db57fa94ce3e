import time
from datetime import timedelta

import pytest

from mssante.servers.health import Health, Subjects, Thresholds
from mssante.servers.metrics import Memory, Meters
from mssante.trust.whitelist import AgeLimit
from tests.support.certificates import throw_away_certificate


class World:
    """One worker's view of an instance whose parts a test breaks one by one."""

    def __init__(self, folder, clock) -> None:
        self.folder, self.clock = folder, clock
        self.certificate = throw_away_certificate(folder).certificate
        self.memory = Memory(workers=2)
        self.meters = [Meters(self.memory.page(number)) for number in range(2)]
        for meters in self.meters:
            meters.heartbeat.set(time.monotonic())
        self.known = clock.now()
        self.oldest_list = None
        self.database_works = True
        self.thresholds = {
            "least_free_octets": 1,
            "late": timedelta(minutes=15),
            "certificate": timedelta(0),
            "white_list": True,
        }

    async def write(self) -> None:
        if not self.database_works:
            raise OSError("database is locked")

    async def known_until(self):
        return self.known

    def health(self) -> Health:
        return Health(
            Subjects(
                data=self.folder,
                slot="w0",
                databases={"mail": self.write},
                certificates={"members": self.certificate},
                white_list=AgeLimit(self, self.clock, self.oldest_list),
            ),
            Thresholds(**self.thresholds),
            self.memory,
            self.clock,
        )

    async def reasons(self) -> list[str]:
        return await self.health().reasons()


@pytest.fixture
def world(tmp_path, clock):
    from datetime import UTC, datetime

    clock.instant = datetime.now(UTC)  # certificates are of today
    return World(tmp_path, clock)


async def test_nothing_is_wrong_with_a_healthy_instance(world):
    assert await world.reasons() == []
    assert not list(world.folder.glob(".probe*"))


async def test_a_worker_that_tells_nothing_of_itself_is_noticed_by_the_others(world):
    world.meters[1].heartbeat.set(time.monotonic() - 30)

    assert await world.reasons() == ["worker-silent"]


async def test_a_message_that_waits_too_long_here_is_noticed_but_not_one_to_others(world):
    world.meters[1].queue("relay", 1, 0, 9999.0)
    world.meters[1].queue("here", 1, 0, 890.0)
    assert await world.reasons() == []

    world.meters[1].queue("here", 1, 0, 910.0)
    assert await world.reasons() == ["queue-late"]


async def test_a_journal_that_is_nearly_full_is_noticed(world):
    world.meters[0].journal.set(0.96)

    assert await world.reasons() == ["spool-full"]


async def test_too_little_space_is_noticed(world):
    world.thresholds["least_free_octets"] = 1 << 60

    assert await world.reasons() == ["disk-low"]


async def test_a_folder_that_is_gone_is_noticed(world):
    world.folder = world.folder / "gone"

    assert await world.reasons() == ["disk-low", "disk-unwritable"]


async def test_a_database_that_takes_no_write_is_named(world):
    world.database_works = False

    assert await world.reasons() == ["store-unwritable: mail"]


async def test_a_certificate_that_ends_soon_or_cannot_be_read_is_named(world):
    world.thresholds["certificate"] = timedelta(days=3)
    assert await world.reasons() == ["certificate-expired: members"]

    world.certificate.write_text("no certificate")
    assert await world.reasons() == ["certificate-unreadable: members"]


async def test_the_white_list_is_asked_for_only_where_other_operators_are_served(world):
    world.known = None
    assert await world.reasons() == ["white-list-missing"]

    world.thresholds["white_list"] = False
    assert await world.reasons() == []


async def test_a_white_list_is_too_old_from_the_age_from_which_it_is_believed_no_more(world):
    world.known -= timedelta(hours=30)
    assert await world.reasons() == []

    world.oldest_list = timedelta(hours=24)
    assert await world.reasons() == ["white-list-outdated"]

    world.thresholds["white_list"] = False
    assert await world.reasons() == []


async def test_a_white_list_that_cannot_be_read_is_told(world):
    async def broken():
        raise OSError("database is locked")

    world.known_until = broken

    assert await world.reasons() == ["white-list-unreadable"]


async def test_several_reasons_are_all_told(world):
    world.database_works = False
    world.known = None

    assert await world.reasons() == ["store-unwritable: mail", "white-list-missing"]


async def test_many_who_ask_at_once_cost_one_look(world):
    import asyncio

    looks = 0

    async def counted():
        nonlocal looks
        looks += 1

    world.write = counted
    health = world.health()

    await asyncio.gather(*(health.reasons() for _ in range(50)))
    await health.reasons()

    assert looks == 1


async def test_a_worker_that_stops_is_not_ready(world):
    health = world.health()
    health.stopping()

    assert await health.reasons() == ["stopping"]
