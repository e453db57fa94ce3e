"""Files that others put there, read whole and within a bound."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from mssante.trust.anchors import Unreadable

MAX_FILE: Final = 64 << 20
"""Octets; a revocation list of a large authority has some ten million."""

T = TypeVar("T")


def read_file(file: Path, limit: int = MAX_FILE) -> bytes:
    """A file's octets.

    Raises:
        Unreadable: it cannot be read, or it has more octets than `limit`; the text names it.
    """
    try:
        with file.open("rb") as stream:
            octets = stream.read(limit + 1)
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}") from None
    if len(octets) > limit:
        raise Unreadable(f"{file} is larger than {limit} octets")
    return octets


def read_all(read: Callable[[bytes], Sequence[T]], files: Iterable[Path]) -> tuple[T, ...]:
    """What several files hold, one after the other.

    Args:
        read: makes objects of a file's octets, or raises Unreadable.
        files: each within `MAX_FILE`.

    Raises:
        Unreadable: which file, and what is wrong with it.
    """
    found: list[T] = []
    for file in files:
        octets = read_file(file)
        try:
            found += read(octets)
        except Unreadable as error:
            raise Unreadable(f"{file}: {error}") from None
    return tuple(found)
