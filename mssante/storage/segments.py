"""Blobs in append-only segment files: many blobs share one sync, none has a file of its own.

Each process writes its own segments (named by its slot), so that nobody waits for anybody; all
processes read all of them. A crash can leave unreferenced bytes at a segment's end: they are
ciphertext without a key, and harmless.
"""

import contextlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Final

from mssante.mail.model import BlobRef
from mssante.mail.ports import BlobUnreadable
from mssante.storage.encryption import (
    CHUNK,
    KEY_BYTES,
    TAG,
    Keyring,
    Tampered,
    decrypt_chunks,
    encrypt_blob,
    sealed_length,
)
from mssante.storage.grouping import GroupThread

SEGMENT_BYTES: Final = 256 * 1024 * 1024
"""A segment that has grown beyond this is followed by a new one."""
_NAME: Final = re.compile(r"[a-z0-9]{1,32}-[0-9]{8}\Z")
_OPEN_FILES: Final = 64
_IOV_MAX: Final = 512
_GATHERING_SECONDS: Final = 0.005
"""How long a batch gathers at most while the loop is busy."""
_LARGEST_BATCH: Final = 64
_AHEAD: Final = bytes(1024 * 1024)
"""Zeros written ahead of what is appended. A sync of what overwrites them has no change of the file's size
to make durable, which costs the file system a commit of its own journal: it takes half the time."""
_SMALL: Final = 64 * 1024
"""Octets of a batch; where they are more, the zeros would cost what they spare."""


class SegmentWriter:
    """Appends to this owner's newest segment. Not thread-safe: one thread uses it."""

    def __init__(self, folder: Path, owner: str) -> None:
        """`owner` names a worker's slot and purpose: lower-case letters and digits."""
        self._folder = folder
        self._owner = owner
        self._descriptor = -1
        self._name = ""
        self._size = 0
        self._written = 0
        """Octets of the file, zeros ahead included."""

    def append(self, pieces: Sequence[bytes]) -> tuple[str, int]:
        """Write byte strings one behind the other and sync them: durable on return.

        Returns:
            The segment's name and the offset of the first piece.

        Raises:
            OSError: nothing was written that anybody will ever refer to.
        """
        self._open()
        start = self._size
        try:
            end = _write_all(self._descriptor, pieces, start)
            self._write_ahead(start, end)
        except OSError:
            self._take_back(start)
            raise
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            # What the kernel holds and what the disk holds may differ from now on: nothing is ever
            # appended to this file again.
            self._take_back(start)
            self.close()
            raise
        self._size = end
        return self._name, start

    def _write_ahead(self, start: int, end: int) -> None:
        if end <= self._written:
            return
        self._written = end
        if end - start <= _SMALL:
            try:
                self._written = _write_all(self._descriptor, [_AHEAD], end)
            except OSError:
                # What had to be written has found its place. What is left of the disk is for the
                # databases: without them nothing that is accepted goes on.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, end)

    def _take_back(self, start: int) -> None:
        """Give back what a refused write took: on a full disk each attempt would fill it more, and
        a start would carry a message that was refused.
        """
        try:
            os.ftruncate(self._descriptor, start)
            self._written = start
        except OSError:  # nothing is appended behind bytes of unknown state
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            if self._written > self._size:
                with contextlib.suppress(OSError):  # zeros harm nobody
                    os.ftruncate(self._descriptor, self._size)
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0 and self._size < SEGMENT_BYTES:
            return
        self.close()
        number = max(segment_numbers(self._folder, self._owner), default=0) + 1
        self._name = segment_name(self._owner, number)
        path = self._folder / self._name
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size = self._written = 0
        sync_folder(self._folder)


def segment_name(owner: str, number: int) -> str:
    """The name of an owner's segment."""
    return f"{owner}-{number:08d}"


def segment_numbers(folder: Path, owner: str) -> list[int]:
    """The numbers of an owner's segments, ascending."""
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob(f"{owner}-*"))


def seal_blob(keyring: Keyring, content: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """Encrypt a blob with a new key: the key, the wrapped key, and the ciphertext's chunks."""
    key = os.urandom(KEY_BYTES)
    return key, keyring.wrap(key), list(encrypt_blob(key, content))


def _write_all(descriptor: int, pieces: Sequence[bytes], offset: int) -> int:
    """Write all pieces at an offset; the offset behind them."""
    for first in range(0, len(pieces), _IOV_MAX):
        group: list[bytes | memoryview] = list(pieces[first : first + _IOV_MAX])
        while group:
            written = os.pwritev(descriptor, group, offset)
            offset += written
            while group and written >= len(group[0]):
                written -= len(group.pop(0))
            if written:
                group[0] = memoryview(group[0])[written:]
    return offset


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SegmentBlobs:
    """The `Blobs` port on a folder of segments."""

    def __init__(self, folder: Path, owner: str, keyring: Keyring) -> None:
        self._folder = folder
        self._keyring = keyring
        self._writer = SegmentWriter(folder, owner)
        # Read from the event loop and from threads. A file that is put out of here closes when its
        # last reader lets go of it: a number that is used again could be another file's.
        self._open_files: OrderedDict[str, FileIO] = OrderedDict()
        self._opening = threading.Lock()
        self._thread: GroupThread[bytes, BlobRef] = GroupThread(
            f"segments of {folder.name}",
            self._put,
            within=_GATHERING_SECONDS,
            largest=_LARGEST_BATCH,
        )

    async def put(self, content: bytes) -> BlobRef:
        """Keep bytes; durable on return."""
        return await self._thread.put(content)

    def read(self, ref: BlobRef, start: int = 0, stop: int | None = None) -> bytes:
        """Plaintext bytes [start, stop) of a blob."""
        stop = ref.length if stop is None else min(stop, ref.length)
        if start >= stop and ref.length:
            return b""
        first, last = start // CHUNK, max(start, stop - 1) // CHUNK
        begin = first * (CHUNK + TAG)
        end = min((last + 1) * (CHUNK + TAG), sealed_length(ref.length))
        file = self._file(ref.segment)
        sealed = os.pread(file.fileno(), end - begin, ref.offset + begin)
        if len(sealed) != end - begin:
            raise BlobUnreadable(f"segment {ref.segment} ends before a blob does")
        try:
            plain = decrypt_chunks(self.key_of(ref), first, sealed, ref.length)
        except Tampered as fault:
            raise BlobUnreadable(str(fault)) from None
        origin = first * CHUNK
        if start == origin and stop - origin == len(plain):
            return plain
        return plain[start - origin : stop - origin]

    @property
    def keyring(self) -> Keyring:
        """The keys that seal the blobs."""
        return self._keyring

    def key_of(self, ref: BlobRef) -> bytes:
        """The blob's own key, for what is sealed beside it."""
        return self._keyring.unwrap(ref.wrapped_key)

    async def close(self) -> None:
        """Finish waiting writes and close the files."""
        await self._thread.close()
        self._writer.close()
        self._open_files.clear()

    def _put(self, contents: Sequence[bytes]) -> Sequence[BlobRef]:
        sealed = [seal_blob(self._keyring, content) for content in contents]
        segment, offset = self._writer.append(
            [chunk for _, _, chunks in sealed for chunk in chunks]
        )
        refs = []
        for content, (_, wrapped, _) in zip(contents, sealed, strict=True):
            refs.append(BlobRef(segment, offset, len(content), wrapped))
            offset += sealed_length(len(content))
        return refs

    def _file(self, segment: str) -> FileIO:
        with self._opening:
            found = self._open_files.get(segment)
            if found is not None:
                self._open_files.move_to_end(segment)
                return found
            if _NAME.match(segment) is None:  # it comes from the database, but a path is a path
                raise BlobUnreadable("a row names no segment")
            try:
                found = self._open_files[segment] = _LateClosing(self._folder / segment, "rb")
            except FileNotFoundError:
                raise BlobUnreadable(f"segment {segment} is missing") from None
            if len(self._open_files) > _OPEN_FILES:
                self._open_files.popitem(last=False)
            return found


class _LateClosing(FileIO):
    """A file that closes, in silence, with its last reference."""

    def __del__(self) -> None:
        self.close()
