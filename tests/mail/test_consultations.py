"""Reads of content are gathered, and none is lost when the audit fails for a while."""

import asyncio

from tests.support.memory import MemoryAudit

from mssante.access.identity import Identity
from mssante.directory.model import AccountRole, Mailbox, MailboxState, MailboxType
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.consultations import Consultations


def a_reader():
    box = Mailbox(
        new_id(), MailboxType.PERSONAL, Address("a", "b.example"), MailboxState.ACTIVE, "A"
    )
    return Identity(new_id(), AccountRole.PROFESSIONAL, box, frozenset(), None)


async def test_reads_of_one_folder_become_one_entry():
    audit, reader, folder = MemoryAudit(), a_reader(), new_id()
    consultations = Consultations(audit, gathered_seconds=0.05)
    for uid in (4, 1, 2, 3, 9, 4):
        consultations.note(reader, folder, [uid])
    other = new_id()
    consultations.note(reader, other, [1])
    await asyncio.sleep(0.15)

    assert [entry.facts["uids"] for entry in audit.entries] == ["1:4,9", "1"]
    assert {entry.actor for entry in audit.entries} == {reader.account_id}
    await consultations.close()
    assert len(audit.entries) == 2


async def test_closing_records_the_rest():
    audit = MemoryAudit()
    consultations = Consultations(audit)
    consultations.note(a_reader(), new_id(), [1])
    await consultations.close()

    assert len(audit.entries) == 1


async def test_scattered_uids_are_cut_into_entries_that_hold_them_all():
    audit = MemoryAudit()
    consultations = Consultations(audit)
    consultations.note(a_reader(), new_id(), range(1, 20_000, 2))
    await consultations.close()

    assert len(audit.entries) > 1
    assert all(len(entry.facts["uids"]) <= 4_000 for entry in audit.entries)
    uids = [int(uid) for entry in audit.entries for uid in entry.facts["uids"].split(",")]
    assert uids == list(range(1, 20_000, 2))


async def test_an_audit_that_fails_is_tried_again_and_loses_nothing(caplog):
    class FailsOnce(MemoryAudit):
        failed = False

        async def record(self, entry):
            if not self.failed:
                self.failed = True
                raise OSError("disk full")
            await super().record(entry)

    audit = FailsOnce()
    consultations = Consultations(audit, gathered_seconds=0.03)
    reader, folder = a_reader(), new_id()
    consultations.note(reader, folder, [1, 2])
    await asyncio.sleep(0.04)
    consultations.note(reader, folder, [3])
    await asyncio.sleep(0.1)

    assert [entry.facts["uids"] for entry in audit.entries] == ["1:3"]
    caplog.clear()
    await consultations.close()
