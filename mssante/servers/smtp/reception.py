# ruff: noqa: N802 (aiosmtpd finds the method of a command by its name)
"""Reception from other operators: port 25, STARTTLS with client certificates, white list enforced."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mssante.kernel.address import Address
from mssante.mail.arrival import Arrival, Peer
from mssante.mail.model import Envelope, SpoolEntry
from mssante.mail.ports import Spool
from mssante.servers.smtp.dialogue import Shared, SmtpSession, Witnessed
from mssante.servers.smtp.listener import SmtpServer
from mssante.servers.smtp.transaction import Transaction
from mssante.trust.names import subject_of
from mssante.wire.smtp.commands import CommandError, MailCommand
from mssante.wire.x500 import DistinguishedName

SERVICE: Final = "reception"


@dataclass(frozen=True, slots=True)
class ReceptionServices:
    """What the dialogue asks."""

    arrival: Arrival
    spool: Spool
    on_accepted: Callable[[SpoolEntry], None]
    """Called after the message is durable, whether or not the peer still waits for its 250."""


class ReceptionSession(SmtpSession):
    """One operator's connection."""

    def __init__(self, shared: Shared, services: ReceptionServices, **options: Any) -> None:
        super().__init__(shared, **options)
        self._services = services
        self._name: DistinguishedName | None = None
        """Of the certificate that TLS verified."""
        self._operator: Peer | None = None
        """As the white list had it at the last MAIL."""

    def _extensions(self) -> list[str]:
        return []

    def _require_ready(self) -> None:
        """TLS is all that is asked before MAIL; the certificate is judged there, with a reply."""

    async def _start_tls(self) -> None:
        await super()._start_tls()
        tls = self._tls_object()
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        try:
            self._name = subject_of(certificate) if certificate else None
        except ValueError:
            self._name = None

    async def _check_sender(self, command: MailCommand) -> None:
        self._operator = await self._services.arrival.check_sender(
            self._name, command.sender, declared_size=command.size or 0
        )

    async def _check_recipient(self, recipient: Address, accepted: int) -> None:
        sender = self._mail().sender
        await self._services.arrival.check_recipient(sender, recipient, accepted=accepted)

    def _check_content(self, envelope: Envelope, content: bytes) -> bytes:  # noqa: ARG002
        return self._services.arrival.check_content(self._admitted_operator(), content)

    def _envelope(self, transaction: Transaction) -> Envelope:
        return Envelope(
            sender=transaction.mail.sender,
            recipients=tuple(transaction.recipients.values()),
            account_id=None,
            mailbox_id=None,
            client=self._client,
            protocol="ESMTPS",
            tls=self._tls_text(),
            body_8bit=transaction.mail.body_8bit,
            returns=transaction.mail.returns,
            envid=transaction.mail.envid,
            requests=transaction.requests,
            operator=str(self._admitted_operator().name),
        )

    def _admitted_operator(self) -> Peer:
        assert self._operator is not None  # a transaction begins with an accepted MAIL
        return self._operator

    def _witnessed(self) -> Witnessed:
        return Witnessed(SERVICE, operator=str(self._name) if self._name is not None else "")

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: ARG002 (whatever the mechanism)
        """Nobody signs in here: certificates speak."""
        raise CommandError("502 5.5.1 AUTH is not offered here")


class ReceptionServer(SmtpServer):
    """The listener for other operators. Its TLS context asks for client certificates."""

    def __init__(self, services: ReceptionServices, **options: Any) -> None:
        """`options` are those of `SmtpServer`; `services` is what the dialogue asks."""
        super().__init__(
            services.spool,
            services.on_accepted,
            max_size=services.arrival.limits.max_size,
            **options,
        )
        self._services = services

    def _session(self, **options: Any) -> ReceptionSession:
        return ReceptionSession(self._shared, self._services, **options)
