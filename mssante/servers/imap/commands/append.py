"""APPEND (RFC 3501 section 6.3.11), answered with APPENDUID (RFC 4315)."""

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Folder
from mssante.servers.imap.flag_texts import split_flags
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Append


async def append(session: Session, command: Append) -> Reply:
    """Add a message; durable before the answer."""
    folder = await target_folder(session, command.mailbox)
    if len(command.message) > session.limits.max_message:
        raise Refusal(Reason.MESSAGE_TOO_LARGE)
    bits, keywords = split_flags(command.flags)
    if keywords:
        bits |= await session.service.flag_bits(folder.number, keywords, folder.keywords)
    row = await session.service.append(
        session.identity, folder, command.message, bits, command.internal_date
    )
    return Reply("OK", "APPEND completed", f"APPENDUID {folder.uidvalidity} {row.uid}")


async def target_folder(session: Session, name: str) -> Folder:
    """The folder that a command adds to; where there is none, the client may create it."""
    try:
        return await session.service.folder(session.identity, name)
    except Refusal as refusal:
        if refusal.reason is Reason.MAILBOX_NONEXISTENT:
            raise Rejected("NO", "No such mailbox", "TRYCREATE") from refusal
        raise
