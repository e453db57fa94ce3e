"""Sign-in with login and password, as SMTP and IMAP need it.

The outside sees one reason for every failure, and an unknown login takes as long as a wrong
password; which of them it was stands in the audit. Mail clients sign in again for each connection,
so a success is remembered for some minutes under a keyed hash that dies with the process. The
account is read again at each use: a changed password, a disabled account or a withdrawn mailbox
takes effect at once.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mssante.access.audit import AuditEntry, AuditKind
from mssante.access.audit_log import AuditLog, CondensedAudit
from mssante.access.identity import Identity
from mssante.access.passwords import Passwords
from mssante.access.throttle import Throttle, network_of
from mssante.directory.model import Account, AccountRole, MailboxState
from mssante.directory.ports import Directory, MailboxAccess
from mssante.kernel.clock import Clock
from mssante.kernel.opaque import OpaqueId
from mssante.kernel.reasons import Reason, Refusal

MAX_REMEMBERED: Final = 20_000
"""Sign-ins remembered per process; about 200 bytes each."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What a check of a password against one version of an account's credentials has shown."""

    account_id: OpaqueId | None
    credential_version: int
    right: bool
    until: datetime


class Authenticator:
    """Says who signs in, or refuses."""

    def __init__(
        self,
        directory: Directory,
        passwords: Passwords,
        audit: AuditLog,
        clock: Clock,
        *,
        patients_allowed: bool,
        remember_for: timedelta = timedelta(minutes=5),
        throttle: Throttle | None = None,
        on_attempt: Callable[[str, Reason | None], None] | None = None,
    ) -> None:
        """Args:
        directory: accounts and mailboxes.
        passwords: the pool that checks hashes.
        audit: where sign-ins and failures are recorded.
        clock: the one clock.
        patients_allowed: whether patients may sign in by IMAP and SMTP.
        remember_for: life of a remembered check; zero turns the memory off.
        throttle: counts of failures; by default of this one alone.
        on_attempt: told of each sign-in at which door, and why it was refused (None: it was not).
        """
        self._directory = directory
        self._passwords = passwords
        self._audit = CondensedAudit(audit, clock)
        self._clock = clock
        self._patients_allowed = patients_allowed
        self._remember_for = remember_for
        self._throttle = throttle or Throttle(clock)
        self._on_attempt = on_attempt or (lambda _service, _reason: None)
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, _Remembered] = {}

    async def authenticate(
        self, login: str, password: str, *, authzid: str = "", service: str, peer: str
    ) -> Identity:
        """Sign in.

        Args:
            login: account name or own mailbox address, compared without case.
            password: as typed.
            authzid: address of another mailbox that the account may open; empty: its own.
            service: which door asks (``smtp``, ``imap``), for the audit.
            peer: IP address of the client.

        Raises:
            Refusal: CREDENTIALS_INVALID, whatever is wrong; TRY_LATER after too many failures, or
                when too many password checks wait.
        """
        name = login.lower()
        account: Account | None = None
        try:
            self._check_patience(name, peer, password)
            account = await self._directory.account_by_login(name)
            await self._check_password(account, name, password, peer)
            identity = await self._identity(account, name, authzid)
        except Refusal as refusal:
            self._on_attempt(service, refusal.reason)
            await self._record_failure(name, account, refusal, service, peer)
            raise
        self._on_attempt(service, None)
        self._throttle.succeeded(name, peer)
        await self._record_success(identity, name, service, peer)
        return identity

    async def flush(self) -> None:
        """Write the audit's pending counts (at the end of the process)."""
        await self._audit.flush()

    def _check_patience(self, login: str, peer: str, password: str) -> None:
        """Refuse a peer that guesses, and a login that is being guessed.

        Who shows a password that was right some minutes ago is not shut out by other peers'
        failures on the same login.
        """
        if self._throttle.peer_must_wait(peer):
            raise Refusal(Reason.TRY_LATER, "too many failures of this peer")
        if self._throttle.login_must_wait(login, peer):
            known = self._recall(login, password)
            if known is None or not known.right:
                raise Refusal(Reason.TRY_LATER, "too many failures of this login")

    async def _check_password(
        self, account: Account | None, login: str, password: str, peer: str
    ) -> None:
        known = self._recall(login, password)
        if known is not None and _same_credentials(known, account):
            right = known.right
        else:
            stored = None if account is None else account.password_hash
            right = await self._passwords.verify(stored, password)
            self._remember(login, password, account, right=right)
            if not right:
                self._throttle.failed(login, peer, password)
        if account is None or not right:
            detail = "unknown login" if account is None else "wrong password"
            raise Refusal(Reason.CREDENTIALS_INVALID, detail)

    async def _identity(self, account: Account | None, login: str, authzid: str) -> Identity:
        if account is None or not account.enabled:
            raise Refusal(Reason.CREDENTIALS_INVALID, "account disabled")
        if account.role is AccountRole.PATIENT and not self._patients_allowed:
            raise Refusal(Reason.CREDENTIALS_INVALID, "patients may not use mail clients here")
        accesses = await self._directory.mailboxes_of(account.id)
        access = _chosen(accesses, login, authzid.lower())
        if access.mailbox.state is not MailboxState.ACTIVE:
            raise Refusal(Reason.CREDENTIALS_INVALID, f"mailbox is {access.mailbox.state.value}")
        return Identity(
            account_id=account.id,
            role=account.role,
            mailbox=access.mailbox,
            sender_addresses=frozenset(
                each.mailbox.address.key
                for each in accesses
                if each.may_send and each.mailbox.state is MailboxState.ACTIVE
            ),
            reader_id=None if access.is_owner else account.id,
        )

    def _digest(self, login: str, password: str) -> bytes:
        # The login's length stands in front, so that no two pairs give the same text.
        message = f"{len(login)}:{login}{password}".encode(errors="surrogatepass")
        return hmac.digest(self._key, message, "sha256")

    def _recall(self, login: str, password: str) -> _Remembered | None:
        digest = self._digest(login, password)
        known = self._remembered.get(digest)
        if known is not None and self._clock.now() >= known.until:
            del self._remembered[digest]
            return None
        return known

    def _remember(self, login: str, password: str, account: Account | None, *, right: bool) -> None:
        if not self._remember_for:
            return
        digest = self._digest(login, password)
        self._remembered.pop(digest, None)
        self._remembered[digest] = _Remembered(
            account_id=None if account is None else account.id,
            credential_version=0 if account is None else account.credential_version,
            right=right,
            until=self._clock.now() + self._remember_for,
        )
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _record_success(
        self, identity: Identity, login: str, service: str, peer: str
    ) -> None:
        await self._audit.record(
            (
                AuditKind.SIGN_IN,
                identity.account_id,
                identity.mailbox.id,
                service,
                network_of(peer),
            ),
            AuditEntry(
                kind=AuditKind.SIGN_IN,
                action="sign in",
                outcome="done",
                actor=identity.account_id,
                subject=identity.mailbox.id,
                facts={"service": service},
                personal={"login": login, "peer": peer},
            ),
        )

    async def _record_failure(
        self, login: str, account: Account | None, refusal: Refusal, service: str, peer: str
    ) -> None:
        await self._audit.record(
            (AuditKind.SIGN_IN_FAILURE, login, network_of(peer), refusal.detail),
            AuditEntry(
                kind=AuditKind.SIGN_IN_FAILURE,
                action="sign in",
                outcome=refusal.reason.value,
                actor=None if account is None else account.id,
                facts={"service": service, "detail": refusal.detail},
                personal={"login": login, "peer": peer},
            ),
        )


def _same_credentials(known: _Remembered, account: Account | None) -> bool:
    """Whether what we remember was learnt on the account as it is now."""
    if account is None:
        return known.account_id is None
    return known.account_id == account.id and known.credential_version == account.credential_version


def _chosen(accesses: list[MailboxAccess], login: str, wanted: str) -> MailboxAccess:
    """The mailbox to open: the one asked for, else the one signed in with, else the first."""
    if wanted and wanted != login:
        for access in accesses:
            if access.mailbox.address.key == wanted:
                return access
        raise Refusal(Reason.CREDENTIALS_INVALID, "no right on the mailbox asked for")
    for access in accesses:
        if access.is_owner and access.mailbox.address.key == login:
            return access
    if not accesses:
        raise Refusal(Reason.CREDENTIALS_INVALID, "account without mailbox")
    return accesses[0]
