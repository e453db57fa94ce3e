"""Small in-memory ports for tests of the doors: directory, audit and a clock moved by hand."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mssante.access.audit import AuditEntry
from mssante.directory.model import Account, AccountRole, Mailbox, MailboxState, MailboxType
from mssante.directory.ports import MailboxAccess
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId, new_id

DOMAIN = "medecins.example"
PATIENT_DOMAIN = "patients.example"


@dataclass
class ManualClock:
    instant: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.instant

    def move(self, **by: float) -> None:
        self.instant += timedelta(**by)


@dataclass
class MemoryAudit:
    entries: list[AuditEntry] = field(default_factory=list)

    async def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


@dataclass
class MemoryDirectory:
    accounts: dict[OpaqueId, Account] = field(default_factory=dict)
    boxes: dict[OpaqueId, Mailbox] = field(default_factory=dict)
    rights: list[tuple[OpaqueId, OpaqueId, bool, bool]] = field(default_factory=list)
    domains: set[str] = field(default_factory=lambda: {DOMAIN, PATIENT_DOMAIN})

    def add_account(self, login: str, password_hash: str, role=AccountRole.PROFESSIONAL) -> Account:
        account = Account(new_id(), role, login, login.title(), True, 1, password_hash)
        self.accounts[account.id] = account
        return account

    def add_mailbox(
        self,
        address: str,
        *,
        owner: Account | None = None,
        members: tuple[Account, ...] = (),
        type: MailboxType = MailboxType.PERSONAL,
        state: MailboxState = MailboxState.ACTIVE,
        may_send: bool = True,
    ) -> Mailbox:
        box = Mailbox(new_id(), type, Address.split(address), state, address)
        self.boxes[box.id] = box
        if owner is not None:
            self.rights.append((owner.id, box.id, True, may_send))
        self.rights += [(member.id, box.id, False, may_send) for member in members]
        return box

    def change_account(self, account_id: OpaqueId, **changes) -> None:
        self.accounts[account_id] = replace(self.accounts[account_id], **changes)

    def change_mailbox(self, mailbox_id: OpaqueId, **changes) -> None:
        self.boxes[mailbox_id] = replace(self.boxes[mailbox_id], **changes)

    async def account_by_login(self, login: str) -> Account | None:
        for account in self.accounts.values():
            if account.login.lower() == login.lower():
                return account
        for account_id, box_id, is_owner, _ in self.rights:
            if is_owner and self.boxes[box_id].address.key == login.lower():
                return self.accounts[account_id]
        return None

    async def mailboxes_of(self, account_id: OpaqueId) -> list[MailboxAccess]:
        mine = [
            MailboxAccess(self.boxes[box_id], may_send, is_owner)
            for owner, box_id, is_owner, may_send in self.rights
            if owner == account_id
        ]
        return sorted(mine, key=lambda access: not access.is_owner)

    async def mailbox_by_address(self, address: Address) -> Mailbox | None:
        return next((box for box in self.boxes.values() if box.address.key == address.key), None)

    async def mailboxes(self, ids):
        return {each: self.boxes[each] for each in ids if each in self.boxes}

    async def is_local_domain(self, domain: str) -> bool:
        return domain.lower() in self.domains

    async def patient(self, patient_id):
        return None

    async def patients_by_ins(self, matricule):
        return []

    async def organisation(self, organisation_id):
        return None
