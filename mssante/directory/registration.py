"""Registration of members and patients: what an administrator's command may create.

Identifiers are checked before anything is written, since what we create we later match by. The
rules that need the whole directory (no two logins, addresses, numbers or INS alike) are unique
indexes, so that two commands at once cannot both succeed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

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
from mssante.directory.ports import Act, Directory, Grant, Registry
from mssante.kernel.address import Address, patient_address
from mssante.kernel.ins import Ins, InsOid
from mssante.kernel.opaque import new_id
from mssante.kernel.professionals import Finess, Rpps
from mssante.kernel.traits import IdentityStatus, Sex, Traits

_BIRTH_PLACE: Final = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{3}\Z")
"""INSEE code of a commune, or 99 and the code of a country."""
_LOGIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")
_LOCAL_PART: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z"
)
"""Dot-string of RFC 5321 section 4.1.2."""
_MAX_LOCAL_PART: Final = 64
_MAX_NAME: Final = 200

TOGETHER_IN_A_SANDBOX: Final = frozenset({InsOid.NIR, InsOid.NIR_TEST, InsOid.NIR_DEMO})
"""One space of numbers there: the official examples use them side by side for the same people."""


class RegistrationError(ValueError):
    """What was asked cannot be created; the message says why, without repeating an INS."""


def number_space(oid: InsOid, *, sandbox: bool) -> str:
    """The space in which a matricule of `oid` belongs to one person."""
    if sandbox and oid in TOGETHER_IN_A_SANDBOX:
        return InsOid.NIR.value
    return oid.value


def default_ins_oid(*, sandbox: bool) -> InsOid:
    """The authority that is meant when none is named."""
    return InsOid.NIR_TEST if sandbox else InsOid.NIR


def default_status(traits: Traits, *, sandbox: bool) -> IdentityStatus:
    """QUAL for a sandbox's complete identities, else PROV: qualifying real people takes the check of
    an identity document (RNIV), which a command cannot have made.
    """
    complete = all(
        (
            traits.birth_name,
            traits.first_given,
            traits.sex in (Sex.MALE, Sex.FEMALE),
            traits.birth_date,
            traits.birth_place,
        )
    )
    return IdentityStatus.QUAL if sandbox and complete else IdentityStatus.PROV


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a new account signs in."""

    login: str
    password_hash: str = ""
    """Argon2id in PHC form; empty: nobody can sign in until a password is set."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The rules of creation over the two ports of the directory."""

    directory: Directory
    registry: Registry
    patient_domain: str | None
    sandbox: bool

    async def domain(self, name: str, *, patients: bool, act: Act) -> Domain:
        """Serve a domain."""
        domain = Domain(new_id(), name.lower(), patients=patients)
        await self.registry.add_domain(domain, act)
        return domain

    async def organisation(self, name: str, finess: str, act: Act) -> Organisation:
        """Make a structure a member, by its FINESS number.

        Raises:
            RegistrationError, IdentifierError, Duplicate: nothing was created.
        """
        organisation = Organisation(new_id(), _name(name), Finess.parse(finess).national_id)
        await self.registry.add_organisation(organisation, act)
        return organisation

    async def administrator(self, name: str, credentials: Credentials, act: Act) -> Account:
        """Create an administrator: an account without mailbox."""
        account = _account(AccountRole.ADMINISTRATOR, name, credentials)
        await self.registry.add_member(account, None, (), act)
        return account

    async def professional(
        self,
        name: str,
        address: str,
        rpps: str,
        profession: str | None,
        credentials: Credentials,
        act: Act,
    ) -> tuple[Account, Mailbox]:
        """Create a professional with a personal mailbox.

        Raises:
            RegistrationError, IdentifierError, Duplicate: nothing was created.
        """
        mailbox = await self._mailbox(MailboxType.PERSONAL, name, address)
        account = replace(
            _account(AccountRole.PROFESSIONAL, name, credentials),
            rpps=Rpps.parse(rpps).number,
            profession=profession,
        )
        await self._add(account, mailbox, act)
        return account, mailbox

    async def organisation_mailbox(
        self,
        organisation: Organisation,
        address: str,
        credentials: Credentials,
        act: Act,
        *,
        feeds_dmp: bool = False,
    ) -> tuple[Account, Mailbox]:
        """Open an organisation's mailbox with the account that owns it."""
        mailbox = await self._mailbox(MailboxType.ORGANISATION, organisation.name, address)
        account = _account(AccountRole.ORGANISATION, organisation.name, credentials)
        mailbox = replace(mailbox, organisation_id=organisation.id, feeds_dmp=feeds_dmp)
        await self._add(account, mailbox, act)
        return account, mailbox

    async def application(
        self, name: str, address: str, credentials: Credentials, act: Act
    ) -> tuple[Account, Mailbox]:
        """Create an application with its mailbox."""
        mailbox = await self._mailbox(MailboxType.APPLICATION, name, address)
        account = _account(AccountRole.APPLICATION, name, credentials)
        await self._add(account, mailbox, act)
        return account, mailbox

    async def patient(
        self,
        ins: Ins,
        traits: Traits,
        act: Act,
        *,
        status: IdentityStatus | None = None,
        credentials: Credentials | None = None,
        activated: bool = True,
    ) -> tuple[Patient, Mailbox, Account | None]:
        """Register a patient, open the mailbox ``<INS>@<patient domain>`` and the DMP.

        Args:
            ins: checked; a test identity is refused outside a sandbox.
            traits: as registered; checked here.
            act: for the audit.
            status: by default :func:`default_status`.
            credentials: the patient's own account, if any; its login must not be the INS.
            activated: whether the patient may read the mailbox already.

        Raises:
            RegistrationError, Duplicate: nothing was created.
        """
        if ins.oid.is_test and not self.sandbox:
            raise RegistrationError("a test INS cannot be registered outside a sandbox")
        if self.patient_domain is None:
            raise RegistrationError("this instance serves no patient domain")
        checked = check_traits(traits)
        account = self._patient_account(ins, checked, credentials)
        patient_id, mailbox_id = new_id(), new_id()
        mailbox = Mailbox(
            id=mailbox_id,
            type=MailboxType.CITIZEN,
            address=patient_address(ins.matricule, self.patient_domain),
            state=MailboxState.ACTIVE if activated else MailboxState.NOT_ACTIVATED,
            display_name=_display_name(checked),
            patient_id=patient_id,
        )
        patient = Patient(
            id=patient_id,
            ins=ins,
            traits=checked,
            status=status or default_status(checked, sandbox=self.sandbox),
            mailbox_id=mailbox_id,
            dmp_active=True,
        )
        space = number_space(ins.oid, sandbox=self.sandbox)
        await self.registry.add_patient(patient, space, mailbox, account, act)
        return patient, mailbox, account

    def _patient_account(
        self, ins: Ins, traits: Traits, credentials: Credentials | None
    ) -> Account | None:
        if credentials is None:
            return None
        if ins.matricule.lower()[:13] in credentials.login.lower():
            raise RegistrationError("a patient's login may not contain the INS")
        return _account(AccountRole.PATIENT, _display_name(traits), credentials)

    async def _add(self, account: Account, mailbox: Mailbox, act: Act) -> None:
        grants = (Grant(account.id, mailbox.id, is_owner=True),)
        await self.registry.add_member(account, mailbox, grants, act)

    async def _mailbox(self, kind: MailboxType, name: str, text: str) -> Mailbox:
        """A member's mailbox at an address in a domain that we serve, and not a patients' one."""
        try:
            address = Address.split(text)
        except ValueError as error:
            raise RegistrationError(str(error)) from None
        if len(address.local) > _MAX_LOCAL_PART or _LOCAL_PART.match(address.local) is None:
            raise RegistrationError("the local part of the address is not a dot-string (RFC 5321)")
        if not await self.directory.is_local_domain(address.domain):
            raise RegistrationError(f"this instance does not serve the domain {address.domain}")
        if address.domain == self.patient_domain:
            raise RegistrationError(f"{address.domain} is for patients only")
        return Mailbox(new_id(), kind, address, MailboxState.ACTIVE, _name(name))


def check_traits(traits: Traits) -> Traits:
    """Registered traits are well formed; `first_given` is completed from the list.

    Raises:
        RegistrationError: says which trait is wrong.
    """
    given = _words(traits.given_names)
    if traits.sex is not None and traits.sex not in set(Sex):
        raise RegistrationError("the sex is M, F or U")
    if traits.birth_date is not None and not _is_date(traits.birth_date):
        raise RegistrationError("the birth date does not exist")
    if traits.birth_place is not None and _BIRTH_PLACE.match(traits.birth_place) is None:
        raise RegistrationError("the birth place is an INSEE code of 5 characters")
    first = traits.first_given or (given.split(" ")[0] if given else None)
    return replace(
        traits,
        birth_name=_words(traits.birth_name),
        given_names=given,
        first_given=_words(first),
    )


def _words(text: str | None) -> str | None:
    """A name without doubled or outer blanks; bounded."""
    if text is None:
        return None
    if len(text) > _MAX_NAME or not text.isprintable():
        raise RegistrationError(f"a name has at most {_MAX_NAME} printable characters")
    return " ".join(text.split()) or None


def _is_date(text: str) -> bool:
    """YYYYMMDD of a day that exists."""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _name(text: str) -> str:
    name = _words(text)
    if name is None:
        raise RegistrationError("a name is required")
    return name


def _display_name(traits: Traits) -> str:
    parts: Iterable[str | None] = (traits.first_given, traits.birth_name)
    return " ".join(part for part in parts if part)


def _account(role: AccountRole, name: str, credentials: Credentials) -> Account:
    login = credentials.login.lower()
    if _LOGIN.match(login) is None:
        raise RegistrationError(
            "a login has 1 to 64 letters, digits, dots, hyphens and underscores, and begins and "
            "ends with a letter or digit"
        )
    return Account(
        id=new_id(),
        role=role,
        login=login,
        display_name=_name(name),
        enabled=True,
        credential_version=1,
        password_hash=credentials.password_hash,
    )
