"""The directory's ports on both databases: the same promises on SQLite and on PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import select, text, update

from mssante.directory.model import (
    Account,
    AccountRole,
    Domain,
    Mailbox,
    MailboxState,
    MailboxType,
    Organisation,
    Patient,
)
from mssante.directory.ports import Act, Duplicate, Grant, Unknown
from mssante.kernel.address import Address, patient_address
from mssante.kernel.ins import Ins, InsOid, matricule_key
from mssante.kernel.opaque import new_id
from mssante.kernel.traits import IdentityStatus, Traits
from mssante.storage import audit, migrate
from mssante.storage.database import Database
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.prepared import Prepared
from mssante.storage.versions import DIRECTORY
from mssante.storage.schema.directory import AUDIT, PATIENT_INS
from mssante.storage.sqlite import SqliteDatabase

ACT = Act("test add", "tester")


@pytest.fixture
async def database(open_database) -> Database:
    return await open_database(DIRECTORY)


@pytest.fixture
def directory(database) -> StoredDirectory:
    return StoredDirectory(database)


@pytest.fixture
def registry(database, clock) -> StoredRegistry:
    return StoredRegistry(database, clock)


def an_account(login="claire.martin", rpps="99700000001", role=AccountRole.PROFESSIONAL) -> Account:
    return Account(
        id=new_id(),
        role=role,
        login=login,
        display_name="Claire MARTIN",
        enabled=True,
        credential_version=1,
        password_hash="$argon2id$fake",
        rpps=rpps,
        profession="10" if rpps else None,
    )


def a_mailbox(address="Claire.Martin@hopital.example", **changes) -> Mailbox:
    values = {
        "id": new_id(),
        "type": MailboxType.PERSONAL,
        "address": Address.split(address),
        "state": MailboxState.ACTIVE,
        "display_name": "Claire MARTIN",
    }
    return Mailbox(**(values | changes))


def an_ins(serial: int = 1, oid: InsOid = InsOid.NIR_TEST) -> Ins:
    body = f"2780175{serial:06d}"
    return Ins(f"{body}{matricule_key(body):02d}", oid)


def a_patient(ins: Ins, state=MailboxState.ACTIVE) -> tuple[Patient, Mailbox, Account]:
    patient_id = new_id()
    mailbox = a_mailbox(
        str(patient_address(ins.matricule, "patient.example")),
        type=MailboxType.CITIZEN,
        patient_id=patient_id,
        state=state,
    )
    traits = Traits("DURAND", "ANNE MARIE", "ANNE", "F", "19780102", "75101")
    patient = Patient(patient_id, ins, traits, IdentityStatus.QUAL, mailbox.id, dmp_active=True)
    account = an_account(f"p-{patient_id.hex()[:8]}", None, AccountRole.PATIENT)
    return patient, mailbox, account


async def add_owner(registry, account=None, mailbox=None) -> tuple[Account, Mailbox]:
    account, mailbox = account or an_account(), mailbox or a_mailbox()
    await registry.add_member(account, mailbox, [Grant(account.id, mailbox.id, is_owner=True)], ACT)
    return account, mailbox


async def test_an_account_signs_in_by_login_or_by_the_address_it_owns_whatever_the_case(
    directory, registry
):
    account, _ = await add_owner(registry)

    assert await directory.account_by_login("Claire.MARTIN") == account
    assert await directory.account_by_login("claire.martin@HOPITAL.example") == account
    assert await directory.account_by_login("claire") is None
    assert await directory.account_by_login("nobody@hopital.example") is None


async def test_a_member_of_a_shared_mailbox_does_not_sign_in_by_its_address(directory, registry):
    owner, mailbox = await add_owner(registry)
    member, own = await add_owner(
        registry, an_account("paul", "99700000019"), a_mailbox("paul@hopital.example")
    )

    await registry.grant(Grant(member.id, mailbox.id, may_send=True), ACT)

    assert await directory.account_by_login("claire.martin@hopital.example") == owner
    accesses = await directory.mailboxes_of(member.id)
    assert [(a.mailbox, a.may_send, a.is_owner) for a in accesses] == [
        (own, True, True),
        (mailbox, True, False),
    ]


async def test_a_right_that_is_given_again_is_changed(directory, registry):
    _, mailbox = await add_owner(registry)
    member = an_account("paul", None)
    await registry.add_member(member, None, [Grant(member.id, mailbox.id)], ACT)

    await registry.grant(Grant(member.id, mailbox.id, may_send=False), ACT)

    (access,) = await directory.mailboxes_of(member.id)
    assert access.may_send is False
    granted = await directory.grants_on(mailbox.id)
    assert [(a.login, g.is_owner) for a, g in granted] == [("claire.martin", True), ("paul", False)]


async def test_mailboxes_are_found_by_address_and_by_id(directory, registry):
    _, mailbox = await add_owner(registry)

    assert (
        await directory.mailbox_by_address(Address("CLAIRE.martin", "Hopital.example")) == mailbox
    )
    assert await directory.mailbox_by_address(Address("x", "hopital.example")) is None
    assert await directory.mailboxes([mailbox.id, new_id()]) == {mailbox.id: mailbox}
    assert await directory.mailboxes([]) == {}


async def test_domains_are_compared_without_case(directory, registry):
    domain = Domain(new_id(), "hopital.example", patients=False)
    await registry.add_domain(domain, ACT)

    assert await directory.is_local_domain("HOPITAL.example")
    assert not await directory.is_local_domain("other.example")
    assert await directory.list_domains() == [domain]


async def test_an_organisation_is_kept_with_its_national_identifier(directory, registry):
    organisation = Organisation(new_id(), "Centre", "1750712184")
    await registry.add_organisation(organisation, ACT)

    assert await directory.organisation(organisation.id) == organisation
    assert await directory.organisation(new_id()) is None
    with pytest.raises(Duplicate):
        await registry.add_organisation(Organisation(new_id(), "Other", "1750712184"), ACT)


async def test_a_patient_is_found_by_id_and_by_matricule_whatever_its_case(directory, registry):
    body = "178022A000001"
    ins = Ins(f"{body}{matricule_key(body):02d}", InsOid.NIR_TEST)
    patient, mailbox, account = a_patient(ins)
    await registry.add_patient(patient, "s", mailbox, account, ACT)

    assert await directory.patient(patient.id) == patient
    assert await directory.patients_by_ins(ins.matricule.lower()) == [patient]
    assert await directory.patients_by_ins(an_ins(2).matricule) == []
    assert await directory.account_by_login(str(mailbox.address)) == account


async def test_one_space_has_one_patient_for_a_matricule(directory, registry):
    first, second, elsewhere = a_patient(an_ins()), a_patient(an_ins()), a_patient(an_ins())
    await registry.add_patient(first[0], "space", first[1], None, ACT)

    with pytest.raises(Duplicate, match="INS"):
        await registry.add_patient(second[0], "space", None, None, ACT)
    await registry.add_patient(elsewhere[0], "another", None, None, ACT)

    found = await directory.patients_by_ins(an_ins().matricule)
    assert {each.id for each in found} == {first[0].id, elsewhere[0].id}


async def test_a_former_ins_still_finds_the_patient_after_those_who_hold_it_now(
    directory, registry, database
):
    former, present = a_patient(an_ins()), a_patient(an_ins())
    await registry.add_patient(former[0], "space", None, None, ACT)
    await database.write(lambda conn: conn.execute(update(PATIENT_INS).values(valid_to=1)) and None)
    await registry.add_patient(present[0], "space", None, None, ACT)

    found = await directory.patients_by_ins(an_ins().matricule)

    assert [each.id for each in found] == [present[0].id, former[0].id]
    assert found[1].ins is None


async def test_a_new_password_or_state_ends_remembered_authentications(directory, registry):
    account, _ = await add_owner(registry)

    await registry.set_password(account.id, "$argon2id$other", ACT)
    changed = await directory.account_by_login(account.login)
    await registry.set_enabled(account.id, enabled=False, act=ACT)
    disabled = await directory.account_by_login(account.login)

    assert (changed.credential_version, changed.password_hash) == (2, "$argon2id$other")
    assert (disabled.credential_version, disabled.enabled) == (3, False)


async def test_activation_opens_the_mailbox_of_the_patient(directory, registry):
    patient, mailbox, account = a_patient(an_ins(), MailboxState.NOT_ACTIVATED)
    await registry.add_patient(patient, "space", mailbox, account, ACT)

    await registry.activate_patient(patient.id, ACT)

    found = await directory.mailbox_by_address(mailbox.address)
    assert found.state is MailboxState.ACTIVE


async def test_what_does_not_exist_cannot_be_changed(registry):
    for call in (
        registry.set_password(new_id(), "x", ACT),
        registry.set_enabled(new_id(), enabled=True, act=ACT),
        registry.activate_patient(new_id(), ACT),
    ):
        with pytest.raises(Unknown):
            await call


@pytest.mark.parametrize(
    ("account", "mailbox", "said"),
    [
        (an_account("CLAIRE.martin", None), a_mailbox("x@h.example"), "login"),
        (an_account("x", "99700000001"), a_mailbox("x@h.example"), "RPPS"),
        (an_account("x", None), a_mailbox("claire.MARTIN@hopital.example"), "address"),
    ],
)
async def test_a_duplicate_is_refused_as_a_whole_and_not_repeated(
    directory, registry, account, mailbox, said
):
    await add_owner(registry)

    with pytest.raises(Duplicate, match=said) as caught:
        await add_owner(registry, account, mailbox)

    assert "martin" not in str(caught.value).lower()
    assert await directory.account_by_login("x") is None
    assert len(await directory.list_mailboxes()) == 1


async def test_two_that_race_for_one_address_are_not_both_created(directory, registry):
    outcomes = await asyncio.gather(
        *(
            add_owner(registry, an_account(f"user{n}", None), a_mailbox("same@h.example"))
            for n in range(4)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Duplicate) for outcome in outcomes) == 3
    assert len(await directory.list_mailboxes()) == 1


async def test_lists_come_in_pages(directory, registry):
    for serial in range(1, 6):
        patient, mailbox, _ = a_patient(an_ins(serial))
        await registry.add_patient(patient, "space", mailbox, None, ACT)

    first = await directory.list_patients(limit=2)
    rest = await directory.list_patients(after=first[-1].id)
    boxes = await directory.list_mailboxes(limit=3)
    others = await directory.list_mailboxes(after=boxes[-1].address.key)

    assert (len(first), len(rest)) == (2, 3)
    assert len({p.id for p in first + rest}) == 5
    assert len({m.id for m in boxes + others}) == 5


async def test_each_act_is_in_the_audit_and_personal_data_only_beside_the_leaf(registry, database):
    patient, mailbox, account = a_patient(an_ins())
    await registry.add_patient(patient, "space", mailbox, account, Act("patient create", "marie"))
    with pytest.raises(Duplicate):
        await registry.add_patient(a_patient(an_ins())[0], "space", None, None, ACT)

    lines = await database.read(lambda conn: audit.show(conn, AUDIT, "directory", limit=10))
    report = await database.read(lambda conn: audit.verify(conn, AUDIT, "directory"))

    (line,) = lines
    assert line.leaf["action"] == "patient create"
    assert line.leaf["subject"] == patient.id.hex()
    assert line.personal == {"user": "marie"}
    assert an_ins().matricule not in str(line.leaf)
    assert report.intact


async def test_hot_reads_use_indexes(database, directory, registry):
    if not isinstance(database, SqliteDatabase):
        pytest.skip("the planner of PostgreSQL scans tables this small, rightly")
    from mssante.storage import directory as repository

    hot = {
        name: statement
        for name, statement in vars(repository).items()
        if name in {
            "_ACCOUNT_BY_LOGIN", "_ACCOUNT_BY_OWN_ADDRESS", "_ACCESSES_OF_ACCOUNT",
            "_MAILBOX_BY_ADDRESS", "_DOMAIN_EXISTS", "_PATIENT_BY_ID", "_HOLDERS_OF_INS",
        }
    }  # fmt: skip
    assert len(hot) == 7

    def plans(conn):
        for name, statement in hot.items():
            sql = str(
                statement.statement.compile(conn.engine)
                if isinstance(statement, Prepared)
                else statement.compile(conn.engine)
            )
            count = sql.count("?")
            values = tuple(b"" for _ in range(count))
            for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values):
                yield name, row[-1]

    scans = await database.read(lambda conn: [p for p in plans(conn) if p[1].startswith("SCAN")])
    assert scans == []


async def test_foreign_keys_hold(database, registry):
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await registry.grant(Grant(new_id(), new_id()), ACT)
    rows = await database.read(lambda conn: conn.execute(select(text("1"))).all())
    assert rows


async def test_the_migrations_lead_to_the_declared_tables(database):
    assert await database.read(lambda conn: migrate.differences(conn, DIRECTORY)) == []
