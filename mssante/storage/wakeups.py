"""Wake-ups between the processes of one machine: small datagrams on Unix sockets.

A datagram says that a folder changed; losing one is harmless, because readers compare the folder's
modseq and look again every few seconds anyway.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

_MESSAGE: Final = struct.Struct("!QQ")
"""Folder number and its modseq."""
_PREFIX: Final = "wake-"
_REFRESH_SECONDS: Final = 5.0
_MOST_BYTES: Final = 8192

FolderListener = Callable[[int, int], None]


class SocketWakeups:
    """Tells the folders' readers of this process and of all others."""

    def __init__(self, folder: Path, name: str, listener: FolderListener | None = None) -> None:
        """`folder` holds one socket for each process that listens. Without a `listener` this
        process only speaks (a command of the administrator).
        """
        # Through the folder's descriptor, because a socket's address has 107 bytes at most and an
        # instance may lie deeper than that.
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._root = Path(f"/proc/self/fd/{self._folder}")
        self._listener = listener
        self._own = self._root / f"{_PREFIX}{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._others: list[str] = []
        self._refreshed = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to hear the others."""
        with contextlib.suppress(FileNotFoundError):
            self._own.unlink()  # left by a process of the same slot that was killed
        self._socket.bind(str(self._own))
        self._own.chmod(0o600)
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._receive)

    def folder_changed(self, folder_number: int, highestmodseq: int) -> None:
        """Call after the change is durable; never raises."""
        if self._listener is not None:
            self._listener(folder_number, highestmodseq)
        message = _MESSAGE.pack(folder_number, highestmodseq)
        for address in self._addresses():
            try:
                self._socket.sendto(message, address)
            except (ConnectionRefusedError, FileNotFoundError):
                self._refreshed = float("-inf")  # somebody left: look again next time
            except OSError:
                continue  # a full queue: the reader looks by itself within seconds

    def close(self) -> None:
        """Stop hearing and remove the socket."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            with contextlib.suppress(FileNotFoundError):
                self._own.unlink()
        self._socket.close()
        os.close(self._folder)

    def _receive(self) -> None:
        while True:
            try:
                message = self._socket.recv(_MOST_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            if len(message) == _MESSAGE.size and self._listener is not None:
                self._listener(*_MESSAGE.unpack(message))

    def _addresses(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        if now - self._refreshed > _REFRESH_SECONDS:
            self._refreshed = now
            # Not to see the others (no descriptor left) must not fail a change that is durable.
            with contextlib.suppress(OSError):
                self._others = [
                    str(path)
                    for path in self._root.iterdir()
                    if path.name.startswith(_PREFIX) and path.name != self._own.name
                ]
        return self._others
