"""What one peer, one session and all of them together may take of this process."""

from collections import Counter
from dataclasses import dataclass
from typing import Self

from mssante.access.throttle import network_of


class ConnectionLimits:
    """Counts open connections, in total and per peer (IPv4 address or IPv6 /64)."""

    def __init__(self, *, total: int = 5_000, per_peer: int = 200) -> None:
        self._total = total
        self._per_peer = per_peer
        self._open: Counter[str] = Counter()
        self._count = 0

    @property
    def count(self) -> int:
        """Connections open now."""
        return self._count

    def admit(self, peer: str) -> bool:
        """Count a new connection in, or say that there are too many."""
        network = network_of(peer)
        if self._count >= self._total or self._open[network] >= self._per_peer:
            return False
        self._count += 1
        self._open[network] += 1
        return True

    def release(self, peer: str) -> None:
        """Count out a connection that was admitted."""
        network = network_of(peer)
        self._count -= 1
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]


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
