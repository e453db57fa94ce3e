"""Orders to other operators on the disk."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mssante.kernel.address import Address
from mssante.kernel.clock import to_milliseconds
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Wish
from mssante.mail.relay import Attempt, Outcome, RelayOrder, RelayRecipient, RetryRules, Stage
from mssante.storage import audit, versions
from mssante.storage.layout import Layout
from mssante.storage.relays import StoredRelays, order_of_row
from mssante.storage.schema.spool import AUDIT, RELAY
from mssante.wire.smtp.notifications import DeliveryRequest, Notify, Return

SENT = Outcome(Stage.SENT, "2.0.0", "250 taken", "mx.example")
LATER = Outcome(Stage.WAITING, "4.4.1", "cannot connect", "mx.example")
REFUSED = Outcome(Stage.FAILED, "5.1.1", "550 unknown <bob@other.example>", "mx.example")
INS = "279035121518989"


@pytest.fixture
async def world(tmp_path, keyring, clock):
    layout = Layout(tmp_path / "data", tmp_path / "run")
    layout.create_folders()
    layout.create_spool("w0")
    database = layout.open(versions.SPOOL, "w0")

    yield database, lambda: StoredRelays(database, keyring, clock)

    await database.close()


def an_order(clock, **more):
    values = {
        "id": new_id(),
        "spool_id": new_id(),
        "domain": "other.example",
        "sender": Address("dr", "ours.example"),
        "mailbox_id": new_id(),
        "recipients": (
            RelayRecipient(
                Address(INS, "other.example"),
                DeliveryRequest(frozenset({Notify.SUCCESS}), "rfc822;x@y.z"),
            ),
        ),
        "blob": BlobRef("s-00000001", 7, 100, b"k" * 62),
        "prefix": b"Received: x\r\n",
        "accepted_at": clock.now(),
        "returns": Return.FULL,
        "envid": "e+2B",
        "is_8bit": True,
    }
    return RelayOrder(**(values | more))


def after(order, outcome, clock):
    attempt = Attempt(dict.fromkeys(order.waiting, outcome), why="why")
    return order.after(attempt, clock.now(), RetryRules(), 0.5)


async def test_an_order_comes_back_as_it_was_also_after_a_restart(world, clock):
    _, opened = world
    order = an_order(clock)
    await opened().order([order])

    [found] = await opened().due(10)

    assert found == replace(order, due_at=clock.now())


async def test_a_journey_that_is_repeated_orders_nothing_twice_even_when_it_is_done(world, clock):
    _, opened = world
    relays, order = opened(), an_order(clock)
    await relays.order([order])
    [found] = await relays.due(10)
    await relays.record(after(found, REFUSED, clock).told(), tried=True)

    await relays.order([order])

    assert await opened().due(10) == []


async def test_what_is_carried_is_not_handed_out_again_until_it_is_released(world, clock):
    _, opened = world
    relays, order = opened(), an_order(clock)
    await relays.order([order])
    [_] = await relays.due(10)

    assert await relays.due(10) == []
    relays.release(order.id)
    assert len(await relays.due(10)) == 1


async def test_an_order_that_waits_is_due_at_its_time(world, clock):
    _, opened = world
    relays = opened()
    await relays.order([an_order(clock)])
    [found] = await relays.due(10)
    await relays.record(after(found, LATER, clock), tried=True)

    assert await relays.due(10) == []
    clock.advance(seconds=31)
    [again] = await relays.due(10)
    assert (again.attempts, again.why) == (1, "why")
    assert again.recipients[0].diagnostic == "cannot connect"


async def test_peoples_messages_go_before_reports_and_the_older_first(world, clock):
    _, opened = world
    relays = opened()
    report = an_order(clock, sender=None, mailbox_id=None)
    await relays.order([report])
    clock.advance(seconds=1)
    first, second = an_order(clock), an_order(clock, accepted_at=clock.now() + timedelta(seconds=1))
    await relays.order([second, first])
    clock.advance(seconds=2)

    assert [one.id for one in await relays.due(10)] == [first.id, second.id, report.id]


async def test_the_end_of_an_order_is_audited_once_and_its_bodys_key_goes(world, clock, keyring):
    database, opened = world
    relays = opened()
    await relays.order([an_order(clock, recipients=(RelayRecipient(Address("b", "x.fr")),))])
    [found] = await relays.due(10)
    failed = after(found, REFUSED, clock)
    await relays.record(failed, tried=True)
    assert failed.untold
    await relays.record(failed.told(), tried=False)

    def look(conn):
        row = conn.execute(select(RELAY)).one()
        leaves = [bytes(each.leaf) for each in conn.execute(select(AUDIT.entries))]
        return row, leaves, audit.verify(conn, AUDIT, "spool")

    row, leaves, report = await database.read(look)
    assert row.state == "done"
    assert order_of_row(row, keyring).blob.wrapped_key == b""
    assert sum(b'"kind":"relay"' in leaf for leaf in leaves) == 1
    assert not report.faults


async def test_neither_the_recipient_nor_the_answer_stands_in_clear_on_the_disk(
    world, clock, tmp_path
):
    database, opened = world
    relays = opened()
    await relays.order([an_order(clock)])
    [found] = await relays.due(10)
    await relays.record(after(found, LATER, clock), tried=True)

    for path in (tmp_path / "data").glob("spool-*"):
        assert INS.encode() not in path.read_bytes()
        assert b"cannot connect" not in path.read_bytes()


async def test_domains_that_are_passed_over_stay_in_the_queue_but_what_is_given_up_comes(
    world, clock
):
    database, opened = world
    relays = opened()
    full, dropped, other = (
        an_order(clock), an_order(clock), an_order(clock, domain="elsewhere.example"),
    )  # fmt: skip
    await relays.order([full, dropped, other])
    drop = update(RELAY).where(RELAY.c.id == dropped.id).values(wish=Wish.DROP.value)
    await database.write(lambda conn: conn.execute(drop) and None)

    found = await relays.due(10, {"other.example"})

    assert {one.id for one in found} == {dropped.id, other.id}
    assert [one.id for one in await relays.due(10)] == [full.id]


@pytest.mark.parametrize(("wish", "due"), [(Wish.HOLD, 0), (Wish.DROP, 1), (Wish.DISCARD, 1)])
async def test_an_administrators_wish_is_heard(world, clock, wish, due):
    database, opened = world
    relays = opened()
    await relays.order([an_order(clock, due_at=clock.now() + timedelta(hours=1))])
    await database.write(lambda conn: conn.execute(update(RELAY).values(wish=wish.value)) and None)

    found = await relays.due(10)

    assert [one.wish for one in found] == [wish] * due


async def test_an_order_that_cannot_be_opened_stays_and_lets_the_others_pass(world, clock):
    database, opened = world
    bad, good = an_order(clock), an_order(clock)
    await opened().order([bad, good])
    await database.write(
        lambda conn: (
            conn.execute(update(RELAY).where(RELAY.c.id == bad.id).values(sealed=b"x" * 40))
            and None
        )
    )

    relays = opened()
    assert [one.id for one in await relays.due(10)] == [good.id]
    assert await relays.due(10) == []


async def test_only_old_orders_that_no_journey_can_repeat_are_forgotten(world, clock):
    database, opened = world
    relays = opened()
    orders = [an_order(clock) for _ in range(3)]
    await relays.order(orders)
    for order in (await relays.due(10))[:2]:
        await relays.record(after(order, replace(SENT, passed_on=True), clock), tried=True)
    clock.advance(days=31)
    needed = {orders[0].spool_id}

    before = to_milliseconds(clock.now() - timedelta(days=30))
    count = await relays.forget(before, needed)

    left = await database.read(
        lambda conn: {bytes(row.id) for row in conn.execute(select(RELAY.c.id))}
    )
    done = {order.id for order in orders[:2]} - {orders[0].id}
    assert count == len(done)
    assert left == {order.id for order in orders} - done


async def test_the_census_counts_what_is_due_and_held_and_forgets_what_is_done(world, clock):
    _, opened = world
    relays = opened()
    assert await relays.census() == (0, 0, None)
    held, done = an_order(clock), an_order(clock)
    clock.advance(minutes=1)
    waiting = an_order(clock)
    await relays.order([held, done, waiting])
    for found in await relays.due(10):
        if found.id == done.id:
            await relays.record(after(found, SENT, clock).told(), tried=True)
    await relays.set_aside(held.id, "why")

    assert await relays.census() == (1, 1, to_milliseconds(waiting.accepted_at))
