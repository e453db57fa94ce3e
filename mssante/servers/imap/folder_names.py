"""Names in the tree of mailboxes."""

from collections.abc import Iterable

from mssante.wire.imap.list_pattern import SEPARATOR


def names_above(names: Iterable[str]) -> set[str]:
    """The names above these names, whether or not they are mailboxes themselves."""
    above: set[str] = set()
    for name in names:
        while SEPARATOR in name:
            name = name.rpartition(SEPARATOR)[0]  # noqa: PLW2901 - climbs
            above.add(name)
    return above


def in_order(names: Iterable[str]) -> list[str]:
    """INBOX first, the others by name."""
    return sorted(names, key=lambda name: (name != "INBOX", name))


def inbox_in_capitals(pattern: str) -> str:
    """A pattern that names INBOX in any case, so that it fits the name as we write it."""
    first, separator, rest = pattern.partition(SEPARATOR)
    return f"INBOX{separator}{rest}" if first.upper() == "INBOX" else pattern
