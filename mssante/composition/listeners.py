"""The listeners of a worker: rooms → servers, and which bound socket is whose."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from mssante.access.audit_log import AuditLog
from mssante.access.authentication import Authenticator
from mssante.access.budgets import Budgets
from mssante.composition.access import limits_of
from mssante.composition.certificates import Certificates
from mssante.composition.stores import Stores
from mssante.mail.admission import Admission
from mssante.mail.arrival import Arrival
from mssante.mail.mailboxes import MailboxService
from mssante.mail.model import SpoolEntry
from mssante.mail.ports import Spool
from mssante.servers.imap.limits import ImapLimits
from mssante.servers.imap.listener import ImapServer
from mssante.servers.limits import ByteBudget, ConnectionLimits
from mssante.servers.metrics import Meters
from mssante.servers.sampling import Count
from mssante.servers.shared_memory import SharedMemory
from mssante.servers.smtp.dialogue import SessionLimits
from mssante.servers.smtp.reception import ReceptionServer, ReceptionServices
from mssante.servers.smtp.submission import SubmissionServer, SubmissionServices
from mssante.servers.web.limits import WebLimits
from mssante.servers.web.listener import WebServer
from mssante.storage.incoming import OverflowKeeper
from mssante.storage.usage import StoredUsage

Listening = Mapping[str, Sequence[socket.socket]]
"""Bound sockets by the listener's name in the settings."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the listeners call."""

    authenticator: Authenticator
    admission: Admission
    arrival: Arrival
    submission_spool: Spool
    reception_spool: Spool
    on_accepted: Callable[[SpoolEntry], None]
    """Called after a message is durable."""
    mailboxes: MailboxService
    pages: ASGIApp
    audit: AuditLog
    """Of refusals."""


class Listeners:
    """The listeners of one worker; they share what is counted and limited."""

    def __init__(
        self,
        stores: Stores,
        services: Services,
        certificates: Certificates,
        meters: Meters,
        shared: SharedMemory,
    ) -> None:
        settings = stores.settings
        connections = ConnectionLimits(
            shared.connections,
            shared.worker,
            total=settings.limits.connections,
            per_peer=settings.limits.connections_per_peer or settings.limits.connections,
        )
        memory = ByteBudget()
        smtp: dict[str, Any] = {
            "hostname": settings.operator.domain,
            "audit": services.audit,
            "limits": SessionLimits(idle_seconds=settings.limits.smtp_idle_seconds),
            "connections": connections,
            "memory": memory,
            "meters": meters,
            "keeper": lambda: OverflowKeeper(stores.layout.directory),
            "budgets": Budgets(
                StoredUsage(stores.databases["directory"]), stores.clock, limits_of(settings)
            ),
        }
        self.submission = SubmissionServer(
            SubmissionServices(
                admission=services.admission,
                authenticator=services.authenticator,
                spool=services.submission_spool,
                on_accepted=services.on_accepted,
            ),
            tls=certificates.members,
            clock=stores.clock,
            **smtp,
        )
        self.reception = ReceptionServer(
            ReceptionServices(
                arrival=services.arrival,
                peers=certificates.peers,
                clock=stores.clock,
                spool=services.reception_spool,
                on_accepted=services.on_accepted,
            ),
            tls=certificates.operators,
            **smtp,
        )
        self.imap = ImapServer(
            services.mailboxes,
            services.authenticator,
            certificates.members,
            ImapLimits(
                max_message=settings.limits.message_bytes,
                max_connections=settings.limits.connections,
                seconds_of_silence=settings.limits.imap_idle_seconds,
            ),
            memory,
        )
        self.web = WebServer(
            services.pages,
            certificates.web,
            limits=WebLimits(
                request_seconds=settings.web.request_seconds,
                idle_seconds=settings.web.idle_seconds,
            ),
            connections=connections,
            meters=meters,
        )

    @property
    def sessions(self) -> Mapping[str, Count]:
        """How many connections each has open: by name, what counts them."""
        return {
            "submission": lambda: self.submission.open_sessions,
            "reception": lambda: self.reception.open_sessions,
            "imap": lambda: self.imap.connections,
            "web": lambda: self.web.open_sessions,
        }

    async def start(self, listening: Listening) -> None:
        """Accept on bound sockets."""
        for name, sockets in listening.items():
            implicit = name in ("submissions", "imaps")
            if name in ("submission", "submissions"):
                await self.submission.start(sockets, implicit_tls=implicit)
            elif name == "smtp":
                await self.reception.start(sockets, implicit_tls=False)
            elif name == "https":
                await self.web.start(sockets)
            else:
                for sock in sockets:
                    await self.imap.listen(sock, implicit_tls=implicit)

    async def stop(self, *, grace_seconds: float) -> None:
        """Accept nobody more, and let what is under way end within the grace."""
        for outcome in await asyncio.gather(
            self.submission.stop(grace_seconds=grace_seconds),
            self.reception.stop(grace_seconds=grace_seconds),
            self.imap.close(grace=grace_seconds),
            self.web.stop(grace_seconds=grace_seconds),
            return_exceptions=True,
        ):
            if isinstance(outcome, BaseException):
                raise outcome
