"""What the processes of an instance see of each other without asking."""

from dataclasses import dataclass, replace
from typing import Self

from mssante.access.failure_table import FailureTable
from mssante.servers.connection_counts import ConnectionCounts
from mssante.servers.metrics import Memory


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """Made by the supervisor before the first worker, so that all inherit it; seen by one of them."""

    numbers: Memory
    connections: ConnectionCounts
    failures: FailureTable
    """Of those who sign in."""
    worker: int = 0
    """The number of this worker: of its page and its row."""

    @classmethod
    def of_workers(cls, workers: int = 1) -> Self:
        """For so many processes, seen by the first."""
        return cls(Memory(workers), ConnectionCounts(workers), FailureTable())

    def at(self, worker: int) -> Self:
        """As another worker sees it."""
        return replace(self, worker=worker)
