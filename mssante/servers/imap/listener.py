"""Accepts IMAP connections on given sockets, over TLS from the first octet or after STARTTLS."""

import asyncio
import socket
import ssl
from typing import Final

from mssante.mail.mailboxes import MailboxService
from mssante.servers.imap.census import Census
from mssante.servers.imap.connection import Connection
from mssante.servers.imap.dispatch import HANDLERS
from mssante.servers.imap.limits import ImapLimits
from mssante.servers.imap.session import Session, SignIn
from mssante.servers.limits import ByteBudget

_BACKLOG: Final = 512


class ImapServer:
    """The IMAP role of one process."""

    def __init__(
        self,
        service: MailboxService,
        sign_in: SignIn,
        tls: ssl.SSLContext,
        limits: ImapLimits | None = None,
        memory: ByteBudget | None = None,
    ) -> None:
        """Args:
        service: the mailboxes of this process; its `start` and `close` are the caller's.
        sign_in: the authenticator.
        tls: for both kinds of listener; a renewed certificate can be loaded into it at any time.
        limits: budgets of each connection.
        memory: for messages on their way in, where several listeners share it.
        """
        self._service = service
        self._sign_in = sign_in
        self._tls = tls
        self._limits = limits or ImapLimits()
        self._memory = memory or ByteBudget()
        self._census = Census(self._limits.max_connections_per_account)
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._stopping = False

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def listen(self, sock: socket.socket, *, implicit_tls: bool) -> None:
        """Accept connections on a bound socket: port 993 with implicit TLS, port 143 without."""
        loop = asyncio.get_running_loop()

        def make_connection() -> Connection:
            return Connection(
                self._make_session,
                self._limits,
                self._tls,
                implicit_tls=implicit_tls,
                memory=self._memory,
                opened=self._opened,
                closed=self._connections.discard,
            )

        if implicit_tls:
            server = await loop.create_server(
                make_connection,
                sock=sock,
                backlog=_BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.seconds_of_handshake,
            )
        else:
            server = await loop.create_server(make_connection, sock=sock, backlog=_BACKLOG)
        self._servers.append(server)

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, say BYE, and wait up to `grace` seconds for the commands in work."""
        self._stopping = True
        for server in self._servers:
            server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.shut_down()
        closing = [asyncio.create_task(connection.wait_closed()) for connection in connections]
        if closing:
            _, late = await asyncio.wait(closing, timeout=grace)
            for connection in connections if late else ():
                connection.abort()
            await asyncio.gather(*closing)

    def _make_session(self, connection: Connection) -> Session:
        return Session(
            connection, self._service, self._sign_in, self._limits, self._census, HANDLERS
        )

    def _opened(self, connection: Connection) -> bool:
        if self._stopping or len(self._connections) >= self._limits.max_connections:
            return False
        self._connections.add(connection)
        return True
