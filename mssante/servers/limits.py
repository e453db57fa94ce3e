"""What one peer, one session and all of them together may take."""

from dataclasses import dataclass
from typing import Self

from mssante.access.throttle import network_of
from mssante.servers.connection_counts import ConnectionCounts


class ConnectionLimits:
    """How many connections may be open, in total and per peer (IPv4 address or IPv6 /64).

    They count at all workers together. Two that are admitted at the same instant at different workers do
    not see each other, so that there may be as many more as there are other workers.
    """

    def __init__(
        self,
        counts: ConnectionCounts | None = None,
        worker: int = 0,
        *,
        total: int = 5_000,
        per_peer: int = 200,
    ) -> None:
        """Args:
        counts: where all workers count; by default this one's alone.
        worker: the number of this one in it.
        total: connections at most.
        per_peer: of one peer at most.
        """
        self._counts = counts or ConnectionCounts()
        self._worker = worker
        self._total = total
        self._per_peer = per_peer

    def admit(self, peer: str) -> bool:
        """Count a new connection in, or say that there are too many."""
        network, counts = network_of(peer), self._counts
        if counts.total() >= self._total or counts.of_network(network) >= self._per_peer:
            return False
        counts.add(self._worker, network, 1)
        return True

    def release(self, peer: str) -> None:
        """Count out a connection that was admitted."""
        self._counts.add(self._worker, network_of(peer), -1)


class ByteBudget:
    """Memory that all messages on their way in may take together, in octets."""

    def __init__(self, octets: int = 512 * 1024 * 1024) -> None:
        self.left = octets

    def share(self) -> "ByteShare":
        """An empty share of the budget, for one message."""
        return ByteShare(self)


class ByteShare:
    """What one message holds of the budget; given back when the block ends."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resize(0)

    def resize(self, octets: int) -> bool:
        """Hold so many octets from now on; False, and no change, when not so many are left."""
        more = octets - self._held
        if more > self._budget.left:
            return False
        self._budget.left -= more
        self._held = octets
        return True


@dataclass(slots=True)
class Allowance:
    """How often something may happen, for instance commands that lead nowhere."""

    most: int
    used: int = 0

    def spend(self) -> bool:
        """Use one; False when none is left."""
        self.used += 1
        return self.used <= self.most

    def renew(self) -> None:
        """Start again: the peer has done something useful."""
        self.used = 0
