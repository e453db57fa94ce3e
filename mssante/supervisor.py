"""Keeps the worker processes: binds the sockets, starts workers, replaces those that die.

The supervisor does nothing else: no thread, no database, no event loop. It may be killed at any
instant: its workers end with it (the kernel sees to that), and the next start finds everything in
the spools. A worker that dies is replaced by one with the same slot, which takes over its spool; a
lock held by the living process keeps two from sharing a slot.
"""

import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mssante.composition.listeners import Listening
from mssante.composition.process import run_worker
from mssante.composition.smime import prepare
from mssante.composition.stores import check_stores
from mssante.servers.metrics import HEARTBEAT, LOADED, STARTS, Counter
from mssante.servers.service_manager import ServiceManager
from mssante.servers.shared_memory import SharedMemory
from mssante.settings import Listener, Role, Settings
from mssante.storage import trust_files
from mssante.trust.anchors import Unreadable

_GARBAGE: Final = 10_000
"""New objects that may be cycles, before the youngest are searched."""
_LOG: Final = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_M_MMAP_THRESHOLD: Final = -3
"""mallopt(3)."""
_GIVEN_BACK: Final = 1 << 20
"""Blocks of so many octets go back to the system when they are freed. Left to itself the C library
raises this to 32 MB at the first large message, and keeps the holes that messages leave."""
_BACKLOG: Final = 1024
_BIND_SECONDS: Final = 15.0
"""How long to wait for ports that the workers of a killed supervisor are just letting go."""
_QUICK_DEATH: Final = 2.0
_LONGEST_PAUSE: Final = 30.0
_NO_FORK_PAUSE: Final = 1.0
_LOOK_SECONDS: Final = 5.0
_SOON_SECONDS: Final = 0.1
_LOADING_SECONDS: Final = 20.0
"""How long a manager waits for workers to load their files again."""
_ALL_SILENT_SECONDS: Final = 60.0
"""When no worker has told of itself for so long, the service hangs: its watchdog may end it."""

LISTENERS: Final[Mapping[Role, tuple[str, ...]]] = {
    "submission": ("submission", "submissions"),
    "reception": ("smtp",),
    "imap": ("imap", "imaps"),
    "web": ("https",),
}
"""The listeners of each role, by their names in the settings."""


class StartFailed(Exception):
    """The instance cannot be served; the message says what to do."""


@dataclass(slots=True)
class _Worker:
    slot: str
    pid: int
    started: float
    pause: float
    """Seconds to wait before the next start, grown by deaths soon after a start."""


class Supervisor:
    """One instance's supervisor."""

    def __init__(self, settings: Settings, workers: int, roles: Sequence[Role]) -> None:
        self._settings = settings
        self._roles = tuple(roles)
        self._slots = [f"w{number}" for number in range(workers)]
        self._workers: dict[int, _Worker] = {}
        self._due: dict[str, tuple[float, float]] = {}
        """Slots without a process: when to start it, and its pause."""
        self._stopping = False
        self._renewing = False
        """The workers are to load their certificates again."""
        self._renewed: float | None = None
        """When they were told to, while some have not done it."""
        # Made before the first worker: they all inherit it.
        self._shared = SharedMemory.of_workers(workers)
        self._starts = Counter(self._shared.numbers.supervisor, STARTS)
        self._manager = ServiceManager()
        self._sockets: Listening = {}
        self._wake: tuple[int, int] = (-1, -1)
        self._lock = -1
        self._had_terminal = False

    def run(self, announce: Callable[[str], None]) -> int:
        """Serve until SIGTERM or SIGINT; `announce` is called once, when every listener accepts.

        Returns:
            The exit code: 0 after an orderly stop.

        Raises:
            StartFailed: the stores are of another version, a certificate cannot be used, a port is
                taken, or another supervisor serves this instance already.
        """
        settings = self._settings
        check_stores(settings)
        try:
            trust_files.check_files(settings)
        except Unreadable as error:
            raise StartFailed(str(error)) from None
        with _only_one(settings.workers.run_directory) as self._lock, self._signals():
            self._sockets = bind(settings, self._roles)
            ready_read, ready_write = os.pipe()
            gc.collect()
            gc.freeze()  # what is loaded now is shared with the workers, and never scanned again
            # What comes goes again without its help: it is for the few cycles, and may come late.
            gc.set_threshold(_GARBAGE, 20, 50)
            for slot in self._slots:
                self._start(slot, ready_write, pause=0.0)
            self._wait_ready(ready_read, announce)
            os.close(ready_read)
            self._watch(ready_write)
        return 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        # nohup(1) leaves the signal ignored: its terminal may go.
        unattended = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._had_terminal = not unattended and _has_terminal()
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = (read, write)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, self._ask_renew)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)

    def _ask_stop(self, *_: object) -> None:
        self._stopping = True

    def _ask_renew(self, *_: object) -> None:
        """Load certificates again; a terminal that was closed sends the same signal, and is gone."""
        if self._had_terminal and not _has_terminal():
            self._stopping = True
        self._renewing = True

    def _renew(self) -> None:
        self._renewing = False
        self._manager.reloading()
        self._renewed = time.monotonic()
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def _end_renewal(self, asked: float) -> None:
        """Tell the manager when all have loaded; what is broken changed nothing, and counts as done."""
        missing = [
            slot
            for slot, began in zip(
                self._slots, self._shared.numbers.of_each_worker(LOADED), strict=True
            )
            if began < asked
        ]
        if missing and time.monotonic() < asked + _LOADING_SECONDS:
            return
        if missing:
            _LOG.warning("workers have not loaded their files again yet", extra={"slots": missing})
        self._renewed = None
        self._tell_ready()

    def _tell_ready(self) -> None:
        self._manager.ready(f"{len(self._slots)} workers")

    def _start(self, slot: str, ready: int, *, pause: float) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(slot, ready, parent)
        self._starts.add()
        self._workers[pid] = _Worker(slot, pid, time.monotonic(), pause)

    def _become_worker(self, slot: str, ready: int, parent: int) -> None:
        code = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the kernel was told
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what it asks for is done by starting
            for descriptor in (*self._wake, self._lock):
                os.close(descriptor)
            _give_memory_back()
            code = run_worker(
                self._settings,
                slot,
                self._slots,
                self._sockets,
                lambda: _tell(ready),
                self._shared,
            )
        except BaseException:  # noqa: BLE001 - the last frame of this process
            _LOG.exception("a worker failed")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _wait_ready(self, ready: int, announce: Callable[[str], None]) -> None:
        missing = len(self._slots)
        while missing and not self._stopping:
            readable, _, _ = select.select([ready, self._wake[0]], [], [], 1.0)
            if ready in readable:
                missing -= len(os.read(ready, missing))
            self._drain()
            failed = self._reap()
            if failed and missing:
                self._stop_workers()
                raise StartFailed(
                    f"worker {failed[0].slot} ended before it was ready: its reason is in the log above"
                )
            for dead in failed:  # in the moment in which the last one became ready
                self._replace(dead)
        if not missing:
            ports = ", ".join(
                f"{name} {address[1]}"
                for name, sockets in self._sockets.items()
                for address in {bound.getsockname()[:2] for bound in sockets[:1]}
            )
            announce(f"ready: {len(self._slots)} workers, {ports}")
            self._tell_ready()

    def _watch(self, ready: int) -> None:
        while not self._stopping:
            now = time.monotonic()
            for slot, (at, pause) in list(self._due.items()):
                if at <= now:
                    del self._due[slot]
                    self._restart(slot, ready, pause)
            pause = min(_LOOK_SECONDS, self._manager.watchdog_seconds or _LOOK_SECONDS)
            soon = self._due or self._renewed is not None
            select.select([self._wake[0]], [], [], _SOON_SECONDS if soon else pause)
            self._drain()
            if self._renewing:
                self._renew()
            if self._renewed is not None:
                self._end_renewal(self._renewed)
            for dead in self._reap():
                self._replace(dead)
            last = max(self._shared.numbers.of_each_worker(HEARTBEAT))
            if time.monotonic() - last < _ALL_SILENT_SECONDS:
                self._manager.alive()
        self._manager.stopping()
        self._stop_workers()

    def _restart(self, slot: str, ready: int, pause: float) -> None:
        try:
            self._start(slot, ready, pause=pause)
        except OSError:  # no memory or no process left: to give up would end the other workers, too
            _LOG.exception("a worker cannot be started now", extra={"slot": slot})
            self._due[slot] = (time.monotonic() + _NO_FORK_PAUSE, pause)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake[0], 512):
                pass

    def _reap(self) -> list[_Worker]:
        dead = []
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            self._shared.connections.forget(self._slots.index(worker.slot))
            if not self._stopping:
                _LOG.warning(
                    "a worker ended",
                    extra={"slot": worker.slot, "status": os.waitstatus_to_exitcode(status)},
                )
            dead.append(worker)
        return dead

    def _replace(self, dead: _Worker) -> None:
        """At once, unless it died soon after its start: then ever more slowly."""
        now = time.monotonic()
        quick = now - dead.started < _QUICK_DEATH
        pause = min(max(0.5, dead.pause * 2), _LONGEST_PAUSE) if quick else 0.0
        self._due[dead.slot] = (now + pause, pause)

    def _stop_workers(self) -> None:
        self._stopping = True
        for sockets in self._sockets.values():
            for bound in sockets:
                bound.close()
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._settings.workers.stop_seconds
        while self._workers and time.monotonic() < deadline:
            select.select([self._wake[0]], [], [], 0.2)
            self._drain()
            self._reap()
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self._workers:
            pid, _ = os.waitpid(-1, 0)
            self._workers.pop(pid, None)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _tell(ready: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # only the first start is waited for
        os.write(ready, b"r")


@contextlib.contextmanager
def _only_one(run: Path) -> Iterator[int]:
    """Hold the instance's lock (its descriptor) and show the process id in ``mssante.pid``."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(run / "mssante.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StartFailed("another supervisor serves this instance already") from None
    pid_file = run / "mssante.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    try:
        yield lock
    finally:
        pid_file.unlink(missing_ok=True)
        os.close(lock)


def bind(settings: Settings, roles: Sequence[Role]) -> Listening:
    """Open the listening sockets of roles; workers inherit and share them.

    Raises:
        StartFailed: a port is taken or may not be used.
    """
    bound: dict[str, list[socket.socket]] = {}
    for role in roles:
        for name in LISTENERS[role]:
            listener: Listener = getattr(settings.listeners, name)
            if listener.enabled:
                bound[name] = _bind_one(name, listener)
    return bound


def _bind_one(name: str, listener: Listener) -> list[socket.socket]:
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            return [_open(family, address) for family, address in _addresses(listener)]
        except OSError as failure:
            if time.monotonic() > deadline or isinstance(failure, PermissionError):
                raise StartFailed(
                    f"listeners.{name}: cannot listen on port {listener.port}: {failure.strerror}"
                ) from None
            time.sleep(0.2)


def _addresses(listener: Listener) -> list[tuple[int, tuple[str, int]]]:
    if listener.host == "*":
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        return [(family, ("::" if family == socket.AF_INET6 else "", listener.port))]
    found = socket.getaddrinfo(
        listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return [(int(family), (str(address[0]), int(address[1]))) for family, _, _, _, address in found]


def _open(family: int, address: tuple[str, int]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        opened.bind(address)
        opened.listen(_BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def run(settings: Settings, workers: int, roles: Sequence[Role]) -> int:
    """Serve an instance in this process until it is told to stop.

    Args:
        settings: the instance's.
        workers: how many processes; 0 means one per core.
        roles: what they do.

    Raises:
        StartFailed: says what to do.
    """
    count = workers or len(os.sched_getaffinity(0))
    try:
        prepare(settings)
    except (OSError, ValueError) as error:
        raise StartFailed(f"the mailbox authority of [smime] cannot be used: {error}") from None
    return Supervisor(settings, count, roles).run(lambda line: print(line, flush=True))  # noqa: T201


def _give_memory_back() -> None:
    """Tell the C library to return large blocks at once; one that is not glibc is left alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _GIVEN_BACK)
