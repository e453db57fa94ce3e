"""Pairs of mailboxes on both databases: one active for each purpose, the past kept, keys sealed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from mssante.directory.model import Mailbox, MailboxState, MailboxType
from mssante.directory.ports import Act
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.storage.directory import StoredRegistry
from mssante.storage.mailbox_keys import StoredMailboxKeys
from mssante.storage.schema.directory import AUDIT, MAILBOX_KEY
from mssante.storage.versions import DIRECTORY
from mssante.trust import pki
from mssante.trust.key_files import ReadPair
from mssante.trust.mailbox_keys import KeyHolder, MailboxKeys, NotForMailbox, serial_of
from mssante.trust.path import Purpose
from mssante.trust.ports import KeyAct, KeyOrigin, KeyState
from mssante.wire.smime.decryption import DecryptionKey
from tests.support.mail_pki import MailPki, person


@pytest.fixture
async def database(open_database):
    return await open_database(DIRECTORY)


@pytest.fixture
def store(database, keyring, clock):
    return StoredMailboxKeys(database, keyring, clock)


@pytest.fixture
def authority(clock):
    root = pki.make_root("Root", clock.now())
    return pki.make_mailbox_authority(root, "Mailboxes", clock.now())


@pytest.fixture
async def holder(database, clock):
    address = Address("alice", "nord.example")
    mailbox = Mailbox(new_id(), MailboxType.PERSONAL, address, MailboxState.ACTIVE, "Alice")
    registry = StoredRegistry(database, clock)
    await registry.add_member(None, mailbox, (), Act("test", "tester"))
    return KeyHolder(mailbox.id, address, "Alice")


def keys_over(store, authority, clock):
    return MailboxKeys(store, authority, clock)


async def test_a_pair_is_made_on_first_need_and_found_again_with_its_key(
    store, authority, clock, holder
):
    first = await keys_over(store, authority, clock).sealing(holder)
    again = await keys_over(store, None, clock).sealing(holder)

    assert first.certificate == again.certificate
    assert first.certificate.public_key() == again.key.public_key()
    assert first.chain == (authority.certificate,)
    usage = first.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment) == (True, False)
    [pair] = await store.list_pairs()
    assert pair.origin is KeyOrigin.ISSUED
    assert await store.holds(bytes.fromhex("00" * 32)) is False
    assert await keys_over(store, None, clock).is_held(first.certificate)


async def test_a_pair_that_another_process_brings_is_known_to_be_ours_within_seconds(
    store, authority, clock, holder
):
    here, elsewhere = keys_over(store, None, clock), keys_over(store, authority, clock)
    made = pki.issue_mailbox(authority, "alice@nord.example", "Alice", Purpose.SIGN, clock.now())
    assert not await here.is_held(made.certificate)
    await elsewhere.take(
        holder,
        ReadPair(DecryptionKey(made.certificate, made.key), (authority.certificate,)),
        user="tester",
    )

    clock.advance(seconds=11)
    assert await here.is_held(made.certificate)


async def test_two_workers_that_race_end_with_one_pair(store, authority, clock, holder):
    workers = [keys_over(store, authority, clock) for _ in range(6)]

    made = await asyncio.gather(*(worker.sealing(holder) for worker in workers))

    assert len({key.certificate for key in made}) == 1
    assert len(await store.list_pairs(holder.id)) == 1


async def test_no_private_key_stands_in_the_row_as_it_is(store, authority, clock, holder, database):
    await keys_over(store, authority, clock).sealing(holder)
    [pair] = await store.list_pairs()
    row = await database.read(lambda conn: conn.execute(select(MAILBOX_KEY)).one())

    assert all(pair.key not in bytes(value) for value in row if isinstance(value, bytes))
    assert pair.key[-32:] not in bytes(row.sealed)
    assert pair.key.hex() not in repr(pair)


async def test_a_pair_is_renewed_ahead_of_its_end_and_the_old_one_still_opens(
    store, authority, clock, holder
):
    keys = keys_over(store, authority, clock)
    old = await keys.pair(holder, Purpose.ENCRYPT)
    clock.advance(days=pki.MAILBOX_VALIDITY.days - 70)
    assert await keys.pair(holder, Purpose.ENCRYPT) == old
    clock.advance(days=15)
    new = await keys.pair(holder, Purpose.ENCRYPT)

    assert new.id != old.id
    opening = await keys.opening(holder.id)
    assert [key.certificate for key in opening] == [
        x509.load_der_x509_certificate(pair.certificate) for pair in (new, old)
    ]
    states = {pair.id: pair.state for pair in await store.list_pairs(holder.id)}
    assert states == {old.id: KeyState.RETIRED, new.id: KeyState.ACTIVE}


async def test_near_the_end_of_the_authority_no_pair_is_made_again_and_again(
    store, authority, clock, holder
):
    keys = keys_over(store, authority, clock)
    clock.advance(days=pki.AUTHORITY_VALIDITY.days - 30)
    first = await keys.pair(holder, Purpose.SIGN)
    clock.advance(days=1)
    assert await keys.pair(holder, Purpose.SIGN) == first
    clock.advance(days=40)

    assert await keys.pair(holder, Purpose.SIGN) is None


async def test_without_an_authority_there_is_no_key_and_one_line_says_so(
    store, clock, holder, caplog
):
    keys = keys_over(store, None, clock)

    assert await keys.sealing(holder) is None
    clock.advance(minutes=5)
    assert await keys.sealing(holder) is None
    assert caplog.text.count("not sealed") == 1
    assert "alice" not in caplog.text


async def test_a_revoked_pair_is_followed_by_another_and_stands_in_the_list(
    store, authority, clock, holder
):
    keys = keys_over(store, authority, clock)
    before = await keys.pair(holder, Purpose.SIGN)
    await store.revoke(before.id, KeyAct("revoke", "tester"))
    await store.revoke(before.id, KeyAct("revoke", "tester"))
    after = await keys.pair(holder, Purpose.SIGN)

    assert after.id != before.id
    found = x509.load_pem_x509_crl(await keys.revocation_list())
    assert found.get_revoked_certificate_by_serial_number(int(serial_of(before), 16)) is not None
    assert found.get_revoked_certificate_by_serial_number(int(serial_of(after), 16)) is None
    assert found.is_signature_valid(authority.certificate.public_key())


async def test_a_pair_of_another_authority_follows_the_present_one_for_each_of_its_uses(
    store, authority, clock, holder
):
    keys = keys_over(store, authority, clock)
    own = await keys.pair(holder, Purpose.SIGN)
    other = MailPki()
    theirs = person(
        other.issuing,
        "Alice@Nord.example",
        key=rsa.generate_private_key(65537, 2048),
        usages=("digital_signature", "key_encipherment"),
    )
    read = ReadPair(theirs.decryption_key, (other.issuing.certificate,))
    added = await keys.take(holder, read, user="tester")

    assert [pair.purpose for pair in added] == [Purpose.SIGN, Purpose.ENCRYPT]
    assert (await store.active(holder.id, Purpose.SIGN)).id == added[0].id != own.id
    sealing = await keys_over(store, authority, clock).sealing(holder)
    assert sealing.certificate == theirs.certificate
    assert sealing.chain == (other.issuing.certificate,)
    assert await keys.pair(holder, Purpose.SIGN) == added[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "bob@nord.example"}, "not for this address"),
        ({"not_after": datetime(2026, 1, 1, tzinfo=UTC)}, "not valid now"),
        ({"usages": ("data_encipherment",)}, "allows neither"),
    ],
)
async def test_a_pair_that_is_not_for_the_mailbox_is_not_taken(
    store, authority, clock, holder, changes, why
):
    theirs = person(MailPki().issuing, **{"address": "alice@nord.example", **changes})
    keys = keys_over(store, authority, clock)

    with pytest.raises(NotForMailbox, match=why):
        await keys.take(holder, ReadPair(theirs.decryption_key, ()), user="tester")
    assert await store.list_pairs() == []


async def test_each_change_of_a_pair_stands_in_the_audit(store, authority, clock, holder, database):
    keys = keys_over(store, authority, clock)
    pair = await keys.pair(holder, Purpose.SIGN, user="tester")
    await store.revoke(pair.id, KeyAct("revoke", "tester"))

    rows = await database.read(
        lambda conn: conn.execute(
            select(AUDIT.entries).where(AUDIT.entries.c.kind == "certificate")
        ).all()
    )
    assert [bytes(row.subject) for row in rows] == [holder.id, holder.id]
    assert [b'"action":"issue"' in bytes(rows[0].leaf), b'"revoke"' in bytes(rows[1].leaf)] == [
        True, True,
    ]  # fmt: skip
    assert all("tester" in row.personal for row in rows)


async def test_a_key_stays_in_memory_for_seconds(store, authority, clock, holder):
    keys = keys_over(store, authority, clock)
    first = await keys.sealing(holder)
    assert await keys.sealing(holder) is first
    clock.advance(seconds=11)

    assert await keys.sealing(holder) is not first
    assert timedelta(0) < timedelta(seconds=11)


async def test_a_first_key_opens_the_mail_that_comes_a_moment_later(
    store, authority, clock, holder
):
    worker, command = keys_over(store, authority, clock), keys_over(store, authority, clock)
    assert await worker.opening(holder.id) == ()

    await command.pair(holder, Purpose.ENCRYPT)

    assert len(await worker.opening(holder.id)) == 1
