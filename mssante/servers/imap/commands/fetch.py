r"""FETCH and UID FETCH (RFC 3501 section 6.4.5).

What stands in the folder's columns is one pass and a join per slice of rows. What stands in the
summaries made at delivery is cut from them. Only body sections are read from the blobs; nothing is
parsed. Answers go out as they are made, and stop while the client does not read.

A message as the client sees it is our prefix followed by the original octets.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from mssante.mail.model import FlagOperation, Flags, FolderRow, StoredMessage
from mssante.mail.ports import BlobUnreadable
from mssante.mail.view import Columns
from mssante.servers.imap.replies import Reply
from mssante.servers.imap.selected import Picked, Selected
from mssante.servers.imap.session import Session, StreamBroken
from mssante.wire.imap.commands import Fetch
from mssante.wire.imap.fetch import Attribute, BodySection, FetchItem, Section, SectionText
from mssante.wire.imap.object_ids import NO_THREAD, email_id
from mssante.wire.imap.responses import internal_date, literal, literal_head
from mssante.wire.mime.headers import select_fields
from mssante.wire.mime.summary import MessageSummary, section_span

_LOG: Final = logging.getLogger(__name__)
_SLICE: Final = 2_048
"""Rows that are formatted between two looks at whether the client still reads."""
_TURN: Final = 16
"""Messages that are written before other connections get their turn."""
_PIECE: Final = 65_536
"""Octets of a body that are read and sent at a time."""
_VALUES: Final = {
    Attribute.FLAGS: "%s",
    Attribute.UID: "%d",
    Attribute.INTERNALDATE: "%s",
    Attribute.SIZE: "%d",
    Attribute.MODSEQ: "(%d)",
    Attribute.EMAILID: "(%s)",
    Attribute.THREADID: "%s",
}
"""How the items that the columns have are written."""
_IN_COLUMNS: Final = _VALUES.keys()
_SEEN: Final = int(Flags.SEEN)
_HEADER_TEXTS: Final = frozenset(
    {SectionText.HEADER, SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}
)


async def fetch(session: Session, command: Fetch) -> Reply | None:
    """Answer the items of each message."""
    selected = session.selected
    picked = _pick(selected, command)
    items = command.items
    sections = [item for item in items if isinstance(item, BodySection)]
    newly_seen: frozenset[int] = frozenset()
    if not selected.read_only and any(not section.peek for section in sections):
        newly_seen = await _mark_seen(session, picked)
        picked = _pick(selected, command)
    session.write(selected.keyword_updates())
    complete = True
    if set(items) <= _IN_COLUMNS:
        await _fetch_columns(session, picked, items)
    else:
        complete = await _fetch_messages(session, picked, items, newly_seen)
    if not complete:
        return Reply("NO", "Some content could not be read, noted in the log", "SERVERBUG")
    if picked.missing and not command.uid:
        return Reply("NO", "Some of these messages were expunged", "EXPUNGEISSUED")
    return None


def _pick(selected: Selected, command: Fetch) -> Picked:
    """What the command names, as far as it changed since (RFC 7162 section 3.1.4.1)."""
    picked = selected.pick(command.numbers, uid=command.uid)
    since = command.changed_since
    if not since:
        return picked
    modseqs = picked.columns.modseqs
    both = zip(picked.numbers, picked.indexes, strict=True)
    changed = [(number, index) for number, index in both if modseqs[index] > since]
    numbers = [number for number, _ in changed]
    return Picked(numbers, [index for _, index in changed], picked.columns, picked.missing)


async def _mark_seen(session: Session, picked: Picked) -> frozenset[int]:
    r"""Set \Seen before the answer, so that the flags in it are true."""
    flags, uids = picked.columns.flags, picked.columns.uids
    unseen = [uids[index] for index in picked.indexes if not flags[index] & _SEEN]
    if not unseen:
        return frozenset()
    selected = session.selected
    changes = await session.service.store_flags(selected.view, unseen, FlagOperation.ADD, _SEEN)
    if changes.rows:
        selected.own_modseqs.add(changes.highestmodseq)
    return frozenset(row.uid for row in changes.rows)


# --- from the columns --------------------------------------------------------


async def _fetch_columns(session: Session, picked: Picked, items: Sequence[FetchItem]) -> None:
    for piece in _pieces(picked):
        lines = _lines(piece, items, session.selected, end=")\r\n")
        session.write("".join(lines))
        if len(piece.numbers) == _SLICE:
            await session.wire.give_way()


def _pieces(picked: Picked) -> Iterator[Picked]:
    for start in range(0, len(picked.numbers), _SLICE):
        stop = start + _SLICE
        yield Picked(
            picked.numbers[start:stop],
            picked.indexes[start:stop],
            picked.columns,
            missing=picked.missing,
        )


def _lines(
    picked: Picked, items: Sequence[FetchItem], selected: Selected, *, end: str
) -> list[str]:
    """The responses of some messages as far as the columns can say them."""
    template = f"* %d FETCH ({' '.join(_item_template(item) for item in items)}{end}"
    values = [_column(item, picked.columns, picked.indexes, selected) for item in items]
    return [template % row for row in zip(picked.numbers, *values, strict=True)]


def _item_template(item: FetchItem) -> str:
    assert isinstance(item, Attribute)
    return f"{item.value} {_VALUES[item]}"


def _column(
    item: FetchItem, columns: Columns, indexes: Sequence[int], selected: Selected
) -> Sequence[int] | Sequence[str]:
    match item:
        case Attribute.UID:
            return _cut(columns.uids, indexes)
        case Attribute.SIZE:
            return _cut(columns.sizes, indexes)
        case Attribute.MODSEQ:
            return _cut(columns.modseqs, indexes)
        case Attribute.EMAILID:
            return [email_id(columns.message_id(index)) for index in indexes]
        case Attribute.THREADID:
            return [NO_THREAD] * len(indexes)
        case Attribute.FLAGS:
            return _flags(columns, indexes, selected)
        case Attribute.INTERNALDATE:
            return [internal_date(date) for date in _cut(columns.dates, indexes)]
        case _:
            raise AssertionError("not in the columns")


def _flags(columns: Columns, indexes: Sequence[int], selected: Selected) -> list[str]:
    flags, uids = _cut(columns.flags, indexes), _cut(columns.uids, indexes)
    if not uids or uids[-1] < selected.recent_from:
        texts = selected.texts
        return [texts[each] for each in flags]
    return [selected.flags_text(uid, each) for uid, each in zip(uids, flags, strict=True)]


def _cut(column: Sequence[int], indexes: Sequence[int]) -> Sequence[int]:
    if isinstance(indexes, range):
        return column[indexes.start : indexes.stop]
    return [column[index] for index in indexes]


# --- from the summaries and blobs --------------------------------------------


@dataclass(slots=True)
class _Message:
    """What the makers of items need."""

    stored: StoredMessage
    summary: MessageSummary


async def _fetch_messages(
    session: Session, picked: Picked, items: Sequence[FetchItem], newly_seen: frozenset[int]
) -> bool:
    """Whether all content could be read.

    What the columns have comes first in each response, as it can be made for many at once.
    """
    service, selected = session.service, session.selected
    quick = [item for item in items if item in _IN_COLUMNS]
    makers = [_MAKERS.get(item, item) for item in items if item not in _IN_COLUMNS]
    between = " " if quick else ""
    counts_as_reading = any(_is_content(item) for item in items)
    unasked = _unasked_when_seen(selected, items)
    sent: list[int] = []
    complete = True
    done = 0
    try:
        for piece in _pieces(picked):
            lines = _lines(piece, quick, selected, end=between)
            starts = dict(zip(piece.uids, lines, strict=True))
            rows = piece.columns.rows(piece.indexes)
            async with aclosing(service.messages(selected.view, rows)) as messages:
                async for row, stored in messages:
                    if counts_as_reading:
                        sent.append(row.uid)
                    message = _Message(stored, MessageSummary.decode(stored.summary))
                    tail = unasked(row) if row.uid in newly_seen else b")\r\n"
                    start = starts[row.uid].encode("ascii")
                    complete &= await _write_row(session, message, makers, start, tail)
                    done += 1
                    if done % _TURN == 0:
                        await session.wire.give_way()
    finally:
        if sent:
            service.consultations.note(session.identity, selected.folder.id, sent)
    return complete


def _unasked_when_seen(
    selected: Selected, items: Sequence[FetchItem]
) -> Callable[[FolderRow], bytes]:
    r"""Makes the end of a response whose FETCH has set \Seen: what the client must hear of it
    beyond the items that it asked for (RFC 3501 section 6.4.5, RFC 7162 section 3.2.4).
    """
    wanted = (Attribute.UID, Attribute.MODSEQ) if selected.tells_modseqs else ()
    missing = [item for item in (Attribute.FLAGS, *wanted) if item not in items]
    template = "".join(f" {_item_template(item)}" for item in missing) + ")\r\n"

    def tail(row: FolderRow) -> bytes:
        values = {
            Attribute.FLAGS: selected.flags_text(row.uid, row.flags),
            Attribute.UID: row.uid,
            Attribute.MODSEQ: row.modseq,
        }
        return (template % tuple(values[item] for item in missing)).encode("ascii")

    return tail


_FromSummary = Callable[[MessageSummary], bytes]
_MAKERS: Final[dict[FetchItem, _FromSummary]] = {
    Attribute.ENVELOPE: lambda summary: b"ENVELOPE " + summary.envelope,
    Attribute.BODY: lambda summary: b"BODY " + summary.body,
    Attribute.BODYSTRUCTURE: lambda summary: b"BODYSTRUCTURE " + summary.body_structure,
}


async def _write_row(
    session: Session,
    message: _Message,
    makers: Sequence[_FromSummary | FetchItem],
    start: bytes,
    tail: bytes,
) -> bool:
    """Write one response; whether all its content could be read."""
    ready = [start]
    complete = True
    separator = b""
    try:
        for maker in makers:
            if isinstance(maker, BodySection):
                session.wire.write(b"".join((*ready, separator, maker.label, b" ")))
                ready.clear()
                complete &= await _write_section(session, message, maker)
            elif callable(maker):
                ready += (separator, maker(message.summary))
            separator = b" "
        session.wire.write(b"".join((*ready, tail)))
    except ConnectionError:
        raise
    except Exception as error:
        # Half a response is on its way: another one must not follow it.
        _LOG.exception("a message cannot be written", extra={"message_id": message.stored.id.hex()})
        raise StreamBroken from error
    return complete


def _is_content(item: FetchItem) -> bool:
    """Whether reading this counts as a consultation: more than the header of the message."""
    return isinstance(item, BodySection) and not (
        not item.section.path and item.section.text in _HEADER_TEXTS
    )


@dataclass(frozen=True, slots=True)
class _Octets:
    """Ready octets, followed by [start, stop) of the original message."""

    ready: bytes
    start: int = 0
    stop: int = 0

    def __len__(self) -> int:
        return len(self.ready) + self.stop - self.start

    def cut(self, section: BodySection) -> "_Octets":
        """The part that a partial FETCH asks for, as far as it is there."""
        if section.offset is None or section.count is None:
            return self
        first, last = section.offset, section.offset + section.count
        ready = len(self.ready)
        start = min(self.start + max(0, first - ready), self.stop)
        stop = min(self.start + max(0, last - ready), self.stop)
        return _Octets(self.ready[first:last], start, max(start, stop))


async def _write_section(session: Session, message: _Message, section: BodySection) -> bool:
    """Write the octets of a section as a literal; NIL where the message has no such section."""
    wire, service = session.wire, session.service
    try:
        octets = _octets(session, message, section.section)
        if octets is None:
            wire.write(b"NIL")
            return True
        octets = octets.cut(section)
        first_stop = min(octets.stop, octets.start + _PIECE)
        first = octets.ready
        if first_stop > octets.start:
            first += service.content(message.stored, octets.start, first_stop)
    except BlobUnreadable:
        _LOG.exception("a body cannot be read", extra={"message_id": message.stored.id.hex()})
        wire.write(b"NIL")
        return False
    if first_stop == octets.stop:
        wire.write(literal(first))
        return True
    wire.write(literal_head(len(octets)) + first)
    try:
        for start in range(first_stop, octets.stop, _PIECE):
            await wire.drain()
            stop = min(octets.stop, start + _PIECE)
            wire.write(service.content(message.stored, start, stop))
    except BlobUnreadable as error:
        _LOG.exception("a body cannot be read", extra={"message_id": message.stored.id.hex()})
        raise StreamBroken from error
    return True


def _octets(session: Session, message: _Message, section: Section) -> _Octets | None:
    """Where the octets of a section stand; None where the message has no such section."""
    prefix, summary = message.stored.prefix, message.summary
    if section.text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        block = _header_block(session, message, section)
        if block is None:
            return None
        negate = section.text is SectionText.HEADER_FIELDS_NOT
        return _Octets(select_fields(block, section.fields, negate=negate))
    if not section.path and section.text is SectionText.HEADER:
        return _Octets(prefix + summary.header)
    words = [*map(str, section.path), *([section.text.value] if section.text.value else [])]
    span = section_span(summary, ".".join(words))
    if span is None:
        return None
    is_whole = not words
    return _Octets(prefix if is_whole else b"", *span)


def _header_block(session: Session, message: _Message, section: Section) -> bytes | None:
    if not section.path:
        return message.stored.prefix + message.summary.header
    span = section_span(message.summary, ".".join(map(str, section.path)) + ".HEADER")
    return None if span is None else session.service.content(message.stored, *span)
