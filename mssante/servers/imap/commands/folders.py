"""The tree of mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE."""

from typing import Final, assert_never

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Folder, FolderStatus, SpecialUse
from mssante.servers.imap.folder_names import names_above
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.session import Session
from mssante.wire.imap import responses
from mssante.wire.imap.commands import (
    Create,
    Delete,
    Namespace,
    Rename,
    Status,
    StatusItem,
    Subscribe,
)
from mssante.wire.imap.list_pattern import SEPARATOR
from mssante.wire.imap.object_ids import mailbox_id

MAX_NAME: Final = 250
"""Characters of a mailbox name that we create."""
MAX_LEVELS: Final = 20


async def namespace(session: Session, _command: Namespace) -> None:
    """NAMESPACE (RFC 2342): one's own mailboxes only."""
    session.write(f'* NAMESPACE (("" "{SEPARATOR}")) NIL NIL\r\n')


async def create(session: Session, command: Create) -> Reply:
    """CREATE; names above it need no mailbox of their own."""
    _check_name(command.mailbox)
    special_use = await _special_use(session, command) if command.uses else None
    folder = await session.service.create_folder(session.identity, command.mailbox, special_use)
    return Reply("OK", "CREATE completed", f"MAILBOXID ({mailbox_id(folder.id)})")


async def _special_use(session: Session, command: Create) -> SpecialUse:
    """The use of a new folder: one of ours, which no other folder of the mailbox has."""
    known = {use.value.lower(): use for use in SpecialUse}
    wanted = {use.lower() for use in command.uses}
    found = known.get(wanted.pop())
    if found is None or wanted:
        raise Rejected("NO", "Not a special use of this server", "USEATTR")
    for folder in await session.service.folders(session.identity):
        if folder.special_use is found and folder.name != command.mailbox:
            raise Rejected("NO", "Another mailbox has this special use", "USEATTR")
    return found


async def delete(session: Session, command: Delete) -> None:
    """DELETE; what is below stays, and the name is then one that cannot be selected."""
    try:
        await session.service.delete_folder(session.identity, command.mailbox)
    except Refusal as refusal:
        if refusal.reason is not Reason.MAILBOX_NONEXISTENT:
            raise
        names = [folder.name for folder in await session.service.folders(session.identity)]
        if command.mailbox not in names_above(names):
            raise
        # RFC 3501 section 6.3.4: an error; the code is that of RFC 9051.
        raise Rejected("NO", "Only mailboxes below it are left", "HASCHILDREN") from refusal


async def rename(session: Session, command: Rename) -> None:
    """RENAME."""
    _check_name(command.new_name)
    await session.service.rename_folder(session.identity, command.mailbox, command.new_name)


def _check_name(name: str) -> None:
    levels = name.split(SEPARATOR)
    if not all(levels) or any(wildcard in name for wildcard in "*%"):
        raise Rejected("NO", "Not a possible mailbox name", "CANNOT")
    if len(name) > MAX_NAME or len(levels) > MAX_LEVELS:
        raise Rejected("NO", "Mailbox name too long", "LIMIT")


async def subscribe(session: Session, command: Subscribe) -> None:
    """SUBSCRIBE and UNSUBSCRIBE.

    Names above a mailbox can be subscribed, too, and unsubscribing what is not there is no error:
    clients that do so repeat it until it succeeds.

    Raises:
        Refusal: MAILBOX_NONEXISTENT, to subscribe a name that is nowhere.
    """
    service, identity, name = session.service, session.identity, command.mailbox
    if command.subscribed:
        names = {folder.name for folder in await service.folders(identity)}
        known = names | names_above(names) | await service.subscriptions(identity)
        if name not in known:
            raise Refusal(Reason.MAILBOX_NONEXISTENT)
    await service.set_subscribed(identity, name, subscribed=command.subscribed)


async def status(session: Session, command: Status) -> None:
    """STATUS."""
    folder = await session.service.folder(session.identity, command.mailbox)
    session.wire.write(await status_line(session, folder, command.items))


async def status_line(session: Session, folder: Folder, items: tuple[StatusItem, ...]) -> bytes:
    """The STATUS response of a folder.

    Raises:
        Refusal: MAILBOX_NONEXISTENT, it was deleted meanwhile.
    """
    counts = await session.service.status(session.identity, folder)
    limit = session.limits.max_message
    told = " ".join(f"{item.value} {_told(item, folder, counts, limit)}" for item in items)
    return b"* STATUS " + responses.mailbox(folder.name) + f" ({told})\r\n".encode("ascii")


def _told(item: StatusItem, folder: Folder, counts: FolderStatus, max_message: int) -> int | str:
    match item:
        case StatusItem.MESSAGES:
            return counts.messages
        case StatusItem.RECENT:
            return counts.recent
        case StatusItem.UIDNEXT:
            return counts.uidnext
        case StatusItem.UIDVALIDITY:
            return counts.uidvalidity
        case StatusItem.UNSEEN:
            return counts.unseen
        case StatusItem.HIGHESTMODSEQ:
            return counts.highestmodseq
        case StatusItem.SIZE:
            return counts.size
        case StatusItem.MAILBOXID:
            return f"({mailbox_id(folder.id)})"
        case StatusItem.APPENDLIMIT:
            return max_message
        case _:
            assert_never(item)
