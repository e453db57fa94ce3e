import pytest

from tests.support.smtp_world import Client, World


@pytest.fixture
async def world(tmp_path, clock):
    world = World(tmp_path, clock)
    await world.build()
    await world.serve()
    yield world
    await world.close()


@pytest.fixture
async def unserved(tmp_path, clock):
    """A world whose server the test starts with limits of its own."""
    world = World(tmp_path, clock)
    await world.build()
    yield world
    await world.close()


@pytest.fixture
async def client(world):
    client = await Client.signed_in(world)
    yield client
    client.leave()
