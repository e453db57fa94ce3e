"""COPY and UID COPY (RFC 3501 section 6.4.7), answered with COPYUID (RFC 4315)."""

from mssante.servers.imap.commands.append import target_folder
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Copy
from mssante.wire.imap.sequence_set import format_numbers


async def copy(session: Session, command: Copy) -> Reply | None:
    """Copy messages: all that the client names, or none."""
    selected = session.selected
    target = await target_folder(session, command.mailbox)
    picked = selected.pick(command.numbers, uid=command.uid)
    if picked.missing and not command.uid:
        raise Rejected("NO", "Some of these messages were expunged", "EXPUNGEISSUED")
    uids = picked.uids
    if not uids:
        return None
    pairs = await session.service.copy(session.identity, selected.view, uids, target)
    if not pairs:
        return None
    sources = format_numbers(source for source, _ in pairs)
    copies = format_numbers(copied for _, copied in pairs)
    return Reply("OK", "COPY completed", f"COPYUID {target.uidvalidity} {sources} {copies}")
