"""One session with another operator's server: greeting, STARTTLS, then one message after another.

Commands are pipelined where the peer knows it (RFC 2920). A peer without STARTTLS is no peer: nothing
is ever said in clear but EHLO and STARTTLS.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mssante.clients.smtp.connection import PeerConnection, PeerLost
from mssante.kernel.address import Address
from mssante.trust.peer_tls import PeerTls
from mssante.wire.smtp.answers import Answer, extensions_of
from mssante.wire.smtp.notifications import DeliveryRequest, Return
from mssante.wire.smtp.transparency import Stuffing

CONNECT_SECONDS: Final = 30.0
GREETING_SECONDS: Final = 300.0
COMMAND_SECONDS: Final = 300.0
DATA_SECONDS: Final = 120.0
BLOCK_SECONDS: Final = 180.0
END_SECONDS: Final = 600.0
"""RFC 5321 section 4.5.3.2."""
MOST_RECIPIENTS: Final = 100
"""RFC 5321 section 4.5.3.1.8."""
MOST_MESSAGES: Final = 100
_LEAVING: Final = 421
"""To whatever command: the peer closes the connection (RFC 5321 section 3.8)."""
_LIMIT_DIGITS: Final = 6
"""RFC 9422 section 4.1."""


class PeerRefuses(Exception):
    """The peer cannot be used at present: it answered, but not as it must."""

    def __init__(self, why: str, answer: Answer | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Handover:
    """One message as it is handed over."""

    sender: Address | None
    recipients: Sequence[tuple[Address, DeliveryRequest]]
    size: int
    is_8bit: bool
    is_utf8: bool
    require_tls: bool
    returns: Return | None
    envid: str
    pieces: Callable[[], Iterable[bytes]]
    """The message's octets, in order."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message needs and the peer does not give: it cannot be handed over at all."""

    status: str
    """Enhanced status code."""
    text: str


class PeerSession:
    """An open session over TLS, whose peer was judged."""

    def __init__(self, connection: PeerConnection, host: str) -> None:
        self._connection = connection
        self.host = host
        self._extensions: Mapping[str, str] = {}
        self.data_begun = False
        """Whether the peer may have the message that was handed over last."""

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        own_name: str,
        tls: PeerTls,
        judge: Callable[[Sequence[bytes]], Awaitable[None]],
    ) -> "PeerSession":
        """Connect, begin TLS, have the certificate judged, greet again.

        Args:
            host: where to.
            port: there.
            own_name: ours, for EHLO.
            tls: shows our certificate.
            judge: takes the chain that the peer showed, in DER; raises `PeerRefuses` for one that is
                not believed or may not receive for the domain.

        Raises:
            PeerLost: no connection, or it broke.
            PeerRefuses: the peer does not do what it must.
        """
        connection = await PeerConnection.open(host, port, CONNECT_SECONDS)
        session = cls(connection, host)
        try:
            await session._begin(own_name)
            await connection.start_tls(tls, host)
            await judge(connection.peer_chain())
            await session._greet(own_name)
        except BaseException:
            connection.abort()
            raise
        return session

    @property
    def is_open(self) -> bool:
        """Whether the next message may go through this session."""
        return self._connection.is_open

    @property
    def passes_requests_on(self) -> bool:
        """Whether the peer takes over what was asked about notifications (RFC 3461)."""
        return "DSN" in self._extensions

    @property
    def most_recipients(self) -> int:
        """Of one message, by the peer's word (RFC 9422), else what every server takes."""
        return self._limit("RCPTMAX") or MOST_RECIPIENTS

    @property
    def most_messages(self) -> int:
        """Of one session, by the peer's word (RFC 9422), else what balancers like."""
        return min(self._limit("MAILMAX") or MOST_MESSAGES, MOST_MESSAGES)

    def _limit(self, name: str) -> int:
        """A limit that the peer announces; 0 where it does not, or not as a number."""
        for word in self._extensions.get("LIMITS", "").split():
            keyword, _, value = word.partition("=")
            if keyword.upper() == name and value.isdigit() and len(value) <= _LIMIT_DIGITS:
                return int(value)
        return 0

    def hindrance(self, message: Handover) -> Limits | None:
        """Why a message cannot go to this peer; None where it can."""
        if message.is_8bit and "8BITMIME" not in self._extensions:
            # Converting it would break a signature (RFC 6152 section 3 leaves the choice).
            return Limits("5.6.3", "the peer takes no 8-bit messages and this one is not converted")
        if message.is_utf8 and "SMTPUTF8" not in self._extensions:
            return Limits(
                "5.6.7", "the peer takes no header in UTF-8 and this one is not converted"
            )
        if message.require_tls and "REQUIRETLS" not in self._extensions:
            return Limits("5.7.30", "the peer does not promise TLS for the rest of the way")
        declared = self._extensions.get("SIZE", "")
        if declared.isdigit() and 0 < int(declared) < message.size:
            return Limits("5.3.4", "the message is larger than the peer takes")
        return None

    async def send(self, message: Handover) -> list[Answer]:
        """Hand one message over.

        Returns:
            The answer that decides about each recipient: to RCPT where it was refused, else to the
            end of data (or to MAIL or DATA where these were refused).

        Raises:
            PeerLost: the connection broke. After the end of data the peer may have the message all
                the same.
        """
        self.data_begun = False
        commands = [self._mail(message), *(self._rcpt(*one) for one in message.recipients), "DATA"]
        if "PIPELINING" in self._extensions:
            self._connection.say(*commands)
            answers = [
                await self._answer(DATA_SECONDS if command == "DATA" else COMMAND_SECONDS)
                for command in commands
            ]
            mail, *rcpts, data = answers
        else:
            mail, rcpts, data = await self._one_by_one(commands)
        recipients = len(message.recipients)
        if any(300 <= answer.code < 400 for answer in (mail, *rcpts)):
            raise self._confused()
        if not mail.is_positive:
            await self._leave(data)
            return [mail] * recipients
        taken = [answer.is_positive for answer in rcpts]
        if not any(taken):
            await self._leave(data)
            return rcpts
        if data.code != 354:
            if data.code < 400:
                raise self._confused()
            await self._reset()
            return [data if took else rcpt for took, rcpt in zip(taken, rcpts, strict=True)]
        end = await self._data(message)
        return [end if took else rcpt for took, rcpt in zip(taken, rcpts, strict=True)]

    def close(self) -> None:
        """Say goodbye."""
        self._connection.close(["QUIT"])

    def abort(self) -> None:
        """Break off: data under way do not end as if they were whole."""
        self._connection.abort()

    async def _one_by_one(self, commands: Sequence[str]) -> tuple[Answer, list[Answer], Answer]:
        mail = await self._ask(commands[0])
        if not mail.is_positive:
            return mail, [], mail
        rcpts = [await self._ask(command) for command in commands[1:-1]]
        if not any(answer.is_positive for answer in rcpts):
            return mail, rcpts, rcpts[0]
        return mail, rcpts, await self._ask(commands[-1])

    async def _ask(self, command: str) -> Answer:
        self._connection.say(command)
        return await self._answer(COMMAND_SECONDS)

    async def _answer(self, seconds: float) -> Answer:
        answer = await self._connection.answer(seconds)
        if answer.code == _LEAVING:
            self.abort()
            raise PeerLost("the peer ends the session", answer)
        return answer

    async def _leave(self, data: Answer) -> None:
        """End a transaction without recipients, also where the peer wants its data all the same
        (RFC 2920 section 3.1).
        """
        with suppress(PeerLost):  # see `_reset`
            if data.code == 354:
                self._connection.say(".")
                await self._answer(COMMAND_SECONDS)
        await self._reset()

    async def _reset(self) -> None:
        with suppress(PeerLost):  # what it answered before it left counts all the same
            answer = await self._ask("RSET")
            if not answer.is_positive:
                self._connection.close()

    async def _data(self, message: Handover) -> Answer:
        self.data_begun = True
        stuffing = Stuffing()
        for piece in message.pieces():
            self._connection.write(stuffing.take(piece))
            await self._connection.drain(BLOCK_SECONDS)
        self._connection.write(stuffing.end())
        answer = await self._answer(END_SECONDS)
        if 300 <= answer.code < 400:
            raise self._confused()
        return answer

    def _confused(self) -> PeerLost:
        self.abort()
        return PeerLost("the peer answers what was not asked")

    def _mail(self, message: Handover) -> str:
        command = f"MAIL FROM:<{message.sender or ''}>"
        if "SIZE" in self._extensions:
            command += f" SIZE={message.size}"
        if message.is_8bit:
            command += " BODY=8BITMIME"
        if message.is_utf8:
            command += " SMTPUTF8"
        if message.require_tls:
            command += " REQUIRETLS"
        if self.passes_requests_on and message.sender is not None:
            command += f" RET={message.returns.value}" if message.returns else ""
            command += f" ENVID={message.envid}" if message.envid else ""
        return command

    def _rcpt(self, recipient: Address, request: DeliveryRequest) -> str:
        command = f"RCPT TO:<{recipient}>"
        return command + request.parameters() if self.passes_requests_on else command

    async def _begin(self, own_name: str) -> None:
        """All that is said in clear."""
        greeting = await self._connection.answer(GREETING_SECONDS)
        if greeting.code != 220:
            raise PeerRefuses("the peer does not greet", greeting)
        await self._greet(own_name)
        if "STARTTLS" not in self._extensions:
            raise PeerRefuses("the peer offers no STARTTLS")
        answer = await self._ask("STARTTLS")
        if answer.code != 220:
            raise PeerRefuses("the peer does not begin TLS", answer)

    async def _greet(self, own_name: str) -> None:
        self._connection.say(f"EHLO {own_name}")
        answer = await self._connection.answer(COMMAND_SECONDS)
        if not answer.is_positive:
            raise PeerRefuses("the peer does not answer EHLO", answer)
        self._extensions = extensions_of(answer)
