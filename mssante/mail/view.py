r"""An open folder in memory: compact columns, one row per message, shared by all its sessions.

A view belongs to one folder and one reader (whose \Seen it shows). It is only ever changed by
`apply`, with what the store says has changed, so that all sessions of a process see one truth.

Sessions number messages by their position in `uids` as it was when they last told their client:
while messages are only added the column grows in place, and a session remembers how many it has
told of; when messages go, the view takes a new column and leaves the old one to those who still
need it. Up-to-date sessions share one column.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import FolderChanges, FolderRow

_ID_SIZE: Final = 16
_LOG_ENTRIES: Final = 256
_LOG_UIDS: Final = 4_096
"""How many changed UIDs are remembered, to answer what changed without a pass over the folder."""


class FolderView:
    """One folder as one reader sees it."""

    def __init__(self, number: int, reader: OpaqueId | None) -> None:
        self.number: Final = number
        """The folder's internal key."""
        self.reader: Final = reader
        self.uids = array("I")
        """Ascending. Grows in place; replaced by another array when messages go."""
        self.flags = array("Q")
        self.modseqs = array("Q")
        self.dates = array("Q")
        """Internal dates, milliseconds."""
        self.sizes = array("Q")
        self._ids = bytearray()
        self.keywords: tuple[str, ...] = ()
        self.uidnext = 1
        self.highestmodseq = 0
        self.version = 0
        """Grows with every change: equal versions, nothing to tell."""
        self.gone = False
        """The folder was deleted."""
        self.listeners: set[Callable[[], None]] = set()
        """Called after each change; they must not raise."""
        self._log: deque[tuple[int, Sequence[int]]] = deque()
        self._logged_since = 0
        self._logged_uids = 0

    def __len__(self) -> int:
        return len(self.uids)

    def index_of(self, uid: int) -> int | None:
        """The row of a message, or None when it is not there."""
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else None

    def indexes_between(self, first: int, last: int) -> range:
        """The rows whose UIDs are from `first` to `last`, both included."""
        start = bisect_left(self.uids, first)
        return range(start, bisect_left(self.uids, last + 1, start))

    def row(self, index: int) -> FolderRow:
        """One row."""
        return FolderRow(
            self.uids[index],
            self.flags[index],
            self.modseqs[index],
            self.dates[index],
            self.sizes[index],
            OpaqueId(bytes(self._ids[index * _ID_SIZE : (index + 1) * _ID_SIZE])),
        )

    def rows(self, indexes: Iterable[int]) -> list[FolderRow]:
        """Several rows."""
        return [self.row(index) for index in indexes]

    def first_without(self, mask: int) -> int | None:
        """The first row that lacks these flags."""
        return next((index for index, flags in enumerate(self.flags) if not flags & mask), None)

    def uids_with(self, mask: int) -> list[int]:
        """The UIDs of the rows that have one of these flags."""
        return [uid for uid, flags in zip(self.uids, self.flags, strict=True) if flags & mask]

    def changed_since(self, modseq: int) -> list[int]:
        """The rows that were added or changed after `modseq`, ascending."""
        if modseq >= self._logged_since:
            uids = {uid for at, changed in self._log if at > modseq for uid in changed}
            found = (self.index_of(uid) for uid in sorted(uids))
            return [index for index in found if index is not None]
        return [index for index, at in enumerate(self.modseqs) if at > modseq]

    def apply(self, changes: FolderChanges) -> None:
        """Take in what changed since `highestmodseq`.

        A folder whose UIDNEXT went back is another one under the same key, or none: it is gone.
        """
        if changes.uidnext < self.uidnext:
            self.gone = True
            self._remove(frozenset(self.uids))
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
        if not uids or uids.isdisjoint(self.uids):
            return
        kept = [index for index, uid in enumerate(self.uids) if uid not in uids]
        self.uids = array("I", [self.uids[index] for index in kept])
        self.flags = array("Q", [self.flags[index] for index in kept])
        self.modseqs = array("Q", [self.modseqs[index] for index in kept])
        self.dates = array("Q", [self.dates[index] for index in kept])
        self.sizes = array("Q", [self.sizes[index] for index in kept])
        size = _ID_SIZE
        self._ids = bytearray().join(
            [self._ids[index * size : (index + 1) * size] for index in kept]
        )

    def _add(self, rows: Sequence[FolderRow]) -> None:
        last = self.uids[-1] if self.uids else 0
        new = len(rows) if not last else sum(1 for row in rows if row.uid > last)
        for row in rows[: len(rows) - new]:
            index = self.index_of(row.uid)
            if index is not None:
                self.flags[index] = row.flags
                self.modseqs[index] = row.modseq
        added = rows[len(rows) - new :]
        if added:
            self.flags.extend([row.flags for row in added])
            self.modseqs.extend([row.modseq for row in added])
            self.dates.extend([row.internal_date for row in added])
            self.sizes.extend([row.size for row in added])
            self._ids += b"".join([row.message_id for row in added])
            self.uids.extend([row.uid for row in added])

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
