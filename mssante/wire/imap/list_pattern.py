"""Matches mailbox names with the wildcards of LIST (RFC 3501 section 6.3.8), in linear time.

``*`` stands for anything, ``%`` for anything without a separator. All possible positions in the
pattern advance together, as bits of one number: no pattern makes it slow.
"""

import re
from typing import Final

SEPARATOR: Final = "/"
_WILDCARDS: Final = re.compile(r"[*%]{2,}")


class ListPattern:
    """A compiled pattern."""

    def __init__(self, pattern: str) -> None:
        # Neighbouring wildcards are one, so that an empty match never has to skip two.
        pattern = _WILDCARDS.sub(lambda run: "*" if "*" in run[0] else "%", pattern)
        self._literal: dict[str, int] = {}
        self._stays = self._stays_at_separator = 0
        for position, letter in enumerate(pattern):
            bit = 1 << position
            if letter in "*%":
                self._stays |= bit
                if letter == "*":
                    self._stays_at_separator |= bit
            else:
                self._literal[letter] = self._literal.get(letter, 0) | bit
        self._accepting = 1 << len(pattern)

    def matches(self, name: str) -> bool:
        """Whether the whole name fits."""
        states = self._with_empty_matches(1)
        for letter in name:
            stays = self._stays_at_separator if letter == SEPARATOR else self._stays
            advanced = (states & self._literal.get(letter, 0)) << 1
            states = self._with_empty_matches(advanced | (states & stays))
            if not states:
                return False
        return bool(states & self._accepting)

    def _with_empty_matches(self, states: int) -> int:
        return states | (states & self._stays) << 1
