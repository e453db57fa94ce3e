"""Limits that outlive sessions: the same account, another connection, the same answer."""

import pytest

from mssante.access.audit import AuditKind
from mssante.access.budgets import Budgets, Use, Who
from mssante.storage import audit, versions
from mssante.storage.usage import StoredUsage
from tests.support.smtp_world import DOMAIN, Client, message, plain

ALICE = f"alice@{DOMAIN}"


@pytest.fixture
def limited(unserved):
    async def serve(who, **limits):
        wanted = {who: {Use(use): limit for use, limit in limits.items()}}
        store = StoredUsage(unserved.databases["directory"])
        await unserved.serve(budgets=Budgets(store, unserved.clock, wanted))
        return unserved

    return serve


async def signed_in(world, login="alice"):
    client = await Client.signed_in(world, login)
    return client


async def test_unknown_recipients_slow_an_account_down_across_sessions(limited):
    world = await limited(Who.ACCOUNT, unknown=3)
    answers = []
    for _ in range(2):
        client = await signed_in(world)
        await client.say(f"MAIL FROM:<{ALICE}>")
        answers += [await client.say(f"RCPT TO:<nobody{n}@{DOMAIN}>") for n in range(2)]
        client.leave()
    client = await signed_in(world)
    await client.say(f"MAIL FROM:<{ALICE}>")

    assert [answer[:9] for answer in answers] == ["550 5.1.1"] * 3 + ["451 4.7.1"]
    # Good and unknown addresses are put off alike, other accounts are not.
    for name in ("bob", "nobody"):
        assert (await client.say(f"RCPT TO:<{name}@{DOMAIN}>")).startswith("451 4.7.1")
    other = await signed_in(world, "bob")
    await other.say(f"MAIL FROM:<bob@{DOMAIN}>")
    assert (await other.say(f"RCPT TO:<{ALICE}>")).startswith("250")
    world.clock.advance(hours=1)
    again = await signed_in(world)
    assert (await again.submit(message())).startswith("250")
    for each in (client, other, again):
        each.leave()


async def test_messages_recipients_and_octets_are_put_off_and_noted_once(limited):
    world = await limited(Who.ACCOUNT, messages=3, recipients=4, octets=600)
    client = await signed_in(world)
    assert (await client.submit(message(), ALICE, f"bob@{DOMAIN}")).startswith("250")
    assert (await client.submit(message("x" * 600))).startswith("451 4.7.1")
    await client.say(f"MAIL FROM:<{ALICE}>")
    assert (await client.say(f"RCPT TO:<bob@{DOMAIN}>")).startswith("250")
    for name in ("alice", "cardio"):
        assert (await client.say(f"RCPT TO:<{name}@{DOMAIN}>")).startswith("451 4.7.1")
    await client.say("RSET")
    assert (await client.say(f"MAIL FROM:<{ALICE}>")).startswith("451 4.7.1")
    client.leave()

    lines = await world.databases["directory"].read(
        lambda conn: audit.show(
            conn, versions.DIRECTORY.audit, "directory", limit=99, kind=AuditKind.REFUSAL
        )
    )
    assert sorted(line.leaf["action"] for line in lines) == ["DATA", "MAIL", "RCPT"]
    assert {line.leaf["outcome"] for line in lines} == {"rate-exceeded"}


async def test_a_network_that_connects_too_often_is_put_off(limited):
    world = await limited(Who.NETWORK, connections=2)
    clients = [await signed_in(world) for _ in range(2)]

    with pytest.raises(AssertionError):
        await Client.tls(world)
    for client in clients:
        client.leave()


async def test_an_account_that_signs_in_too_often_is_put_off(limited):
    world = await limited(Who.ACCOUNT, connections=1)
    first = await signed_in(world)
    second = await Client.tls(world)

    assert (await second.say(f"AUTH PLAIN {plain('alice', 'right')}")).startswith("421 4.7.0")
    assert await second.closed()
    for client in (first, await signed_in(world, "bob")):
        client.leave()
