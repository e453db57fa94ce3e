"""Three times France's busy hour, for ten minutes: is each document filed at once, and does nothing pile up?

    .venv/bin/python scripts/benchmark_steady.py [--minutes 10] [--rate 75] [--idling 1000] [--json FILE]

Messages with a signed CDA of 100 kB go to a patient and to a colleague, at random moments (exponential
gaps) and at the given rate on average, while so many clients idle, each in the INBOX of a professional
of its own; the colleague is always one of them. From the final dot of each message it measures the time
to the 250, to the committed entry in the patient's DMP, and to the EXISTS at the idling colleague. At
the end it says what still waited and what the workers' memory did.
"""

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvloop
from benchmark import Client, content, cpu_seconds

from tests.journeys.instance import Instance

CONNECTIONS = 20
GOALS = (
    "goal at 75/s with 1 000 idling clients for ten minutes: filed p50 100 ms, p99 1 s, no backlog"
)
_LOOK_SECONDS = 0.004


@dataclass
class Seen:
    """When what happened to each message, in seconds of one clock, by its number."""

    ended: dict[int, float] = field(default_factory=dict)
    accepted: dict[int, float] = field(default_factory=dict)
    filed: dict[int, float] = field(default_factory=dict)
    shown: list[float] = field(default_factory=list)
    """Seconds from the final dot to the EXISTS; in the order of arrival."""
    late: list[float] = field(default_factory=list)
    """Seconds that a message waited for a free connection of the client, which is no fault of the server."""

    def since_end(self, times: dict[int, float]) -> list[float]:
        return [1000 * (times[number] - self.ended[number]) for number in sorted(times)]


class Dmp(threading.Thread):
    """Looks for new entries in the DMP's store, again and again, and notes when it saw each."""

    def __init__(self, path: Path, run: str, seen: Seen) -> None:
        super().__init__(daemon=True)
        self._path, self._seen = path, seen
        self._prefix = f"1.2.250.1.999.{int(run, 16)}."
        self.over = threading.Event()

    def run(self) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as store:
            [[last]] = store.execute("SELECT coalesce(max(rowid), 0) FROM document_entry")
            query = "SELECT rowid, document_key FROM document_entry WHERE rowid > ? ORDER BY rowid"
            while not self.over.wait(_LOOK_SECONDS):
                for row, key in store.execute(query, (last,)).fetchall():
                    last, number = row, key.removeprefix(self._prefix).removesuffix(".1")
                    self._seen.filed[int(number)] = time.perf_counter()


class Idler:
    """A client that waits in an INBOX."""

    def __init__(self, instance: Instance, account: dict, number: int) -> None:
        self._instance, self.account = instance, account
        self._source = f"127.0.1.{1 + number % 250}"
        self._waiting: list[tuple[float, list[float]]] = []
        """Final dots of messages that are on their way here."""

    async def idle(self) -> None:
        """Sign in, select, begin to wait."""
        demo = self._instance.demo
        self._reader, self._writer = await asyncio.open_connection(
            demo["host"], demo["ports"]["imaps"],
            ssl=self._instance.tls(), local_addr=(self._source, 0),
        )  # fmt: skip
        await self._reader.readline()
        login = f"1 LOGIN {self.account['login']} {json.dumps(self.account['password'])}"
        for line in (login, "2 SELECT INBOX"):
            self._writer.write(line.encode() + b"\r\n")
            while not (answer := await self._reader.readline()).startswith(line[:2].encode()):
                pass
            if b" OK" not in answer:
                raise RuntimeError(f"{line[:8]}: {answer!r}")
        self._writer.write(b"3 IDLE\r\n")
        await self._reader.readuntil(b"+ idling\r\n")
        self._listening = asyncio.create_task(self._listen())

    def expect(self, shown: list[float], ended: float) -> None:
        """A message is on its way here, whose final dot was sent just now."""
        self._waiting.append((ended, shown))

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            if line.endswith(b"EXISTS\r\n"):
                now = time.perf_counter()
                for ended, shown in self._waiting:  # an EXISTS may tell of several
                    shown.append(1000 * (now - ended))
                self._waiting.clear()

    def close(self) -> None:
        self._listening.cancel()
        self._writer.close()


class Sender:
    """Sends what comes, one message after the other, over a connection that stays open."""

    def __init__(self, instance: Instance, account: dict, seen: Seen, run: str) -> None:
        self._client = Client(instance, account)
        self._account, self._seen, self._run = account, seen, run

    async def work(self, queue: "asyncio.Queue[tuple[int, float, dict, Idler] | None]") -> None:
        await self._client.open()
        while (task := await queue.get()) is not None:
            number, planned, patient, idler = task
            message = content("signed100k", self._account, patient, number, self._run)
            self._seen.late.append(1000 * (time.perf_counter() - planned))
            took = await self._client.send(
                [patient["address"], idler.account["address"]],
                message,
                partial(idler.expect, self._seen.shown),
            )
            self._seen.accepted[number] = time.perf_counter()
            self._seen.ended[number] = self._seen.accepted[number] - took
        await self._client.close()


def moments(rate: float, seconds: float) -> Iterator[float]:
    """Exponential gaps, as from many people who do not know of each other."""
    now = random.expovariate(rate)
    while now < seconds:
        yield now
        now += random.expovariate(rate)


async def steady(instance: Instance, rate: float, seconds: float, idling: int) -> dict[str, object]:
    people = instance.accounts("professional")
    sender = people[2]  # it has a client that signs
    patients = [one for one in instance.accounts("patient") if one["identityStatus"] == "QUAL"]
    run, seen = secrets.token_hex(4), Seen()
    idlers = [Idler(instance, one, number) for number, one in enumerate(people[3 : 3 + idling])]
    for start in range(0, len(idlers), 20):
        await asyncio.gather(*(one.idle() for one in idlers[start : start + 20]))
    print(f"{len(idlers)} clients idle", flush=True)

    queue: asyncio.Queue[tuple[int, float, dict, Idler] | None] = asyncio.Queue()
    senders = [
        asyncio.create_task(Sender(instance, sender, seen, run).work(queue))
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(2)
    dmp = Dmp(instance.database("dmp"), run, seen)
    dmp.start()
    memory, cpu = resident(instance), cpu_seconds(instance)
    began, number, told = time.perf_counter(), 0, 0.0
    for number, moment in enumerate(moments(rate, seconds), 1):
        pause = began + moment - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        queue.put_nowait((number, began + moment, random.choice(patients), random.choice(idlers)))
        if moment >= told + 60:
            told += 60
            waiting = number - len(seen.filed)
            print(f"{told / 60:3.0f} min: {number} sent, {waiting} under way", flush=True)
    backlog = number - len(seen.filed)
    for _ in senders:
        queue.put_nowait(None)
    await asyncio.gather(*senders)
    for _ in range(600):
        if len(seen.filed) == number and len(seen.shown) == number:
            break
        await asyncio.sleep(0.1)
    used = cpu_seconds(instance) - cpu
    dmp.over.set()
    for idler in idlers:
        idler.close()
    return {
        "messages": number,
        "rate_per_s": number / seconds,
        "accepted_ms": summary(seen.since_end(seen.accepted)),
        "filed_ms": summary(seen.since_end(seen.filed)),
        "filed_p99_ms_by_tenth": by_tenth(seen.since_end(seen.filed)),
        "shown_ms": summary(seen.shown),
        "waited_at_client_ms": summary(seen.late),
        "under_way_at_the_end": backlog,
        "never_filed": number - len(seen.filed),
        "never_shown": number - len(seen.shown),
        "cpu_ms_per_message": 1000 * used / number,
        "cores_used": used / seconds,
        "resident_mb": [memory, resident(instance)],
    }


def summary(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=1000)
    return {"p50": cuts[499], "p99": cuts[989], "p999": cuts[998], "most": max(values)}


def by_tenth(values: list[float]) -> list[float]:
    """The p99 of each tenth of the time: whether it grows."""
    size = len(values) // 10
    return [statistics.quantiles(values[n * size :][:size], n=100)[98] for n in range(10)]


def resident(instance: Instance) -> float:
    """Memory of the workers, in MB."""
    kilobytes = 0
    for pid in instance.workers():
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes += int(status.partition("VmRSS:")[2].split()[0])
    return kilobytes / 1024


def report(found: dict[str, object]) -> None:
    print(f"{found['messages']} messages, {found['rate_per_s']:.1f}/s")
    for name, what in (
        ("accepted_ms", "final dot to 250"),
        ("filed_ms", "final dot to filed"),
        ("shown_ms", "final dot to EXISTS"),
        ("waited_at_client_ms", "before, at the client"),
    ):
        times = found[name]
        print(
            f"{what:22} p50 {times['p50']:6.1f}  p99 {times['p99']:6.1f}  "
            f"p99.9 {times['p999']:6.1f}  most {times['most']:6.1f} ms"
        )
    tenths = " ".join(f"{value:.0f}" for value in found["filed_p99_ms_by_tenth"])
    print(f"filed, p99 of each tenth: {tenths} ms")
    print(
        f"at the end {found['under_way_at_the_end']} under way, {found['never_filed']} never filed, "
        f"{found['never_shown']} never shown"
    )
    before, after = found["resident_mb"]
    print(
        f"server: {found['cpu_ms_per_message']:.2f} ms CPU a message, {found['cores_used']:.2f} cores; "
        f"workers' memory {before:.0f} to {after:.0f} MB\n         {GOALS}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=75, help="messages a second")
    parser.add_argument("--idling", type=int, default=1000, help="clients")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mssante-steady-"))
    instance = Instance(folder / "instance").init("--demo-accounts", str(options.idling + 20))
    instance.start(workers=options.workers)
    try:
        seconds = 60 * options.minutes
        found = uvloop.run(steady(instance, options.rate, seconds, options.idling))
    finally:
        instance.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
