"""EXPUNGE, and UID EXPUNGE (RFC 4315)."""

from mssante.mail.model import Flags
from mssante.servers.imap.replies import Rejected
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Expunge


async def expunge(session: Session, command: Expunge) -> None:
    r"""Remove what has \Deleted; the EXPUNGE responses come with the updates of the session."""
    selected = session.selected
    if selected.read_only:
        raise Rejected("NO", "Mailbox is open for reading only", "CANNOT")
    view = selected.view
    if command.uids is None:
        uids = view.uids_with(int(Flags.DELETED))
    else:
        picked = selected.pick(command.uids, uid=True)
        deleted = int(Flags.DELETED)
        flags, known = picked.columns.flags, picked.columns.uids
        uids = [known[index] for index in picked.indexes if flags[index] & deleted]
    await session.service.expunge(session.identity, view, uids)
