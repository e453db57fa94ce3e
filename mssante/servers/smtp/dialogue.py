# ruff: noqa: N802 (aiosmtpd finds the method of a command by its name)
"""The SMTP dialogue (RFC 5321) that all our listeners have in common: commands in, rules asked, one
reply out. Who may speak and what is asked of a message is each listener's own.
"""

import asyncio
import contextlib
import errno
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from mssante.access.audit import AuditEntry, AuditKind
from mssante.access.audit_log import CondensedAudit
from mssante.access.budgets import Budgets, Subject, Use, Who
from mssante.access.throttle import network_of
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Admitted, Envelope, SpoolEntry
from mssante.mail.ports import Spool
from mssante.mail.rules.binary import in_lines
from mssante.servers.acknowledging import acknowledge
from mssante.servers.limits import Allowance, ByteBudget, ConnectionLimits
from mssante.servers.metrics import Meters
from mssante.servers.smtp.arriving import Arriving
from mssante.servers.smtp.connection import PeerGone, SmtpConnection
from mssante.servers.smtp.transaction import Transaction
from mssante.servers.tls import why_no_handshake
from mssante.wire.smtp.commands import (
    MAX_COMMAND_LINE,
    CommandError,
    MailCommand,
    parse_chunk,
    parse_hello,
    parse_mail,
    parse_rcpt,
    split_command,
)
from mssante.wire.smtp.data import ChunkReader, DataReader, Keeper, MailData, MemoryKeeper
from mssante.wire.smtp.replies import refusal_reply

log = logging.getLogger(__name__)
_T = TypeVar("_T")

LARGE: Final = 1 << 20
"""Octets above which a message is large."""
MOST_LARGE_AT_ONCE: Final = 4
"""Large messages in memory between their end and their durability, in one process."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LEADING_NOWHERE: Final = frozenset(
    {"NOOP", "RSET", "VRFY", "EXPN", "HELP", "HELO", "EHLO", "AUTH"}
)
"""Commands that a client may repeat for ever without sending a message."""
_SEARCHING: Final = frozenset(
    {
        Reason.RECIPIENT_UNKNOWN,
        Reason.RECIPIENT_CLOSED,
        Reason.RECIPIENT_MALFORMED,
        Reason.NOT_PERMITTED,
        Reason.NOT_A_CONTACT,
        Reason.DOMAIN_NOT_TRUSTED,
    }
)
"""Refusals of a recipient that tell something about addresses."""


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
    max_recipients: int
    """Of one message: what LIMITS announces (RFC 9422)."""
    keeper: Callable[[], Keeper] = MemoryKeeper
    """Makes the place where a message gathers."""
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_LARGE_AT_ONCE))
    budgets: Budgets | None = None
    """What everybody may use in an hour, all workers together."""
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
    """Name in the peer's certificate, which is believed: public, of a legal person."""
    certificate: str = ""
    """SHA-256 of the certificate that the peer showed, in hex, believed or not."""
    claimed: str = ""
    """The name in a certificate that is not believed: anybody may have written it."""


class Attribution(NamedTuple):
    """Who sends, as the envelope names it: a member with the open mailbox, or an operator."""

    account_id: OpaqueId | None
    mailbox_id: OpaqueId | None
    operator: str


class SmtpSession(SmtpConnection):
    """One client."""

    protocol: ClassVar[str]
    """What Received fields say of a transmission here (RFC 3848)."""

    def __init__(self, shared: Shared, **options: Any) -> None:
        super().__init__(idle_seconds=shared.limits.idle_seconds, **options)
        limits = shared.limits
        self._shared = shared
        self._peer = ""
        self._network = ""
        self._admitted = False
        self._stopping = False
        self._client = ""
        self._extended = False
        self._witness: Witnessed | None = None
        self._counted: tuple[Subject, ...] = ()
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
    def _check_content(self, envelope: Envelope, content: bytes) -> Admitted:
        """Judge the message; gives what is to be kept.

        Raises:
            Refusal: it is refused.
        """

    @abstractmethod
    def _attribution(self) -> Attribution:
        """Who sends what is accepted now."""

    @abstractmethod
    def _speaker(self) -> Witnessed:
        """Who speaks, as far as it is known now."""

    def _envelope(self, transaction: Transaction) -> Envelope:
        """What the transaction asked, the facts of the connection and who sends."""
        mail = transaction.mail
        account_id, mailbox_id, operator = self._attribution()
        return Envelope(
            sender=mail.sender,
            recipients=tuple(transaction.recipients.values()),
            account_id=account_id,
            mailbox_id=mailbox_id,
            operator=operator,
            client=self._client,
            protocol=self.protocol,
            tls=self._tls_text(),
            body_8bit=mail.body_8bit,
            smtputf8=mail.smtputf8,
            require_tls=mail.require_tls,
            returns=mail.returns,
            envid=mail.envid,
            requests=transaction.requests,
        )

    # --- life of the session ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in and begin."""
        peername = transport.get_extra_info("peername")
        self._peer = peername[0] if isinstance(peername, tuple) else "local"
        self._network = network_of(self._peer)
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
        try:
            await self._spend(Use.CONNECTIONS)
        except Refusal as refusal:
            await self._note_refusal("connect", refusal)
            self._hang_up("421 4.7.0 Too many connections in this hour")
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
        name = self._commands.get(verb)
        if name is None:
            await self._bad_command("500 5.5.1 Command not recognised")
            return
        if verb in _LEADING_NOWHERE and not self._empty.spend():
            self._hang_up("421 4.7.0 Too many commands without a message")
            return
        try:
            await getattr(self, name)(argument)
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
            "BINARYMIME",
            "CHUNKING",
            "DSN",
            "PIPELINING",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            f"LIMITS RCPTMAX={self._shared.max_recipients}",
            # RFC 8689 section 2: only a session that is protected may ask for protection.
            "STARTTLS" if self._tls_object() is None else "REQUIRETLS",
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
            await self._spend(Use.MESSAGES)
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
        command = parse_rcpt(arg, self.hostname, utf8=transaction.mail.smtputf8)
        try:
            # First of all, so that who has searched too much learns nothing more.
            await self._check_left(Use.UNKNOWN)
            await self._check_recipient(command.recipient, len(transaction.recipients))
            await self._spend(Use.RECIPIENTS)
        except Refusal as refusal:
            if refusal.reason in _SEARCHING:
                with suppress(Refusal):  # the next one is refused
                    await self._spend(Use.UNKNOWN)
            await self._refuse("RCPT", refusal, command.recipient)
            if not self._refused_recipients.spend():
                self._hang_up("421 4.7.0 Too many refused recipients")
            return
        transaction.add(command)
        await self.push("250 2.1.5 Recipient accepted")

    def _set_rset_state(self) -> None:
        if self._transaction is not None:
            self._transaction.close()
        self._transaction = None

    def _mail(self) -> MailCommand:
        """What MAIL said in the open transaction."""
        assert self._transaction is not None  # asked while one of its recipients is judged
        return self._transaction.mail

    def _require_session(self) -> None:
        if not self._client:
            raise CommandError("503 5.5.1 Send EHLO first")
        if self._tls_object() is None:
            raise CommandError(str(refusal_reply(Refusal(Reason.ENCRYPTION_REQUIRED))))
        self._require_ready()

    def _speaker_changed(self) -> None:
        """Ask again who speaks: it was found out, or believed no more."""
        self._witness, self._counted = None, ()

    def _witnessed(self) -> Witnessed:
        """Who speaks."""
        if self._witness is None:
            self._witness = self._speaker()
        return self._witness

    def _subjects(self) -> tuple[Subject, ...]:
        """Whose use is counted."""
        if not self._counted:
            who = self._witnessed()
            network = Subject(Who.NETWORK, self._network)
            if who.actor is not None:
                self._counted = (Subject(Who.ACCOUNT, id_text(who.actor)), network)
            elif who.operator:
                self._counted = (Subject(Who.OPERATOR, who.operator), network)
            else:
                self._counted = (network,)
        return self._counted

    async def _spend(self, use: Use, amount: int = 1, *, of: Who | None = None) -> None:
        """Use up what the peer has left in this hour; with `of`, only of one kind of subject.

        Raises:
            Refusal: RATE_EXCEEDED.
        """
        budgets = self._shared.budgets
        if budgets is not None:
            for subject in self._subjects():
                if of is None or of is subject.who:
                    await budgets.spend(subject, use, amount)

    async def _check_left(self, use: Use) -> None:
        if self._shared.budgets is not None:
            for subject in self._subjects():
                await self._shared.budgets.check(subject, use)

    async def _refuse(self, action: str, refusal: Refusal, about: Address | None = None) -> None:
        if refusal.reason is Reason.RATE_EXCEEDED:
            about = None  # many addresses, one fact
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
        if who.certificate:
            facts["certificate"] = who.certificate
        personal = {"peer": self._peer}
        if who.claimed:
            personal["claimed"] = who.claimed
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
        speaker = who.actor or who.operator or who.certificate or self._peer
        key = (action, refusal.reason, speaker, about.key if about else "")
        await self._shared.audit.record(key, entry)

    def _note_failed_handshake(self, cause: BaseException | None) -> None:
        """Audit why TLS did not come about; condensed, as every refusal is."""
        refusal = Refusal(Reason.HANDSHAKE_FAILED, why_no_handshake(cause))
        _ = self._finish_anyway(self._note_refusal("STARTTLS", refusal))

    def _finish_anyway(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = self.loop.create_task(work)
        self._shared.unfinished.add(task)
        task.add_done_callback(self._shared.unfinished.discard)
        return task

    # --- DATA and BDAT ---------------------------------------------------------------

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
        if transaction.mail.body_binary or transaction.chunks is not None:
            # RFC 3030 section 3.
            raise CommandError("503 5.5.1 This message comes by BDAT")
        await self._push_as_it_is(["354 End data with <CR><LF>.<CR><LF>"])
        shared = self._shared
        arriving = Arriving(DataReader(shared.max_size, shared.keeper()), shared.memory)
        try:
            data = await self._read_data(arriving)
            await self._take(transaction, arriving, data)
        finally:
            arriving.close()
            self._set_rset_state()

    async def smtp_BDAT(self, arg: str) -> None:
        """Take a chunk of a message, the last one as the end of DATA (RFC 3030 section 2)."""
        try:
            octets, last = parse_chunk(arg, most=2 * self._shared.max_size)
        except CommandError as error:
            # How many octets follow is not known, or too many: they must not be read as commands.
            self._hang_up(error.reply)
            return
        transaction = self._transaction
        problem = self._problem_of_chunk()
        if problem is not None or transaction is None:
            await self._pass_over(octets)
            if transaction is not None:
                transaction.spoilt = True
            raise problem or CommandError("503 5.5.1 Send MAIL first")
        await self._take_chunk(transaction, octets, last=last)

    def _problem_of_chunk(self) -> CommandError | None:
        """Why a chunk cannot be taken."""
        try:
            self._require_session()
        except CommandError as error:
            return error
        transaction = self._transaction
        if transaction is None:
            return CommandError("503 5.5.1 Send MAIL first")
        if transaction.spoilt:
            return CommandError("503 5.5.1 A chunk was refused, send RSET")
        if not transaction.recipients:
            return CommandError("554 5.5.1 No valid recipients")
        return None

    async def _take_chunk(self, transaction: Transaction, octets: int, *, last: bool) -> None:
        shared = self._shared
        if transaction.chunks is None:
            reader = ChunkReader(
                shared.max_size, shared.keeper(), binary=transaction.mail.body_binary
            )
            transaction.chunks = Arriving(reader, shared.memory)
        arriving = transaction.chunks
        async for piece in self._octets(octets):
            self._give(arriving, piece, arriving.reader.receive)
        if not last:
            await self.push(f"250 2.0.0 {octets} octets received")
            return
        try:
            await self._take(transaction, arriving, arriving.reader.end())
        finally:
            self._set_rset_state()

    async def _pass_over(self, octets: int) -> None:
        async for _ in self._octets(octets):
            pass

    async def _octets(self, count: int) -> AsyncIterator[bytes]:
        """The next so many octets of the peer, as they come."""
        limits = self._shared.limits
        last = self.loop.time() + limits.data_seconds
        while count:
            if self._inbox:
                piece = bytes(self._inbox[:count])
                del self._inbox[: len(piece)]
                count -= len(piece)
                yield piece
                continue
            self._reset_timeout(min(limits.idle_seconds, max(last - self.loop.time(), 0.001)))
            await self._more_input()
        self._reset_timeout()

    async def _read_data(self, arriving: Arriving[DataReader]) -> MailData:
        """Read to the end of data, within the message's share of memory."""
        limits = self._shared.limits
        last = self.loop.time() + limits.data_seconds
        while True:
            if self._inbox:
                result = self._give(arriving, self._inbox, arriving.reader.receive)
                self._inbox.clear()
                if result is not None:
                    self._inbox += result.rest
                    return result
                if self.transport is not None:
                    acknowledge(self.transport)
            self._reset_timeout(min(limits.idle_seconds, max(last - self.loop.time(), 0.001)))
            await self._more_input()

    def _give(
        self,
        arriving: Arriving[Any],
        octets: bytes | bytearray,
        receive: Callable[[Any], MailData | None],
    ) -> MailData | None:
        """Give octets to a reader. What the disk does not take is refused at the message's end."""
        try:
            result = receive(octets)
        except OSError as error:
            log.error("a message on its way in cannot be kept: %s", error.strerror)  # noqa: TRY400
            arriving.reader.discard(Reason.TRY_LATER)
            # The reader had judged these octets already: only keeping them failed.
            result = receive(b"")
        arriving.account()
        return result

    async def _take(
        self, transaction: Transaction, arriving: Arriving[Any], data: MailData
    ) -> None:
        self._reset_timeout()
        # Whole in memory, a few large ones at a time: the others wait on the disk.
        large = self._shared.large if data.size > LARGE else contextlib.nullcontext()
        try:
            async with large:
                await self._take_now(transaction, arriving, data)
        except Refusal as refusal:
            await self._refuse("DATA", refusal)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            log.error("spool full")  # noqa: TRY400 (a traceback could hold content)
            await self.push("452 4.3.1 Insufficient storage, try again later")

    async def _take_now(
        self, transaction: Transaction, arriving: Arriving[Any], data: MailData
    ) -> None:
        if data.fault is not None:
            raise Refusal(data.fault)
        if not arriving.reserve(data.size):
            raise Refusal(Reason.TRY_LATER, "no memory for another message")
        envelope = self._envelope(transaction)
        content = arriving.reader.keeper.content()
        arriving.reader.keeper.drop()
        if transaction.mail.body_binary:
            content = in_lines(content)
        admitted = self._check_content(envelope, content)
        await self._spend(Use.OCTETS, len(admitted.content))
        # A message whose end has come is kept even if its client goes away now.
        task = self._finish_anyway(self._accept(envelope, admitted))
        waiting = asyncio.shield(task)
        task.add_done_callback(self._hand_over)
        entry = await waiting
        self._empty.renew()
        await self.push(f"250 2.0.0 Accepted as {id_text(entry.id)}")

    async def _accept(self, envelope: Envelope, admitted: Admitted) -> SpoolEntry:
        began = self.loop.time()
        entry = await self._shared.spool.accept(envelope, admitted.content, admitted.root)
        meters = self._shared.meters
        meters.accept_seconds.observe(self.loop.time() - began)
        meters.accepted[self._witnessed().service].add()
        return entry

    def _hand_over(self, accepting: "asyncio.Task[SpoolEntry]") -> None:
        """Let the message's journey begin, whether or not its client still waits.

        In a later round of the loop than the one in which who waits goes on: its reply goes out at
        the end of that, before the journey takes the processor.
        """
        if not accepting.cancelled() and accepting.exception() is None:
            self.loop.call_soon(self._shared.on_accepted, accepting.result())

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
