# ruff: noqa: N802 (aiosmtpd finds the method of a command by its name)
"""Submission by members: 587 with STARTTLS and 465 with implicit TLS (RFC 6409, RFC 8314)."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mssante.access.authentication import Authenticator
from mssante.access.budgets import Use, Who
from mssante.access.identity import Identity
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.admission import Admission
from mssante.mail.model import Admitted, Envelope, SpoolEntry
from mssante.mail.ports import Spool
from mssante.servers.limits import Allowance
from mssante.servers.smtp.dialogue import Attribution, Shared, SmtpSession, Witnessed
from mssante.servers.smtp.listener import SmtpServer
from mssante.wire.sasl.credentials import PasswordCredentials, SaslError
from mssante.wire.sasl.exchange import MECHANISMS, Mechanism, decode_line, mechanism_named
from mssante.wire.smtp.commands import MAX_COMMAND_LINE, CommandError, MailCommand
from mssante.wire.smtp.replies import refusal_reply, sign_in_reply

SERVICE: Final = "smtp"


@dataclass(frozen=True, slots=True)
class SubmissionServices:
    """What the dialogue asks."""

    admission: Admission
    authenticator: Authenticator
    spool: Spool
    on_accepted: Callable[[SpoolEntry], None]
    """Called after the message is durable, whether or not the client still waits for its 250."""


class SubmissionSession(SmtpSession):
    """One member's client."""

    protocol = "ESMTPSA"

    def __init__(self, shared: Shared, services: SubmissionServices, **options: Any) -> None:
        super().__init__(shared, **options)
        self._services = services
        self._identity: Identity | None = None
        self._failed_sign_ins = Allowance(shared.limits.failed_sign_ins)

    # --- what is asked ----------------------------------------------------------------

    def _extensions(self) -> list[str]:
        return [] if self._tls_object() is None else ["AUTH " + " ".join(MECHANISMS)]

    def _require_ready(self) -> None:
        self._signed_in()

    def _signed_in(self) -> Identity:
        if self._identity is None:
            raise CommandError(str(refusal_reply(Refusal(Reason.AUTHENTICATION_REQUIRED))))
        return self._identity

    async def _check_sender(self, command: MailCommand) -> None:
        await self._services.admission.check_sender(
            self._signed_in(), command.sender, declared_size=command.size or 0
        )

    async def _check_recipient(self, recipient: Address, accepted: int) -> None:
        mail = self._mail()
        await self._services.admission.check_recipient(
            self._signed_in(),
            mail.sender,
            recipient,
            accepted=accepted,
            declared_size=mail.size or 0,
        )

    def _check_content(self, envelope: Envelope, content: bytes) -> Admitted:
        return self._services.admission.check_content(self._signed_in(), envelope, content)

    def _attribution(self) -> Attribution:
        identity = self._signed_in()
        return Attribution(identity.account_id, identity.mailbox.id, "")

    def _speaker(self) -> Witnessed:
        identity = self._identity
        if identity is None:
            return Witnessed(SERVICE)
        return Witnessed(SERVICE, identity.account_id, identity.mailbox.id)

    # --- AUTH ------------------------------------------------------------------------

    async def smtp_AUTH(self, arg: str) -> None:
        """Sign in (RFC 4954)."""
        mechanism, initial = self._auth_arguments(arg)
        try:
            credentials = await self._exchange(mechanism, initial)
        except SaslError as error:
            raise CommandError(f"501 5.5.2 {error}") from None
        try:
            self._identity = await self._services.authenticator.authenticate(
                credentials.authcid,
                credentials.password,
                authzid=credentials.authzid,
                service=SERVICE,
                peer=self._peer,
            )
            self._speaker_changed()
        except Refusal as refusal:
            reply = str(sign_in_reply(refusal))
            if self._failed_sign_ins.spend():
                await self.push(reply)
            else:
                await self.push(reply)
                self._hang_up("421 4.7.0 Too many failed sign-ins")
            return
        try:
            await self._spend(Use.CONNECTIONS, of=Who.ACCOUNT)
        except Refusal as refusal:
            await self._note_refusal("AUTH", refusal)
            self._hang_up("421 4.7.0 Too many sign-ins in this hour")
            return
        await self.push("235 2.7.0 Authentication successful")

    def _auth_arguments(self, arg: str) -> tuple[Mechanism, str | None]:
        if not self._extended:
            raise CommandError("503 5.5.1 Send EHLO first")
        if self._tls_object() is None:
            raise CommandError(str(sign_in_reply(Refusal(Reason.ENCRYPTION_REQUIRED))))
        if self._identity is not None:
            raise CommandError("503 5.5.1 Already authenticated")
        if self._transaction is not None:
            raise CommandError("503 5.5.1 AUTH is not allowed during a mail transaction")
        name, _, initial = arg.partition(" ")
        if not name or " " in initial:
            raise CommandError("501 5.5.4 A mechanism and at most one response are needed")
        mechanism = mechanism_named(name)
        if mechanism is None:
            raise CommandError("504 5.5.4 Unknown authentication mechanism")
        return mechanism, initial or None

    async def _exchange(self, mechanism: Mechanism, initial: str | None) -> PasswordCredentials:
        response = None if initial is None else decode_line(initial.encode(), initial=True)
        while True:
            step = mechanism.step(response)
            if isinstance(step, PasswordCredentials):
                return step
            await self._push_as_it_is([f"334 {b64encode(step).decode('ascii')}"])
            line = await self._read_line(MAX_COMMAND_LINE)
            self._reset_timeout()
            if line is None:
                raise SaslError("the response is too long")
            response = decode_line(line)


class SubmissionServer(SmtpServer):
    """The submission listeners."""

    def __init__(self, services: SubmissionServices, **options: Any) -> None:
        """`options` are those of `SmtpServer`; `services` is what the dialogue asks."""
        super().__init__(
            services.spool,
            services.on_accepted,
            max_size=services.admission.limits.max_size,
            max_recipients=services.admission.limits.max_recipients,
            **options,
        )
        self._services = services

    def _session(self, **options: Any) -> SubmissionSession:
        return SubmissionSession(self._shared, self._services, **options)
