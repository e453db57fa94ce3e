from datetime import timedelta

import pytest

from mssante.access.audit import AuditKind
from mssante.access.failure_table import FailureTable
from mssante.access.authentication import Authenticator
from mssante.access.passwords import Argon2Cost, Passwords
from mssante.directory.model import AccountRole, MailboxState, MailboxType
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal
from tests.support.memory import DOMAIN, PATIENT_DOMAIN, ManualClock, MemoryAudit, MemoryDirectory

CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


class World:
    """Two doctors who share an organisation's mailbox, and a patient."""

    def __init__(self) -> None:
        self.checks = 0
        self.clock = ManualClock()
        self.audit = MemoryAudit()
        self.directory = MemoryDirectory()
        self.passwords = Passwords(CHEAP)
        stored = self.passwords.hash_now("right")
        self.alice = self.directory.add_account("alice", stored)
        self.bob = self.directory.add_account("bob", stored)
        self.carol = self.directory.add_account("carol", stored, AccountRole.PATIENT)
        self.alice_box = self.directory.add_mailbox(f"alice.martin@{DOMAIN}", owner=self.alice)
        self.directory.add_mailbox(f"bob@{DOMAIN}", owner=self.bob)
        self.shared = self.directory.add_mailbox(
            f"cardio@{DOMAIN}", members=(self.alice, self.bob), type=MailboxType.ORGANISATION
        )
        self.carol_box = self.directory.add_mailbox(
            f"277076322082910@{PATIENT_DOMAIN}", owner=self.carol, type=MailboxType.CITIZEN
        )
        verify = self.passwords.verify

        async def counted(stored, password):
            self.checks += 1
            return await verify(stored, password)

        self.passwords.verify = counted
        self.authenticator = self.new_authenticator()

    def new_authenticator(self, **options) -> Authenticator:
        options = {"patients_allowed": True, **options}
        return Authenticator(self.directory, self.passwords, self.audit, self.clock, **options)

    async def sign_in(self, login="alice", password="right", authzid="", peer="192.0.2.1"):
        return await self.authenticator.authenticate(
            login, password, authzid=authzid, service="smtp", peer=peer
        )

    async def refused(self, *args, **options) -> Reason:
        with pytest.raises(Refusal) as caught:
            await self.sign_in(*args, **options)
        return caught.value.reason


@pytest.fixture
def world():
    world = World()
    yield world
    world.passwords.close()


async def test_a_professional_signs_in_by_login_or_address_in_any_case(world):
    for login in ("alice", "ALICE", f"Alice.Martin@{DOMAIN}"):
        identity = await world.sign_in(login)

        assert identity.mailbox == world.alice_box
        assert identity.reader_id is None
        assert identity.may_send_as(Address("ALICE.martin", DOMAIN))
        assert identity.may_send_as(world.shared.address)
        assert not identity.may_send_as(Address("bob", DOMAIN))


async def test_authzid_opens_the_shared_mailbox_with_a_reader_of_its_own(world):
    identity = await world.sign_in("bob", authzid=f"Cardio@{DOMAIN}")

    assert identity.mailbox == world.shared
    assert identity.reader_id == world.bob.id
    assert identity.account_id == world.bob.id


async def test_authzid_equal_to_the_login_means_the_own_mailbox(world):
    assert (await world.sign_in("alice", authzid="alice")).mailbox == world.alice_box


async def test_every_failure_has_one_public_reason_and_its_detail_in_the_audit(world):
    world.directory.change_account(world.bob.id, enabled=False)
    world.directory.change_mailbox(world.carol_box.id, state=MailboxState.NOT_ACTIVATED)
    for arguments in (
        ("nobody", "right"),
        ("alice", "wrong"),
        ("bob", "right"),
        ("carol", "right"),
        ("alice", "right", f"bob@{DOMAIN}"),
    ):
        assert await world.refused(*arguments) is Reason.CREDENTIALS_INVALID
    world.authenticator = world.new_authenticator(patients_allowed=False)
    world.directory.change_mailbox(world.carol_box.id, state=MailboxState.ACTIVE)
    assert await world.refused("carol") is Reason.CREDENTIALS_INVALID

    details = [entry.facts["detail"] for entry in world.audit.entries]
    assert len(set(details)) == len(details) == 6
    assert {entry.outcome for entry in world.audit.entries} == {"credentials-invalid"}


async def test_an_unknown_login_is_checked_like_a_known_one(world):
    await world.refused("nobody", "right")

    assert world.checks == 1


async def test_a_success_is_remembered_for_a_while(world):
    for _ in range(3):
        await world.sign_in()
    assert world.checks == 1

    world.clock.move(minutes=5)
    await world.sign_in()
    assert world.checks == 2


async def test_remembering_can_be_turned_off(world):
    world.authenticator = world.new_authenticator(remember_for=timedelta())
    await world.sign_in()
    await world.sign_in()

    assert world.checks == 2


async def test_a_changed_password_ends_the_remembered_sign_in_at_once(world):
    await world.sign_in()
    world.directory.change_account(
        world.alice.id, password_hash=world.passwords.hash_now("new"), credential_version=2
    )

    assert await world.refused() is Reason.CREDENTIALS_INVALID
    await world.sign_in(password="new")


async def test_a_disabled_account_ends_the_remembered_sign_in_at_once(world):
    await world.sign_in()
    world.directory.change_account(world.alice.id, enabled=False)

    assert await world.refused() is Reason.CREDENTIALS_INVALID


async def test_a_password_that_becomes_right_is_not_held_against_its_owner(world):
    await world.refused(password="new")
    world.directory.change_account(
        world.alice.id, password_hash=world.passwords.hash_now("new"), credential_version=2
    )

    await world.sign_in(password="new")


async def test_a_phone_with_an_old_password_is_refused_cheaply_and_locks_nobody_out(world):
    for _ in range(100):
        assert await world.refused(password="old") is Reason.CREDENTIALS_INVALID

    assert world.checks == 1
    await world.sign_in()


async def test_guessing_one_login_makes_that_peer_wait_longer_and_longer(world):
    for number in range(6):
        assert await world.refused(password=f"guess{number}") is Reason.CREDENTIALS_INVALID
    assert await world.refused(password="right") is Reason.TRY_LATER
    assert world.checks == 6

    world.clock.move(seconds=1)
    assert await world.refused(password="guess7") is Reason.CREDENTIALS_INVALID
    world.clock.move(seconds=1)
    assert await world.refused(password="right") is Reason.TRY_LATER
    world.clock.move(seconds=1)
    await world.sign_in()


async def test_guesses_from_many_peers_do_not_shut_out_a_remembered_owner(world):
    await world.sign_in(peer="192.0.2.200")
    for number in range(40):
        await world.refused(password=f"guess{number}", peer=f"198.51.100.{number}")

    assert await world.refused(password="another", peer="203.0.113.1") is Reason.TRY_LATER
    await world.sign_in(peer="192.0.2.200")


async def test_a_peer_that_tries_many_logins_is_stopped(world):
    for number in range(51):
        await world.refused(f"user{number}", "guess")

    assert await world.refused("alice", "right") is Reason.TRY_LATER
    await world.sign_in(peer="192.0.2.2")


async def test_an_ipv6_network_counts_as_one_peer(world):
    for number in range(51):
        await world.refused(f"user{number}", "guess", peer=f"2001:db8:0:1::{number:x}")

    assert await world.refused(peer="2001:db8:0:1:ffff::1") is Reason.TRY_LATER
    await world.sign_in(peer="2001:db8:0:2::1")


async def test_failures_are_counted_not_written_one_by_one(world):
    for _ in range(500):
        await world.refused(password="old")
    assert len(world.audit.entries) == 1

    world.clock.move(minutes=1)
    await world.sign_in()
    failures = [e for e in world.audit.entries if e.kind is AuditKind.SIGN_IN_FAILURE]
    assert [entry.facts.get("count") for entry in failures] == [None, 499]


async def test_a_flood_of_logins_writes_a_bounded_number_of_entries(world):
    for number in range(3000):
        world.authenticator._throttle._table = FailureTable()
        await world.refused(f"user{number}", "guess", peer=f"2001:db8:{number:x}::1")
    await world.authenticator.flush()

    assert len(world.audit.entries) <= 258
    assert world.audit.entries[-1].facts["count"] >= 2700
    assert world.audit.entries[-1].personal == {}


async def test_the_audit_names_account_and_mailbox_of_a_sign_in(world):
    await world.sign_in("bob", authzid=f"cardio@{DOMAIN}")

    (entry,) = world.audit.entries
    assert (entry.kind, entry.actor, entry.subject) == (
        AuditKind.SIGN_IN,
        world.bob.id,
        world.shared.id,
    )
    assert "right" not in repr(entry)


async def test_what_is_remembered_is_bounded(world, monkeypatch):
    monkeypatch.setattr("mssante.access.authentication.MAX_REMEMBERED", 10)
    for number in range(50):
        world.authenticator._throttle._table = FailureTable()
        await world.refused(f"user{number}", "guess")

    assert len(world.authenticator._remembered) == 10


async def test_a_phone_with_an_old_password_shuts_out_nobody_else_behind_its_address(world):
    for _ in range(200):  # it tries for days
        await world.refused(password="old")
        await world.sign_in("bob")
        world.clock.move(minutes=16)


async def test_a_sign_in_whose_entry_could_not_be_written_is_not_counted_as_written(world):
    record = world.audit.record

    async def full(entry):
        raise OSError(28, "No space left on device")

    world.audit.record = full
    with pytest.raises(OSError):
        await world.sign_in()
    world.audit.record = record
    await world.sign_in()

    assert [e.kind for e in world.audit.entries] == [AuditKind.SIGN_IN]


async def test_counts_that_could_not_be_written_are_kept(world):
    for _ in range(5):
        await world.refused(password="old")
    record = world.audit.record

    async def full(entry):
        raise OSError(28, "No space left on device")

    world.audit.record = full
    with pytest.raises(OSError):
        await world.authenticator.flush()
    world.audit.record = record
    await world.authenticator.flush()

    assert [e.facts.get("count") for e in world.audit.entries] == [None, 4]
