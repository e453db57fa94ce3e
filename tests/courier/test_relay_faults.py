"""Other operators that fail in every way, and a queue that fails beneath: what leaves, and how often."""

import asyncio
import contextlib
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dns.resolver
import pytest

from mssante.composition.operators import retry_rules
from mssante.composition.stores import open_stores
from mssante.cli.instance import act
from mssante.clients.smtp import session as session_module
from mssante.courier import relays as relays_module
from mssante.settings import load
from mssante.storage import versions
from mssante.trust.list_signature import ListPolicy
from mssante.wire.whitelist.writer import write_white_list
from tests.journeys.instance import Instance
from tests.support.peers import peer_context
from tests.support.relay_world import RelayWorld, until

pytestmark = pytest.mark.timeout(120)

ONE, OTHER = "hopital-voisin.example", "laboratoire-voisin.example"


async def until_true(condition):
    async def met():
        return condition()

    await until(met)


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """Its other operator speaks for a second domain, too."""
    made = Instance(tmp_path_factory.mktemp("relays") / "instance").init()

    async def list_the_other():
        async with open_stores(load(made.config)) as stores:
            listings = (await stores.white_list.white_list()).listings
            [one] = [each for each in listings if each.domain == ONE]
            content = write_white_list(stores.clock.now(), [*listings, replace(one, domain=OTHER)])
            await stores.white_list.replace(content, act("test"), ListPolicy())

    asyncio.run(list_the_other())
    return made


@pytest.fixture
async def world(instance, clock, monkeypatch):
    clock.instant = datetime.now(UTC)
    monkeypatch.setattr(relays_module, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(relays_module, "delay_after", lambda failures: timedelta(0))
    operator = instance.demo["remote_operators"][0]
    context = peer_context(
        operator["client_certificate"], operator["client_key"], instance.directory / "tls/peers.pem"
    )
    account = instance.accounts("professional")[0]
    async with contextlib.AsyncExitStack() as stack:
        settings = load(instance.config)
        stores = await stack.enter_async_context(open_stores(settings, "w0b", clock=clock))
        stores.layout.create_spool("w0")
        database = stores.layout.open(versions.SPOOL, "w0")
        await database.write(lambda conn: conn.exec_driver_sql("DELETE FROM relay_order") and None)
        await database.close()
        made = RelayWorld(stores, clock, account, context, stack)
        await made.start()
        yield made


# --- 4xx storms ----------------------------------------------------------------------------------

STORM = "451 4.3.2 overloaded"


@pytest.mark.parametrize(
    ("verb", "answer", "most_connections"),
    [
        # One connection shows that nobody can be served: the other messages count as tried.
        ("greeting", "421 4.3.2 overloaded", 4),
        ("EHLO", STORM, 4),
        ("MAIL", "421 4.3.2 overloaded", 4),
        ("RCPT", "421 4.3.2 overloaded", 4),
        ("end", "421 4.3.2 overloaded", 4),
        # Each message has an answer of its own, but sessions are kept for the next one.
        ("MAIL", STORM, 4),
        ("RCPT", STORM, 4),
        ("DATA", STORM, 4),
        ("end", STORM, 4),
    ],
)
async def test_a_storm_of_4xx_is_waited_out_without_hammering_and_holds_up_nobody_else(
    world, verb, answer, most_connections
):
    peer = await world.peer(ONE, answers={verb: answer})
    well = await world.peer(OTHER)
    orders = await world.order(ONE, count=20)
    await world.order(OTHER)
    await world.calm()

    assert len(well.messages) == 1
    assert await world.waiting() == 20
    assert peer.connections <= most_connections

    peer.answers.clear()
    taken = len(peer.messages)
    for _ in range(20):
        if await world.waiting():
            await world.pass_time()

    assert await world.waiting() == 0
    sent = peer.messages[taken:]
    assert sorted(sent) == sorted(world.content_of(order) for order in orders)


async def test_pauses_grow_then_the_sender_is_warned_and_in_the_end_told_once(world):
    rules = retry_rules(world.stores.settings)
    peer = await world.peer(ONE, answers={"MAIL": STORM})
    [order] = await world.order(ONE)
    await world.calm()
    started, pauses, warned_at = order.accepted_at, [], None

    for _ in range(200):
        if not await world.waiting():
            break
        pauses.append(await world.pass_time())
        told = await world.told(order)
        if told == ["delayed"] and warned_at is None:
            warned_at = world.clock.now() - started

    assert await world.told(order) == ["delayed", "failed"]
    for number, pause in enumerate(pauses):
        usual = min(rules.first * 2 ** min(number, 20), rules.longest)
        assert usual * 0.74 <= pause <= usual * 1.26
    assert len({pause / rules.longest for pause in pauses[-10:]}) > 1  # each drawn anew
    assert rules.warn_after <= warned_at <= rules.warn_after + 1.3 * rules.longest
    expired_at = world.clock.now() - started
    assert rules.expire_after <= expired_at <= rules.expire_after + 1.3 * rules.longest
    assert sum(command.startswith("MAIL") for command in peer.commands) == len(pauses) + 1
    assert peer.messages == []


async def test_recipients_that_were_taken_during_a_storm_do_not_get_it_again(world):
    peer = await world.peer(
        ONE, answers={"RCPT": ["250 ok", "451 4.2.0 later", "550 5.1.1 unknown", "451 4.2.0 later"]}
    )
    [order] = await world.order(ONE, "a", "b", "c", "d")
    await world.calm()
    await world.pass_time()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)] * 2
    rcpts = [command for command in peer.commands if command.startswith("RCPT")]
    assert [one.partition("<")[2][0] for one in rcpts] == ["a", "b", "c", "d", "b", "d"]
    assert await world.told(order) == ["failed"]


async def test_a_session_that_grew_old_at_the_peer_costs_no_attempt(world):
    """Many servers end an idle session with 421 at the next command."""
    peer = await world.peer(ONE, answers={"MAIL": ["250 ok", "421 4.4.2 idle for too long"]})
    for _ in range(2):
        await world.order(ONE)
        await world.calm()

    assert await world.waiting() == 0
    assert (len(peer.messages), peer.connections) == (2, 2)


# --- slow peers ----------------------------------------------------------------------------------


@pytest.fixture
def short_waits(monkeypatch):
    """The minutes of RFC 5321 section 4.5.3.2, as tenths of seconds."""
    for name in ("GREETING", "COMMAND", "DATA", "BLOCK"):
        monkeypatch.setattr(session_module, f"{name}_SECONDS", 1.0)
    monkeypatch.setattr(session_module, "END_SECONDS", 1.0)


async def test_a_slow_peer_with_more_work_than_there_is_room_holds_up_nobody_else(
    world, monkeypatch
):
    monkeypatch.setattr(relays_module, "MOST_WAITING", 40)
    monkeypatch.setattr(relays_module, "MOST_IN_A_LANE", 10)
    gate = threading.Event()
    slow = await world.peer(ONE, gates={"MAIL": gate})
    well = await world.peer(OTHER)
    orders = await world.order(ONE, count=60)
    await until_true(lambda: slow.held)

    await world.order(OTHER)
    await until_true(lambda: well.messages)

    assert slow.messages == []
    gate.set()
    await world.calm()
    assert sorted(slow.messages) == sorted(world.content_of(order) for order in orders)


@pytest.mark.parametrize("how", [{"seconds": 0.3}, {"octet_seconds": 0.001}])
async def test_a_peer_that_is_slow_within_its_time_gets_the_message_once(world, short_waits, how):
    peer = await world.peer(ONE, **how)
    [order] = await world.order(ONE)
    await world.calm()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)]


@pytest.mark.parametrize(
    ("verb", "copies"),
    [("greeting", 1), ("EHLO", 1), ("STARTTLS", 1), ("MAIL", 1), ("DATA", 1), ("end", 2)],
)
async def test_a_peer_that_trickles_an_answer_beyond_its_time_is_left_and_tried_later(
    world, short_waits, verb, copies
):
    peer = await world.peer(ONE, extensions=[], octet_seconds=0.2)
    peer.trickled = {verb}
    [order] = await world.order(ONE)
    await world.calm()
    assert await world.waiting() == 1

    peer.octet_seconds = 0
    await world.pass_time()

    assert await world.waiting() == 0
    # After the end of data nobody knows whether the peer has it: it gets it again, and no third time.
    assert peer.messages == [world.content_of(order)] * copies


# --- connections that break ----------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "copies"), [("body", 1), ("end", 2), ("after", 1)])
async def test_a_peer_that_closes_around_the_data_gets_the_same_octets_at_most_twice(
    world, verb, copies
):
    peer = await world.peer(ONE, answers={verb: ["CLOSE"]})
    [order] = await world.order(ONE)
    await world.calm()
    assert await world.waiting() == (0 if verb == "after" else 1)

    if verb != "after":
        await world.pass_time()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)] * copies
    await world.order(ONE)  # and the next one is well
    await world.calm()
    assert await world.waiting() == 0


async def test_a_peer_that_is_down_is_asked_once_for_all_and_gets_all_when_it_is_back(world):
    peer = await world.peer(ONE)
    port = world.mx.hosts[ONE]
    await peer.stop()
    orders = await world.order(ONE, count=20)
    await world.calm()
    assert await world.waiting() == 20
    assert world.mx.asked <= 8

    await peer.start(port)
    for _ in range(20):
        if await world.waiting():
            await world.pass_time()

    assert sorted(peer.messages) == sorted(world.content_of(order) for order in orders)


async def test_messages_that_come_for_a_peer_that_is_down_do_not_each_knock_at_its_door(world):
    peer = await world.peer(ONE, answers={"greeting": "421 4.3.2 closing"})
    orders = []
    for _ in range(15):
        orders += await world.order(ONE)
        await world.calm()
    assert peer.connections == 1
    assert await world.waiting() == 15

    peer.answers.clear()
    await world.pass_time()
    await world.pass_time()

    assert sorted(peer.messages) == sorted(world.content_of(order) for order in orders)


async def test_dns_that_is_gone_and_comes_back_delays_and_loses_nothing(world):
    peer = await world.peer(ONE)
    world.mx.error = dns.resolver.NoNameservers()
    [order] = await world.order(ONE)
    await world.calm()
    await world.pass_time()
    assert await world.waiting() == 1

    world.mx.error = None
    await world.pass_time()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)]
    assert await world.told(order) == []


# --- our own disk --------------------------------------------------------------------------------


def unwritable(monkeypatch, owner, name, times):
    """Let a store refuse its writes so many times, as on a full disk."""
    real, calls = getattr(owner, name), []

    async def write(*arguments, **options):
        calls.append(name)
        if len(calls) <= times:
            raise OSError(28, "No space left on device")
        return await real(*arguments, **options)

    monkeypatch.setattr(owner, name, write)
    return calls


async def test_what_a_peer_has_taken_is_not_sent_again_because_it_cannot_be_recorded(
    world, monkeypatch
):
    peer = await world.peer(ONE)
    calls = unwritable(monkeypatch, world.spool.relays, "record", 5)
    [order] = await world.order(ONE)
    await world.calm()

    assert len(calls) == 6
    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)]


async def test_what_a_peer_has_taken_is_not_sent_again_because_it_went_down_before_the_record(
    world, monkeypatch
):
    object.__setattr__(world.relays._services, "per_domain", 1)
    peer = await world.peer(ONE, answers={"after": "CLOSE"})
    real, full = world.spool.relays.record, [True]

    async def record(order, *, tried):
        if full and order.id == taken.id:
            raise OSError(28, "No space left on device")
        await real(order, tried=tried)

    monkeypatch.setattr(world.spool.relays, "record", record)
    [taken] = await world.order(ONE)
    await until_true(lambda: peer.messages)
    peer.gates["greeting"] = gate = threading.Event()
    peer.answers["greeting"] = ["421 4.3.2 closing"]
    [next_one] = await world.order(ONE)
    await until_true(lambda: peer.held and world.relays._lanes[ONE].waiting)
    full.clear()
    gate.set()
    await world.calm()
    await world.pass_time()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(taken), world.content_of(next_one)]


async def test_what_a_peer_has_taken_is_recorded_at_the_latest_when_the_worker_stops(
    world, monkeypatch
):
    monkeypatch.setattr(relays_module, "delay_after", lambda failures: timedelta(hours=1))
    peer = await world.peer(ONE)
    calls = unwritable(monkeypatch, world.spool.relays, "record", 1)
    [order] = await world.order(ONE)
    await until_true(lambda: calls and not world.relays.under_way)

    await world.stop()
    await world.start()
    await world.calm()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)]


async def test_a_queue_that_stays_unwritable_for_hours_is_written_when_it_can_be_again(
    world, monkeypatch
):
    monkeypatch.setattr(relays_module, "MOST_ATTEMPTS", 3)
    unwritable(monkeypatch, world.spool.relays, "record", 8)
    unwritable(monkeypatch, world.spool.relays, "set_aside", 100)
    peer = await world.peer(ONE)
    [order] = await world.order(ONE)
    await world.calm()

    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)]


@pytest.mark.parametrize("failing", ["deliver", "kill"])
async def test_a_warning_that_could_not_be_written_is_written_later_and_once(
    world, monkeypatch, failing
):
    peer = await world.peer(ONE, answers={"MAIL": STORM})
    [order] = await world.order(ONE)
    await world.calm()
    calls = unwritable(monkeypatch, world.stores.mailboxes, "deliver", 2)
    while not calls:
        await world.pass_time()
    if failing == "kill":  # between the record of the attempt and the warning
        await world.stop()
        await world.start()
    for _ in range(3):
        await world.pass_time()

    assert await world.told(order) == ["delayed"]
    peer.answers.clear()
    await world.pass_time()
    assert await world.waiting() == 0
    assert peer.messages == [world.content_of(order)]
