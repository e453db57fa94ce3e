"""The submission listeners: 587 with STARTTLS and 465 with implicit TLS (RFC 6409, RFC 8314)."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from mssante.access.audit_log import AuditLog, CondensedAudit
from mssante.kernel.clock import Clock
from mssante.servers.limits import ByteBudget, ConnectionLimits
from mssante.servers.smtp.dialogue import (
    SessionLimits,
    Shared,
    SubmissionServices,
    SubmissionSession,
)
from mssante.servers.tls import HANDSHAKE_SECONDS, SHUTDOWN_SECONDS

_BACKLOG: Final = 512


class SubmissionServer:
    """Serves submission on sockets that are already bound."""

    def __init__(
        self,
        services: SubmissionServices,
        *,
        hostname: str,
        tls: ssl.SSLContext,
        audit: AuditLog,
        clock: Clock,
        limits: SessionLimits | None = None,
        connections: ConnectionLimits | None = None,
        memory: ByteBudget | None = None,
    ) -> None:
        """Args:
        services: what the dialogue asks.
        hostname: our name in the greeting and in the answer to EHLO.
        tls: of both kinds of listener. To renew the certificate, load it into this context.
        audit: where refusals are recorded (admissions are, by the spool).
        clock: the one clock.
        limits: of one session.
        connections: counts, where several listeners share them.
        memory: for messages on their way in, where several listeners share it.
        """
        # Its debug and info lines hold addresses and mail data.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._hostname = hostname
        self._tls = tls
        self._shared = Shared(
            services=services,
            audit=CondensedAudit(audit, clock),
            connections=connections or ConnectionLimits(),
            memory=memory or ByteBudget(),
            limits=limits or SessionLimits(),
        )
        self._servers: list[asyncio.Server] = []

    @property
    def open_sessions(self) -> int:
        """Sessions open now."""
        return len(self._shared.sessions)

    async def start(self, sockets: Iterable[socket.socket], *, implicit_tls: bool) -> None:
        """Begin to accept on bound sockets; may be called for each kind of listener."""
        loop = asyncio.get_running_loop()

        def session() -> SubmissionSession:
            return SubmissionSession(
                self._shared,
                hostname=self._hostname,
                tls_context=self._tls,
                loop=loop,
            )

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
        if self._shared.accepting:
            await asyncio.wait(self._shared.accepting)
        await self._shared.audit.flush()
