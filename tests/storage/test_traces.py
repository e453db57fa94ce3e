"""How messages are found again, and what reports about them are worth."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from mssante.access.audit import AuditEntry, AuditKind
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import StoredMessage
from mssante.mail.ports import Delivery
from mssante.mail.tracing import Asked, Confirmation, Confirmed, Traced, Wanted
from mssante.storage import audit, versions
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.schema.mail import CONFIRMATION, TRACE, TRACE_RECIPIENT
from mssante.storage.traces import StoredTraces
from mssante.wire.mime.reports import ReportKind

DOCTOR, BOB, EVE = (Address(name, "ours.fr") for name in ("doctor", "bob", "eve"))
MESSAGE_ID = "<one@ours.fr>"


class Nobody:
    """Hears no wake-up."""

    def folder_changed(self, folder, modseq):
        pass


@pytest.fixture
async def traces(open_database, blobs, keyring, clock):
    database = await open_database(versions.MAIL)
    mailboxes = StoredMailboxes(database, blobs, Nobody(), clock)
    return StoredTraces(database, keyring), database, mailboxes, blobs


async def accepted(traces, clock, *, asked=frozenset(), sender=DOCTOR, mailbox=None, number=1):
    """A message that a member sent to Bob; gives its spool id."""
    _, _, mailboxes, blobs = traces
    spool_id = new_id()
    blob = await blobs.put(b"From: x\r\n\r\n")
    await mailboxes.deliver(
        Delivery(
            spool_id,
            StoredMessage(spool_id, b"", b"summary", blob),
            10,
            clock.now(),
            (new_id(),),
            admission=AuditEntry(AuditKind.ADMISSION, "DATA", "done", correlation=spool_id),
            traced=Traced(f"<{number}@ours.fr>", sender, (BOB,), mailbox, asked),
        )
    )
    return spool_id


async def reported(traces, clock, mailbox, outcome, *, original="<1@ours.fr>", spool_id=None):
    """A report that comes into a mailbox."""
    _, _, mailboxes, blobs = traces
    spool_id = spool_id or new_id()
    blob = await blobs.put(b"From: y\r\n\r\n")
    said = Confirmation(original, ((BOB, outcome),), ReportKind.DISPOSITION)
    await mailboxes.deliver(
        Delivery(
            spool_id, StoredMessage(spool_id, b"", b"summary", blob), 10, clock.now(), (mailbox,),
            confirmation=said,
        )
    )  # fmt: skip
    return spool_id


async def test_a_message_is_found_by_what_a_person_knows_of_it(traces, clock):
    stored, *_ = traces
    first = await accepted(traces, clock)
    clock.advance(hours=1)
    second = await accepted(traces, clock, sender=EVE, number=2)

    async def found(**wanted):
        return [one.spool_id for one in await stored.find(Wanted(**wanted), 10)]

    assert await found() == [second, first]
    assert await found(message_id="<1@ours.fr>") == [first]
    assert await found(sender=Address("EVE", "Ours.fr")) == [second]
    assert await found(recipient=BOB) == [second, first]
    assert await found(recipient=EVE) == []
    assert await found(spool_id=first) == [first]
    assert await found(since=clock.now() - timedelta(minutes=1)) == [second]


async def test_a_report_confirms_only_to_who_sent_the_message_and_once(traces, clock):
    stored, database, *_ = traces
    doctors, eves = new_id(), new_id()
    spool_id = await accepted(traces, clock, asked=frozenset({Asked.READING}), mailbox=doctors)

    await reported(traces, clock, eves, Confirmed.FAILED)
    await reported(traces, clock, doctors, Confirmed.FAILED, original="<other@ours.fr>")
    report = await reported(traces, clock, doctors, Confirmed.READ)
    await reported(traces, clock, doctors, Confirmed.READ, spool_id=report)

    [one] = await stored.find(Wanted(spool_id=spool_id), 10)
    assert one.confirmed == (Confirmed.READ,)
    rows = await database.read(lambda conn: conn.execute(select(CONFIRMATION)).all())
    assert len(rows) == 1
    chain = await database.read(lambda conn: audit.verify(conn, versions.MAIL.audit, "mail"))
    assert not chain.faults


async def test_what_was_asked_and_not_answered_in_time_is_found(traces, clock):
    stored, *_ = traces
    mailbox = new_id()
    await accepted(traces, clock)
    asked = await accepted(
        traces, clock, asked=frozenset({Asked.DELIVERY}), mailbox=mailbox, number=2
    )
    answered = await accepted(
        traces, clock, asked=frozenset({Asked.READING}), mailbox=mailbox, number=3
    )
    await reported(traces, clock, mailbox, Confirmed.DELAYED, original="<2@ours.fr>")
    await reported(traces, clock, mailbox, Confirmed.READ, original="<3@ours.fr>")
    clock.advance(hours=5)
    await accepted(traces, clock, asked=frozenset({Asked.READING}), mailbox=mailbox, number=4)

    late = await stored.find(Wanted(unconfirmed=True, before=clock.now() - timedelta(hours=4)), 10)

    assert [one.spool_id for one in late] == [asked]
    assert answered not in [one.spool_id for one in late]


async def test_no_address_stands_in_clear(traces, clock):
    _, database, *_ = traces
    await accepted(traces, clock)

    def everything(conn):
        return repr([conn.execute(select(table)).all() for table in (TRACE, TRACE_RECIPIENT)])

    shown = await database.read(everything)
    assert "ours.fr" not in shown
    assert "doctor" not in shown
