"""How many connections each network has open, at all workers of an instance together.

Memory that the workers share, in which each writes a row of its own and reads those of the others: no
lock, no message, and what a worker counted is forgotten when it dies. A row has a fixed size, whatever
comes: a network counts in two cells of it that a keyed hash chooses, and the smaller number is believed
(a count-min sketch). It is never too small; it is too large only for a network that shares both its
cells with busy ones, which nobody without the key can bring about.
"""

import mmap
import secrets
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_CELLS: Final = 1 << 13
_WIDTH: Final = 4
"""Octets of a cell."""
_ROW: Final = 1 + 2 * _CELLS
"""Cells of a worker: all of its connections, then the two by network."""


class ConnectionCounts:
    """The rows of one instance, shared by the processes that are forked after it is made."""

    def __init__(self, workers: int = 1) -> None:
        # Without a file: private to these processes, and gone with them.
        self._map = mmap.mmap(-1, workers * _ROW * _WIDTH)
        self._cells = memoryview(self._map).cast("I")
        self._bases = range(0, workers * _ROW, _ROW)
        key = secrets.token_bytes(16)

        @lru_cache(maxsize=4096)
        def places(network: str) -> tuple[int, int]:
            digest = blake2b(network.encode(), digest_size=8, key=key).digest()
            first, second = (int.from_bytes(half) % _CELLS for half in (digest[:4], digest[4:]))
            return 1 + first, 1 + _CELLS + second

        self._places = places

    def total(self) -> int:
        """Connections open at all workers."""
        cells = self._cells
        return sum([cells[base] for base in self._bases])

    def of_network(self, network: str) -> int:
        """Connections that a network has open at all workers, or a few more."""
        cells, (first, second) = self._cells, self._places(network)
        return min(
            sum([cells[base + first] for base in self._bases]),
            sum([cells[base + second] for base in self._bases]),
        )

    def add(self, worker: int, network: str, number: int) -> None:
        """Count connections in, or (negative) out, at the worker of this process."""
        base, cells = self._bases[worker], self._cells
        for place in (0, *self._places(network)):
            cells[base + place] += number

    def forget(self, worker: int) -> None:
        """A worker has ended, and its connections with it."""
        base = self._bases[worker]
        self._cells[base : base + _ROW] = memoryview(bytes(_ROW * _WIDTH)).cast("I")
