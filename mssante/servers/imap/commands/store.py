"""STORE and UID STORE (RFC 3501 section 6.4.6)."""

from mssante.mail.model import FlagOperation
from mssante.servers.imap.flag_texts import split_flags
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.selected import Selected
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Store, StoreOperation

_OPERATIONS = {
    StoreOperation.REPLACE: FlagOperation.REPLACE,
    StoreOperation.ADD: FlagOperation.ADD,
    StoreOperation.REMOVE: FlagOperation.REMOVE,
}


async def store(session: Session, command: Store) -> Reply | None:
    """Change flags, and say how they are now unless that is just what the client expects."""
    selected = session.selected
    view = selected.view
    if selected.read_only:
        raise Rejected("NO", "Mailbox is open for reading only", "CANNOT")
    selected.pick(command.numbers, uid=command.uid)  # refuses wrong numbers before any effect
    operation = _OPERATIONS[command.operation]
    mask = await _mask(session, command, operation)
    # What others changed is told first, so that "as expected" below means what the client knows.
    session.write(selected.updates(may_expunge=False))
    picked = selected.pick(command.numbers, uid=command.uid)
    uids = picked.uids
    expected = [_after(picked.columns.flags[index], operation, mask) for index in picked.indexes]
    changes = await session.service.store_flags(view, uids, operation, mask)
    if changes.rows:
        selected.own_modseqs.add(changes.highestmodseq)
    _report(session, selected, uids, expected, silent=command.silent, with_uid=command.uid)
    if picked.missing and not command.uid:
        return Reply("NO", "Some of these messages were expunged", "EXPUNGEISSUED")
    return None


async def _mask(session: Session, command: Store, operation: FlagOperation) -> int:
    bits, keywords = split_flags(command.flags)
    if not keywords:
        return bits
    known = session.selected.view.keywords
    if operation is FlagOperation.REMOVE:
        # What the folder does not know, no message has: nothing is created to remove it.
        names = {name.lower() for name in known}
        keywords = [name for name in keywords if name.lower() in names]
    return bits | await session.service.flag_bits(session.selected.view.number, keywords, known)


def _after(before: int, operation: FlagOperation, mask: int) -> int:
    if operation is FlagOperation.ADD:
        return before | mask
    return before & ~mask if operation is FlagOperation.REMOVE else mask


def _report(
    session: Session,
    selected: Selected,
    uids: list[int],
    expected: list[int],
    *,
    silent: bool,
    with_uid: bool,
) -> None:
    columns, texts = selected.view.columns, selected.texts
    lines = []
    for uid, wanted in zip(uids, expected, strict=True):
        index = columns.index_of(uid)
        number = selected.number_of(uid)
        if index is None or number is None:
            continue
        flags = columns.flags[index]
        if silent and flags == wanted:
            continue
        lines.append(
            f"* {number} FETCH (UID {uid} FLAGS {texts[flags]})\r\n"
            if with_uid
            else f"* {number} FETCH (FLAGS {texts[flags]})\r\n"
        )
    session.write("".join(lines))
