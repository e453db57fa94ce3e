"""UIDs as they stand in audit entries: ranges, cut so that no entry grows beyond measure."""

from collections.abc import Iterable, Iterator
from typing import Final

from mssante.wire.imap.sequence_set import format_numbers

_MOST_TEXT: Final = 4_000
"""Characters of UID ranges in one entry; scattered UIDs are cut into several entries."""


def uid_ranges(uids: Iterable[int]) -> Iterator[str]:
    """Sets as IMAP writes them (``1:3,7``), in ascending order; none for no UIDs."""
    written = format_numbers(sorted(uids))
    ranges = written.split(",") if written else []
    while ranges:
        length = taken = 0
        while taken < len(ranges) and length + len(ranges[taken]) < _MOST_TEXT:
            length += len(ranges[taken]) + 1
            taken += 1
        yield ",".join(ranges[:taken])
        del ranges[:taken]


def contains_uid(text: str, uid: int) -> bool:
    """Whether a set that `uid_ranges` wrote holds a UID."""
    for piece in text.split(","):
        first, _, last = piece.partition(":")
        if first.isdigit() and int(first) <= uid <= int(last or first):
            return True
    return False
