"""One client's session: its state, who it is, what it has selected; runs commands one by one."""

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from mssante.access.identity import Identity
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.mailboxes import MailboxService
from mssante.servers.imap.census import Census
from mssante.servers.imap.condstore import enables_condstore
from mssante.servers.imap.limits import ImapLimits
from mssante.servers.imap.replies import Rejected, Reply, reply_for
from mssante.servers.imap.selected import Selected
from mssante.servers.imap.state import LEGAL, NO_EXPUNGE_DURING, State
from mssante.wire.imap.commands import Command, Select, StartTls, Tagged
from mssante.wire.imap.responses import completion

_LOG: Final = logging.getLogger(__name__)
_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBUSY})
"""A full disk, a database that another program holds."""


class SignIn(Protocol):
    """What a session needs of ``access.authentication.Authenticator``."""

    async def authenticate(
        self, login: str, password: str, *, authzid: str = "", service: str, peer: str
    ) -> Identity:
        """Who signs in; raises Refusal."""
        ...


class Wire(Protocol):
    """What a session needs of its connection."""

    @property
    def peer(self) -> str:
        """IP address of the client."""
        ...

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        ...

    @property
    def may_start_tls(self) -> bool:
        """Whether STARTTLS is offered."""
        ...

    @property
    def buffered(self) -> int:
        """Octets received and not yet understood."""
        ...

    def write(self, data: bytes) -> None:
        """Queue octets for the client."""
        ...

    async def drain(self) -> None:
        """Send what is queued, wait until the client reads."""
        ...

    async def give_way(self) -> None:
        """Let other connections have their turn; wait if the client does not read."""
        ...

    async def read_line(self) -> bytes:
        """The next line, outside commands."""
        ...

    async def read_line_or_wake(self, seconds: float) -> bytes | None:
        """The next line; or None after `wake`, or after that time."""
        ...

    def wake(self) -> None:
        """End a `read_line_or_wake`."""
        ...

    async def start_tls(self) -> None:
        """Do the handshake; the client has been told to begin."""
        ...

    def signed_in(self) -> None:
        """Lift the limits for strangers."""
        ...


class StreamBroken(ConnectionError):
    """A literal was begun that cannot be finished: only closing the connection is left."""


Handler = Callable[["Session", Any], Awaitable[Reply | None]]
"""Runs one command; None is a plain OK."""


class Session:
    """One session."""

    def __init__(
        self,
        wire: Wire,
        service: MailboxService,
        sign_in: SignIn,
        limits: ImapLimits,
        census: Census,
        handlers: dict[type[Command], Handler],
    ) -> None:
        self.wire = wire
        self.service = service
        self.sign_in = sign_in
        self.limits = limits
        self._census = census
        self._handlers = handlers
        self.state = State.NOT_AUTHENTICATED
        self.tag = ""
        """Of the command in work."""
        self.failed_logins = 0
        self._condstore = False
        self._identity: Identity | None = None
        self._selected: Selected | None = None

    # --- who and where -------------------------------------------------------

    @property
    def identity(self) -> Identity:
        """Who signed in; the table of states lets no command ask before."""
        if self._identity is None:
            raise AssertionError("a command before sign-in")
        return self._identity

    @property
    def selected(self) -> Selected:
        """The selected mailbox; the table of states lets no command ask before."""
        if self._selected is None:
            raise AssertionError("a command before SELECT")
        return self._selected

    @property
    def selected_or_none(self) -> Selected | None:
        """The selected mailbox, where there is one."""
        return self._selected

    def sign_in_as(self, identity: Identity) -> None:
        """The client proved who it is.

        Raises:
            Refusal: LIMIT_REACHED, the account has too many connections.
        """
        if not self._census.enter(identity.account_id):
            raise Refusal(Reason.LIMIT_REACHED, "connections of one account")
        self._identity = identity
        self.state = State.AUTHENTICATED
        self.wire.signed_in()

    def select(self, selected: Selected) -> None:
        """A mailbox was opened."""
        selected.tells_modseqs = self._condstore
        self._selected = selected
        self.state = State.SELECTED

    async def leave(self) -> None:
        """Leave the selected mailbox, if there is one; what its client was told of is then recent to
        no later session.
        """
        selected = self._selected
        if selected is not None and selected.unclaimed:
            await self.service.claim_recent(selected.folder, selected.unclaimed)
        self._unselect()

    def _unselect(self) -> None:
        if self._selected is not None:
            self.service.close_view(self._selected.view)
            self._selected = None
            self.state = State.AUTHENTICATED

    def end(self) -> None:
        """The connection is over."""
        selected = self._selected
        if selected is not None and selected.unclaimed:
            self.service.claim_recent_later(selected.folder, selected.unclaimed)
        self._unselect()
        if self._identity is not None:
            self._census.leave(self._identity.account_id)
            self._identity = None

    # --- output --------------------------------------------------------------

    def write(self, text: str) -> None:
        """Queue ASCII text."""
        if text:
            self.wire.write(text.encode("ascii"))

    # --- commands ------------------------------------------------------------

    async def execute(self, tagged: Tagged) -> bool:
        """Run a command and answer it; whether it was legal."""
        command = tagged.command
        self.tag = tagged.tag
        if self.state not in LEGAL[type(command)]:
            self._complete(tagged.tag, Reply("BAD", f"Not allowed when {self.state.value}"))
            return False
        if not self._condstore and enables_condstore(command):
            self._enable_condstore(command)
        reply = await self._run(tagged)
        if self._selected is not None:
            uid_command = getattr(command, "uid", False)
            by_number = isinstance(command, NO_EXPUNGE_DURING) and not uid_command
            self.write(self._selected.updates(may_expunge=not by_number))
        self._complete(tagged.tag, reply or Reply("OK", f"{tagged.name} completed"))
        if isinstance(command, StartTls) and reply is None:
            await self.wire.start_tls()
        return reply is None or reply.status != "BAD"

    def _enable_condstore(self, command: Command) -> None:
        """From now on mod-sequences are told; of a mailbox that is open, the client must first
        learn from where on (RFC 7162 section 3.1).
        """
        self._condstore = True
        if self._selected is not None and not isinstance(command, Select):
            self._selected.tells_modseqs = True
            self.write(self._selected.highestmodseq_line())

    async def _run(self, tagged: Tagged) -> Reply | None:
        try:
            return await self._handlers[type(tagged.command)](self, tagged.command)
        except Rejected as rejected:
            return rejected.reply
        except Refusal as refusal:
            return reply_for(refusal.reason)
        except ConnectionError:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever fails, the session goes on
            return _noted(tagged, failure)

    def _complete(self, tag: str, reply: Reply) -> None:
        self.wire.write(completion(tag, reply.status, reply.text, reply.code))


def _noted(tagged: Tagged, failure: Exception) -> Reply:
    """Log what has failed by our own fault, and say whether another time may help (RFC 5530)."""
    if isinstance(failure, OSError) and failure.errno in _PASSING:
        why = {"command": tagged.name, "why": failure.strerror}
        _LOG.error("an IMAP command cannot be done now", extra=why)
        return reply_for(Reason.TRY_LATER)
    _LOG.error("an IMAP command failed", extra={"command": tagged.name}, exc_info=failure)
    return Reply("NO", "Internal error, noted in the log", "SERVERBUG")
