"""Faults that the machine gives: databases that somebody else holds, disks that are full."""

import contextlib
import fcntl
import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest


@contextlib.contextmanager
def writers_held(*databases: Path) -> Iterator[None]:
    """Hold the turn of these databases' writers, as a process does that was stopped in its turn."""
    with contextlib.ExitStack() as stack:
        for path in databases:
            lock = stack.enter_context(Path(f"{path}.lock").open("r+"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def locked(*databases: Path) -> Iterator[None]:
    """Hold the write locks of these databases, as a foreign program does that knows no turns."""
    with contextlib.ExitStack() as stack:
        for path in databases:
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
            stack.callback(connection.close)
            connection.execute("BEGIN IMMEDIATE")
        yield


class SmallDisk:
    """A file system of its own in memory, that is full when a test says so; needs root."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        if os.geteuid() != 0:
            pytest.skip("NO FULL DISK TEST: it needs root to mount a small file system")
        self.folder = folder
        folder.mkdir(exist_ok=True)
        size = f"size={megabytes}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Not one octet is left."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        assert not os.statvfs(self.folder).f_bavail
        try:
            yield
        finally:
            ballast.unlink()


@contextlib.contextmanager
def files_limited(pids: Sequence[int]) -> Iterator[None]:
    """No file of these processes may grow (EFBIG): a full disk as any user can have it."""
    with contextlib.ExitStack() as stack:
        for pid in pids:
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
            stack.callback(_lift, pid, before)
        yield


def _lift(pid: int, limit: tuple[int, int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def cut_zeros_ahead(segments: Path) -> None:
    """Cut what is allocated behind each segment's content, so that its next write needs room on the disk."""
    for path in segments.glob("*"):
        os.truncate(path, len(path.read_bytes().rstrip(b"\0")))


def empty_log(database: Path) -> None:
    """Cut a database's write-ahead log, so that its next write needs room on the disk."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        [busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy
