"""The courier over real stores, with faults put into single steps."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import make_samples
import pytest
from sqlalchemy import select

from cryptography import x509

from mssante.composition.smime import mailbox_keys
from mssante.composition.stores import open_stores
from mssante.composition.worker import Worker
from mssante.cli.demo_world import PATIENTS
from mssante.courier import courier as courier_module
from mssante.courier.courier import Courier
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import Envelope
from mssante.mail.smime import holder_of
from mssante.settings import load
from mssante.storage import versions
from mssante.storage.journal import Journal
from mssante.storage.schema.spool import SPOOL
from mssante.storage.spool import StoredSpool
from mssante.trust.path import Purpose
from tests.support import mail_pki
from tests.support.enveloping import by_ecdh, enveloped_gcm
from tests.support.mail_pki import Party
from tests.journeys.instance import Instance, a_message

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    return Instance(tmp_path_factory.mktemp("courier") / "instance").init()


@pytest.fixture
async def world(instance, monkeypatch):
    """Opens a worker's stores, its spool and its courier, as often as asked: as starts do."""
    monkeypatch.setattr(courier_module, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(courier_module, "delay_after", lambda attempts: timedelta(0))
    async with contextlib.AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(load(instance.config), "w0b"))
        stores.layout.create_spool("w0")

        async def start():
            database = stores.layout.open(versions.SPOOL, "w0")
            journal = Journal(stores.layout.mail_segments, "w0", stores.keyring)
            spool = StoredSpool(database, journal, stores.mail_blobs, stores.keyring, stores.clock)
            await spool.recover()
            journey = Worker(stores, [spool]).courier._journey
            courier = Courier(journey, [spool])
            stack.push_async_callback(database.close)
            stack.push_async_callback(spool.close)
            stack.push_async_callback(courier.stop)
            return spool, courier

        yield instance, stores, start


def a_submission(instance, number):
    doctor = instance.accounts("professional")[0]
    patient = instance.accounts("patient")[0]
    traits = PATIENTS[0].traits
    subject = make_samples.Subject(
        ins=patient["ins"], birth_name=traits.birth_name, given_names=traits.given_names,
        first_given=traits.first_given, sex=traits.sex, birth_date=traits.birth_date,
        birth_place=traits.birth_place,
    )  # fmt: skip
    unique_id = f"1.2.250.1.999.60.{number}"
    version = make_samples.Version(unique_id=unique_id, set_id=f"{unique_id}.0")
    document = make_samples.biology(subject, version=version)
    message = a_message(doctor, patient["address"], "Résultats", ("cr.xml", document))
    envelope = Envelope(
        sender=Address.split(doctor["address"]), recipients=(Address.split(patient["address"]),),
        account_id=None, mailbox_id=None, client="test", protocol="ESMTPSA", tls="TLSv1.3",
    )  # fmt: skip
    return envelope, message.as_bytes(policy=message.policy.clone(linesep="\r\n")), unique_id


async def counted(instance, stores, unique_id):
    """(messages in the patient's INBOX, filed documents with this id)."""
    patient = instance.accounts("patient")[0]
    mailbox = await stores.directory.mailbox_by_address(Address.split(patient["address"]))
    inbox = await stores.mailboxes.folder(mailbox.id, "INBOX")
    rows = (await stores.mailboxes.changes(inbox.number, None)).rows if inbox else []
    entries = await stores.documents.entries_of(mailbox.patient_id)
    return len(rows), sum(entry.metadata.unique_id == unique_id for entry in entries)


async def waiting(spool):
    """Whether anything is live in the journal or to be tried again."""
    rows = await spool._database.read(
        lambda conn: conn.execute(select(SPOOL.c.id).where(SPOOL.c.state == "due")).all()
    )
    return bool(rows or spool._journal.live)


async def test_messages_that_wait_for_their_turn_are_not_kept_in_memory(world, monkeypatch):
    instance, _, start = world
    monkeypatch.setattr(courier_module, "MOST_AT_ONCE", 2)
    spool, _ = await start()
    begun, go_on = [], asyncio.Event()

    class Slow:
        async def carry(self, entry, spool):
            begun.append(entry)
            await go_on.wait()
            await spool.finish(entry.id)

    courier = Courier(Slow(), [spool])
    for number in range(4):
        envelope, content, _ = a_submission(instance, number)
        courier.accepted(await spool.accept(envelope, content))
    await asyncio.sleep(0.05)
    go_on.set()
    await courier.stop()

    assert [one.content is not None for one in begun] == [True, True, False, False]
    assert not await waiting(spool)


async def until(condition):
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come to pass")


def failing(monkeypatch, owner, name, times, *, done):
    """Let a step fail so many times, after it was `done` or before, then work."""
    real, calls = getattr(owner, name), []

    async def step(*arguments):
        calls.append(name)
        outcome = await real(*arguments) if done or len(calls) > times else None
        if len(calls) <= times:
            raise OSError(28, "No space left on device")
        return outcome

    monkeypatch.setattr(owner, name, step)
    return calls


@pytest.mark.parametrize(
    ("number", "step", "done"),
    [(1, "deliver", True), (2, "deliver", False), (6, "deposit", True), (7, "deposit", False)],
)
async def test_a_step_that_fails_before_or_after_it_was_done_is_done_once(
    world, monkeypatch, number, step, done
):
    instance, stores, start = world
    owner = stores.mailboxes if step == "deliver" else stores.documents
    calls = failing(monkeypatch, owner, step, 2, done=done)
    spool, courier = await start()
    envelope, content, unique_id = a_submission(instance, number)
    before, _ = await counted(instance, stores, unique_id)
    courier.start()
    courier.accepted(await spool.accept(envelope, content))

    async def carried():
        return calls and courier.under_way == 0 and not await waiting(spool)

    await until(carried)
    assert await counted(instance, stores, unique_id) == (before + 1, 1)


async def test_what_fails_again_and_again_is_set_aside_and_the_others_go_on(world, monkeypatch):
    instance, stores, start = world
    monkeypatch.setattr(courier_module, "MOST_ATTEMPTS", 3)
    calls = failing(monkeypatch, stores.documents, "deposit", 3, done=False)
    spool, courier = await start()
    envelope, content, unique_id = a_submission(instance, 3)
    courier.start()
    courier.accepted(await spool.accept(envelope, content))

    async def tried():
        return len(calls) == 3 and courier.under_way == 0

    await until(tried)
    assert await spool.due(10) == []
    other, content, other_id = a_submission(instance, 4)
    courier.accepted(await spool.accept(other, content))

    async def filed():
        return (await counted(instance, stores, other_id))[1] == 1

    await until(filed)


async def test_what_a_stopped_courier_did_not_begin_is_carried_by_the_next_start(world):
    instance, stores, start = world
    spool, courier = await start()
    await courier.stop()
    envelope, content, unique_id = a_submission(instance, 5)
    courier.accepted(await spool.accept(envelope, content))
    assert (await counted(instance, stores, unique_id))[1] == 0

    _, successor = await start()
    successor.start()

    async def filed():
        return (await counted(instance, stores, unique_id))[1] == 1

    await until(filed)


# --- S/MIME under repetition ---------------------------------------------------------------------


def own_spool(stores, spool):
    """The spool as the door sees it: it seals."""
    return Worker(stores, [spool]).listeners.submission._services.spool


async def stored_in(stores, account):
    """(message, whole content) of each in an account's INBOX, oldest first."""
    mailbox = await stores.directory.mailbox_by_address(Address.split(account["address"]))
    inbox = await stores.mailboxes.folder(mailbox.id, "INBOX")
    rows = (await stores.mailboxes.changes(inbox.number, None)).rows if inbox else []
    return (
        [
            (message, message.prefix + stores.mail_blobs.read(message.blob))
            async for _, message in stores.mailboxes.messages(inbox.number, rows)
        ]
        if inbox
        else []
    )


@pytest.mark.parametrize("done", [True, False])
async def test_a_repeated_journey_delivers_the_one_seal_that_was_made(world, monkeypatch, done):
    instance, stores, start = world
    failing(monkeypatch, stores.mailboxes, "deliver", 2, done=done)
    spool, courier = await start()
    envelope, content, _ = a_submission(instance, 20 + done)
    patient = instance.accounts("patient")[0]
    before = len(await stored_in(stores, patient))
    courier.start()
    entry = await own_spool(stores, spool).accept(replace(envelope, account_id=new_id()), content)
    sealed = stores.mail_blobs.read(entry.blob)
    courier.accepted(entry)

    async def carried():
        return courier.under_way == 0 and not await waiting(spool)

    await until(carried)
    [*_, (message, whole)] = found = await stored_in(stores, patient)
    assert len(found) == before + 1
    assert whole.endswith(sealed)
    assert b"multipart/signed" in sealed
    assert b"smime=pass" in message.prefix
    assert await stores.mailboxes.evidence(message.id) is None  # nothing was judged


async def test_the_seal_is_known_after_a_restart(world):
    instance, stores, start = world
    spool, courier = await start()
    await courier.stop()
    envelope, content, unique_id = a_submission(instance, 24)
    entry = await own_spool(stores, spool).accept(replace(envelope, account_id=new_id()), content)
    await spool.close()

    again, _ = await start()
    [found] = [each for each in await again.due(100) if each.id == entry.id]
    assert found.envelope.seal == entry.envelope.seal
    assert found.envelope.seal.address == instance.accounts("professional")[0]["address"]


@pytest.mark.parametrize("done", [True, False])
async def test_an_opened_message_is_delivered_once_however_often_its_journey_is_repeated(
    world, monkeypatch, done
):
    instance, stores, start = world
    nurse = instance.accounts("professional")[1]
    address = Address.split(nurse["address"])
    mailbox = await stores.directory.mailbox_by_address(address)
    pair = await mailbox_keys(stores).pair(holder_of(mailbox), Purpose.ENCRYPT)
    reader = Party(x509.load_der_x509_certificate(pair.certificate), None)
    inner = b"Content-Type: text/plain\r\n\r\nOpened %d.\r\n" % done
    content = mail_pki.message(
        mail_pki.cms_entity(enveloped_gcm(inner, [lambda key: by_ecdh(reader, key)])),
        sender="dr@hopital-voisin.example",
    )
    failing(monkeypatch, stores.mailboxes, "deliver", 3, done=done)
    spool, courier = await start()
    before = len(await stored_in(stores, nurse))
    courier.start()
    envelope = Envelope(
        sender=Address("dr", "hopital-voisin.example"), recipients=(address,), account_id=None,
        mailbox_id=None, client="mx", protocol="ESMTPS", tls="TLSv1.3", operator="CN=mx",
    )  # fmt: skip
    courier.accepted(await spool.accept(envelope, content))

    async def carried():
        return courier.under_way == 0 and not await waiting(spool)

    await until(carried)
    [*_, (message, whole)] = found = await stored_in(stores, nurse)
    assert len(found) == before + 1
    assert whole.endswith(b"Opened %d.\r\n" % done)
    evidence = await stores.mailboxes.evidence(message.id)
    assert stores.mail_blobs.read(evidence.original) == content
