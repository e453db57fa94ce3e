"""The directory on disk: the read side of every session and message, and registration.

Statements stand at module level, so that SQLAlchemy compiles each once; the functions over a
connection are what a `Database` runs.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Select,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from mssante.access.audit import AuditEntry, AuditKind
from mssante.directory.model import (
    Account,
    AccountRole,
    Domain,
    Mailbox,
    MailboxState,
    MailboxType,
    OpenTo,
    Organisation,
    Patient,
)
from mssante.directory.ports import Act, Duplicate, Grant, MailboxAccess, Unknown
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock, to_milliseconds
from mssante.kernel.ins import Ins, InsOid
from mssante.kernel.opaque import OpaqueId, new_id
from mssante.kernel.traits import IdentityStatus, Traits
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.prepared import Prepared
from mssante.storage.schema.directory import (
    ACCOUNT,
    DOMAIN,
    MAILBOX,
    MAILBOX_ACCESS,
    ORGANISATION,
    PATIENT,
    PATIENT_INS,
    PATIENT_TRAITS,
    PROFESSIONAL,
)

T = TypeVar("T")
_Rows = Select[Any]

_ACCOUNT_COLUMNS: Final = (
    ACCOUNT.c.id,
    ACCOUNT.c.role,
    ACCOUNT.c.login,
    ACCOUNT.c.display_name,
    ACCOUNT.c.enabled,
    ACCOUNT.c.credential_version,
    ACCOUNT.c.password_hash,
    PROFESSIONAL.c.rpps,
    PROFESSIONAL.c.profession,
)
_ACCOUNTS: Final = ACCOUNT.outerjoin(PROFESSIONAL, PROFESSIONAL.c.account_id == ACCOUNT.c.id)
_MAILBOX_COLUMNS: Final = (
    MAILBOX.c.id,
    MAILBOX.c.type,
    MAILBOX.c.local,
    MAILBOX.c.domain,
    MAILBOX.c.state,
    MAILBOX.c.display_name,
    MAILBOX.c.patient_id,
    MAILBOX.c.organisation_id,
    MAILBOX.c.feeds_dmp,
    MAILBOX.c.open_to_patients,
)

_ACCOUNT_BY_LOGIN: Final = Prepared(
    select(*_ACCOUNT_COLUMNS).select_from(_ACCOUNTS).where(ACCOUNT.c.login == bindparam("login"))
)
_ACCOUNT_BY_OWN_ADDRESS: Final = Prepared(
    select(*_ACCOUNT_COLUMNS)
    .select_from(
        MAILBOX.join(MAILBOX_ACCESS, MAILBOX_ACCESS.c.mailbox_id == MAILBOX.c.id).join(
            _ACCOUNTS, ACCOUNT.c.id == MAILBOX_ACCESS.c.account_id
        )
    )
    .where(MAILBOX.c.address_key == bindparam("address_key"), MAILBOX_ACCESS.c.is_owner)
    .order_by(MAILBOX_ACCESS.c.created_at, ACCOUNT.c.id)
    .limit(1)
)
_ACCESSES_OF_ACCOUNT: Final = Prepared(
    select(*_MAILBOX_COLUMNS, MAILBOX_ACCESS.c.may_send, MAILBOX_ACCESS.c.is_owner)
    .select_from(MAILBOX_ACCESS.join(MAILBOX, MAILBOX.c.id == MAILBOX_ACCESS.c.mailbox_id))
    .where(MAILBOX_ACCESS.c.account_id == bindparam("account_id"))
    .order_by(MAILBOX_ACCESS.c.is_owner.desc(), MAILBOX.c.address_key)
)
_MAILBOX_BY_ADDRESS: Final = Prepared(
    select(*_MAILBOX_COLUMNS).where(MAILBOX.c.address_key == bindparam("address_key"))
)
_MAILBOXES_BY_ID: Final[_Rows] = select(*_MAILBOX_COLUMNS).where(
    MAILBOX.c.id.in_(bindparam("ids", expanding=True))
)
_MAILBOX_PAGE: Final[_Rows] = (
    select(*_MAILBOX_COLUMNS)
    .where(MAILBOX.c.address_key > bindparam("after"))
    .order_by(MAILBOX.c.address_key)
    .limit(bindparam("page"))
)
_DOMAIN_EXISTS: Final = Prepared(select(DOMAIN.c.id).where(DOMAIN.c.name == bindparam("name")))
_DOMAINS: Final[_Rows] = select(DOMAIN.c.id, DOMAIN.c.name, DOMAIN.c.patients).order_by(
    DOMAIN.c.name
)
_ORGANISATION_BY_ID: Final[_Rows] = select(
    ORGANISATION.c.id, ORGANISATION.c.name, ORGANISATION.c.national_id
).where(ORGANISATION.c.id == bindparam("id"))
_GRANTS_ON: Final[_Rows] = (
    select(
        *_ACCOUNT_COLUMNS,
        MAILBOX_ACCESS.c.mailbox_id,
        MAILBOX_ACCESS.c.may_send,
        MAILBOX_ACCESS.c.is_owner,
    )
    .select_from(_ACCOUNTS.join(MAILBOX_ACCESS, MAILBOX_ACCESS.c.account_id == ACCOUNT.c.id))
    .where(MAILBOX_ACCESS.c.mailbox_id == bindparam("mailbox_id"))
    .order_by(MAILBOX_ACCESS.c.is_owner.desc(), ACCOUNT.c.login)
)
_GRANT_EXISTS: Final[_Rows] = select(MAILBOX_ACCESS.c.account_id).where(
    MAILBOX_ACCESS.c.account_id == bindparam("account_id"),
    MAILBOX_ACCESS.c.mailbox_id == bindparam("mailbox_id"),
)


def _present(ins_or_traits: Any) -> ColumnElement[bool]:
    """The dated row that is valid now."""
    present: ColumnElement[bool] = ins_or_traits.c.valid_to.is_(None)
    return present


_PATIENTS: Final[_Rows] = select(
    PATIENT.c.id,
    PATIENT.c.dmp_active,
    MAILBOX.c.id.label("mailbox_id"),
    PATIENT_INS.c.matricule,
    PATIENT_INS.c.oid,
    PATIENT_TRAITS.c.birth_name,
    PATIENT_TRAITS.c.given_names,
    PATIENT_TRAITS.c.first_given,
    PATIENT_TRAITS.c.sex,
    PATIENT_TRAITS.c.birth_date,
    PATIENT_TRAITS.c.birth_place,
    PATIENT_TRAITS.c.status,
).select_from(
    PATIENT.join(
        PATIENT_TRAITS, (PATIENT_TRAITS.c.patient_id == PATIENT.c.id) & _present(PATIENT_TRAITS)
    )
    .outerjoin(PATIENT_INS, (PATIENT_INS.c.patient_id == PATIENT.c.id) & _present(PATIENT_INS))
    .outerjoin(MAILBOX, MAILBOX.c.patient_id == PATIENT.c.id)
)
_PATIENT_BY_ID: Final = Prepared(_PATIENTS.where(PATIENT.c.id == bindparam("id")))
_PATIENT_PAGE: Final[_Rows] = (
    _PATIENTS.where(PATIENT.c.id > bindparam("after"))
    .order_by(PATIENT.c.id)
    .limit(bindparam("page"))
)
_HOLDERS_OF_INS: Final = Prepared(
    select(PATIENT_INS.c.patient_id)
    .where(PATIENT_INS.c.matricule == bindparam("matricule"))
    .order_by(PATIENT_INS.c.valid_to.is_not(None), PATIENT_INS.c.valid_from.desc())
)


# --- reading ----------------------------------------------------------------------------------


def account_by_login(conn: Connection, login: str) -> Account | None:
    """See `Directory.account_by_login`."""
    key = login.lower()
    row = _ACCOUNT_BY_LOGIN.first(conn, {"login": key})
    if row is None and "@" in key:
        row = _ACCOUNT_BY_OWN_ADDRESS.first(conn, {"address_key": key})
    return None if row is None else _account(row)


def mailboxes_of(conn: Connection, account_id: OpaqueId) -> list[MailboxAccess]:
    """See `Directory.mailboxes_of`."""
    rows = _ACCESSES_OF_ACCOUNT.all(conn, {"account_id": account_id})
    return [MailboxAccess(_mailbox(row), row.may_send, row.is_owner) for row in rows]


def mailbox_by_address(conn: Connection, address: Address) -> Mailbox | None:
    """See `Directory.mailbox_by_address`."""
    row = _MAILBOX_BY_ADDRESS.first(conn, {"address_key": address.key})
    return None if row is None else _mailbox(row)


def mailboxes(conn: Connection, ids: Collection[OpaqueId]) -> dict[OpaqueId, Mailbox]:
    """See `Directory.mailboxes`."""
    found = (_mailbox(row) for row in conn.execute(_MAILBOXES_BY_ID, {"ids": list(ids)}))
    return {mailbox.id: mailbox for mailbox in found}


def is_local_domain(conn: Connection, domain: str) -> bool:
    """See `Directory.is_local_domain`."""
    return _DOMAIN_EXISTS.first(conn, {"name": domain.lower()}) is not None


def patient(conn: Connection, patient_id: OpaqueId) -> Patient | None:
    """See `Directory.patient`."""
    row = _PATIENT_BY_ID.first(conn, {"id": patient_id})
    return None if row is None else _patient(row)


def patients_by_ins(conn: Connection, matricule: str) -> list[Patient]:
    """See `Directory.patients_by_ins`."""
    rows = _HOLDERS_OF_INS.all(conn, {"matricule": matricule.upper()})
    holders = dict.fromkeys(OpaqueId(bytes(row.patient_id)) for row in rows)
    found = (patient(conn, holder) for holder in holders)
    return [each for each in found if each is not None]


def organisation(conn: Connection, organisation_id: OpaqueId) -> Organisation | None:
    """See `Directory.organisation`."""
    row = conn.execute(_ORGANISATION_BY_ID, {"id": organisation_id}).first()
    if row is None:
        return None
    return Organisation(OpaqueId(bytes(row.id)), row.name, row.national_id)


class StoredDirectory:
    """The `Directory` and `Listing` ports over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account_by_login(self, login: str) -> Account | None:
        """See the port."""
        return await self._database.read_lasting(
            ("account", login), lambda conn: account_by_login(conn, login)
        )

    async def mailboxes_of(self, account_id: OpaqueId) -> list[MailboxAccess]:
        """See the port."""
        return await self._database.read_lasting(
            ("mailboxes of", account_id), lambda conn: mailboxes_of(conn, account_id)
        )

    async def mailbox_by_address(self, address: Address) -> Mailbox | None:
        """See the port."""
        return await self._database.read_lasting(
            ("mailbox", address.key), lambda conn: mailbox_by_address(conn, address)
        )

    async def mailboxes(self, ids: Collection[OpaqueId]) -> dict[OpaqueId, Mailbox]:
        """See the port."""
        return await self._database.read(lambda conn: mailboxes(conn, ids))

    async def is_local_domain(self, domain: str) -> bool:
        """See the port."""
        name = domain.lower()
        return await self._database.read_lasting(
            ("domain", name), lambda conn: is_local_domain(conn, name)
        )

    async def patient(self, patient_id: OpaqueId) -> Patient | None:
        """See the port."""
        return await self._database.read_lasting(
            ("patient", patient_id), lambda conn: patient(conn, patient_id)
        )

    async def patients_by_ins(self, matricule: str) -> list[Patient]:
        """See the port."""
        return await self._database.read_lasting(
            ("holders", matricule), lambda conn: patients_by_ins(conn, matricule)
        )

    async def organisation(self, organisation_id: OpaqueId) -> Organisation | None:
        """See the port."""
        return await self._database.read_lasting(
            ("organisation", organisation_id), lambda conn: organisation(conn, organisation_id)
        )

    async def list_mailboxes(self, *, after: str = "", limit: int = 1000) -> list[Mailbox]:
        """See the port."""
        values = {"after": after, "page": limit}
        return await self._all(_MAILBOX_PAGE, values, _mailbox)

    async def list_patients(
        self, *, after: OpaqueId | None = None, limit: int = 1000
    ) -> list[Patient]:
        """See the port."""
        return await self._all(_PATIENT_PAGE, {"after": after or b"", "page": limit}, _patient)

    async def list_domains(self) -> list[Domain]:
        """See the port."""
        return await self._all(
            _DOMAINS, {}, lambda row: Domain(OpaqueId(bytes(row.id)), row.name, row.patients)
        )

    async def grants_on(self, mailbox_id: OpaqueId) -> list[tuple[Account, Grant]]:
        """See the port."""

        def line(row: Row[Any]) -> tuple[Account, Grant]:
            account = _account(row)
            return account, Grant(account.id, mailbox_id, row.may_send, row.is_owner)

        return await self._all(_GRANTS_ON, {"mailbox_id": mailbox_id}, line)

    async def _all(
        self, statement: _Rows, values: dict[str, Any], build: Callable[[Row[Any]], T]
    ) -> list[T]:
        return await self._database.read(
            lambda conn: [build(row) for row in conn.execute(statement, values)]
        )


def _account(row: Row[Any]) -> Account:
    return Account(
        id=OpaqueId(bytes(row.id)),
        role=AccountRole(row.role),
        login=row.login,
        display_name=row.display_name,
        enabled=row.enabled,
        credential_version=row.credential_version,
        password_hash=row.password_hash,
        rpps=row.rpps,
        profession=row.profession,
    )


def _mailbox(row: Row[Any]) -> Mailbox:
    return Mailbox(
        id=OpaqueId(bytes(row.id)),
        type=MailboxType(row.type),
        address=Address(row.local, row.domain),
        state=MailboxState(row.state),
        display_name=row.display_name,
        patient_id=_optional_id(row.patient_id),
        organisation_id=_optional_id(row.organisation_id),
        feeds_dmp=row.feeds_dmp,
        open_to_patients=OpenTo(row.open_to_patients) if row.open_to_patients else None,
    )


def _patient(row: Row[Any]) -> Patient:
    traits = Traits(
        birth_name=row.birth_name,
        given_names=row.given_names,
        first_given=row.first_given,
        sex=row.sex,
        birth_date=row.birth_date,
        birth_place=row.birth_place,
    )
    return Patient(
        id=OpaqueId(bytes(row.id)),
        ins=None if row.matricule is None else Ins(row.matricule, InsOid(row.oid)),
        traits=traits,
        status=IdentityStatus(row.status),
        mailbox_id=_optional_id(row.mailbox_id),
        dmp_active=row.dmp_active,
    )


def _optional_id(value: Any) -> OpaqueId | None:
    return None if value is None else OpaqueId(bytes(value))


# --- registration -----------------------------------------------------------------------------


class StoredRegistry:
    """The `Registry` port over one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add_domain(self, domain: Domain, act: Act) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            _insert(
                conn,
                "domain",
                insert(DOMAIN).values(
                    id=domain.id, name=domain.name, patients=domain.patients, created_at=at
                ),
            )

        await self._do(work, act, domain.id, {"domain": domain.name})

    async def add_organisation(self, organisation: Organisation, act: Act) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            _insert(
                conn,
                "organisation with this national identifier",
                insert(ORGANISATION).values(
                    id=organisation.id,
                    name=organisation.name,
                    national_id=organisation.national_id,
                    created_at=at,
                ),
            )

        await self._do(work, act, organisation.id, {"national_id": organisation.national_id})

    async def add_member(
        self, account: Account | None, mailbox: Mailbox | None, grants: Collection[Grant], act: Act
    ) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            if account is not None:
                _insert_account(conn, account, at)
            if mailbox is not None:
                _insert_mailbox(conn, mailbox, at)
            for each in grants:
                _put_grant(conn, each, at)

        changed = mailbox or account
        facts = {"role": account.role.value} if account else {}
        await self._do(work, act, changed.id if changed else None, facts)

    async def add_patient(
        self,
        patient: Patient,
        number_space: str,
        mailbox: Mailbox | None,
        account: Account | None,
        act: Act,
    ) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            _insert_patient(conn, patient, number_space, at)
            if mailbox is not None:
                _insert_mailbox(conn, mailbox, at)
            if account is not None:
                _insert_account(conn, account, at)
            if account is not None and mailbox is not None:
                _put_grant(conn, Grant(account.id, mailbox.id, is_owner=True), at)

        await self._do(work, act, patient.id, {"status": patient.status.value})

    async def grant(self, grant: Grant, act: Act) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            _put_grant(conn, grant, at)

        facts: dict[str, str | int] = {
            "account": grant.account_id.hex(),
            "may_send": grant.may_send,
        }
        await self._do(work, act, grant.mailbox_id, facts)

    async def set_password(self, account_id: OpaqueId, password_hash: str, act: Act) -> None:
        """See the port."""
        await self._change_account(account_id, {"password_hash": password_hash}, act)

    async def set_enabled(self, account_id: OpaqueId, *, enabled: bool, act: Act) -> None:
        """See the port."""
        await self._change_account(account_id, {"enabled": enabled}, act)

    async def activate_patient(self, patient_id: OpaqueId, act: Act) -> None:
        """See the port."""
        await self.set_patient_state(patient_id, MailboxState.ACTIVE, act)

    async def set_patient_state(self, patient_id: OpaqueId, state: MailboxState, act: Act) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            changed = conn.execute(
                update(MAILBOX)
                .where(MAILBOX.c.patient_id == patient_id)
                .values(state=state.value, closed_at=_closed_at(state, at))
            )
            if changed.rowcount == 0:
                raise Unknown("this patient has no mailbox")

        await self._do(work, act, patient_id, {"state": state.value})

    async def set_mailbox_state(self, mailbox_id: OpaqueId, state: MailboxState, act: Act) -> None:
        """See the port."""

        def work(conn: Connection, at: int) -> None:
            values = {"state": state.value, "closed_at": _closed_at(state, at)}
            _change_mailbox(conn, mailbox_id, values)

        await self._do(work, act, mailbox_id, {"state": state.value})

    async def set_open_to_patients(
        self, mailbox_id: OpaqueId, open_to: OpenTo | None, act: Act
    ) -> None:
        """See the port."""
        value = open_to.value if open_to else None

        def work(conn: Connection, _at: int) -> None:
            _change_mailbox(conn, mailbox_id, {"open_to_patients": value})

        await self._do(work, act, mailbox_id, {"open_to_patients": value or "nobody"})

    async def _change_account(
        self, account_id: OpaqueId, values: dict[str, object], act: Act
    ) -> None:
        def work(conn: Connection, _at: int) -> None:
            changed = conn.execute(
                update(ACCOUNT)
                .where(ACCOUNT.c.id == account_id)
                .values(credential_version=ACCOUNT.c.credential_version + 1, **values)
            )
            if changed.rowcount == 0:
                raise Unknown("there is no such account")

        await self._do(work, act, account_id)

    async def _do(
        self,
        work: Callable[[Connection, int], None],
        act: Act,
        subject: OpaqueId | None,
        facts: Mapping[str, str | int] | None = None,
    ) -> None:
        """Run `work` and note its audit entry in the same transaction."""
        at = to_milliseconds(self._clock.now())
        entry = AuditEntry(
            AuditKind.ADMINISTRATION,
            act.command,
            "done",
            actor=act.account_id,
            subject=subject,
            facts=facts or {},
            personal={"user": act.user},
        )

        def unit(conn: Connection) -> None:
            work(conn, at)
            audit.record(conn, at, entry)

        await self._database.write(unit)


def _closed_at(state: MailboxState, at: int) -> int | None:
    return at if state in (MailboxState.CLOSED, MailboxState.OBJECTED) else None


def _change_mailbox(
    conn: Connection, mailbox_id: OpaqueId, values: Mapping[str, str | int | None]
) -> None:
    changed = conn.execute(update(MAILBOX).where(MAILBOX.c.id == mailbox_id).values(**values))
    if changed.rowcount == 0:
        raise Unknown("there is no such mailbox")


@contextmanager
def _unique(noun: str) -> Iterator[None]:
    """Say in the directory's words that a unique index refused; the value stays unsaid, since the
    driver's text would repeat it.
    """
    try:
        yield
    except IntegrityError:
        raise Duplicate(f"there is already a {noun}") from None


def _insert(conn: Connection, noun: str, statement: Insert) -> None:
    with _unique(noun):
        conn.execute(statement)


def _insert_account(conn: Connection, account: Account, at: int) -> None:
    _insert(
        conn,
        "account with this login",
        insert(ACCOUNT).values(
            id=account.id,
            role=account.role.value,
            login=account.login.lower(),
            display_name=account.display_name,
            enabled=account.enabled,
            credential_version=account.credential_version,
            password_hash=account.password_hash,
            created_at=at,
        ),
    )
    if account.rpps is not None:
        _insert(
            conn,
            "professional with this RPPS number",
            insert(PROFESSIONAL).values(
                account_id=account.id, rpps=account.rpps, profession=account.profession
            ),
        )


def _insert_mailbox(conn: Connection, mailbox: Mailbox, at: int) -> None:
    _insert(
        conn,
        "mailbox with this address",
        insert(MAILBOX).values(
            id=mailbox.id,
            type=mailbox.type.value,
            address_key=mailbox.address.key,
            local=mailbox.address.local,
            domain=mailbox.address.domain,
            state=mailbox.state.value,
            display_name=mailbox.display_name,
            patient_id=mailbox.patient_id,
            organisation_id=mailbox.organisation_id,
            feeds_dmp=mailbox.feeds_dmp,
            open_to_patients=mailbox.open_to_patients.value if mailbox.open_to_patients else None,
            created_at=at,
        ),
    )


def _insert_patient(conn: Connection, patient: Patient, number_space: str, at: int) -> None:
    conn.execute(
        insert(PATIENT).values(id=patient.id, dmp_active=patient.dmp_active, created_at=at)
    )
    traits = patient.traits
    conn.execute(
        insert(PATIENT_TRAITS).values(
            id=new_id(),
            patient_id=patient.id,
            birth_name=traits.birth_name,
            given_names=traits.given_names,
            first_given=traits.first_given,
            sex=traits.sex,
            birth_date=traits.birth_date,
            birth_place=traits.birth_place,
            status=patient.status.value,
            valid_from=at,
        )
    )
    if patient.ins is not None:
        _insert(
            conn,
            "patient with this INS",
            insert(PATIENT_INS).values(
                id=new_id(),
                patient_id=patient.id,
                matricule=patient.ins.matricule,
                oid=patient.ins.oid.value,
                space=number_space,
                valid_from=at,
            ),
        )


def _put_grant(conn: Connection, grant: Grant, at: int) -> None:
    key = {"account_id": grant.account_id, "mailbox_id": grant.mailbox_id}
    rights = {"may_send": grant.may_send, "is_owner": grant.is_owner}
    if conn.execute(_GRANT_EXISTS, key).first() is None:
        conn.execute(insert(MAILBOX_ACCESS).values(created_at=at, **key, **rights))
    else:
        conn.execute(
            update(MAILBOX_ACCESS)
            .where(
                MAILBOX_ACCESS.c.account_id == grant.account_id,
                MAILBOX_ACCESS.c.mailbox_id == grant.mailbox_id,
            )
            .values(**rights)
        )
