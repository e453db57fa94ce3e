"""Slows down guessing: waits that grow with the failures of a login, a peer, and a pair of them.

Kept in memory that all workers share, bounded. A peer here is an IPv4 address or an IPv6 /64 network, which
one customer usually holds whole.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from mssante.access.failure_table import Failures, FailureTable, Subject
from mssante.kernel.clock import Clock, to_milliseconds

_GUESS: Final = "guess"


@dataclass(frozen=True, slots=True)
class Patience:
    """How much failure is borne before waits begin, and how they grow (doubling)."""

    free_failures: int
    first_wait: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(minutes=15)

    def wait_after(self, failures: int) -> timedelta:
        """How long nobody may try again after this many failures in a row."""
        beyond = failures - self.free_failures
        if beyond <= 0:
            return timedelta()
        doublings = min(beyond - 1, 20)
        return min(self.first_wait * (1 << doublings), self.longest_wait)


PAIR: Final = Patience(free_failures=5)
"""One login from one peer: someone types, or guesses."""
PEER: Final = Patience(free_failures=50)
"""One peer, any login: a whole hospital may stand behind one address. Of each pair only the free
failures count here."""
_NONE: Final = Patience(free_failures=1 << 62)
"""Nobody waits."""
LOGIN: Final = Patience(free_failures=30, longest_wait=timedelta(minutes=1))
"""One login from anywhere. The wait stays short, since it also shuts out the login's owner."""


class Throttle:
    """Remembers recent failures; where there are very many, the oldest are forgotten first."""

    def __init__(
        self,
        clock: Clock,
        table: FailureTable | None = None,
        *,
        memory: timedelta = timedelta(hours=1),
    ) -> None:
        """Args:
        clock: the one clock.
        table: where all workers count; by default this one's alone.
        memory: how long failures are remembered that make nobody wait any more.
        """
        self._clock = clock
        self._table = table or FailureTable()
        self._memory = _milliseconds(memory)

    def peer_must_wait(self, peer: str) -> bool:
        """Whether this peer has failed too often, whatever the login."""
        return self._waits(("", network_of(peer)))

    def login_must_wait(self, login: str, peer: str) -> bool:
        """Whether this login has failed too often, from this peer or from all together."""
        return self._waits((login, network_of(peer))) or self._waits((login, ""))

    def failed(self, login: str, peer: str, password: str) -> None:
        """Count a failure; of one and the same wrong password, the first within the memory's time only.

        A phone that repeats its old password for days guesses nothing.
        """
        if self._count((_GUESS, login, password), _NONE) > 1:
            return
        network = network_of(peer)
        self._count((login, ""), LOGIN)
        # Who fails again and again with one login is slowed down by the pair's count. The peer's
        # counts the breadth of an attempt: else one phone with an old password would in the end
        # shut out the whole hospital behind its address.
        if self._count((login, network), PAIR) <= PAIR.free_failures:
            self._count(("", network), PEER)

    def succeeded(self, login: str, peer: str) -> None:
        """The pair is trusted again; the peer and the login from elsewhere keep their counts, or
        an attacker with one account of its own would wipe its traces.
        """
        self._table.forget((login, network_of(peer)))

    def _waits(self, subject: Subject) -> bool:
        known = self._table.find(subject)
        return known is not None and to_milliseconds(self._clock.now()) < known.open_again

    def _count(self, subject: Subject, patience: Patience) -> int:
        """Count a failure; how many there are in a row."""
        now, known = to_milliseconds(self._clock.now()), self._table.find(subject)
        count = 1 if known is None or now >= known.forget_at else known.in_a_row + 1
        open_again = now + _milliseconds(patience.wait_after(count))
        self._table.keep(subject, Failures(count, open_again, open_again + self._memory))
        return count


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str:
    """What counts as one peer: the IPv4 address, or the /64 of an IPv6 address.

    Text that is not an IP address stands for itself (a Unix socket, a test).
    """
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is not None:
            return str(mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
