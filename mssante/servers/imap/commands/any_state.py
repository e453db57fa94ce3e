"""Commands that are legal in every state (RFC 3501 section 6.1; ID, RFC 2971; ENABLE, RFC 5161)."""

from mssante.servers.imap.commands.capability import capabilities
from mssante.servers.imap.condstore import CONDSTORE
from mssante.servers.imap.replies import Reply
from mssante.servers.imap.session import Session
from mssante.servers.imap.state import State
from mssante.wire.imap.commands import Capability, Enable, Id, Logout, Noop


async def capability(session: Session, _command: Capability) -> None:
    """CAPABILITY."""
    session.write(f"* CAPABILITY {capabilities(session)}\r\n")


async def noop(_session: Session, _command: Noop) -> None:
    """NOOP: what is new is said at the end of every command."""


async def identify(session: Session, _command: Id) -> None:
    """ID: says no version, which would help an attacker more than a client."""
    session.write('* ID ("name" "mssante")\r\n')


async def enable(session: Session, command: Enable) -> None:
    """ENABLE: the session has taken note of CONDSTORE; the answer is never left out."""
    enabled = f" {CONDSTORE}" if CONDSTORE in command.names else ""
    session.write(f"* ENABLED{enabled}\r\n")


async def logout(session: Session, _command: Logout) -> Reply:
    """LOGOUT."""
    await session.leave()
    session.write("* BYE Logging out\r\n")
    session.state = State.LOGOUT
    return Reply("OK", "LOGOUT completed")
