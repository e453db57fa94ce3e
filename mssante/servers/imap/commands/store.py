"""STORE and UID STORE (RFC 3501 section 6.4.6), also conditional (RFC 7162 section 3.1.3)."""

from dataclasses import dataclass

from mssante.mail.model import FlagOperation, FolderChanges
from mssante.servers.imap.flag_texts import split_flags
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.selected import Selected
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Store, StoreOperation
from mssante.wire.imap.sequence_set import format_numbers

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
    changes = await session.service.store_flags(
        view, uids, operation, mask, command.unchanged_since
    )
    if changes.rows:
        selected.own_modseqs.add(changes.highestmodseq)
    session.write(selected.keyword_updates())
    outcome = _outcome(selected, command, dict(zip(uids, expected, strict=True)), changes)
    session.write("".join(_lines(selected, command, outcome)))
    return _reply(selected, command, outcome, missing=picked.missing)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of the named messages, by UID."""

    expected: dict[int, int]
    """The flags that the client expects a message to have now."""
    changed: frozenset[int]
    failed: frozenset[int]
    """Those that did not pass the UNCHANGEDSINCE test."""


def _outcome(
    selected: Selected, command: Store, expected: dict[int, int], changes: FolderChanges
) -> _Outcome:
    changed = frozenset(row.uid for row in changes.rows)
    if command.unchanged_since is None:
        return _Outcome(expected, changed, frozenset())
    columns, most = selected.view.columns, command.unchanged_since
    found = ((uid, columns.index_of(uid)) for uid in expected.keys() - changed)
    failed = frozenset(
        uid for uid, index in found if index is not None and columns.modseqs[index] > most
    )
    return _Outcome(expected, changed, failed)


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


def _lines(selected: Selected, command: Store, outcome: _Outcome) -> list[str]:
    """The FETCH responses.

    A CONDSTORE-aware client hears the new mod-sequences also of a silent STORE; and, so that it
    need not ask, how the messages are that failed the test.
    """
    columns = selected.view.columns
    aware, conditional = selected.tells_modseqs, command.unchanged_since is not None
    lines = []
    for uid, wanted in outcome.expected.items():
        index = columns.index_of(uid)
        number = selected.number_of(uid)
        if index is None or number is None:
            continue
        flags = columns.flags[index]
        items = []
        if command.uid or aware:
            items.append(f"UID {uid}")
        says_flags = not command.silent or flags != wanted or uid in outcome.failed
        if says_flags:
            items.append(f"FLAGS {selected.flags_text(uid, flags)}")
        says_modseq = aware and (says_flags or conditional or uid in outcome.changed)
        if says_modseq:
            items.append(f"MODSEQ ({columns.modseqs[index]})")
        if says_flags or says_modseq:
            lines.append(f"* {number} FETCH ({' '.join(items)})\r\n")
    return lines


def _reply(selected: Selected, command: Store, outcome: _Outcome, *, missing: bool) -> Reply | None:
    code = ""
    if outcome.failed:
        uids = sorted(outcome.failed)
        named = uids if command.uid else filter(None, map(selected.number_of, uids))
        code = f"MODIFIED {format_numbers(named)}"
    if missing and not command.uid:
        return Reply("NO", "Some of these messages were expunged", code or "EXPUNGEISSUED")
    return Reply("OK", "Conditional STORE failed for some", code) if code else None
