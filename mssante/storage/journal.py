"""The journal of accepted messages: framed records in a worker's own segments.

One append and one sync for a whole batch stand before their 250s (docs/decisions/0001); there is no
database and no other process in the way. The body's ciphertext is written once: a delivered message
refers to it where it lies.

A record, integers big-endian: magic (4 octets), state (1; ``L`` live, ``D`` done, ``X`` damaged), 3 unused,
length of the sealed envelope (4), CRC-32 of what never changes in these fields (4), length of the
body's plaintext (8), time of acceptance in milliseconds (8), id (16), wrapped key (62), 2 unused;
then the sealed envelope and the body's ciphertext. Both are authenticated with the record's key.

Done means: the state is overwritten and the wrapped key with zeros, so that deleting the message
later destroys its content. Losing that in a crash is harmless, because every effect is keyed.
"""

import asyncio
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import BlobRef
from mssante.storage.encryption import Keyring, Tampered, seal, sealed_length, unseal
from mssante.storage.grouping import GroupThread
from mssante.storage.segments import (
    SegmentWriter,
    seal_blob,
    segment_name,
    segment_numbers,
)

_LOG: Final = logging.getLogger(__name__)

_HEAD: Final = struct.Struct("!4s c 3x I I Q Q 16s 62s 2x")
_FIXED: Final = struct.Struct("!4sIQQ16s")
_MAGIC: Final = b"mJ1\n"
_LIVE: Final = b"L"
_DONE: Final = b"D"
_DAMAGED: Final = b"X"
_STATE_AT: Final = 4
_KEY_AT: Final = _HEAD.size - 64
_NO_KEY: Final = bytes(62)
_GATHERING_SECONDS: Final = 0.005
"""How long a batch gathers at most while the loop is busy."""
_LARGEST_BATCH: Final = 128
_WINDOW: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted message as the journal holds it."""

    id: OpaqueId
    accepted_at: int
    """Milliseconds, UTC."""
    envelope: bytes = field(repr=False)
    """Opened."""
    blob: BlobRef
    offset: int
    """Where the record begins in its segment."""


@dataclass(frozen=True, slots=True)
class _Accepting:
    """A message, sealed and framed, on its way to the disk."""

    id: OpaqueId
    accepted_at: int
    envelope: bytes = field(repr=False)
    """Opened."""
    length: int
    """Of the body's plaintext."""
    wrapped: bytes
    before_body: int
    """Octets of its record before the body."""
    pieces: list[bytes] = field(repr=False)


class Journal:
    """The journal of one slot. Only the process that holds the slot's lock writes it."""

    def __init__(self, folder: Path, slot: str, keyring: Keyring) -> None:
        self._folder = folder
        self._slot = slot
        self._keyring = keyring
        self._writer = SegmentWriter(folder, slot)
        self._files: dict[str, int] = {}
        self._live: dict[str, int] = {}
        """Live records by segment. The appending thread counts them in before it can begin another
        segment: one that is on the disk is never overlooked by `first_live_segment`."""
        self._counting = threading.Lock()
        self._thread: GroupThread[_Accepting, Record] = GroupThread(
            f"journal {slot}", self._append, within=_GATHERING_SECONDS, largest=_LARGEST_BATCH
        )

    @property
    def live(self) -> int:
        """Records accepted and not done."""
        with self._counting:
            return sum(self._live.values())

    def accept(
        self, entry_id: OpaqueId, accepted_at: int, envelope: bytes, content: bytes
    ) -> asyncio.Future[Record]:
        """Keep a message; durable when the future is done, which raises OSError where the disk is full
        or broken: then the message is not accepted.
        """
        # Sealed here: beside a busy loop the thread would wait for the interpreter at each step.
        key, wrapped, chunks = seal_blob(self._keyring, content)
        sealed = seal(key, envelope)
        head = _head(entry_id, accepted_at, len(content), wrapped, len(sealed))
        accepting = _Accepting(
            entry_id,
            accepted_at,
            envelope,
            len(content),
            wrapped,
            len(head) + len(sealed),
            [head, sealed, *chunks],
        )
        return self._thread.put(accepting)

    def done(self, record: Record) -> None:
        """Forget a record: mark it and destroy its key. Not synced: repeating it is harmless."""
        descriptor = self._file(record.blob.segment)
        os.pwrite(descriptor, _NO_KEY, record.offset + _KEY_AT)
        os.pwrite(descriptor, _DONE, record.offset + _STATE_AT)
        self._count(record.blob.segment, -1)

    def damaged(self, record: Record) -> None:
        """Pass over a record whose body cannot be read; its bytes and its key stay."""
        os.pwrite(self._file(record.blob.segment), _DAMAGED, record.offset + _STATE_AT)
        self._count(record.blob.segment, -1)

    def first_live_segment(self, mark: int) -> int:
        """The number of the first segment that holds, or will hold, a record not done.

        Args:
            mark: what it was when it was last remembered; segments before are not looked at.
        """
        # The files first, then the counts: where a next segment exists, all of the former's records
        # are counted.
        numbers = [n for n in segment_numbers(self._folder, self._slot) if n >= mark]
        for number in numbers[:-1]:
            name = segment_name(self._slot, number)
            with self._counting:
                if self._live.get(name):
                    return number
                self._live.pop(name, None)
            # No start will look here again, so that the keys must be gone from the disk now; also
            # those that a former process of this slot destroyed and did not sync.
            descriptor = self._file(name)
            os.fdatasync(descriptor)
            os.close(self._files.pop(name))
        return numbers[-1] if numbers else mark

    def recover(self, first_segment: int) -> Iterator[Record]:
        """The live records of the time before this start, oldest first.

        A record that was not wholly written was never answered with 250: it is passed over. Its
        bytes stay where they are, and a damaged record before intact ones is an error in the log,
        since it might have been answered.
        """
        for number in segment_numbers(self._folder, self._slot):
            if number < first_segment:
                continue
            name = segment_name(self._slot, number)
            try:
                for record in _records(self._folder / name, name, self._keyring):
                    self._count(name, 1)
                    yield record
            except OSError:
                _LOG.exception("the disk does not give back the journal", extra={"segment": name})
                self._count(name, 1)  # the mark must not pass it: the next start tries again

    async def close(self) -> None:
        """Finish what waits and close the files."""
        await self._thread.close()
        self._writer.close()
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _count(self, segment: str, change: int) -> None:
        with self._counting:
            self._live[segment] = self._live.get(segment, 0) + change

    def _file(self, segment: str) -> int:
        descriptor = self._files.get(segment)
        if descriptor is None:
            path = self._folder / segment
            descriptor = self._files[segment] = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        return descriptor

    def _append(self, batch: Sequence[_Accepting]) -> Sequence[Record]:
        pieces = [piece for accepting in batch for piece in accepting.pieces]
        segment, offset = self._writer.append(pieces)
        self._count(segment, len(batch))
        records = []
        for one in batch:
            ref = BlobRef(segment, offset + one.before_body, one.length, one.wrapped)
            records.append(Record(one.id, one.accepted_at, one.envelope, ref, offset))
            offset += one.before_body + sealed_length(one.length)
        return records


def live_records(folder: Path, slot: str, keyring: Keyring, first_segment: int) -> Iterator[Record]:
    """The live and wholly written records of a slot, oldest first; changes nothing."""
    for number in segment_numbers(folder, slot):
        if number >= first_segment:
            name = segment_name(slot, number)
            yield from _records(folder / name, name, keyring)


def _head(entry_id: OpaqueId, at: int, body: int, wrapped: bytes, envelope: int) -> bytes:
    """The head of a live record; `body` and `envelope` are lengths."""
    crc = zlib.crc32(_FIXED.pack(_MAGIC, envelope, body, at, entry_id))
    return _HEAD.pack(_MAGIC, _LIVE, envelope, crc, body, at, entry_id, wrapped)


def unfinished_ids(folder: Path, slot: str, first_segment: int) -> set[OpaqueId]:
    """Whatever a start of this slot could still carry, read beside the process that serves it.

    What that process has marked as done is made durable first: no loss of power brings it back.
    """
    found: set[OpaqueId] = set()
    for number in segment_numbers(folder, slot):
        if number < first_segment:
            continue
        name = segment_name(slot, number)
        with (folder / name).open("rb") as file:
            os.fdatasync(file.fileno())
        found.update(head.id for head in _heads(folder / name, name) if head.state != _DONE)
    return found


@dataclass(frozen=True, slots=True)
class _Head:
    """The intact head of a record, and what lies behind it."""

    position: int
    state: bytes
    id: OpaqueId
    at: int
    sealed: bytes = field(repr=False)
    ref: BlobRef


def _heads(path: Path, segment: str) -> Iterator[_Head]:
    # By pread and not by mmap: where the disk has a fault, an error and not the end of the process.
    with path.open("rb", buffering=0) as file:
        descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size
        damaged: int | None = None
        position = 0
        while 0 <= position <= size - _HEAD.size:
            fields = _intact_fields(descriptor, position, size)
            if fields is None:
                damaged = position if damaged is None else damaged
                position = _next_magic(descriptor, position + 1)
                continue
            if damaged is not None:
                if _intact_fields(descriptor, damaged, size) is not None:
                    # Zeros ahead, a moment ago: its writer has come to there meanwhile.
                    position, damaged = damaged, None
                    continue
                _LOG.error(
                    "the journal is damaged before intact records; the segment is kept",
                    extra={"segment": segment, "offset": damaged},
                )
                damaged = None
            _, state, envelope, _, body, at, entry_id, wrapped = fields
            behind = position + _HEAD.size
            ref = BlobRef(segment, behind + envelope, body, wrapped)
            sealed = os.pread(descriptor, envelope, behind) if state == _LIVE else b""
            yield _Head(position, state, OpaqueId(entry_id), at, sealed, ref)
            position = behind + envelope + sealed_length(body)


def _intact_fields(descriptor: int, position: int, size: int) -> tuple[Any, ...] | None:
    """The fields of a record's head, where there is one and its record ends within the file."""
    octets = os.pread(descriptor, _HEAD.size, position)
    if len(octets) != _HEAD.size:  # its writer has cut the zeros off that were ahead
        return None
    fields = _HEAD.unpack(octets)
    magic, _, envelope, crc, body, at, entry_id, _ = fields
    fixed = _FIXED.pack(magic, envelope, body, at, entry_id)
    end = position + _HEAD.size + envelope + sealed_length(body)
    return fields if magic == _MAGIC and zlib.crc32(fixed) == crc and end <= size else None


def _next_magic(descriptor: int, start: int) -> int:
    """Where the next record may begin; -1 for nowhere."""
    while True:
        window = os.pread(descriptor, _WINDOW, start)
        found = window.find(_MAGIC)
        if found >= 0:
            return start + found
        if len(window) < len(_MAGIC):
            return -1
        start += len(window) - len(_MAGIC) + 1


def _records(path: Path, segment: str, keyring: Keyring) -> Iterator[Record]:
    """The live and intact records of one segment."""
    for head in _heads(path, segment):
        if head.state == _LIVE:
            record = _opened(head, keyring)
            if record is not None:
                yield record


def _opened(head: _Head, keyring: Keyring) -> Record | None:
    try:
        envelope = unseal(keyring.unwrap(head.ref.wrapped_key), head.sealed)
    except Tampered:
        _LOG.warning(
            "a journal record cannot be opened: not wholly written, or damaged since",
            extra={"segment": head.ref.segment, "offset": head.position},
        )
        return None
    return Record(head.id, head.at, envelope, head.ref, head.position)
