"""Fixtures of the IMAP server's tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.servers.imap.imap_site import LOGIN, PASSWORD, Client, Process, Site, a_mail


@pytest.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """On SQLite, unless a test asks for ``postgres`` by indirect parameter."""
    on_postgres = getattr(request, "param", "sqlite") == "postgres"
    site = Site(tmp_path, request.getfixturevalue("postgres_url") if on_postgres else None)
    yield site
    await site.close()


@pytest.fixture
async def process(site: Site) -> Process:
    return await site.process()


@pytest.fixture
async def connect(site: Site) -> AsyncIterator:
    clients: list[Client] = []

    async def open_client(
        process: Process, *, tls: bool = True, login: str | None = LOGIN
    ) -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            process.imaps if tls else process.imap,
            ssl=site.client_tls if tls else None,
            server_hostname="localhost" if tls else None,
            limit=1 << 26,
        )
        client = Client(reader, writer)
        clients.append(client)
        client.greeting = await client.line()
        if tls and login:
            await client.ok(f'LOGIN {login} "{PASSWORD}"')
        return client

    yield open_client
    for client in clients:
        await client.close()


@pytest.fixture(params=["one process", "two processes"])
async def pair(request: pytest.FixtureRequest, site: Site, connect) -> tuple[Client, Client]:
    """Two clients with INBOX of five messages open."""
    first = await site.process()
    second = first if request.param == "one process" else await site.process()
    one, two = await connect(first), await connect(second)
    for _ in range(5):
        await one.append("INBOX", a_mail())
    await one.ok("SELECT INBOX")
    await two.ok("SELECT INBOX")
    return one, two
