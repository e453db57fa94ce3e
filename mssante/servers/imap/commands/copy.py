"""COPY and MOVE, also by UID (RFC 3501 section 6.4.7, RFC 6851), with COPYUID (RFC 4315)."""

from mssante.mail.model import Folder
from mssante.servers.imap.commands.append import target_folder
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Copy, Move
from mssante.wire.imap.sequence_set import format_numbers


async def copy(session: Session, command: Copy) -> Reply | None:
    """Copy messages: all that the client names, or none."""
    target = await target_folder(session, command.mailbox)
    uids = _named(session, command)
    if not uids:
        return None
    view = session.selected.view
    pairs = await session.service.copy(session.identity, view, uids, target)
    if not pairs:
        return None
    return Reply("OK", "COPY completed", _copyuid(target, pairs))


async def move(session: Session, command: Move) -> Reply | None:
    """Move messages: all that the client names, or none.

    COPYUID comes before the EXPUNGE responses, which are among the updates of the session, so that
    the client knows where the messages are before they go (RFC 6851 section 4.3).
    """
    if session.selected.read_only:
        raise Rejected("NO", "Mailbox is open for reading only", "CANNOT")
    target = await target_folder(session, command.mailbox)
    uids = _named(session, command)
    if not uids:
        return None
    view = session.selected.view
    pairs = await session.service.move(session.identity, view, uids, target)
    if not pairs:
        return None
    session.write(f"* OK [{_copyuid(target, pairs)}] Moved\r\n")
    return Reply("OK", "MOVE completed", f"HIGHESTMODSEQ {view.highestmodseq}")


def _named(session: Session, command: Copy | Move) -> list[int]:
    """The UIDs of the messages; those that are gone are no error where UIDs name them."""
    picked = session.selected.pick(command.numbers, uid=command.uid)
    if picked.missing and not command.uid:
        raise Rejected("NO", "Some of these messages were expunged", "EXPUNGEISSUED")
    return picked.uids


def _copyuid(target: Folder, pairs: list[tuple[int, int]]) -> str:
    sources = format_numbers(source for source, _ in pairs)
    copies = format_numbers(copied for _, copied in pairs)
    return f"COPYUID {target.uidvalidity} {sources} {copies}"
