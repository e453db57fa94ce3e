"""The tree of mailboxes: LIST, LSUB, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE."""

from collections.abc import Iterable
from typing import Final, assert_never

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Folder, FolderStatus
from mssante.servers.imap.replies import Rejected
from mssante.servers.imap.session import Session
from mssante.wire.imap import responses
from mssante.wire.imap.commands import (
    Create,
    Delete,
    ListMailboxes,
    Namespace,
    Rename,
    Status,
    StatusItem,
    Subscribe,
)
from mssante.wire.imap.list_pattern import SEPARATOR, ListPattern

MAX_NAME: Final = 250
"""Characters of a mailbox name that we create."""
MAX_LEVELS: Final = 20


async def namespace(session: Session, _command: Namespace) -> None:
    """NAMESPACE (RFC 2342): one's own mailboxes only."""
    session.write(f'* NAMESPACE (("" "{SEPARATOR}")) NIL NIL\r\n')


async def list_mailboxes(session: Session, command: ListMailboxes) -> None:
    """LIST and LSUB."""
    word = "LSUB" if command.subscribed_only else "LIST"
    if not command.pattern and not command.subscribed_only:
        # Asks for the separator (RFC 3501 section 6.3.8).
        session.write(f'* LIST (\\Noselect) "{SEPARATOR}" ""\r\n')
        return
    folders = {folder.name: folder for folder in await session.service.folders(session.identity)}
    listed = {
        name: folder
        for name, folder in folders.items()
        if folder.subscribed or not command.subscribed_only
    }
    pattern = ListPattern(_inbox_in_capitals(command.reference + command.pattern))
    parents = _parents(listed)
    for name in _in_order(parents | listed.keys()):
        if pattern.matches(name):
            attributes = _attributes(listed.get(name), has_children=name in parents)
            line = f'* {word} {attributes} "{SEPARATOR}" '.encode("ascii")
            session.wire.write(line + responses.mailbox(name) + b"\r\n")


def _inbox_in_capitals(pattern: str) -> str:
    first, separator, rest = pattern.partition(SEPARATOR)
    return f"INBOX{separator}{rest}" if first.upper() == "INBOX" else pattern


def _parents(names: Iterable[str]) -> set[str]:
    """The names above these names; those that are no mailbox themselves are listed, too."""
    parents: set[str] = set()
    for name in names:
        while SEPARATOR in name:
            name = name.rpartition(SEPARATOR)[0]  # noqa: PLW2901 - climbs
            parents.add(name)
    return parents


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name != "INBOX", name))


def _attributes(folder: Folder | None, *, has_children: bool) -> str:
    attributes = [] if folder is not None else ["\\Noselect"]
    attributes.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if folder is not None and folder.special_use is not None:
        attributes.append(folder.special_use.value)
    return f"({' '.join(attributes)})"


async def create(session: Session, command: Create) -> None:
    """CREATE; names above it need no mailbox of their own."""
    _check_name(command.mailbox)
    await session.service.create_folder(session.identity, command.mailbox)


async def delete(session: Session, command: Delete) -> None:
    """DELETE."""
    await session.service.delete_folder(session.identity, command.mailbox)


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

    Names above a mailbox, and unsubscribing what is not there, are no error: clients that do so
    repeat it until it succeeds.
    """
    service, identity = session.service, session.identity
    try:
        folder = await service.folder(identity, command.mailbox)
    except Refusal as refusal:
        if refusal.reason is not Reason.MAILBOX_NONEXISTENT:
            raise
        names = [folder.name for folder in await service.folders(identity)]
        if command.subscribed and command.mailbox not in _parents(names):
            raise
    else:
        await service.set_subscribed(folder, subscribed=command.subscribed)


async def status(session: Session, command: Status) -> None:
    """STATUS."""
    folder = await session.service.folder(session.identity, command.mailbox)
    counts = await session.service.status(session.identity, folder)
    limit = session.limits.max_message
    told = " ".join(f"{item.value} {_count(item, counts, limit)}" for item in command.items)
    line = b"* STATUS " + responses.mailbox(folder.name)
    session.wire.write(line + f" ({told})\r\n".encode("ascii"))


def _count(item: StatusItem, counts: FolderStatus, max_message: int) -> int:
    match item:
        case StatusItem.MESSAGES:
            return counts.messages
        case StatusItem.RECENT:
            return 0
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
        case StatusItem.APPENDLIMIT:
            return max_message
        case _:
            assert_never(item)
