"""What a session has told its client of the selected mailbox, and what it has still to tell.

Message numbers are positions in columns, of which the first `exists` are known to the client. They
shift only in `updates`, which runs at the boundaries of commands (RFC 3501 sections 5.5 and 7.4.1).
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from mssante.mail.model import Folder
from mssante.mail.view import Columns, FolderView
from mssante.servers.imap.flag_texts import RECENT, SYSTEM_BITS, FlagTexts, flag_texts
from mssante.servers.imap.replies import Rejected
from mssante.wire.imap.responses import flag_list
from mssante.wire.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Picked:
    """Messages that a command names and that are still there, ascending."""

    numbers: Sequence[int]
    indexes: Sequence[int]
    """Their rows in `columns`."""
    columns: Columns
    missing: bool
    """Whether the client knows some of the named messages that are gone meanwhile."""

    @property
    def uids(self) -> list[int]:
        """Their UIDs."""
        uids = self.columns.uids
        return [uids[index] for index in self.indexes]


class Selected:
    """A selected mailbox as the client knows it."""

    def __init__(
        self, folder: Folder, view: FolderView, recent_from: int, *, read_only: bool
    ) -> None:
        """`recent_from` is the least UID that is recent to this session; those that arrive are."""
        self.folder = folder
        self.view = view
        self.read_only = read_only
        self.recent_from = recent_from
        self._claimed = view.uidnext
        self._columns = view.columns
        self.exists = len(view)
        self.own_modseqs: set[int] = set()
        """Changes that this session made and whose outcome its client knows."""
        self._keywords = view.keywords
        self._told_version = view.version
        self._told_modseq = view.highestmodseq
        self.tells_modseqs = False
        """Whether the client is CONDSTORE-aware (RFC 7162 section 3.1)."""

    @property
    def texts(self) -> FlagTexts:
        """Flags as text."""
        return flag_texts(self.view.keywords)

    def flags_text(self, uid: int, flags: int) -> str:
        r"""The flags of a message as text, ``\Recent`` among them where it is."""
        return self.texts[flags | RECENT if uid >= self.recent_from else flags]

    @property
    def recent(self) -> int:
        """How many of the messages that the client knows are recent to this session."""
        return self.exists - bisect_left(self._columns.uids, self.recent_from, 0, self.exists)

    @property
    def unclaimed(self) -> int:
        """The UID below which this session was told of all messages, where later ones must not find
        them recent and that is not noted yet; 0 where nothing is to be noted.
        """
        if self.read_only or not self.exists:
            return 0
        told = self._columns.uids[self.exists - 1] + 1
        return told if told > self._claimed else 0

    def flag_lines(self) -> list[str]:
        """FLAGS and PERMANENTFLAGS."""
        names = [*SYSTEM_BITS, *self.view.keywords]
        permanent = [] if self.read_only else [*names, "\\*"]
        text = "No permanent flags permitted" if self.read_only else "Flags permitted"
        return [
            f"* FLAGS {flag_list(names)}\r\n",
            f"* OK [PERMANENTFLAGS {flag_list(permanent)}] {text}\r\n",
        ]

    def highestmodseq_line(self) -> str:
        """HIGHESTMODSEQ: the client has heard of all that changed up to it, and of no more."""
        return f"* OK [HIGHESTMODSEQ {self._told_modseq}] Highest mod-sequence\r\n"

    # --- which messages ------------------------------------------------------

    def pick(self, numbers: SequenceSet, *, uid: bool) -> Picked:
        """The messages that a command names.

        Raises:
            Rejected: BAD, for a message number that the client cannot know (RFC 3501 section 9,
                ``seq-number``). Unknown UIDs are simply left out.
        """
        if uid:
            return self._pick_uids(numbers)
        if numbers.largest_named > self.exists or (not self.exists and numbers.parts):
            raise Rejected("BAD", "No such message")
        return self._pick_numbers(numbers.ranges(self.exists))

    def numbers_of(self, numbers: SequenceSet) -> Picked:
        """Like `pick` by number, but numbers beyond the last are left out (SEARCH)."""
        ranges = numbers.ranges(self.exists)
        known = [(low, min(high, self.exists)) for low, high in ranges if low <= self.exists]
        return self._pick_numbers(known)

    def everything(self) -> Picked:
        """All messages that the client knows."""
        return self._pick_numbers([(1, self.exists)] if self.exists else [])

    def number_of(self, uid: int) -> int | None:
        """The number under which the client knows a message."""
        position = bisect_left(self._columns.uids, uid, 0, self.exists)
        known = position < self.exists and self._columns.uids[position] == uid
        return position + 1 if known else None

    def _pick_numbers(self, ranges: list[tuple[int, int]]) -> Picked:
        columns = self.view.columns
        if columns is self._columns:
            # Nothing went: the row of message n is n - 1.
            if len(ranges) == 1:
                low, high = ranges[0]
                return Picked(range(low, high + 1), range(low - 1, high), columns, missing=False)
            picked = list(chain.from_iterable(range(low, high + 1) for low, high in ranges))
            return Picked(picked, [number - 1 for number in picked], columns, missing=False)
        found: list[int] = []
        indexes: list[int] = []
        missing = False
        for number in chain.from_iterable(range(low, high + 1) for low, high in ranges):
            index = columns.index_of(self._columns.uids[number - 1])
            if index is None:
                missing = True
            else:
                found.append(number)
                indexes.append(index)
        return Picked(found, indexes, columns, missing)

    def _pick_uids(self, numbers: SequenceSet) -> Picked:
        ranges = []
        last = self._columns.uids[self.exists - 1] if self.exists else 0
        for low, high in numbers.ranges(last):
            start = bisect_left(self._columns.uids, low, 0, self.exists)
            stop = bisect_left(self._columns.uids, min(high, last) + 1, start, self.exists)
            if stop > start:
                ranges.append((start + 1, stop))
        return self._pick_numbers(ranges)

    # --- what is new ---------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether the client knows everything."""
        return self.view.version == self._told_version

    def keyword_updates(self) -> str:
        """FLAGS and PERMANENTFLAGS where there are new keywords: to be told before the first
        response that shows one (RFC 3501 section 7.2.6).
        """
        if self.view.keywords == self._keywords:
            return ""
        self._keywords = self.view.keywords
        return "".join(self.flag_lines())

    def updates(self, *, may_expunge: bool) -> str:
        """The untagged responses that bring the client up to date, as far as now allowed."""
        view = self.view
        if view.version == self._told_version:
            return ""
        lines = [self.keyword_updates()]
        known = self.exists
        if view.columns is not self._columns and may_expunge:
            known = self._tell_expunged(lines)
        if view.columns is self._columns and len(view) > known:
            self.exists = len(view)
            lines.append(f"* {self.exists} EXISTS\r\n* {self.recent} RECENT\r\n")
        self._tell_flags(lines, known)
        if view.columns is self._columns:
            self._told_version = view.version
        return "".join(lines)

    def _tell_expunged(self, lines: list[str]) -> int:
        """Take over the view's numbers; returns how many of its messages the client knows."""
        present = frozenset(self.view.columns.uids)
        survivors = 0
        gone: list[int] = []
        for number, uid in enumerate(self._columns.uids[: self.exists], 1):
            if uid in present:
                survivors += 1
            else:
                gone.append(number)
        # From the last to the first: no number that is still to come shifts.
        lines += [f"* {number} EXPUNGE\r\n" for number in reversed(gone)]
        self._columns = self.view.columns
        self.exists = survivors
        return survivors

    def state_line(self, number: int, columns: Columns, index: int) -> str:
        """The FETCH response that says how the flags of a message are now."""
        flags = self.flags_text(columns.uids[index], columns.flags[index])
        modseq = f" MODSEQ ({columns.modseqs[index]})" if self.tells_modseqs else ""
        return f"* {number} FETCH (UID {columns.uids[index]} FLAGS {flags}{modseq})\r\n"

    def _tell_flags(self, lines: list[str], known: int) -> None:
        view = self.view
        if view.highestmodseq == self._told_modseq:
            return
        columns = view.columns
        for index in view.changed_since(self._told_modseq):
            if columns.modseqs[index] in self.own_modseqs:
                continue
            number = self.number_of(columns.uids[index])
            if number is not None and number <= known:
                lines.append(self.state_line(number, columns, index))
        self._told_modseq = view.highestmodseq
        self.own_modseqs.clear()
