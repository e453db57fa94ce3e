"""What the other rooms ask of the directory, and what registration asks of the disk;
``storage.directory`` answers both.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from mssante.directory.model import (
    Account,
    Domain,
    Mailbox,
    MailboxState,
    OpenTo,
    Organisation,
    Patient,
)
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """An account's right on a mailbox."""

    mailbox: Mailbox
    may_send: bool
    is_owner: bool
    """False for the members of an organisation's shared mailbox."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A right to be given: who may open which mailbox, and how."""

    account_id: OpaqueId
    mailbox_id: OpaqueId
    may_send: bool = True
    is_owner: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """Who administers and with which command: what the audit keeps beside the change."""

    command: str
    """Noun and verb: ``patient create``."""
    user: str
    """The operating system's user; personal data."""
    account_id: OpaqueId | None = None
    """The administrator's account, where there is one."""


class Directory(Protocol):
    """Read side, asked on every session and message: each call is a few indexed reads."""

    async def account_by_login(self, login: str) -> Account | None:
        """The account that signs in as `login` (compared without case): its login name, or the
        address of a mailbox that it owns.
        """
        ...

    async def mailboxes_of(self, account_id: OpaqueId) -> list[MailboxAccess]:
        """The mailboxes an account may open, its own first."""
        ...

    async def mailbox_by_address(self, address: Address) -> Mailbox | None:
        """The local mailbox with this address (without case), whatever its state."""
        ...

    async def mailboxes(self, ids: Collection[OpaqueId]) -> dict[OpaqueId, Mailbox]:
        """Several mailboxes at once; unknown ids are absent from the answer."""
        ...

    async def is_local_domain(self, domain: str) -> bool:
        """Whether this operator serves `domain` (professional or patient)."""
        ...

    async def patient(self, patient_id: OpaqueId) -> Patient | None:
        """A patient by id."""
        ...

    async def patients_by_ins(self, matricule: str) -> list[Patient]:
        """Patients whose present or former INS has this matricule, present ones first."""
        ...

    async def organisation(self, organisation_id: OpaqueId) -> Organisation | None:
        """A member organisation by id."""
        ...


class Listing(Protocol):
    """What administrators look through; pages, not the whole."""

    async def list_mailboxes(self, *, after: str = "", limit: int = 1000) -> list[Mailbox]:
        """Mailboxes by address key, those that come after `after`."""
        ...

    async def list_patients(
        self, *, after: OpaqueId | None = None, limit: int = 1000
    ) -> list[Patient]:
        """Patients by id, those that come after `after`."""
        ...

    async def list_domains(self) -> list[Domain]:
        """All domains by name."""
        ...

    async def grants_on(self, mailbox_id: OpaqueId) -> list[tuple[Account, Grant]]:
        """Who may open a mailbox, owners first."""
        ...


class Registry(Protocol):
    """Write side: each call is one transaction, with its audit entry, durable on return.

    Raises:
        Duplicate: what must be unique (login, address, number, INS) is there already; nothing
            was changed.
        Unknown: what is to be changed does not exist.
    """

    async def add_domain(self, domain: Domain, act: Act) -> None:
        """Add a domain that this operator serves."""
        ...

    async def add_organisation(self, organisation: Organisation, act: Act) -> None:
        """Add a member structure."""
        ...

    async def add_member(
        self, account: Account | None, mailbox: Mailbox | None, grants: Collection[Grant], act: Act
    ) -> None:
        """Add an account, a mailbox, or both, with the rights that belong to them."""
        ...

    async def add_patient(
        self,
        patient: Patient,
        number_space: str,
        mailbox: Mailbox | None,
        account: Account | None,
        act: Act,
    ) -> None:
        """Add a patient; the mailbox and the account that owns it go with it.

        Args:
            patient: with the INS and the traits that are valid from now on.
            number_space: in which the INS must be one person's; see `registration`.
            mailbox: named by ``patient.mailbox_id``.
            account: the patient's own, owner of the mailbox.
            act: for the audit.
        """
        ...

    async def grant(self, grant: Grant, act: Act) -> None:
        """Give or change a right on a mailbox."""
        ...

    async def set_password(self, account_id: OpaqueId, password_hash: str, act: Act) -> None:
        """Replace a password; ends remembered authentications by a new credential version."""
        ...

    async def set_enabled(self, account_id: OpaqueId, *, enabled: bool, act: Act) -> None:
        """Let an account sign in or not; ends remembered authentications."""
        ...

    async def activate_patient(self, patient_id: OpaqueId, act: Act) -> None:
        """Open a patient's mailbox to its reader."""
        ...

    async def set_patient_state(self, patient_id: OpaqueId, state: MailboxState, act: Act) -> None:
        """Close a patient's mailbox, note the patient's objection, or open it again."""
        ...

    async def set_mailbox_state(self, mailbox_id: OpaqueId, state: MailboxState, act: Act) -> None:
        """Suspend, close or open again a member's mailbox."""
        ...

    async def set_open_to_patients(
        self, mailbox_id: OpaqueId, open_to: OpenTo | None, act: Act
    ) -> None:
        """Say which patients may write first to a mailbox; None: none."""
        ...


class Duplicate(Exception):
    """Something that must be unique exists already; the message names the kind, not the value."""


class Unknown(Exception):
    """Nothing has this identifier; the message names the kind, not the value."""
