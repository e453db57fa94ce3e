"""Flags of rows as IMAP writes them, kept ready: a folder has few distinct combinations."""

from functools import lru_cache
from typing import Final

from mssante.mail.model import FIRST_KEYWORD_BIT, Flags
from mssante.wire.imap.flags import SYSTEM_FLAG_NAMES
from mssante.wire.imap.responses import flag_list

SYSTEM_BITS: Final = {
    "\\Answered": int(Flags.ANSWERED),
    "\\Flagged": int(Flags.FLAGGED),
    "\\Deleted": int(Flags.DELETED),
    "\\Seen": int(Flags.SEEN),
    "\\Draft": int(Flags.DRAFT),
}
"""The bit of each system flag, in the order in which we list them."""
RECENT: Final = 1 << 5
"""Stands beside the bits of a row in the keys of `FlagTexts`; no row has it."""
_MOST_TEXTS: Final = 10_000


class FlagTexts(dict[int, str]):
    """Flags of a row to their parenthesised names, in a folder with these keywords."""

    def __init__(self, keywords: tuple[str, ...]) -> None:
        super().__init__()
        self._keywords = keywords

    def __missing__(self, flags: int) -> str:
        if len(self) >= _MOST_TEXTS:
            self.clear()
        names = [name for name in SYSTEM_FLAG_NAMES if flags & SYSTEM_BITS[name]]
        if flags & RECENT:
            names.append("\\Recent")
        names += [
            name
            for index, name in enumerate(self._keywords)
            if flags >> (FIRST_KEYWORD_BIT + index) & 1
        ]
        text = self[flags] = flag_list(names)
        return text


@lru_cache(maxsize=512)
def flag_texts(keywords: tuple[str, ...]) -> FlagTexts:
    """The texts for folders with these keywords, shared by their sessions."""
    return FlagTexts(keywords)


def split_flags(names: tuple[str, ...]) -> tuple[int, list[str]]:
    """Canonical flag names as the bits of system flags, and keywords."""
    bits = 0
    keywords = []
    for name in names:
        if name in SYSTEM_BITS:
            bits |= SYSTEM_BITS[name]
        else:
            keywords.append(name)
    return bits, keywords
