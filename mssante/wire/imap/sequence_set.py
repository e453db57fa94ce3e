"""Sets of sequence numbers or UIDs (RFC 3501 section 9, ``sequence-set``)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mssante.wire.imap.errors import GrammarError

STAR: Final = 0
"""Stands for ``*``, the largest number in use; 0 is no valid number."""

_RANGE: Final = re.compile(rb"(\*|[1-9][0-9]{0,9})(?::(\*|[1-9][0-9]{0,9}))?\Z")
_MAX_NUMBER: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as the client wrote them, in any order, possibly overlapping."""

    parts: tuple[tuple[int, int], ...]

    def ranges(self, largest: int) -> list[tuple[int, int]]:
        """Ascending, disjoint ranges (both ends included), ``*`` being `largest`.

        As RFC 3501 says, ``n:*`` holds `largest` also when n is greater, and ``4:2`` is ``2:4``.
        With `largest` 0 (an empty mailbox) ``*`` names nothing.
        """
        resolved = []
        for start, stop in self.parts:
            first, last = start or largest, stop or largest
            if first and last:
                resolved.append((min(first, last), max(first, last)))
        resolved.sort()
        merged: list[tuple[int, int]] = []
        for low, high in resolved:
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return merged

    @property
    def largest_named(self) -> int:
        """The greatest number written out; 0 where only ``*`` is."""
        return max((max(part) for part in self.parts), default=0)


def parse_sequence_set(raw: bytes) -> SequenceSet:
    """Read a sequence set.

    Raises:
        GrammarError: it is not one.
    """
    parts = []
    for piece in raw.split(b","):
        match = _RANGE.match(piece)
        if match is None:
            raise GrammarError("Invalid sequence set")
        start = _number(match[1])
        parts.append((start, start if match[2] is None else _number(match[2])))
    return SequenceSet(tuple(parts))


def _number(raw: bytes) -> int:
    if raw == b"*":
        return STAR
    number = int(raw)
    if number > _MAX_NUMBER:
        raise GrammarError("Invalid sequence set")
    return number


def format_numbers(numbers: Iterable[int]) -> str:
    """Write ascending numbers as a set without ``*``: ``1:3,7``; empty for none."""
    pieces: list[str] = []
    first = last = 0
    for number in numbers:
        if first and number == last + 1:
            last = number
            continue
        if first:
            pieces.append(_range_text(first, last))
        first = last = number
    if first:
        pieces.append(_range_text(first, last))
    return ",".join(pieces)


def _range_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}:{last}"
