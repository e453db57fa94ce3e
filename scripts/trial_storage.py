#!/usr/bin/env python3
"""How do the durable writes of several processes meet on SQLite? The trial behind decision 0001.

Worker processes, each with some client connections (asyncio tasks), store messages of 5 kB: a
connection hands over one message, waits until it is durable, and sends the next. Every variant
does the same work for a delivered message: the body, a row with the folder's next UID and MODSEQ
and a ready-made summary, under a unique key. SQLite runs in WAL mode with synchronous=FULL.

    floor  nothing is written: what the clients and the measuring cost
    a      one file per shard, one owning process; others send to it over a Unix socket
    b      one file; each process gathers a batch, takes the flock, writes, commits
    b2     as b in two steps: accepted (body and spool row), then delivered by a later batch
    c      accepted into the worker's own segment and its own spool file, then delivered as in b
    d      as b without the flock: SQLite's busy handler
    e      as c without the spool file: the segment is the journal, read again at the start

A one-step variant is "delivered" when it is "accepted". With --kills a random worker is killed
with SIGKILL every 0.7 s or so and replaced; without, all live. After each run the files are read
again: each acknowledged message must be there exactly once with the right bytes, and the UIDs of
a folder must have no hole. SIGKILL proves what survives a process, not what survives a power cut.

Only ratios between variants of the same run mean something; rounds are interleaved (a b c a b c)
and the table shows medians. `lines` counts the source lines of the classes a variant needs.

    python scripts/trial_storage.py --seconds 5 --rounds 3 --kills
    python scripts/trial_storage.py --variants b,c --autocheckpoint 4000 --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import inspect
import itertools
import json
import os
import platform
import queue
import random
import select
import shutil
import signal
import sqlite3
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

try:
    import uvloop
except ImportError:  # the trial runs without it, only slower
    uvloop = None

SUMMARY = b"s" * 450  # stands for ENVELOPE, BODYSTRUCTURE and the listed header fields
GATHER_LIMIT = 512
IOV_MAX = 1024

MAIL_SCHEMA = """
CREATE TABLE folder (id INTEGER PRIMARY KEY, uidnext INTEGER NOT NULL, modseq INTEGER NOT NULL);
CREATE TABLE body (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE message (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
  folder INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL,
  size INTEGER NOT NULL, digest BLOB NOT NULL, summary BLOB NOT NULL,
  body INTEGER, segment INTEGER, place INTEGER,
  UNIQUE (folder, uid));
CREATE TABLE spool (
  key BLOB PRIMARY KEY, worker INTEGER NOT NULL, folder INTEGER NOT NULL, size INTEGER NOT NULL,
  digest BLOB NOT NULL, body INTEGER NOT NULL, began REAL NOT NULL);
CREATE TABLE progress (segment INTEGER PRIMARY KEY, upto INTEGER NOT NULL);
"""
SPOOL_SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (
  key BLOB PRIMARY KEY, folder INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL,
  segment INTEGER NOT NULL, place INTEGER NOT NULL, began REAL NOT NULL) WITHOUT ROWID;
"""


# --- what is stored, and how it is recorded ------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """The knobs of one run; the same for every variant."""

    seconds: float
    workers: int
    connections: int
    folders: int
    size: int
    gather: float
    pause: float
    work: float
    switch: float
    autocheckpoint: int
    checkpoint: str
    page_size: int
    restart: float
    kills: bool
    directory: str


@dataclass(slots=True)
class Message:
    """One message on its way; where its body lies is filled in when it is accepted."""

    key: bytes
    folder: int
    size: int
    digest: bytes
    began: float
    data: bytes | None = None
    body: int | None = None
    segment: int | None = None
    place: int | None = None


def body_of(key: bytes, size: int) -> bytes:
    """The bytes that belong to a key, so that a reader can tell whether they are whole."""
    seed = hashlib.sha256(key).digest()
    return (seed * (size // len(seed) + 1))[:size]


class Log:
    """What happened, in a file that outlives a killed worker (the page cache keeps it)."""

    RECORD = struct.Struct("<c16sdd")  # kind, key, when, value

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def times(self, kind: bytes, messages: Iterable[Message]) -> None:
        """Record acknowledgements (A) or deliveries (D), with the time since submission."""
        now = time.monotonic()
        os.write(
            self._fd, b"".join(self.RECORD.pack(kind, m.key, now, now - m.began) for m in messages)
        )

    def batch(self, kind: bytes, size: int, waited: float, took: float) -> None:
        """Record a batch: S is one of acceptance, B one of the mail file."""
        os.write(
            self._fd,
            self.RECORD.pack(kind, struct.pack("<dd", size, waited), time.monotonic(), took),
        )

    @classmethod
    def read(cls, path: Path) -> Iterator[tuple[bytes, bytes, float, float]]:
        data = path.read_bytes() if path.exists() else b""
        return cls.RECORD.iter_unpack(data[: len(data) - len(data) % cls.RECORD.size])


# --- the bricks ----------------------------------------------------------------------------


def connect(path: Path, options: Options, timeout: float = 30.0) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    db.execute(f"PRAGMA page_size={options.page_size}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    automatic = options.autocheckpoint if options.checkpoint == "commit" else 0
    db.execute(f"PRAGMA wal_autocheckpoint={automatic}")
    return db


class FairLock:
    """An advisory lock whose waiters queue in the kernel; the kernel frees it when we die."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)


class GroupWriter(threading.Thread):
    """Gathers what waits into one batch, commits it, then calls back in the loop, once a batch."""

    def __init__(self, commit: Callable[[list], None], gather: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._commit = commit
        self._gather = gather
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self.start()

    def put(self, item: object, done: Callable[[], None] | None = None) -> None:
        self._queue.put((item, done))

    async def write(self, item: object) -> None:
        """Hand over an item and wait until its batch is durable."""
        future = self._loop.create_future()
        self.put(item, lambda: future.set_result(None))
        await future

    def run(self) -> None:
        while True:
            batch = [self._queue.get()]
            if self._gather:
                time.sleep(self._gather)
            with contextlib.suppress(queue.Empty):
                while len(batch) < GATHER_LIMIT:
                    batch.append(self._queue.get_nowait())
            try:
                self._commit([item for item, _ in batch])
            except BaseException as error:  # a writer that cannot write must not stay silent
                print(f"writer failed: {error!r}", file=sys.stderr, flush=True)
                os._exit(70)
            calls = [done for _, done in batch if done]
            if calls:
                self._loop.call_soon_threadsafe(self._call, calls)

    @staticmethod
    def _call(calls: list[Callable[[], None]]) -> None:
        for call in calls:
            call()


class MailFile:
    """The mail store in one SQLite file. A repeated key does nothing."""

    def __init__(self, path: Path, options: Options, log: Log, lock: FairLock | None) -> None:
        self.db = connect(path, options)
        self._log = log
        self._lock = lock or contextlib.nullcontext()
        if options.checkpoint == "beside":
            self._beside = connect(path, options)
            self._wal = Path(f"{path}-wal")
            self._limit = options.autocheckpoint * options.page_size
            threading.Thread(target=self._checkpoints, daemon=True).start()

    @contextlib.contextmanager
    def transaction(self, size: int) -> Iterator[sqlite3.Connection]:
        asked = time.monotonic()
        with self._lock:
            self.db.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            yield self.db
            self.db.execute("COMMIT")
        self._log.batch(b"B", size, began - asked, time.monotonic() - began)

    def add_bodies(self, messages: list[Message]) -> None:
        """Store the bytes of messages that still carry them."""
        (last,) = self.db.execute("SELECT coalesce(max(id), 0) FROM body").fetchone()
        for number, message in enumerate(messages, last + 1):
            message.body = number
        self.db.executemany("INSERT INTO body VALUES (?, ?)", [(m.body, m.data) for m in messages])

    def unknown(self, messages: list[Message]) -> list[Message]:
        marks = ",".join("?" * len(messages))
        known = {
            key
            for (key,) in self.db.execute(
                f"SELECT key FROM message WHERE key IN ({marks})", [m.key for m in messages]
            )
        }
        return [m for m in messages if m.key not in known]

    def add_rows(self, messages: list[Message]) -> None:
        """Give each message its folder's next UID and MODSEQ."""
        marks = ",".join("?" * len({m.folder for m in messages}))
        folders = {
            number: [uid, modseq]
            for number, uid, modseq in self.db.execute(
                f"SELECT id, uidnext, modseq FROM folder WHERE id IN ({marks})",
                list({m.folder for m in messages}),
            )
        }
        rows = []
        for m in messages:
            counters = folders[m.folder]
            counters[1] += 1
            where = (m.body, m.segment, m.place)
            rows.append((m.key, m.folder, *counters, m.size, m.digest, SUMMARY, *where))
            counters[0] += 1
        self.db.executemany(
            "INSERT INTO message (key, folder, uid, modseq, size, digest, summary, body, segment,"
            " place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self.db.executemany(
            "UPDATE folder SET uidnext = ?, modseq = ? WHERE id = ?",
            [(*counters, number) for number, counters in folders.items()],
        )

    def _checkpoints(self) -> None:
        """Copy the log while others write, then only its last frames under the lock."""
        while True:
            time.sleep(0.05)
            with contextlib.suppress(OSError):
                if self._wal.stat().st_size > self._limit:
                    self._beside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    with self._lock:
                        self._beside.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


class Segment:
    """An append-only file that belongs to one worker: no lock, one sync for a batch."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.end = os.fstat(self._fd).st_size
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def append(self, pieces: list[bytes]) -> None:
        for start in range(0, len(pieces), IOV_MAX):
            part = pieces[start : start + IOV_MAX]
            wanted = sum(map(len, part))
            written = os.pwritev(self._fd, part, self.end)
            if written < wanted:  # a full disk or a signal: write the rest
                rest = b"".join(part)[written:]
                while rest:
                    count = os.pwrite(self._fd, rest, self.end + written)
                    rest, written = rest[count:], written + count
            self.end += wanted
        os.fdatasync(self._fd)

    def read(self, size: int, place: int) -> bytes:
        return os.pread(self._fd, size, place)

    def cut(self, place: int) -> None:
        os.ftruncate(self._fd, place)
        self.end = place


# --- the variants --------------------------------------------------------------------------


class Floor:
    """Nothing is written."""

    needs: tuple[type, ...] = ()
    failures = 0

    def __init__(self, folder: Path, options: Options, worker: int, log: Log) -> None:
        self.folder = folder
        self.options = options
        self.worker = worker
        self.log = log

    async def open(self) -> None:
        self.writer = GroupWriter(lambda _: None)

    async def accept(self, message: Message) -> None:
        await self.writer.write(message)

    async def drain(self) -> None:
        """Wait until what was accepted is delivered."""


class OneFile(Floor):
    """b. Failure cases: 1 killed while holding the flock (kernel frees it, SQLite rolls back);
    2 killed after COMMIT and before the answer (the client repeats: a second copy);
    3 a worker that is stopped or slow inside the lock stalls every acceptance.
    """

    needs = (FairLock, GroupWriter, MailFile)
    failures = 3
    lock = True

    async def open(self) -> None:
        lock = FairLock(self.folder / "mail.lock") if self.lock else None
        self.mail = MailFile(self.folder / "mail.db", self.options, self.log, lock)
        self.writer = GroupWriter(self._commit, self.options.gather)

    def _commit(self, messages: list[Message]) -> None:
        with self.mail.transaction(len(messages)):
            new = self.mail.unknown(messages)
            self.mail.add_bodies(new)
            self.mail.add_rows(new)


class BusyHandler(OneFile):
    """d. As b, and 4 the busy handler gives up after its time, so each write can fail."""

    needs = (GroupWriter, MailFile)
    failures = 4
    lock = False


class TwoSteps(OneFile):
    """b2. As b, and 4 killed between the steps (the successor reads the spool rows)."""

    failures = 4

    async def open(self) -> None:
        await super().open()
        self.open_entries = 0
        self.empty = asyncio.Event()
        left = self.mail.db.execute(
            "SELECT key, folder, size, digest, began, NULL, body FROM spool WHERE worker = ?",
            [self.worker],
        ).fetchall()
        for row in left:
            self._deliver(Message(*row))

    def _deliver(self, message: Message) -> None:
        self.open_entries += 1
        self.writer.put(message, self._delivered)

    def _delivered(self) -> None:
        self.open_entries -= 1
        if not self.open_entries:
            self.empty.set()

    async def accept(self, message: Message) -> None:
        await self.writer.write(message)
        self._deliver(message)

    def _commit(self, messages: list[Message]) -> None:
        with self.mail.transaction(len(messages)) as db:
            new = [m for m in messages if m.body is None]
            ready = [m for m in messages if m.body is not None]
            if new:
                self.mail.add_bodies(new)
                db.executemany(
                    "INSERT INTO spool VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (m.key, self.worker, m.folder, m.size, m.digest, m.body, m.began)
                        for m in new
                    ],
                )
            if ready:
                self.mail.add_rows(ready)
                db.executemany("DELETE FROM spool WHERE key = ?", [(m.key,) for m in ready])
        if ready:
            self.log.times(b"D", ready)

    async def drain(self) -> None:
        while self.open_entries:
            self.empty.clear()
            await self.empty.wait()


class OwnSpool(TwoSteps):
    """c. Failure cases: 1 killed after the segment and before the spool row (unused bytes, never
    acknowledged); 2 killed after the spool row and before the answer (as b 2); 3 killed before or
    after the delivery's COMMIT (the successor repeats, the key stops it); 4 killed before the
    spool rows are deleted (the same); 5 two processes with one spool (the supervisor's lock);
    6 the lock's holder stalls (deliveries wait, acceptance goes on).
    """

    needs = (FairLock, GroupWriter, MailFile, Segment)
    failures = 6

    async def open(self) -> None:
        self.own = FairLock(self.folder / f"worker{self.worker}.lock")
        self.own.__enter__()
        lock = FairLock(self.folder / "mail.lock")
        self.mail = MailFile(self.folder / "mail.db", self.options, self.log, lock)
        self.segment = Segment(self.folder / f"worker{self.worker}.segment")
        self.open_entries = 0
        self.empty = asyncio.Event()
        self.finished: queue.SimpleQueue = queue.SimpleQueue()
        self.courier = GroupWriter(self._deliveries, self.options.gather)
        for message in self._left():
            self._deliver(message)
        self.writer = GroupWriter(self._commit)

    def _left(self) -> list[Message]:
        self.spool = connect(self.folder / f"worker{self.worker}.spool", self.options)
        self.spool.execute("PRAGMA wal_autocheckpoint=1000")
        self.spool.executescript(SPOOL_SCHEMA)
        rows = self.spool.execute(
            "SELECT key, folder, size, digest, began, NULL, NULL, segment, place FROM spool"
        )
        return [Message(*row) for row in rows]

    def _deliver(self, message: Message) -> None:
        self.open_entries += 1
        self.courier.put(message, self._delivered)

    def _commit(self, messages: list[Message]) -> None:
        asked = time.monotonic()
        place = self.segment.end
        for m in messages:
            m.segment, m.place = self.worker, place
            place += m.size
        self.segment.append([m.data for m in messages])
        synced = time.monotonic()
        self.spool.execute("BEGIN IMMEDIATE")
        self.spool.executemany(
            "INSERT INTO spool VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(m.key, m.folder, m.size, m.digest, m.segment, m.place, m.began) for m in messages],
        )
        self.spool.executemany("DELETE FROM spool WHERE key = ?", list(self._done()))
        self.spool.execute("COMMIT")
        now = time.monotonic()
        self.log.batch(b"S", len(messages), synced - asked, now - synced)
        for m in messages:
            m.data = None  # the courier reads what it needs from the segment

    def _done(self) -> Iterator[tuple[bytes]]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield (self.finished.get_nowait().key,)

    def _deliveries(self, messages: list[Message]) -> None:
        with self.mail.transaction(len(messages)):
            self.mail.add_rows(self.mail.unknown(messages))
        for message in messages:
            self.finished.put(message)
        self.log.times(b"D", messages)

    async def drain(self) -> None:
        await super().drain()
        self.spool.executemany("DELETE FROM spool WHERE key = ?", list(self._done()))


class Journal(OwnSpool):
    """e. As c without 1, 3 and 4 (the mark moves in the delivery's transaction), but: 7 a torn
    end (found by digest and cut); 8 one slow entry holds the mark, and with it what is read again.
    """

    failures = 5
    HEAD = struct.Struct("<4s16sIId32s")  # mark, key, folder, size, began, digest

    def _left(self) -> list[Message]:
        db = self.mail.db
        row = db.execute("SELECT upto FROM progress WHERE segment = ?", [self.worker]).fetchone()
        place = row[0] if row else 0
        left = []
        while len(head := self.segment.read(self.HEAD.size, place)) == self.HEAD.size:
            mark, key, folder, size, began, digest = self.HEAD.unpack(head)
            at = place + self.HEAD.size
            if mark != b"mail" or hashlib.sha256(self.segment.read(size, at)).digest() != digest:
                break
            left.append(Message(key, folder, size, digest, began, None, None, self.worker, at))
            place = at + size
        self.segment.cut(place)
        return left

    def _commit(self, messages: list[Message]) -> None:
        asked = time.monotonic()
        place = self.segment.end
        pieces = []
        for m in messages:
            m.segment, m.place = self.worker, place + self.HEAD.size
            place = m.place + m.size
            pieces += (self.HEAD.pack(b"mail", m.key, m.folder, m.size, m.began, m.digest), m.data)
        self.segment.append(pieces)
        self.log.batch(b"S", len(messages), time.monotonic() - asked, 0.0)
        for m in messages:
            m.data = None

    def _deliveries(self, messages: list[Message]) -> None:
        with self.mail.transaction(len(messages)) as db:
            self.mail.add_rows(messages)
            upto = messages[-1].place + messages[-1].size
            db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", [self.worker, upto])
        self.log.times(b"D", messages)

    async def drain(self) -> None:
        await TwoSteps.drain(self)


class Peer(asyncio.Protocol):
    """The way to another owner: sends messages, waits for keys, repeats after each new start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: dict[bytes, tuple[Message, asyncio.Future]] = {}
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.create_unix_connection(lambda: self, str(self._path))
                return
            except OSError:
                await asyncio.sleep(0.005)

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = b""
        for message, _ in self._pending.values():
            self._send(message)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._connecting = asyncio.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        whole = len(data) - len(data) % 16
        self._buffer = data[whole:]
        for at in range(0, whole, 16):
            entry = self._pending.pop(data[at : at + 16], None)
            if entry:
                entry[1].set_result(None)

    def _send(self, m: Message) -> None:
        head = Owner.HEAD.pack(m.key, m.folder, m.size, m.began, m.digest)
        self._transport.writelines([head, m.data])

    async def write(self, message: Message) -> None:
        future = asyncio.get_running_loop().create_future()
        self._pending[message.key] = (message, future)
        if self._transport:
            self._send(message)
        await future


class Owner(asyncio.Protocol):
    """The owner's end: reads messages, answers each key when it is durable."""

    HEAD = struct.Struct("<16sIId32s")

    def __init__(self, writer: GroupWriter) -> None:
        self._writer = writer
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= self.HEAD.size:
            key, folder, size, began, digest = self.HEAD.unpack_from(self._buffer, at)
            start = at + self.HEAD.size
            if len(self._buffer) - start < size:
                break
            body = bytes(self._buffer[start : start + size])
            at = start + size
            self._writer.put(
                Message(key, folder, size, digest, began, body), lambda key=key: self._answer(key)
            )
        del self._buffer[:at]

    def _answer(self, key: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(key)


class Shards(Floor):
    """a. Failure cases: 1 the owner dies before COMMIT (the asker repeats with its key); 2 after
    COMMIT and before its answer (the same, the key stops it); 3 the asker dies (answer to nobody);
    4 a stale socket (asker waits and tries again); 5 two owners during a hand-over (a lock);
    6 a repeat that overtakes the first copy in the same batch (duplicates inside a batch); 7 the
    owner is away or slow: its shard accepts nothing, in any process; 8 an owner that hangs with an
    open socket (needs a time limit, absent here); 9 the asker's pending messages fill its memory
    (needs a limit, absent here); 10 as b 2.
    """

    needs = (FairLock, GroupWriter, MailFile, Peer, Owner)
    failures = 10

    async def open(self) -> None:
        self.own = FairLock(self.folder / f"shard{self.worker}.lock")
        self.own.__enter__()
        self.mail = MailFile(self.folder / f"mail{self.worker}.db", self.options, self.log, None)
        self.writer = GroupWriter(self._commit, self.options.gather)
        path = self.folder / f"shard{self.worker}.socket"
        path.unlink(missing_ok=True)
        self.server = await asyncio.get_running_loop().create_unix_server(
            lambda: Owner(self.writer), str(path), backlog=100
        )
        self.ways = [
            self.writer if number == self.worker else Peer(self.folder / f"shard{number}.socket")
            for number in range(self.options.workers)
        ]

    async def accept(self, message: Message) -> None:
        await self.ways[message.folder % self.options.workers].write(message)

    def _commit(self, messages: list[Message]) -> None:
        with self.mail.transaction(len(messages)):
            new = self.mail.unknown(list({m.key: m for m in messages}.values()))
            if new:
                self.mail.add_bodies(new)
                self.mail.add_rows(new)


VARIANTS: dict[str, type[Floor]] = {
    "floor": Floor,
    "a": Shards,
    "b": OneFile,
    "b2": TwoSteps,
    "c": OwnSpool,
    "d": BusyHandler,
    "e": Journal,
}


def lines_of(variant: type[Floor]) -> int:
    """Source lines, without blanks, of a variant, what it inherits and the bricks it needs."""
    classes = {*variant.__mro__[:-1], *variant.needs} - {asyncio.Protocol}
    return sum(
        bool(line.strip())
        for part in classes
        if part.__module__ == __name__
        for line in inspect.getsource(part).splitlines()
    )


# --- a worker ------------------------------------------------------------------------------


def burn(seconds: float) -> None:
    """Stand for the Python work on a message that shares the interpreter with the writers."""
    end = time.thread_time() + seconds
    while seconds and time.thread_time() < end:
        pass


async def connection(
    store: Floor, keys: Iterator[bytes], options: Options, start: float, deadline: float
) -> None:
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    chance = random.Random()
    while (began := time.monotonic()) < deadline:
        burn(options.work)
        key = next(keys)
        data = body_of(key, options.size)
        folder = chance.randrange(options.folders)
        message = Message(key, folder, len(data), hashlib.sha256(data).digest(), began, data)
        await store.accept(message)
        store.log.times(b"A", [message])
        if options.pause:
            await asyncio.sleep(chance.expovariate(1 / options.pause))


async def work(
    name: str, folder: Path, options: Options, worker: int, window: tuple[float, float], done: int
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = VARIANTS[name](folder, options, worker, Log(folder / f"worker{worker}.log"))
    await store.open()
    birth = time.time_ns()
    keys = (struct.pack(">QII", birth, worker, n) for n in itertools.count())
    await asyncio.gather(
        *(connection(store, keys, options, *window) for _ in range(options.connections))
    )
    await store.drain()
    os.write(done, b".")
    await stop.wait()


@dataclass(slots=True)
class Child:
    """A running worker and the pipe on which it says that it is done."""

    pid: int
    done: int


def start_worker(
    name: str, folder: Path, options: Options, worker: int, window: tuple[float, float]
) -> Child:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader)
    code = 70
    try:
        random.seed()
        sys.setswitchinterval(options.switch)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
            runner.run(work(name, folder, options, worker, window, writer))
        code = 0
    except BaseException as error:
        print(f"worker failed: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


# --- one run, measured and checked ---------------------------------------------------------


@dataclass(slots=True)
class Result:
    """Figures of one run (rates per second, times in milliseconds, CPU in microseconds)."""

    variant: str
    accepted: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    delivered: float = 0.0
    d50: float = 0.0
    d99: float = 0.0
    cpu: float = 0.0
    batch: float = 0.0
    wait99: float = 0.0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    broken: int = 0
    problems: list[str] = field(default_factory=list)


def run(name: str, options: Options) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="trial-storage-", dir=options.directory))
    try:
        files = (
            [folder / f"mail{n}.db" for n in range(options.workers)]
            if name == "a"
            else [folder / "mail.db"]
        )
        for path in files:
            db = connect(path, options)
            db.executescript(MAIL_SCHEMA)
            db.executemany(
                "INSERT INTO folder VALUES (?, 1, 0)", [(n,) for n in range(options.folders)]
            )
            db.close()
        return measure(name, folder, files, options)
    finally:
        shutil.rmtree(folder)


def measure(name: str, folder: Path, files: list[Path], options: Options) -> Result:
    start = time.monotonic() + 0.2
    window = (start, start + options.seconds)
    result = Result(name)
    cpu = 0.0

    def reap(pid: int) -> int:
        nonlocal cpu
        _, status, usage = os.wait4(pid, 0)
        cpu += usage.ru_utime + usage.ru_stime
        return os.waitstatus_to_exitcode(status)

    children = [start_worker(name, folder, options, n, window) for n in range(options.workers)]
    while options.kills:
        time.sleep(random.uniform(0.3, 0.7))
        if time.monotonic() > window[1] - options.restart - 0.1:
            break
        victim = random.randrange(options.workers)
        os.kill(children[victim].pid, signal.SIGKILL)
        reap(children[victim].pid)
        os.close(children[victim].done)
        result.kills += 1
        time.sleep(options.restart)
        children[victim] = start_worker(name, folder, options, victim, window)
    for child in children:
        ready, _, _ = select.select([child.done], [], [], options.seconds + 15)
        if not ready or os.read(child.done, 1) != b".":
            result.problems.append("a worker did not finish")
            os.kill(child.pid, signal.SIGKILL)
    for child in children:
        os.kill(child.pid, signal.SIGTERM)
        if code := reap(child.pid):
            result.problems.append(f"a worker ended with {code}")
        os.close(child.done)
    summarise(result, folder, options, window, cpu)
    if name != "floor":
        check(result, folder, files, options)
    return result


def quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def summarise(
    result: Result, folder: Path, options: Options, window: tuple[float, float], cpu: float
) -> None:
    acknowledged: list[float] = []
    delivered: dict[bytes, tuple[float, float]] = {}
    batches: list[tuple[float, float]] = []
    total = 0
    for worker in range(options.workers):
        for kind, key, when, value in Log.read(folder / f"worker{worker}.log"):
            if kind == b"A":
                total += 1
                if when <= window[1]:
                    acknowledged.append(value)
            elif kind == b"D":
                delivered.setdefault(key, (when, value))
            elif kind == b"B":
                batches.append(struct.unpack("<dd", key))
    acknowledged.sort()
    result.accepted = len(acknowledged) / options.seconds
    result.p50 = quantile(acknowledged, 0.5) * 1000
    result.p99 = quantile(acknowledged, 0.99) * 1000
    result.worst = acknowledged[-1] * 1000
    times = sorted(value for when, value in delivered.values() if when <= window[1]) or acknowledged
    result.delivered = len(times) / options.seconds
    result.d50 = quantile(times, 0.5) * 1000
    result.d99 = quantile(times, 0.99) * 1000
    result.cpu = cpu / total * 1e6
    if batches:
        result.batch = sum(size for size, _ in batches) / len(batches)
        result.wait99 = quantile(sorted(waited for _, waited in batches), 0.99) * 1000


def check(result: Result, folder: Path, files: list[Path], options: Options) -> None:
    """Read everything again: nothing acknowledged is lost, doubled or half-written."""
    acknowledged = {
        key
        for worker in range(options.workers)
        for kind, key, _, _ in Log.read(folder / f"worker{worker}.log")
        if kind == b"A"
    }
    segments = [folder / f"worker{n}.segment" for n in range(options.workers)]
    bytes_of = {n: path.read_bytes() for n, path in enumerate(segments) if path.exists()}
    seen: Counter[bytes] = Counter()
    for path in files:
        db = connect(path, options)
        if db.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
            result.problems.append(f"{path.name} is damaged")
        for key, size, digest, data, segment, place in db.execute(
            "SELECT key, size, digest, data, segment, place FROM message"
            " LEFT JOIN body ON body.id = message.body"
        ):
            seen[key] += 1
            found = data if data is not None else bytes_of[segment][place : place + size]
            whole = found == body_of(key, options.size)
            result.broken += not whole or hashlib.sha256(found).digest() != digest
        holes = db.execute(
            "SELECT count(*) FROM (SELECT folder, count(*) AS n, max(uid) AS u, max(modseq) AS m"
            " FROM message GROUP BY folder) JOIN folder ON folder.id = folder"
            " WHERE n <> u OR uidnext <> n + 1 OR modseq <> m"
        ).fetchone()[0]
        if holes:
            result.problems.append(f"{holes} folders of {path.name} have holes")
        if db.execute("SELECT count(*) FROM spool").fetchone()[0]:
            result.problems.append("spool rows are left")
        db.close()
    result.lost = len(acknowledged - seen.keys())
    result.doubled = sum(count > 1 for count in seen.values())


# --- the command ---------------------------------------------------------------------------

COLUMNS = (
    ("accepted/s", "accepted", "{:.0f}"),
    ("p50 ms", "p50", "{:.2f}"),
    ("p99 ms", "p99", "{:.1f}"),
    ("max ms", "worst", "{:.0f}"),
    ("delivered/s", "delivered", "{:.0f}"),
    ("del. p50", "d50", "{:.2f}"),
    ("del. p99", "d99", "{:.1f}"),
    ("CPU us/msg", "cpu", "{:.0f}"),
    ("batch", "batch", "{:.1f}"),
    ("lock p99", "wait99", "{:.1f}"),
)


def median(results: list[Result]) -> dict:
    row: dict = {"variant": results[0].variant, "lines": lines_of(VARIANTS[results[0].variant])}
    row["failure_cases"] = VARIANTS[results[0].variant].failures
    for _, name, _ in COLUMNS:
        row[name] = statistics.median(getattr(r, name) for r in results)
    for name in ("kills", "lost", "doubled", "broken"):
        row[name] = sum(getattr(r, name) for r in results)
    row["problems"] = [text for r in results for text in r.problems]
    return row


def print_table(rows: list[dict]) -> None:
    heads = [
        "variant",
        *(head for head, _, _ in COLUMNS),
        "kills",
        "lost/dbl/broken",
        "lines",
        "cases",
    ]
    table = [heads]
    for row in rows:
        wrong = f"{row['lost']}/{row['doubled']}/{row['broken']}"
        figures = [form.format(row[name]) for _, name, form in COLUMNS]
        ends = [str(row["kills"]), wrong, str(row["lines"]), str(row["failure_cases"])]
        table.append([row["variant"], *figures, *ends])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    for row in rows:
        for text in sorted(set(row["problems"])):
            print(f"{row['variant']}: {text}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="which, with commas")
    parser.add_argument("--kills", action="store_true", help="kill workers at random")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=20, help="per worker")
    parser.add_argument("--folders", type=int, default=40)
    parser.add_argument("--size", type=int, default=5000, help="bytes of a body")
    parser.add_argument("--gather-ms", type=float, default=0.0, help="wait for a larger batch")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="mean pause of a connection")
    parser.add_argument("--work-us", type=float, default=0.0, help="Python work for each message")
    parser.add_argument("--switch-us", type=float, default=5000.0, help="sys.setswitchinterval")
    parser.add_argument("--autocheckpoint", type=int, default=1000, help="pages of the WAL")
    parser.add_argument(
        "--checkpoint",
        choices=("commit", "beside"),
        default="commit",
        help="by the commit that crosses the limit, or by a thread beside the writers",
    )
    parser.add_argument("--page-size", type=int, default=4096)
    parser.add_argument("--restart-ms", type=float, default=200.0, help="a dead worker's absence")
    parser.add_argument("--directory", default="/var/tmp", help="on the disk to be measured")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options = Options(
        seconds=given.seconds, workers=given.workers, connections=given.connections,
        folders=given.folders, size=given.size, gather=given.gather_ms / 1000,
        pause=given.pause_ms / 1000, work=given.work_us / 1e6, switch=given.switch_us / 1e6,
        autocheckpoint=given.autocheckpoint, checkpoint=given.checkpoint,
        page_size=given.page_size, restart=given.restart_ms / 1000, kills=given.kills,
        directory=given.directory,
    )  # fmt: skip
    names = given.variants.split(",")
    if unknown := set(names) - set(VARIANTS):
        parser.error(f"unknown variants: {', '.join(sorted(unknown))}")
    results: dict[str, list[Result]] = {name: [] for name in names}
    for _ in range(given.rounds):
        for name in names:
            results[name].append(run(name, options))
    rows = [median(results[name]) for name in names]
    machine = {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "loop": "uvloop" if uvloop else "asyncio",
    }
    if given.json:
        print(json.dumps({"machine": machine, "options": asdict(options), "variants": rows}))
    else:
        print(", ".join(f"{key} {value}" for key, value in machine.items()))
        print_table(rows)
    return int(any(r["lost"] or r["doubled"] or r["broken"] or r["problems"] for r in rows))


if __name__ == "__main__":
    sys.exit(main())
