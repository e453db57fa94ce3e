"""Finds the messages of a folder that match a search, set by set.

Each key turns a list of candidate rows into those that match, so that flags, dates and sizes are
passes over the columns, and only what is left is looked at message by message. Texts are compared
without case, after decoding encoded words, transfer encodings and charsets (RFC 3501 section 6.4.4
asks for substrings without case). A body that cannot be decoded does not match.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime
from email.utils import parsedate
from typing import Final, Protocol, assert_never

from mssante.kernel.clock import to_milliseconds
from mssante.mail.mailboxes import MailboxService, keyword_bits
from mssante.mail.model import Flags, StoredMessage
from mssante.mail.ports import BlobUnreadable
from mssante.mail.view import Columns, FolderView
from mssante.wire.imap.search import (
    AllOf,
    AnyOf,
    DateKey,
    DateRelation,
    EmailIdKey,
    Everything,
    FlagKey,
    HeaderKey,
    ModseqKey,
    NoneOf,
    RecentKey,
    SearchKey,
    SequenceKey,
    SizeKey,
    TextKey,
)
from mssante.wire.imap.sequence_set import SequenceSet
from mssante.wire.mime.encoded_words import decode_encoded_words, decode_text
from mssante.wire.mime.headers import fields, first, select_fields, unfold
from mssante.wire.mime.limits import MimeError
from mssante.wire.mime.parameters import content_type, raw_parameter
from mssante.wire.mime.summary import MessageSummary, PartSpan
from mssante.wire.mime.transfer import decode_body

_FLAGS: Final = {
    "\\Answered": Flags.ANSWERED,
    "\\Deleted": Flags.DELETED,
    "\\Draft": Flags.DRAFT,
    "\\Flagged": Flags.FLAGGED,
    "\\Seen": Flags.SEEN,
}
_MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
"""Decoded octets of one part that are searched."""
_TURN: Final = 32
"""Messages looked into before others get their turn."""
_COSTS: Final = {HeaderKey: 2, TextKey: 3, AllOf: 1, AnyOf: 1, NoneOf: 1}


class NamedRows(Protocol):
    """The rows that a set of sequence numbers or UIDs names in this session."""

    def __call__(self, numbers: SequenceSet, *, uid: bool) -> Collection[int]:
        """Positions in the columns; asked before anything is awaited."""
        ...


class Search:
    """One search in one folder."""

    def __init__(
        self,
        service: MailboxService,
        view: FolderView,
        columns: Columns,
        named: NamedRows,
        recent_from: int,
    ) -> None:
        """`recent_from` is the least UID that is recent to who searches."""
        self._service = service
        self._view = view
        self._columns = columns
        self._masks = keyword_bits(view.keywords)
        self._named = named
        self._recent_from = recent_from
        self._sets: dict[SequenceKey, frozenset[int]] = {}

    async def run(self, key: SearchKey, candidates: Sequence[int]) -> list[int]:
        """The rows among `candidates` (ascending) that match, ascending."""
        self._resolve_sets(key)
        return await self._matching(key, candidates)

    def _resolve_sets(self, key: SearchKey) -> None:
        """Before anything is awaited, because numbers may mean other messages afterwards."""
        match key:
            case SequenceKey():
                self._sets[key] = frozenset(self._named(key.numbers, uid=key.uid))
            case AllOf():
                for each in key.keys:
                    self._resolve_sets(each)
            case AnyOf():
                self._resolve_sets(key.left)
                self._resolve_sets(key.right)
            case NoneOf():
                self._resolve_sets(key.key)
            case _:
                pass

    async def _matching(self, key: SearchKey, rows: Sequence[int]) -> list[int]:
        columns = self._columns
        match key:
            case Everything():
                return list(rows)
            case SequenceKey():
                members = self._sets[key]
                return [row for row in rows if row in members]
            case FlagKey():
                mask = self._mask(key.name)
                flags = columns.flags
                return [row for row in rows if flags[row] & mask]
            case RecentKey():
                first_recent = bisect_left(columns.uids, self._recent_from)
                return [row for row in rows if row >= first_recent]
            case SizeKey():
                sizes, size = columns.sizes, key.size
                if key.larger:
                    return [row for row in rows if sizes[row] > size]
                return [row for row in rows if sizes[row] < size]
            case ModseqKey():
                modseqs, least = columns.modseqs, key.modseq
                return [row for row in rows if modseqs[row] >= least]
            case EmailIdKey():
                wanted_id = key.message_id
                return [row for row in rows if columns.message_id(row) == wanted_id]
            case DateKey(sent=False):
                start, stop = _instants(key)
                dates = columns.dates
                return [row for row in rows if start <= dates[row] < stop]
            case DateKey():
                return await self._by_message(rows, lambda m: _sent_matches(key, m))
            case HeaderKey():
                wanted = key.text.casefold()
                name = (key.field.lower().encode("ascii"),)
                return await self._by_message(rows, lambda m: _header_has(m, name, wanted))
            case TextKey():
                wanted = key.text.casefold()
                return await self._by_message(rows, lambda m: self._text_has(m, key, wanted))
            case AllOf():
                left = list(rows)
                for each in sorted(key.keys, key=_cost):
                    left = await self._matching(each, left)
                return left
            case AnyOf():
                one = await self._matching(key.left, rows)
                others = frozenset(one)
                rest = [row for row in rows if row not in others]
                return sorted(one + await self._matching(key.right, rest))
            case NoneOf(key=FlagKey(name=name)):
                mask = self._mask(name)
                flags = columns.flags
                return [row for row in rows if not flags[row] & mask]
            case NoneOf():
                found = frozenset(await self._matching(key.key, rows))
                return [row for row in rows if row not in found]
            case _:
                assert_never(key)

    def _mask(self, flag: str) -> int:
        return int(_FLAGS.get(flag, 0)) or self._masks.get(flag.lower(), 0)

    async def _by_message(
        self, rows: Sequence[int], matches: Callable[[StoredMessage], bool]
    ) -> list[int]:
        found: list[int] = []
        wanted = self._columns.rows(rows)
        position = {row.uid: index for row, index in zip(wanted, rows, strict=True)}
        looked_at = 0
        async with aclosing(self._service.messages(self._view, wanted)) as stored:
            async for row, message in stored:
                if matches(message):
                    found.append(position[row.uid])
                looked_at += 1
                if looked_at % _TURN == 0:
                    await asyncio.sleep(0)
        return found

    def _text_has(self, message: StoredMessage, key: TextKey, wanted: str) -> bool:
        if key.with_header and wanted in _whole_header(message):
            return True
        parts = MessageSummary.decode(message.summary).parts
        return any(self._part_has(message, part, wanted) for part in parts)

    def _part_has(self, message: StoredMessage, part: PartSpan, wanted: str) -> bool:
        if part.message_header is not None:
            header = self._read(message, part.message_header)
            return wanted in decode_encoded_words(unfold(header)).casefold()
        if not part.media_type.startswith("text/"):
            return False
        try:
            body = decode_body(
                self._read(message, part.body), part.encoding, max_bytes=_MAX_TEXT_BYTES
            )
            charset = _charset(self._read(message, part.header))
        except MimeError:
            return False
        return wanted in decode_text(body, charset).casefold()

    def _read(self, message: StoredMessage, span: tuple[int, int]) -> bytes:
        try:
            return self._service.content(message, *span)
        except BlobUnreadable:
            return b""


def _cost(key: SearchKey) -> int:
    return _COSTS.get(type(key), 2 if isinstance(key, DateKey) and key.sent else 0)


def _instants(key: DateKey) -> tuple[int, int]:
    """The internal dates that match, in milliseconds: start and stop. Our dates are shown in UTC."""
    day = to_milliseconds(datetime(key.day.year, key.day.month, key.day.day, tzinfo=UTC))
    next_day = day + 86_400_000
    match key.relation:
        case DateRelation.BEFORE:
            return 0, day
        case DateRelation.ON:
            return day, next_day
        case DateRelation.SINCE:
            return day, 1 << 63


def _sent_matches(key: DateKey, message: StoredMessage) -> bool:
    value = first(MessageSummary.decode(message.summary).header, b"date")
    sent = _day_of(value) if value is not None else None
    if sent is None:
        return False
    match key.relation:
        case DateRelation.BEFORE:
            return sent < key.day
        case DateRelation.ON:
            return sent == key.day
        case DateRelation.SINCE:
            return sent >= key.day


def _day_of(value: bytes) -> date | None:
    """The day as it is written, whatever the zone."""
    parsed = parsedate(value[:200].decode("ascii", "replace"))
    if parsed is None:
        return None
    try:
        return date(*parsed[:3])
    except ValueError:
        return None


def _header_has(message: StoredMessage, name: tuple[bytes], wanted: str) -> bool:
    for block in (message.prefix, MessageSummary.decode(message.summary).header):
        # Cut out by one pattern first: a walk over all fields costs more than all the rest.
        named = select_fields(block, name)
        for field in fields(named):
            value = unfold(named[field.value_start : field.stop])
            if wanted in decode_encoded_words(value).casefold():
                return True
    return False


def _whole_header(message: StoredMessage) -> str:
    block = message.prefix + MessageSummary.decode(message.summary).header
    lines = [
        block[field.start : field.value_start]
        + b" "
        + unfold(block[field.value_start : field.stop])
        for field in fields(block)
    ]
    return "\n".join(decode_encoded_words(line) for line in lines).casefold()


def _charset(header: bytes) -> bytes:
    value = first(header, b"content-type")
    parsed = content_type(value) if value is not None else None
    return (raw_parameter(parsed[2], b"charset") if parsed else None) or b"us-ascii"
