"""What the other rooms ask of the directory; ``storage.directory`` answers."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from mssante.directory.model import Account, Mailbox, Organisation, Patient
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """An account's right on a mailbox."""

    mailbox: Mailbox
    may_send: bool
    is_owner: bool
    """False for the members of an organisation's shared mailbox."""


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
