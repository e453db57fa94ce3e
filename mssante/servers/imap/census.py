"""How many connections each account has open, so that one account cannot take them all."""

from collections import Counter

from mssante.kernel.opaque import OpaqueId


class Census:
    """Counts signed-in connections of one process by account."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[OpaqueId] = Counter()

    def enter(self, account: OpaqueId) -> bool:
        """Count one more connection, if there is room for it."""
        if self._open[account] >= self._most:
            return False
        self._open[account] += 1
        return True

    def leave(self, account: OpaqueId) -> None:
        """A connection ended."""
        self._open[account] -= 1
        if not self._open[account]:
            del self._open[account]
