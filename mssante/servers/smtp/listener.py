"""Accepts SMTP connections on bound sockets and ends their sessions in order; any kind of listener."""

import asyncio
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from mssante.access.audit_log import AuditLog, CondensedAudit
from mssante.access.budgets import Budgets
from mssante.kernel.clock import Clock
from mssante.mail.model import SpoolEntry
from mssante.mail.ports import Spool
from mssante.servers.limits import ByteBudget, ConnectionLimits
from mssante.servers.metrics import Meters
from mssante.servers.smtp.dialogue import SessionLimits, Shared, SmtpSession
from mssante.servers.tls import HANDSHAKE_SECONDS, SHUTDOWN_SECONDS
from mssante.wire.smtp.data import Keeper, MemoryKeeper

_BACKLOG: Final = 512


class SmtpServer(ABC):
    """Serves one kind of session on sockets that are already bound."""

    def __init__(
        self,
        spool: Spool,
        on_accepted: Callable[[SpoolEntry], None],
        *,
        max_size: int,
        max_recipients: int,
        hostname: str,
        tls: ssl.SSLContext | None,
        audit: AuditLog,
        clock: Clock,
        limits: SessionLimits | None = None,
        connections: ConnectionLimits | None = None,
        memory: ByteBudget | None = None,
        keeper: Callable[[], Keeper] = MemoryKeeper,
        budgets: Budgets | None = None,
        meters: Meters | None = None,
    ) -> None:
        """Args:
        spool: keeps what is accepted.
        on_accepted: called after a message is durable.
        max_size: octets of one message.
        max_recipients: of one message.
        hostname: our name in the greeting and in the answer to EHLO.
        tls: of every socket. To renew the certificate, load it into this context. None where the
            sessions bring their own TLS.
        audit: where refusals are recorded (admissions are, by the spool).
        clock: the one clock.
        limits: of one session.
        connections: counts, where several listeners share them.
        memory: for messages on their way in, where several listeners share it.
        keeper: makes the place where a message gathers; by default memory.
        budgets: what everybody may use in an hour; none: as much as they like.
        meters: where it is counted.
        """
        # Its debug and info lines hold addresses and mail data.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._hostname = hostname
        self._tls = tls
        self._shared = Shared(
            spool=spool,
            on_accepted=on_accepted,
            max_size=max_size,
            audit=CondensedAudit(audit, clock),
            connections=connections or ConnectionLimits(),
            memory=memory or ByteBudget(),
            limits=limits or SessionLimits(),
            max_recipients=max_recipients,
            keeper=keeper,
            budgets=budgets,
            meters=meters or Meters(),
        )
        self._servers: list[asyncio.Server] = []

    @abstractmethod
    def _session(self, **options: Any) -> SmtpSession:
        """The session of a connection that was just accepted."""

    @property
    def open_sessions(self) -> int:
        """Sessions open now."""
        return len(self._shared.sessions)

    async def start(self, sockets: Iterable[socket.socket], *, implicit_tls: bool) -> None:
        """Begin to accept on bound sockets; may be called for each kind of listener."""
        loop = asyncio.get_running_loop()

        def session() -> SmtpSession:
            return self._session(hostname=self._hostname, tls_context=self._tls, loop=loop)

        for each in sockets:
            server = await loop.create_server(
                session,
                sock=each,
                backlog=_BACKLOG,
                ssl=self._tls if implicit_tls else None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if implicit_tls else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if implicit_tls else None,
            )
            self._servers.append(server)

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Accept nobody more, let open transactions finish, say 421 to the others.

        What still speaks after the grace is cut off; a message that is being made durable is
        waited for in any case.
        """
        for server in self._servers:
            server.close()
        for session in list(self._shared.sessions):
            session.stop_soon()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                if self._shared.sessions:
                    await self._shared.empty.wait()
        for session in list(self._shared.sessions):
            session.cut_off()
        if self._shared.unfinished:
            await asyncio.wait(self._shared.unfinished)
        await self._shared.audit.flush()
