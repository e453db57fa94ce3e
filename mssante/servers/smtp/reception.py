# ruff: noqa: N802 (aiosmtpd finds the method of a command by its name)
"""Reception from other operators: port 25, STARTTLS with client certificates, white list enforced.

TLS takes whatever certificate a client shows; it is judged at MAIL, where a refusal has a code for
the peer and a reason in the audit, and again at each MAIL, so that a revocation counts at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from mssante.kernel.address import Address
from mssante.kernel.clock import Clock
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.arrival import Arrival, Peer
from mssante.mail.model import Admitted, Envelope, SpoolEntry
from mssante.mail.ports import Spool
from mssante.servers.smtp.connection import PeerGone
from mssante.servers.smtp.dialogue import Attribution, Shared, SmtpSession, Witnessed
from mssante.servers.smtp.listener import SmtpServer
from mssante.servers.tls import HANDSHAKE_SECONDS, SHUTDOWN_SECONDS
from mssante.trust.peer_tls import PeerTls, TlsFailed
from mssante.trust.peers import PeerJudge, Side, claimed_name
from mssante.trust.refusals import CertificateRefused
from mssante.trust.tls_filter import start_tls
from mssante.wire.smtp.commands import CommandError, MailCommand
from mssante.wire.x500 import DistinguishedName

SERVICE: Final = "reception"


@dataclass(frozen=True, slots=True)
class ReceptionServices:
    """What the dialogue asks."""

    arrival: Arrival
    peers: PeerJudge
    clock: Clock
    spool: Spool
    on_accepted: Callable[[SpoolEntry], None]
    """Called after the message is durable, whether or not the peer still waits for its 250."""


class ReceptionSession(SmtpSession):
    """One operator's connection."""

    protocol = "ESMTPS"

    def __init__(
        self, shared: Shared, services: ReceptionServices, own: PeerTls, **options: Any
    ) -> None:
        super().__init__(shared, **options)
        self._services = services
        self._own = own
        self._chain: tuple[bytes, ...] = ()
        """Certificates that the peer showed, in DER; it holds the key of the first."""
        self._name: DistinguishedName | None = None
        """Of the certificate, as judged at the last MAIL."""
        self._operator: Peer | None = None
        """As the white list had it at the last MAIL."""

    def _extensions(self) -> list[str]:
        return []

    def _require_ready(self) -> None:
        """TLS is all that is asked before MAIL; the certificate is judged there, with a reply."""

    async def _upgraded(self, plain: asyncio.Transport) -> asyncio.Transport:
        engine = self._own.accept()
        try:
            upgraded = await start_tls(
                plain,
                engine,
                self,
                handshake_seconds=HANDSHAKE_SECONDS,
                shutdown_seconds=SHUTDOWN_SECONDS,
            )
        except TlsFailed as failed:
            raise PeerGone from failed
        self._chain = engine.peer_chain()
        self._speaker_changed()
        return upgraded

    async def _check_sender(self, command: MailCommand) -> None:
        self._name = self._operator = None
        self._speaker_changed()
        self._name = await self._believed_name()
        self._speaker_changed()
        self._operator = await self._services.arrival.check_sender(
            self._name, command.sender, declared_size=command.size or 0
        )

    async def _believed_name(self) -> DistinguishedName | None:
        """The name in the peer's certificate; None without certificate.

        Raises:
            Refusal: CERTIFICATE_REFUSED, the reason being its detail.
        """
        if not self._chain:
            return None
        services = self._services
        try:
            return await services.peers.judge_aside(self._chain, services.clock.now(), Side.CLIENT)
        except CertificateRefused as refused:
            raise Refusal(Reason.CERTIFICATE_REFUSED, refused.reason) from None

    async def _check_recipient(self, recipient: Address, accepted: int) -> None:
        sender = self._mail().sender
        await self._services.arrival.check_recipient(sender, recipient, accepted=accepted)

    def _check_content(self, envelope: Envelope, content: bytes) -> Admitted:  # noqa: ARG002
        return self._services.arrival.check_content(self._admitted_operator(), content)

    def _attribution(self) -> Attribution:
        return Attribution(None, None, str(self._admitted_operator().name))

    def _admitted_operator(self) -> Peer:
        assert self._operator is not None  # a transaction begins with an accepted MAIL
        return self._operator

    def _speaker(self) -> Witnessed:
        if not self._chain:
            return Witnessed(SERVICE)
        own = self._chain[0]
        shown = sha256(own).hexdigest()
        if self._name is None:
            return Witnessed(SERVICE, certificate=shown, claimed=claimed_name(own))
        return Witnessed(SERVICE, operator=str(self._name), certificate=shown)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: ARG002 (whatever the mechanism)
        """Nobody signs in here: certificates speak."""
        raise CommandError("502 5.5.1 AUTH is not offered here")


class ReceptionServer(SmtpServer):
    """The listener for other operators."""

    def __init__(self, services: ReceptionServices, *, tls: PeerTls, **options: Any) -> None:
        """`options` are those of `SmtpServer`; `services` is what the dialogue asks; `tls` is our
        certificate and its key.
        """
        super().__init__(
            services.spool,
            services.on_accepted,
            max_size=services.arrival.limits.max_size,
            max_recipients=services.arrival.limits.max_recipients,
            tls=None,
            clock=services.clock,
            **options,
        )
        self._services = services
        self._own = tls

    def renew(self, tls: PeerTls) -> None:
        """Show another certificate to those who connect from now on."""
        self._own = tls

    def _session(self, **options: Any) -> ReceptionSession:
        return ReceptionSession(self._shared, self._services, self._own, **options)
