"""The people, organisations and mailboxes that the directory knows."""

from dataclasses import dataclass, field
from enum import StrEnum, unique

from mssante.kernel.address import Address
from mssante.kernel.ins import Ins
from mssante.kernel.opaque import OpaqueId
from mssante.kernel.traits import IdentityStatus, Traits


@unique
class AccountRole(StrEnum):
    """What kind of member signs in with an account."""

    PROFESSIONAL = "professional"
    ORGANISATION = "organisation"
    APPLICATION = "application"
    PATIENT = "patient"
    ADMINISTRATOR = "administrator"


@unique
class MailboxType(StrEnum):
    """Kinds of mailbox (TRE_R257-TypeBAL; CIT for citizens)."""

    PERSONAL = "PER"
    ORGANISATION = "ORG"
    APPLICATION = "APP"
    CABINET = "CAB"
    CITIZEN = "CIT"


@unique
class MailboxState(StrEnum):
    """Life of a mailbox. A patient's that is not activated receives and keeps, but nobody reads."""

    ACTIVE = "active"
    NOT_ACTIVATED = "not-activated"
    SUSPENDED = "suspended"
    CLOSED = "closed"
    OBJECTED = "objected"
    """The patient objects to the space: nothing is taken."""

    @property
    def receives(self) -> bool:
        """Whether messages are taken and kept."""
        return self in (MailboxState.ACTIVE, MailboxState.NOT_ACTIVATED)


@unique
class OpenTo(StrEnum):
    """Which patients may write first to an organisation's mailbox that is open to them."""

    ANY_PATIENT = "any"
    """Every patient of this operator."""
    KNOWN_PATIENTS = "known"
    """Patients to whom the mailbox has written within twelve months, also if it has closed since."""


@dataclass(frozen=True, slots=True)
class Account:
    """A credential holder."""

    id: OpaqueId
    role: AccountRole
    login: str
    display_name: str
    enabled: bool
    credential_version: int
    """Grows with each change of the password; an authentication cached under another is void."""
    password_hash: str = field(repr=False)
    """Argon2id in PHC form."""
    rpps: str | None = None
    profession: str | None = None
    """Code of TRE_G15 (10 doctor, 60 nurse…)."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox: the address and type never change (MSSanté)."""

    id: OpaqueId
    type: MailboxType
    address: Address
    state: MailboxState
    display_name: str
    patient_id: OpaqueId | None = None
    """Whose it is when `type` is CIT."""
    organisation_id: OpaqueId | None = None
    feeds_dmp: bool = False
    """Whether outgoing messages with clinical documents are filed by choice of the organisation."""
    open_to_patients: OpenTo | None = None
    """Who of the patients may write first (a pharmacy's mailbox); None: nobody."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient with the present INS, if any, and registered traits."""

    id: OpaqueId
    ins: Ins | None
    traits: Traits
    status: IdentityStatus
    mailbox_id: OpaqueId | None
    dmp_active: bool


@dataclass(frozen=True, slots=True)
class Organisation:
    """A structure that is a member of this operator."""

    id: OpaqueId
    name: str
    national_id: str
    """IDNST (1 + FINESS …), under OID 1.2.250.1.71.4.2.2."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A mail domain that this operator serves."""

    id: OpaqueId
    name: str
    """Lower case."""
    patients: bool
    """Whether its addresses are ``<INS>@name``."""
