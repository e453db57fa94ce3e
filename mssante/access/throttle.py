"""Slows down guessing: waits that grow with the failures of a login, a peer, and a pair of them.

Kept in memory, per process, bounded. A peer here is an IPv4 address or an IPv6 /64 network, which
one customer usually holds whole.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from mssante.kernel.clock import Clock


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
LOGIN: Final = Patience(free_failures=30, longest_wait=timedelta(minutes=1))
"""One login from anywhere. The wait stays short, since it also shuts out the login's owner."""


@dataclass(slots=True)
class _Record:
    failures: int
    open_again: datetime
    forget_at: datetime


class Throttle:
    """Remembers recent failures; the oldest are forgotten first when memory is full."""

    def __init__(
        self,
        clock: Clock,
        *,
        memory: timedelta = timedelta(hours=1),
        max_records: int = 50_000,
    ) -> None:
        self._clock = clock
        self._memory = memory
        self._max_records = max_records
        self._records: dict[tuple[str, str], _Record] = {}

    def peer_must_wait(self, peer: str) -> bool:
        """Whether this peer has failed too often, whatever the login."""
        return self._waits(("", network_of(peer)))

    def login_must_wait(self, login: str, peer: str) -> bool:
        """Whether this login has failed too often, from this peer or from all together."""
        return self._waits((login, network_of(peer))) or self._waits((login, ""))

    def failed(self, login: str, peer: str) -> None:
        """Count a failure."""
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
        self._records.pop((login, network_of(peer)), None)

    def _waits(self, key: tuple[str, str]) -> bool:
        record = self._records.get(key)
        return record is not None and self._clock.now() < record.open_again

    def _count(self, key: tuple[str, str], patience: Patience) -> int:
        """Count a failure under a key; how many there are in a row."""
        now = self._clock.now()
        record = self._records.pop(key, None)
        failures = 1 if record is None or now >= record.forget_at else record.failures + 1
        open_again = now + patience.wait_after(failures)
        # Put back at the end: the dictionary stays in the order of the last failure.
        self._records[key] = _Record(failures, open_again, open_again + self._memory)
        if len(self._records) > self._max_records:
            del self._records[next(iter(self._records))]
        return failures


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
