"""Large messages on their way in: beyond a few hundred kilobytes they gather on disk, not in memory.

The file has no name, so that a crash leaves nothing, and its octets are encrypted with a key that only
this process knows for as long as the message comes in: what is on the disk is worthless without it.
It is not the spool: nothing here is durable, and nothing has been promised yet.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

from mssante.storage.encryption import PassingCipher

IN_MEMORY: Final = 512 * 1024
"""Octets of one message that stay in memory."""
_UNNAMED: Final = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC


class OverflowKeeper:
    """Keeps one message in memory as long as it is small, else in an unnamed file."""

    def __init__(self, folder: Path, in_memory: int = IN_MEMORY) -> None:
        """Args:
        folder: on the disk that is to hold it.
        in_memory: octets that stay in memory before the file is begun.
        """
        self._folder = folder
        self._in_memory = in_memory
        self._pieces: list[bytes] = []
        self.held = 0
        self._written = 0
        self._descriptor = -1
        self._cipher: PassingCipher | None = None

    def add(self, piece: bytes) -> None:
        """Keep more.

        Raises:
            OSError: the disk is full or broken.
        """
        self._pieces.append(piece)
        self.held += len(piece)
        if self.held > self._in_memory:
            self._flush()

    def drop(self) -> None:
        """Keep nothing of it."""
        self._pieces.clear()
        self.held = 0
        self._written = 0
        self._cipher = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def content(self) -> bytes:
        """All of it, in memory.

        Raises:
            OSError: the disk does not give it back.
        """
        if self._cipher is None:
            return b"".join(self._pieces)
        sealed = bytearray(self._written)
        view, position = memoryview(sealed), 0
        while position < self._written:
            read = os.preadv(self._descriptor, [view[position:]], position)
            if not read:
                raise OSError("a message that came in was cut off on the disk")
            position += read
        return b"".join((self._cipher.opened(sealed), *self._pieces))

    def _flush(self) -> None:
        if self._cipher is None:
            self._descriptor = _unnamed_file(self._folder)
            self._cipher = PassingCipher()
        view = memoryview(self._cipher.sealed(b"".join(self._pieces)))
        while view:
            written = os.pwrite(self._descriptor, view, self._written)
            self._written += written
            view = view[written:]
        self._pieces.clear()
        self.held = 0

    def __del__(self) -> None:
        """Give the disk's space back, whatever became of the message."""
        self.drop()


def _unnamed_file(folder: Path) -> int:
    try:
        return os.open(folder, _UNNAMED, 0o600)
    except OSError:  # a file system without unnamed files
        descriptor, name = tempfile.mkstemp(prefix="incoming-", dir=folder)
        Path(name).unlink()
        return descriptor
