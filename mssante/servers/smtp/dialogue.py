# ruff: noqa: N802 (aiosmtpd finds the method of a command by its name)
"""The SMTP dialogue (RFC 5321) that all our listeners have in common: commands in, rules asked, one
reply out. Who may speak and what is asked of a message is each listener's own.
"""

import asyncio
import errno
import logging
import ssl
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mssante.access.audit import AuditEntry, AuditKind
from mssante.access.audit_log import CondensedAudit
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Envelope, SpoolEntry
from mssante.mail.ports import Spool
from mssante.servers.limits import Allowance, ByteBudget, ByteShare, ConnectionLimits
from mssante.servers.metrics import Meters
from mssante.servers.smtp.connection import PeerGone, SmtpConnection
from mssante.servers.smtp.transaction import Transaction
from mssante.wire.smtp.commands import (
    MAX_COMMAND_LINE,
    CommandError,
    MailCommand,
    parse_hello,
    parse_mail,
    parse_rcpt,
    split_command,
)
from mssante.wire.smtp.data import DataReader, MailData
from mssante.wire.smtp.replies import refusal_reply

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LEADING_NOWHERE: Final = frozenset(
    {"NOOP", "RSET", "VRFY", "EXPN", "HELP", "HELO", "EHLO", "AUTH"}
)
"""Commands that a client may repeat for ever without sending a message."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one session may do."""

    idle_seconds: float = 300.0
    """RFC 5321 section 4.5.3.2.7 asks for at least five minutes."""
    data_seconds: float = 1800.0
    """For the whole of one message's data, however it trickles."""
    bad_commands: int = 20
    """Unknown, malformed, or out of order, in the whole session."""
    empty_commands: int = 100
    """Commands that lead nowhere, between two accepted messages."""
    failed_sign_ins: int = 3
    refused_recipients: int = 200
    """In the whole session: who meets more is searching for addresses."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sessions of a listener share."""

    spool: Spool
    on_accepted: Callable[[SpoolEntry], None]
    """Called after the message is durable, whether or not the client still waits for its 250."""
    max_size: int
    """Octets of one message."""
    audit: CondensedAudit
    connections: ConnectionLimits
    memory: ByteBudget
    limits: SessionLimits
    meters: Meters
    sessions: "set[SmtpSession]" = field(default_factory=set)
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no session is open."""
    unfinished: set[asyncio.Task[Any]] = field(default_factory=set)
    """Messages between end of data and durability, and refusals that end the connection: they are
    written even if the client goes away."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """Who speaks, as the audit of a refusal tells it."""

    service: str
    actor: OpaqueId | None = None
    subject: OpaqueId | None = None
    operator: str = ""
    """Name in the peer's certificate: public, of a legal person."""


class SmtpSession(SmtpConnection):
    """One client."""

    def __init__(self, shared: Shared, **options: Any) -> None:
        super().__init__(idle_seconds=shared.limits.idle_seconds, **options)
        limits = shared.limits
        self._shared = shared
        self._peer = ""
        self._admitted = False
        self._stopping = False
        self._client = ""
        self._extended = False
        self._transaction: Transaction | None = None
        self._bad = Allowance(limits.bad_commands)
        self._empty = Allowance(limits.empty_commands)
        self._refused_recipients = Allowance(limits.refused_recipients)

    # --- what each kind of listener decides -------------------------------------------

    @abstractmethod
    def _extensions(self) -> list[str]:
        """What EHLO announces at this moment beside what every listener of ours knows."""

    @abstractmethod
    def _require_ready(self) -> None:
        """Let mail commands pass.

        Raises:
            CommandError: TLS or authentication is missing.
        """

    @abstractmethod
    async def _check_sender(self, command: MailCommand) -> None:
        """Judge MAIL.

        Raises:
            Refusal: it is refused.
        """

    @abstractmethod
    async def _check_recipient(self, recipient: Address, accepted: int) -> None:
        """Judge RCPT; `accepted` recipients of this message came before.

        Raises:
            Refusal: it is refused.
        """

    @abstractmethod
    def _check_content(self, envelope: Envelope, content: bytes) -> bytes:
        """Judge the message; gives the bytes to keep.

        Raises:
            Refusal: it is refused.
        """

    @abstractmethod
    def _envelope(self, transaction: Transaction) -> Envelope:
        """The envelope with the facts of this session."""

    @abstractmethod
    def _witnessed(self) -> Witnessed:
        """Who speaks."""

    # --- life of the session ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in and begin."""
        peername = transport.get_extra_info("peername")
        self._peer = peername[0] if isinstance(peername, tuple) else "local"
        self._admitted = self._shared.connections.admit(self._peer)
        self._shared.sessions.add(self)
        self._shared.empty.clear()
        super().connection_made(transport)

    async def _handle_client(self) -> None:
        try:
            await self._serve()
        except PeerGone:
            pass
        finally:
            self._shared.sessions.discard(self)
            if not self._shared.sessions:
                self._shared.empty.set()
            if self._admitted:
                self._shared.connections.release(self._peer)
            self._hang_up()

    async def _serve(self) -> None:
        if not self._admitted:
            self._hang_up("421 4.7.0 Too many connections")
            return
        await self._push_as_it_is([f"220 {self.hostname} ESMTP"])
        while not self._leaving:
            if self._stopping and self._transaction is None:
                self._hang_up("421 4.3.2 The server is stopping, try again")
                return
            line = await self._read_line(MAX_COMMAND_LINE)
            self._reset_timeout()
            try:
                await self._command(line)
            except PeerGone:
                raise
            except Exception as error:  # noqa: BLE001 (the session goes on, the peer is told)
                await self.push(await self.handle_exception(error))
        await self._flush()

    async def handle_exception(self, error: Exception) -> str:
        """Tell the peer nothing and the log no content: the kind of error and its place."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        log.error("an SMTP session failed: %s at %s", type(error).__name__, place)
        return "451 4.3.0 Internal error, try again later"

    def stop_soon(self) -> None:
        """End the session as soon as no transaction is open."""
        self._stopping = True
        if self._transaction is None and self._arrival is not None:
            self._hang_up("421 4.3.2 The server is stopping, try again")

    async def _command(self, line: bytes | None) -> None:
        if line is None:
            await self._bad_command("500 5.5.2 Line too long")
            return
        try:
            verb, argument = split_command(line)
        except CommandError as error:
            await self._bad_command(error.reply)
            return
        method = self._smtp_methods.get(verb)
        if method is None:
            await self._bad_command("500 5.5.1 Command not recognised")
            return
        if verb in _LEADING_NOWHERE and not self._empty.spend():
            self._hang_up("421 4.7.0 Too many commands without a message")
            return
        try:
            await method(argument)
        except CommandError as error:
            await self._bad_command(error.reply)

    async def _bad_command(self, reply: str) -> None:
        if self._bad.spend():
            await self.push(reply)
        else:
            self._hang_up("421 4.7.0 Too many bad commands")

    # --- HELO, EHLO, STARTTLS --------------------------------------------------------

    async def smtp_HELO(self, hostname: str) -> None:
        """Greet a client that knows no extension (RFC 5321 section 4.1.1.1)."""
        self._client = parse_hello(hostname)
        self._extended = False
        self._set_rset_state()
        await self._push_as_it_is([f"250 {self.hostname}"])

    async def smtp_EHLO(self, hostname: str) -> None:
        """Greet and say what works; nothing else is announced."""
        self._client = parse_hello(hostname)
        self._extended = True
        self._set_rset_state()
        words = [
            self.hostname,
            f"SIZE {self._shared.max_size}",
            "8BITMIME",
            "DSN",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            *(["STARTTLS"] if self._tls_object() is None else []),
            *self._extensions(),
        ]
        lines = [f"250-{word}" for word in words[:-1]]
        await self._push_as_it_is([*lines, f"250 {words[-1]}"])

    async def smtp_STARTTLS(self, arg: str) -> None:
        """Begin TLS and forget the session so far (RFC 3207)."""
        if arg:
            raise CommandError("501 5.5.4 STARTTLS has no parameter")
        if self._tls_object() is not None:
            raise CommandError("503 5.5.1 TLS is already active")
        if self._inbox:
            # Sent before it could be protected: someone may have put it there.
            self._hang_up("554 5.5.1 Commands after STARTTLS must wait for TLS")
            return
        await self.push("220 2.0.0 Ready to start TLS")
        try:
            await self._start_tls()
        except PeerGone as gone:
            self._note_failed_handshake(gone.__cause__)
            raise
        self._client = ""
        self._extended = False
        self._set_rset_state()

    # --- MAIL, RCPT, RSET ------------------------------------------------------------

    async def smtp_MAIL(self, arg: str) -> None:
        """Begin a transaction."""
        self._require_session()
        if self._transaction is not None:
            raise CommandError("503 5.5.1 A transaction is open already")
        command = parse_mail(arg)
        try:
            await self._check_sender(command)
        except Refusal as refusal:
            await self._refuse("MAIL", refusal, command.sender)
            return
        self._transaction = Transaction(command)
        await self.push("250 2.1.0 Sender accepted")

    async def smtp_RCPT(self, arg: str) -> None:
        """Add a recipient."""
        self._require_session()
        transaction = self._transaction
        if transaction is None:
            raise CommandError("503 5.5.1 Send MAIL first")
        command = parse_rcpt(arg)
        try:
            await self._check_recipient(command.recipient, len(transaction.recipients))
        except Refusal as refusal:
            await self._refuse("RCPT", refusal, command.recipient)
            if not self._refused_recipients.spend():
                self._hang_up("421 4.7.0 Too many refused recipients")
            return
        transaction.add(command)
        await self.push("250 2.1.5 Recipient accepted")

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self._transaction = None

    def _require_session(self) -> None:
        if not self._client:
            raise CommandError("503 5.5.1 Send EHLO first")
        if self._tls_object() is None:
            raise CommandError(str(refusal_reply(Refusal(Reason.ENCRYPTION_REQUIRED))))
        self._require_ready()

    async def _refuse(self, action: str, refusal: Refusal, about: Address | None = None) -> None:
        await self._note_refusal(action, refusal, about)
        await self.push(str(refusal_reply(refusal)))

    async def _note_refusal(
        self, action: str, refusal: Refusal, about: Address | None = None
    ) -> None:
        who = self._witnessed()
        self._shared.meters.refused(who.service, refusal.reason)
        facts: dict[str, str | int] = {"service": who.service, "detail": refusal.detail}
        if who.operator:
            facts["operator"] = who.operator
        personal = {"peer": self._peer}
        if about is not None:
            personal["address"] = str(about)
        entry = AuditEntry(
            AuditKind.REFUSAL,
            action,
            refusal.reason.value,
            actor=who.actor,
            subject=who.subject,
            facts=facts,
            personal=personal,
        )
        speaker = who.actor or who.operator or self._peer
        key = (action, refusal.reason, speaker, about.key if about else "")
        await self._shared.audit.record(key, entry)

    def _note_failed_handshake(self, cause: BaseException | None) -> None:
        """What TLS refuses by itself (an unknown authority, an expired certificate) is audited, too."""
        if isinstance(cause, ssl.SSLCertVerificationError):
            refusal = Refusal(Reason.CERTIFICATE_REQUIRED, cause.verify_message)
            _ = self._finish_anyway(self._note_refusal("STARTTLS", refusal))

    def _finish_anyway(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = self.loop.create_task(work)
        self._shared.unfinished.add(task)
        task.add_done_callback(self._shared.unfinished.discard)
        return task

    # --- DATA ------------------------------------------------------------------------

    async def smtp_DATA(self, arg: str) -> None:
        """Take a message: 250 is said when it is durable."""
        self._require_session()
        transaction = self._transaction
        if arg:
            raise CommandError("501 5.5.4 DATA has no parameter")
        if transaction is None:
            raise CommandError("503 5.5.1 Send MAIL first")
        if not transaction.recipients:
            # RFC 2920 section 3.1: what a pipelining client hears when every RCPT was refused.
            raise CommandError("554 5.5.1 No valid recipients")
        await self._push_as_it_is(["354 End data with <CR><LF>.<CR><LF>"])
        try:
            with self._shared.memory.share() as share:
                data = await self._read_data(share)
                await self._take(transaction, data)
        finally:
            self._set_rset_state()

    async def _read_data(self, share: ByteShare) -> MailData:
        """Read to the end of data, within the message's share of memory."""
        reader = DataReader(self._shared.max_size)
        limits = self._shared.limits
        last = self.loop.time() + limits.data_seconds
        while True:
            if self._inbox:
                result = reader.receive(self._inbox)
                self._inbox.clear()
                if result is not None:
                    self._inbox += result.rest
                    return result
                if not share.resize(reader.held):
                    reader.discard(Reason.TRY_LATER)
            self._reset_timeout(min(limits.idle_seconds, max(last - self.loop.time(), 0.001)))
            await self._more_input()

    async def _take(self, transaction: Transaction, data: MailData) -> None:
        self._reset_timeout()
        try:
            envelope = self._envelope(transaction)
            content = self._checked(envelope, data)
        except Refusal as refusal:
            await self._refuse("DATA", refusal)
            return
        task = self._finish_anyway(self._accept(envelope, content))
        try:
            # A message whose end has come is kept even if its client goes away now.
            entry = await asyncio.shield(task)
        except Refusal as refusal:
            await self._refuse("DATA", refusal)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            log.error("spool full")  # noqa: TRY400 (a traceback could hold content)
            await self.push("452 4.3.1 Insufficient storage, try again later")
        else:
            self._empty.renew()
            await self.push(f"250 2.0.0 Accepted as {id_text(entry.id)}")

    def _checked(self, envelope: Envelope, data: MailData) -> bytes:
        if data.fault is not None:
            raise Refusal(data.fault)
        return self._check_content(envelope, data.content)

    async def _accept(self, envelope: Envelope, content: bytes) -> SpoolEntry:
        began = self.loop.time()
        entry = await self._shared.spool.accept(envelope, content)
        meters = self._shared.meters
        meters.accept_seconds.observe(self.loop.time() - began)
        meters.accepted[self._witnessed().service].add()
        try:
            self._shared.on_accepted(entry)
        except Exception as error:  # noqa: BLE001 (accepted is accepted: the spool hands it out later)
            await self.handle_exception(error)
        return entry

    def _tls_text(self) -> str:
        """Protocol and cipher, for the Received field."""
        tls = self._tls_object()
        cipher = tls.cipher() if tls is not None else None
        return f"{cipher[1]} {cipher[0]}" if cipher else ""

    # --- the rest --------------------------------------------------------------------

    async def smtp_VRFY(self, arg: str) -> None:
        """Tell nothing about mailboxes (RFC 5321 section 7.3)."""
        if not arg:
            raise CommandError("501 5.5.4 VRFY needs an address")
        await self.push("252 2.5.0 Cannot verify, send and see")

    async def smtp_HELP(self, arg: str) -> None:  # noqa: ARG002 (the same for every topic)
        """Name the standard."""
        await self.push("214 2.0.0 See RFC 5321")

    async def smtp_QUIT(self, arg: str) -> None:
        """Say goodbye."""
        if arg:
            raise CommandError("501 5.5.4 QUIT has no parameter")
        self._hang_up("221 2.0.0 Bye")
