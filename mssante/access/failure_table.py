"""Recent failures, as all workers of an instance see them together.

Memory of a fixed size that the processes share. A keyed hash chooses a row for each subject, which keeps
it in one of its places; where all are taken, the one that would be forgotten first gives way. There is
no lock that a process could die with: two failures of one subject that come at the same instant to two
workers may count as one.
"""

import mmap
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

_ROWS: Final = 1 << 13
_PLACES: Final = 8
_CELLS: Final = 4
"""Of a place: whose it is (0: nobody's), and what is known."""
_ROW: Final = _PLACES * _CELLS

Subject = tuple[str, ...]
"""A login and a network, one of them empty where it does not matter; or another kind with a word before."""


class Failures(NamedTuple):
    """What is known of a subject."""

    in_a_row: int
    open_again: int
    """When it may try again: milliseconds, UTC."""
    forget_at: int
    """Milliseconds, UTC."""


class FailureTable:
    """Shared by the processes that are forked after it is made."""

    def __init__(self) -> None:
        # Without a file: private to these processes, and gone with them.
        self._map = mmap.mmap(-1, _ROWS * _ROW * 8)
        self._cells = memoryview(self._map).cast("Q")
        self._key = secrets.token_bytes(32)

    def find(self, subject: Subject) -> Failures | None:
        """What is known of a subject."""
        name, row = self._place_of(subject)
        cells = self._cells
        for place in range(row, row + _ROW, _CELLS):
            if cells[place] == name:
                return Failures(*cells[place + 1 : place + _CELLS])
        return None

    def keep(self, subject: Subject, failures: Failures) -> None:
        """Remember, in place of what was known."""
        name, row = self._place_of(subject)
        cells = self._cells
        places = range(row, row + _ROW, _CELLS)
        chosen = next((place for place in places if cells[place] == name), None)
        if chosen is None:
            chosen = min(places, key=lambda place: cells[place + 3])
        self._write(chosen, (name, *failures))

    def forget(self, subject: Subject) -> None:
        """Nothing is known of a subject any more."""
        name, row = self._place_of(subject)
        for place in range(row, row + _ROW, _CELLS):
            if self._cells[place] == name:
                self._write(place, (0, 0, 0, 0))

    def _write(self, place: int, values: Sequence[int]) -> None:
        for offset, value in enumerate(values):
            self._cells[place + offset] = value

    def _place_of(self, subject: Subject) -> tuple[int, int]:
        """Its name in the table, and where its row begins."""
        text = "\0".join(subject).encode(errors="surrogatepass")
        digest = blake2b(text, digest_size=12, key=self._key).digest()
        name, row = int.from_bytes(digest[:8]) or 1, int.from_bytes(digest[8:]) % _ROWS
        return name, row * _ROW
