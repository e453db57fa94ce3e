"""IDLE (RFC 2177): says at once what changes, here or through another process."""

from mssante.servers.imap.replies import Rejected
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Idle
from mssante.wire.imap.responses import continuation


async def idle(session: Session, _command: Idle) -> None:
    """Wait for DONE; with no mailbox selected there is nothing to tell, but it is legal."""
    wire = session.wire
    # First the go-ahead, then what is new: some clients take anything else as a refusal.
    wire.write(continuation("idling"))
    selected = session.selected_or_none
    if selected is not None:
        selected.view.listeners.add(wire.wake)
    try:
        line = await _wait_for_line(session)
    finally:
        if selected is not None:
            selected.view.listeners.discard(wire.wake)
    if line.upper() != b"DONE":
        raise Rejected("BAD", "Expected DONE")


async def _wait_for_line(session: Session) -> bytes:
    wire = session.wire
    selected = session.selected_or_none
    while True:
        told = selected.updates(may_expunge=True) if selected is not None else ""
        session.write(told)
        await wire.drain()
        line = await wire.read_line_or_wake(session.limits.idle_heartbeat)
        if line is not None:
            return line
        if selected is None or selected.is_current:
            session.write("* OK Still here\r\n")
