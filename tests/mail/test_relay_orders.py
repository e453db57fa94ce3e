"""What becomes of an order to another operator: the rules, without a network."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef, Wish
from mssante.mail.relay import (
    Action,
    Attempt,
    Outcome,
    RelayOrder,
    RelayRecipient,
    RetryRules,
    Stage,
)
from mssante.wire.smtp.notifications import DeliveryRequest, Notify

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
RULES = RetryRules()
SENT = Outcome(Stage.SENT, "2.0.0", "250 taken", "mx.example")
PASSED_ON = replace(SENT, passed_on=True)
LATER = Outcome(Stage.WAITING, "4.4.1", "cannot connect", "mx.example")
REFUSED = Outcome(Stage.FAILED, "5.1.1", "550 5.1.1 unknown", "mx.example")


def asked(*events):
    return DeliveryRequest(frozenset(events))


def an_order(*requests, mailbox=True, **more):
    recipients = tuple(
        RelayRecipient(Address(f"r{n}", "other.example"), request)
        for n, request in enumerate(requests)
    )
    return RelayOrder(
        id=new_id(),
        spool_id=new_id(),
        domain="other.example",
        sender=Address("dr", "ours.example") if mailbox else None,
        mailbox_id=new_id() if mailbox else None,
        recipients=recipients,
        blob=BlobRef("s-00000001", 0, 100, b"k"),
        prefix=b"",
        accepted_at=NOW,
        **more,
    )


def after(order, *outcomes, hours=0.0):
    attempt = Attempt(dict(zip(order.waiting, outcomes, strict=True)))
    return order.after(attempt, NOW + timedelta(hours=hours), RULES, 0.5)


UNASKED = DeliveryRequest()


def test_an_order_that_was_taken_is_done_and_nothing_is_told():
    done = after(an_order(UNASKED, UNASKED), SENT, SENT)

    assert done.is_done
    assert done.attempts == 1


@pytest.mark.parametrize(
    ("request_", "outcome", "untold"),
    [
        (UNASKED, REFUSED, Action.FAILED),
        (asked(Notify.NEVER), REFUSED, None),
        (asked(Notify.SUCCESS), REFUSED, None),
        (asked(Notify.FAILURE), REFUSED, Action.FAILED),
        (UNASKED, SENT, None),
        (asked(Notify.SUCCESS), SENT, Action.RELAYED),
        (asked(Notify.SUCCESS), PASSED_ON, None),
        (asked(Notify.FAILURE), SENT, None),
    ],
)
def test_the_sender_is_told_what_it_asked_for(request_, outcome, untold):
    order = after(an_order(request_), outcome)

    assert order.recipients[0].untold is untold
    assert order.is_done == (untold is None)
    assert order.told().is_done


def test_only_the_recipients_that_wait_are_tried_again():
    once = after(an_order(UNASKED, UNASKED, UNASKED), SENT, LATER, REFUSED)

    assert once.waiting == (1,)
    twice = after(once.told(), SENT)
    assert [one.stage for one in twice.recipients] == [Stage.SENT, Stage.SENT, Stage.FAILED]
    assert twice.is_done


def test_pauses_double_up_to_the_longest_with_a_quarter_of_jitter():
    pauses = [RULES.delay_after(n, 0.5) for n in (1, 2, 3, 7, 8, 50)]

    assert pauses == [timedelta(seconds=s) for s in (30, 60, 120, 1920, 3600, 3600)]
    assert RULES.delay_after(1, 0.0) == timedelta(seconds=22.5)
    assert RULES.delay_after(1, 1.0) == timedelta(seconds=37.5)


def test_a_late_message_is_told_once_and_goes_on():
    order = an_order(UNASKED, asked(Notify.FAILURE), asked(Notify.DELAY))

    early = after(order, LATER, LATER, LATER, hours=3)
    late = after(early, LATER, LATER, LATER, hours=5)
    later = after(late.told(), LATER, LATER, LATER, hours=6)

    assert not early.untold
    assert [one.untold for one in late.recipients] == [Action.DELAYED, None, Action.DELAYED]
    assert not later.untold
    assert later.waiting == (0, 1, 2)


def test_an_order_expires_with_the_last_answer_as_its_reason():
    gone = after(an_order(UNASKED), LATER, hours=80)

    [one] = gone.untold
    assert (one.stage, one.status, one.untold) == (Stage.FAILED, "4.4.7", Action.FAILED)
    assert one.diagnostic == "cannot connect"
    assert not gone.waiting


def test_nobody_is_told_of_a_report_that_could_not_be_delivered():
    report = an_order(UNASKED, mailbox=False)

    assert after(report, REFUSED).is_done
    assert after(report, LATER, hours=80).is_done
    assert not after(report, LATER, hours=5).untold


def test_what_is_dropped_is_told_and_what_is_discarded_is_not():
    order = an_order(UNASKED, asked(Notify.NEVER))

    dropped = replace(order, wish=Wish.DROP).as_wished(NOW)
    discarded = replace(order, wish=Wish.DISCARD).as_wished(NOW)

    assert [one.untold for one in dropped.recipients] == [Action.FAILED, None]
    assert {one.status for one in dropped.recipients} == {"5.3.0"}
    assert discarded.is_done
