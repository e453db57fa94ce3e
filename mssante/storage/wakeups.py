"""Wake-ups between the processes of one machine: small datagrams on Unix sockets.

A datagram says which folders changed. A process that is busy hears few of them (Linux queues ten for it),
so what does not go out at once waits, gathered into one. Losing one would be harmless: readers compare
the folder's modseq and look again every few seconds anyway.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from itertools import islice, starmap
from pathlib import Path
from typing import Final

_CHANGE: Final = struct.Struct("!QQ")
"""Folder number and its modseq; a datagram has one or more."""
_PREFIX: Final = "wake-"
_REFRESH_SECONDS: Final = 5.0
_MOST_BYTES: Final = 8192
_MOST_WAITING: Final = 10_000
"""Changes kept for one process that does not listen at present."""
_AGAIN_SECONDS: Final = 0.005

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
        self._waiting: dict[str, dict[int, int]] = {}
        """By address, the changes that are to be told: folder and modseq."""
        self._flush_is_due = False

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
        for address in self._addresses():
            waiting = self._waiting.setdefault(address, {})
            if len(waiting) < _MOST_WAITING:
                waiting[folder_number] = max(highestmodseq, waiting.get(folder_number, 0))
        if self._waiting and not self._flush_is_due:
            # Not at once: what one transaction changed goes out together.
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        """Say what was not said yet, stop hearing and remove the socket."""
        for address in list(self._waiting):
            self._tell(address)
        self._waiting.clear()
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
            if len(message) % _CHANGE.size == 0 and self._listener is not None:
                for change in _CHANGE.iter_unpack(message):
                    self._listener(*change)

    def _flush(self) -> None:
        self._flush_is_due = False
        told = [self._tell(address) for address in list(self._waiting)]
        if not all(told):
            self._flush_is_due = True
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._flush)

    def _tell(self, address: str) -> bool:
        """Tell one process what waits for it; False if it must be tried again."""
        waiting = self._waiting.pop(address)
        while waiting:
            changes = list(islice(waiting.items(), _MOST_BYTES // _CHANGE.size))
            try:
                self._socket.sendto(b"".join(starmap(_CHANGE.pack, changes)), address)
            except BlockingIOError:  # its queue is full
                self._waiting[address] = waiting
                return False
            except OSError:
                self._refreshed = float("-inf")  # it left: look again next time
                return True
            for folder_number, _ in changes:
                del waiting[folder_number]
        return True

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
