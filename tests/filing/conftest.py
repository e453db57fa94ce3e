"""A directory and a DMP on real SQLite files, and messages as clients write them."""

from dataclasses import dataclass

import pytest
from make_samples import a_matricule

from mssante.directory.model import Mailbox, Patient
from mssante.directory.ports import Act
from mssante.directory.registration import Registration
from mssante.filing.clerk import Clerk
from mssante.filing.inspect import InspectLimits, inspect
from mssante.kernel.address import Address
from mssante.kernel.ins import Ins, InsOid
from mssante.kernel.opaque import new_id
from mssante.kernel.traits import IdentityStatus, Traits
from mssante.mail.model import Envelope, SpoolEntry
from mssante.mail.smime import Reach
from mssante.storage import migrate, versions
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.documents import StoredDocuments
from mssante.storage.encryption import Keyring, create_keys
from mssante.storage.segments import SegmentBlobs
from mssante.storage.sqlite import SqliteDatabase
from mssante.wire.mime.builder import (
    attachment_entity,
    build_message,
    header_field,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.summary import summarise

DOMAIN, PATIENTS = "hospital.mssante.fr", "patient.mssante.fr"
ACT = Act("test", "tester")
TRAITS = Traits("PATIENT-DEUX", "ALIX MARIE-LOUISE", "ALIX", "F", "19790328", "51215")


def a_message(*attached):
    """A message with attachments (content, media type, file name)."""
    parts = [text_entity("Bonjour"), *(attachment_entity(*one) for one in attached)]
    fields = [header_field("Subject", "Résultats"), header_field("Message-ID", "<one@client>")]
    return build_message(fields, multipart_entity("mixed", "b0undary", parts))


def a_cda(content):
    return content, "text/xml", "document.xml"


def found_in(message, **limits):
    return inspect(message, summarise(message), InspectLimits(**limits))


@dataclass
class Office:
    """Everything the clerk works with."""

    clerk: Clerk
    documents: StoredDocuments
    directory: StoredDirectory
    registration: Registration
    blobs: SegmentBlobs
    clock: object

    async def patient(
        self, number=215001, *, traits=TRAITS, status=IdentityStatus.QUAL, **more
    ) -> tuple[Patient, Mailbox]:
        ins = Ins.parse(a_matricule(number), more.pop("oid", InsOid.NIR_TEST))
        patient, mailbox, _ = await self.registration.patient(
            ins, traits, ACT, status=status, **more
        )
        return patient, mailbox

    async def entry(self, message=b"", recipients=(), sender="doctor") -> SpoolEntry:
        envelope = Envelope(
            sender=Address(sender, DOMAIN) if sender else None,
            recipients=tuple(mailbox.address for mailbox in recipients),
            account_id=None,
            mailbox_id=None,
            client="client",
            protocol="ESMTPSA",
            tls="TLSv1.3",
        )
        return SpoolEntry(new_id(), self.clock.now(), envelope, await self.blobs.put(message))

    async def carry(self, documents, recipients, sender=None, entry=None, reach=Reach.OPEN):
        """Inspect, plan and file a message with these documents, or (content, media type, file name):
        (plan, outcomes, entry).
        """
        attached = (one if isinstance(one, tuple) else a_cda(one) for one in documents)
        message = a_message(*attached)
        entry = entry or await self.entry(message, recipients)
        plan = await self.clerk.plan(entry, found_in(message), recipients, sender, reach)
        return plan, await self.clerk.file(entry, plan), entry


async def an_office(tmp_path, clock, *, sandbox):
    databases = []
    for schema in (versions.DIRECTORY, versions.DMP):
        path = tmp_path / f"{schema.name}.sqlite"
        migrate.upgrade_sqlite(path, schema)
        databases.append(SqliteDatabase(path, schema.audit))
    create_keys(tmp_path / "master.key", tmp_path / "keys.json")
    (tmp_path / "segments").mkdir()
    keyring = Keyring.open(tmp_path / "master.key", tmp_path / "keys.json")
    blobs = SegmentBlobs(tmp_path / "segments", "w0", keyring)
    directory, registry = StoredDirectory(databases[0]), StoredRegistry(databases[0], clock)
    documents = StoredDocuments(databases[1], blobs, clock)
    registration = Registration(directory, registry, PATIENTS, sandbox)
    await registration.domain(DOMAIN, patients=False, act=ACT)
    await registration.domain(PATIENTS, patients=True, act=ACT)
    clerk = Clerk(directory, documents, source_id="1.2.3", sandbox=sandbox)
    yield Office(clerk, documents, directory, registration, blobs, clock)
    await blobs.close()
    for database in databases:
        await database.close()


@pytest.fixture
async def office(tmp_path, clock):
    async for one in an_office(tmp_path, clock, sandbox=True):
        yield one


@pytest.fixture
async def production(tmp_path, clock):
    async for one in an_office(tmp_path, clock, sandbox=False):
        yield one
