r"""Names of flags (RFC 3501 section 2.3.2): five of the system, the rest keywords.

``\Recent`` cannot be stored: it belongs to the session and not to the message.
"""

from typing import Final

from mssante.wire.imap.errors import GrammarError

SYSTEM_FLAG_NAMES: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
"""In the order in which RFC 3501 lists them."""

_CANONICAL: Final = {name.upper(): name for name in SYSTEM_FLAG_NAMES}
_RECENT: Final = "\\RECENT"
MAX_KEYWORD: Final = 128
"""Octets of a keyword; the standard sets no limit."""


def canonical_flags(names: list[str]) -> tuple[str, ...]:
    r"""Spell system flags as the standard does, drop ``\Recent`` and repetitions.

    Keywords keep their spelling; two that differ in case only are one (the first is kept).

    Raises:
        GrammarError: a system flag that does not exist, or a keyword that is too long.
    """
    found: dict[str, str] = {}
    for name in names:
        key = name.upper()
        if key == _RECENT:
            continue
        if name.startswith("\\") and key not in _CANONICAL:
            raise GrammarError("Unknown system flag")
        if len(name) > MAX_KEYWORD:
            raise GrammarError("Keyword too long")
        found.setdefault(key, _CANONICAL.get(key, name))
    return tuple(found.values())
