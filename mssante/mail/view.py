r"""An open folder in memory: compact columns, one row per message, shared by all its sessions.

A view belongs to one folder and one reader (whose \Seen it shows). It is only ever changed by
`apply`, with what the store says has changed, so that all sessions of a process see one truth.

Sessions number messages by their position in the columns as they were when they last told their
client: while messages are only added the columns grow in place, and a session remembers how many it
has told of; when messages go, the view takes new columns and leaves the old ones to those who still
need them. Up-to-date sessions share one set of columns.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import Flags, FolderChanges, FolderRow, FolderStatus

_ID_SIZE: Final = 16
_SEEN: Final = int(Flags.SEEN)
_DELETED: Final = int(Flags.DELETED)
_LOG_ENTRIES: Final = 256
_LOG_UIDS: Final = 4_096
"""How many changed UIDs are remembered, to answer what changed without a pass over the folder."""


class Columns:
    """Rows, ascending by UID. Rows are appended and their flags change; none is ever taken out, so
    that positions stay good as long as someone holds these columns.
    """

    __slots__ = ("dates", "flags", "ids", "modseqs", "sizes", "uids")

    def __init__(self) -> None:
        self.uids = array("I")
        self.flags = array("Q")
        self.modseqs = array("Q")
        self.dates = array("Q")
        """Internal dates, milliseconds."""
        self.sizes = array("Q")
        self.ids = bytearray()

    def row(self, index: int) -> FolderRow:
        """One row."""
        return FolderRow(
            self.uids[index],
            self.flags[index],
            self.modseqs[index],
            self.dates[index],
            self.sizes[index],
            self.message_id(index),
        )

    def message_id(self, index: int) -> OpaqueId:
        """The content of one row."""
        return OpaqueId(bytes(self.ids[index * _ID_SIZE : (index + 1) * _ID_SIZE]))

    def rows(self, indexes: Iterable[int]) -> list[FolderRow]:
        """Several rows."""
        return [self.row(index) for index in indexes]

    def index_of(self, uid: int) -> int | None:
        """The row of a message, or None when it is not there."""
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else None

    def without(self, uids: frozenset[int]) -> "Columns":
        """New columns that lack these messages."""
        kept = [index for index, uid in enumerate(self.uids) if uid not in uids]
        columns = Columns()
        columns.uids.extend([self.uids[index] for index in kept])
        columns.flags.extend([self.flags[index] for index in kept])
        columns.modseqs.extend([self.modseqs[index] for index in kept])
        columns.dates.extend([self.dates[index] for index in kept])
        columns.sizes.extend([self.sizes[index] for index in kept])
        size = _ID_SIZE
        columns.ids += b"".join([self.ids[index * size : (index + 1) * size] for index in kept])
        return columns

    def extend(self, rows: Sequence[FolderRow]) -> None:
        """Add rows whose UIDs are greater than all that are there."""
        self.flags.extend([row.flags for row in rows])
        self.modseqs.extend([row.modseq for row in rows])
        self.dates.extend([row.internal_date for row in rows])
        self.sizes.extend([row.size for row in rows])
        self.ids += b"".join([row.message_id for row in rows])
        self.uids.extend([row.uid for row in rows])


class FolderView:
    """One folder as one reader sees it."""

    def __init__(self, number: int, reader: OpaqueId | None) -> None:
        self.number: Final = number
        """The folder's internal key."""
        self.reader: Final = reader
        self.columns = Columns()
        """Replaced by others when messages go."""
        self.keywords: tuple[str, ...] = ()
        self.uidnext = 1
        self.highestmodseq = 0
        self.version = 0
        """Grows with every change: equal versions, nothing to tell."""
        self.gone = False
        """The folder was deleted."""
        self.listeners: set[Callable[[], None]] = set()
        """Called after each change; they must not raise."""
        self._counts: tuple[int, int, int, int] | None = None
        self._log: deque[tuple[int, Sequence[int]]] = deque()
        self._logged_since = 0
        self._logged_uids = 0

    def __len__(self) -> int:
        return len(self.columns.uids)

    def first_without(self, mask: int) -> int | None:
        """The first row that lacks these flags."""
        return next(
            (index for index, flags in enumerate(self.columns.flags) if not flags & mask), None
        )

    def uids_with(self, mask: int) -> list[int]:
        """The UIDs of the rows that have one of these flags."""
        return [
            uid
            for uid, flags in zip(self.columns.uids, self.columns.flags, strict=True)
            if flags & mask
        ]

    def status(self, uidvalidity: int, recent_from: int) -> FolderStatus:
        """Counts, kept until the next change."""
        if self._counts is None or self._counts[0] != self.version:
            flags = self.columns.flags
            unseen = sum(1 for each in flags if not each & _SEEN)
            deleted = sum(1 for each in flags if each & _DELETED)
            self._counts = (self.version, unseen, deleted, sum(self.columns.sizes))
        _, unseen, deleted, size = self._counts
        return FolderStatus(
            messages=len(self),
            unseen=unseen,
            uidnext=self.uidnext,
            uidvalidity=uidvalidity,
            highestmodseq=self.highestmodseq,
            size=size,
            deleted=deleted,
            recent=len(self) - bisect_left(self.columns.uids, recent_from),
        )

    def changed_since(self, modseq: int) -> list[int]:
        """The rows that were added or changed after `modseq`, ascending."""
        if modseq >= self._logged_since:
            uids = {uid for at, changed in self._log if at > modseq for uid in changed}
            found = (self.columns.index_of(uid) for uid in sorted(uids))
            return [index for index in found if index is not None]
        return [index for index, at in enumerate(self.columns.modseqs) if at > modseq]

    def apply(self, changes: FolderChanges) -> None:
        """Take in what changed since `highestmodseq`.

        A folder whose UIDNEXT went back is another one under the same key, or none: it is gone.
        """
        if changes.uidnext < self.uidnext:
            self.gone = True
            self._remove(frozenset(self.columns.uids))
            self._changed()
            return
        self._remove(frozenset(changes.expunged))
        self._add(changes.rows)
        self._remember(changes)
        self.keywords = changes.keywords
        self.uidnext = changes.uidnext
        self.highestmodseq = max(self.highestmodseq, changes.highestmodseq)
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        for listener in tuple(self.listeners):
            listener()

    def _remove(self, uids: frozenset[int]) -> None:
        if uids and not uids.isdisjoint(self.columns.uids):
            self.columns = self.columns.without(uids)

    def _add(self, rows: Sequence[FolderRow]) -> None:
        columns = self.columns
        last = columns.uids[-1] if columns.uids else 0
        old = bisect_right(rows, last, key=_uid_of)
        for row in rows[:old]:
            index = columns.index_of(row.uid)
            if index is not None:
                columns.flags[index] = row.flags
                columns.modseqs[index] = row.modseq
        if old < len(rows):
            columns.extend(rows[old:])

    def _remember(self, changes: FolderChanges) -> None:
        if len(changes.rows) > _LOG_UIDS:
            self._log.clear()
            self._logged_uids = 0
            self._logged_since = changes.highestmodseq
            return
        self._log.append((changes.highestmodseq, [row.uid for row in changes.rows]))
        self._logged_uids += len(changes.rows)
        while len(self._log) > _LOG_ENTRIES or self._logged_uids > _LOG_UIDS:
            at, forgotten = self._log.popleft()
            self._logged_uids -= len(forgotten)
            self._logged_since = at


def _uid_of(row: FolderRow) -> int:
    return row.uid
