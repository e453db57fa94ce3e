"""What the crash tests share: patients half of whom are not activated, messages with documents,
and the count of what stands in the stores afterwards."""

import asyncio
import random
import secrets
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from hashlib import sha256

import make_samples

from mssante.composition.stores import open_stores
from mssante.cli.instance import act, open_instance
from mssante.directory.model import MailboxState
from mssante.kernel.ins import Ins, InsOid
from mssante.kernel.traits import Traits
from mssante.mail.contacts import read_correspondence
from mssante.settings import load
from mssante.storage import audit, versions
from mssante.wire.mime.summary import MessageSummary
from tests.journeys.instance import Instance, Load, a_message


@dataclass(frozen=True)
class CrashPatient:
    address: str
    subject: make_samples.Subject
    patient_id: bytes


def create_patients(instance: Instance, count: int) -> list[CrashPatient]:
    """Every second one is not activated."""
    made = []
    with open_instance(instance.config) as opened:
        for number in range(count):
            subject = make_samples.Subject(
                ins=make_samples.a_matricule(300_000 + number),
                birth_name=f"PATIENT{number}",
                birth_place="51300",
            )
            traits = Traits(
                subject.birth_name,
                subject.given_names,
                subject.first_given,
                subject.sex,
                subject.birth_date,
                subject.birth_place,
            )
            ins = Ins.parse(subject.ins, InsOid.NIR_TEST)
            patient, mailbox, _ = opened.run(
                opened.registration.patient(ins, traits, act("test"), activated=number % 2 == 0)
            )
            made.append(CrashPatient(str(mailbox.address), subject, patient.id))
    return made


def a_load(instance: Instance, patients: list[CrashPatient], connections: int = 8) -> Load:
    """Messages with one document each; each third is large enough to span several chunks."""
    run = secrets.randbelow(10**9)

    def make(number: int, account: dict):
        patient = random.choice(patients)
        unique_id = f"1.2.250.1.999.9.{run}.{number}"
        version = make_samples.Version(number=number, unique_id=unique_id, set_id=f"{unique_id}.0")
        size = 90_000 if number % 3 == 0 else 0
        document = make_samples.biology(patient.subject, version=version, size=size)
        message = a_message(account, patient.address, f"Résultats {number}", ("cr.xml", document))
        return message, patient.address, unique_id

    return Load(instance, make, connections)


@dataclass
class Found:
    messages: Counter
    """Message-ID → how often in all mailboxes."""
    documents: Counter
    """uniqueId → how often in all DMPs."""
    unreadable: list[str]
    audit_faults: list[str]
    bodies: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Message-ID → digests of the different bytes that stand under it."""
    contact_faults: list[str] = field(default_factory=list)
    """Patients whose contacts or invitation are not what their messages say."""


def look_into(instance: Instance, patients: list[CrashPatient]) -> Found:
    """Everything that stands in the patients' mailboxes and DMPs, each body read back."""
    return asyncio.run(_look(instance, patients))


async def _look(instance: Instance, patients: list[CrashPatient]) -> Found:
    found = Found(Counter(), Counter(), [], [])
    async with open_stores(load(instance.config), owner="look") as stores:
        invited = {one.mailbox_id: one.messages for one in await stores.contacts.invitations()}
        for patient in patients:
            from mssante.kernel.address import Address

            authors, count = set(), 0
            mailbox = await stores.directory.mailbox_by_address(Address.split(patient.address))
            inbox = await stores.mailboxes.folder(mailbox.id, "INBOX")
            if inbox is not None:
                changes = await stores.mailboxes.changes(inbox.number, None)
                uids = [row.uid for row in changes.rows]
                if uids != sorted(set(uids)) or (uids and changes.uidnext <= uids[-1]):
                    found.unreadable.append(f"UIDs of a folder: {uids}")
                async for row, message in stores.mailboxes.messages(inbox.number, changes.rows):
                    header = MessageSummary.decode(message.summary).header
                    message_id = BytesHeaderParser().parsebytes(header)["Message-ID"]
                    authors.add(read_correspondence(header).author)
                    count += 1
                    found.messages[message_id] += 1
                    found.bodies[message_id].add(
                        sha256(stores.mail_blobs.read(message.blob)).digest()
                    )
                    body = stores.mail_blobs.read(message.blob)
                    if len(message.prefix) + len(body) != row.size or header not in body:
                        found.unreadable.append(message_id)
            contacts = await stores.contacts.contacts_of(mailbox.id)
            waits = 0 if mailbox.state is MailboxState.ACTIVE else count
            if {line.address for line in contacts if line.is_open} != authors or (
                invited.get(mailbox.id, 0) != waits
            ):
                found.contact_faults.append(mailbox.id.hex())
            for document in await stores.documents.entries_of(patient.patient_id):
                unique_id = document.metadata.unique_id
                found.documents[unique_id] += 1
                content = await stores.documents.content(document.id)
                if unique_id.encode() not in content or len(content) != document.metadata.size:
                    found.unreadable.append(unique_id)
        for name, schema in (
            ("mail", versions.MAIL),
            ("dmp", versions.DMP),
            ("directory", versions.DIRECTORY),
        ):
            report = await stores.databases[name].read(
                lambda conn, s=schema, n=name: audit.verify(conn, s.audit, n)
            )
            found.audit_faults += [f"{name}: {fault}" for fault in report.faults]
    return found


def assert_nothing_lost_or_doubled(load: Load, found: Found) -> tuple[int, int]:
    """The promises of the issue; gives (accepted, attempts)."""
    assert not found.unreadable, found.unreadable[:5]
    assert not found.audit_faults, found.audit_faults[:5]
    assert not found.contact_faults, found.contact_faults[:5]
    sent = [one for one in load.sent if one is not None]
    for one in sent:
        messages, documents = found.messages[one.message_id], found.documents[one.unique_id]
        if one.accepted:
            # Each attempt that died without an answer may have been accepted as well: the client
            # cannot know. One attempt means exactly once.
            assert 1 <= messages <= one.attempts, (one, messages)
            assert documents == 1, (one, documents)
        else:
            assert messages <= one.attempts, (one, messages)
            assert documents <= 1, (one, documents)
    once = [one for one in sent if one.accepted and one.attempts == 1]
    assert all(found.messages[one.message_id] == 1 for one in once)
    assert set(found.documents) <= {one.unique_id for one in sent}
    return sum(one.accepted for one in sent), sum(one.attempts for one in sent)
