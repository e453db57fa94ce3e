"""Opening and leaving a mailbox: SELECT, EXAMINE, CHECK, CLOSE, UNSELECT (RFC 3501, RFC 3691)."""

from mssante.mail.model import Flags
from mssante.servers.imap.replies import Reply
from mssante.servers.imap.selected import Selected
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Check, Close, Select, Unselect
from mssante.wire.imap.object_ids import mailbox_id


async def select(session: Session, command: Select) -> Reply:
    """SELECT and EXAMINE; one that fails leaves no mailbox selected."""
    if session.selected_or_none is not None:
        await session.leave()
        # Says to which mailbox the responses around it belong (RFC 7162 section 3.2.11).
        session.write("* OK [CLOSED] Previous mailbox closed\r\n")
    folder = await session.service.folder(session.identity, command.mailbox)
    view = await session.service.open_view(session.identity, folder)
    recent_from = folder.recent_from
    if not command.read_only:
        try:
            recent_from = await session.service.claim_recent(folder, view.uidnext)
        except BaseException:
            session.service.close_view(view)
            raise
    selected = Selected(folder, view, recent_from, read_only=command.read_only)
    session.select(selected)
    lines = selected.flag_lines()
    lines.append(f"* {selected.exists} EXISTS\r\n* {selected.recent} RECENT\r\n")
    first_unseen = view.first_without(int(Flags.SEEN))
    if first_unseen is not None:
        lines.append(f"* OK [UNSEEN {first_unseen + 1}] First unseen message\r\n")
    lines.append(f"* OK [UIDVALIDITY {folder.uidvalidity}] UIDs are valid\r\n")
    lines.append(f"* OK [UIDNEXT {view.uidnext}] Next UID\r\n")
    lines.append(selected.highestmodseq_line())
    lines.append(f"* OK [MAILBOXID ({mailbox_id(folder.id)})] Mailbox identifier\r\n")
    session.write("".join(lines))
    if command.read_only:
        return Reply("OK", "EXAMINE completed", "READ-ONLY")
    return Reply("OK", "SELECT completed", "READ-WRITE")


async def check(_session: Session, _command: Check) -> None:
    """CHECK: there is nothing that is not already durable."""


async def close(session: Session, _command: Close) -> None:
    r"""CLOSE: removes what has \Deleted, without saying which."""
    selected = session.selected
    if not selected.read_only:
        view = selected.view
        await session.service.expunge(session.identity, view, view.uids_with(int(Flags.DELETED)))
    await session.leave()


async def unselect(session: Session, _command: Unselect) -> None:
    """UNSELECT: like CLOSE, but removes nothing."""
    await session.leave()
