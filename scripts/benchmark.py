"""The project's own benchmark: a real instance, real clients over TLS, durable answers.

    .venv/bin/python scripts/benchmark.py [--rounds 3] [--workers 2] [--connections 20] [--json FILE]

relay5k goes to a member of a second operator on the same machine, over mutual TLS, sealed and with
DKIM. The server seals text5k and cda100k; signed100k is the same document signed by the sender's own
client, so that the server verifies instead. Measures accepted, delivered and filed messages per second, the server's CPU for each message, and
the time from the 250 to the EXISTS that an idling client sees. Client and server share the machine,
so rates are bounded by both; CPU per message is the steadier figure. Each rate is also given as a
ratio to a limit of this machine taken in the same run: the same bytes appended to one file in
groups of `connections`, one fdatasync for each group, and nothing else.
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import make_samples
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mssante.trust.anchors import read_certificates
from mssante.trust.pki import Credential
from mssante.trust.sealing import SealingKey, seal
from tests.journeys.instance import Instance

KINDS = ("text5k", "cda100k", "signed100k")
GOALS = {
    "text5k": "goal beside Postfix + Dovecot (5 kB, 20 connections): delivered 3 x, CPU 0.3 x; "
    "theirs were 287/s and 4.9 ms on a machine like the authors'",
    "cda100k": "goal for the whole main job (signature included): 250 documents/s, CPU 0.6 x of 7.3 ms",
    "signed100k": "the same goal: the server verifies in place of sealing",
    "latency": "goal: p50 10 ms, p99 50 ms",
}


@dataclass
class Relayed:
    """One round of messages to the other operator."""

    messages: int
    accepted_per_s: float
    delivered_per_s: float
    """In the recipients' mailboxes at the other operator."""
    sender_cpu_ms: float
    """Of the operator that sends: submission, sealing, DKIM, queue, relay."""
    receiver_cpu_ms: float
    """Of the operator that receives: reception, verification, delivery."""


@dataclass
class Result:
    """One round of one kind."""

    kind: str
    messages: int
    accepted_per_s: float
    delivered_per_s: float
    filed_per_s: float | None
    cpu_ms_per_message: float
    accept_p50_ms: float
    accept_p99_ms: float
    limit_per_s: float
    ratio_to_limit: float


class Client:
    """A submitting client that pipelines its envelope, as mail software does."""

    def __init__(self, instance: Instance, account: dict) -> None:
        self._instance = instance
        self._account = account

    async def open(self) -> "Client":
        demo = self._instance.demo
        self._reader, self._writer = await asyncio.open_connection(
            demo["host"], demo["ports"]["submissions"], ssl=self._instance.tls(), limit=1 << 20
        )
        await self._answer(220)
        await self._say(b"EHLO bench.example\r\n", 250)
        login = f"\0{self._account['login']}\0{self._account['password']}".encode()
        await self._say(b"AUTH PLAIN " + base64.b64encode(login) + b"\r\n", 235)
        return self

    async def send(
        self,
        recipients: Sequence[str],
        content: bytes,
        on_end: Callable[[float], object] | None = None,
    ) -> float:
        """Submit a message; the seconds from the end of its data, told when it comes, to the 250."""
        commands = [f"MAIL FROM:<{self._account['address']}>"]
        commands += [f"RCPT TO:<{one}>" for one in recipients]
        self._writer.write("\r\n".join([*commands, "DATA\r\n"]).encode())
        for code in [250] * len(commands) + [354]:
            await self._answer(code)
        self._writer.write(content + b"\r\n.\r\n")
        await self._writer.drain()
        started = time.perf_counter()
        if on_end is not None:
            on_end(started)
        await self._answer(250)
        return time.perf_counter() - started

    async def close(self) -> None:
        await self._say(b"QUIT\r\n", 221)
        self._writer.close()

    async def _say(self, line: bytes, code: int) -> None:
        self._writer.write(line)
        await self._answer(code)

    async def _answer(self, code: int) -> None:
        while True:
            line = await self._reader.readline()
            if not line.startswith(str(code).encode()):
                raise RuntimeError(f"expected {code}, got {line!r}")
            if line[3:4] != b"-":
                return


def signed(message: bytes, account: dict) -> bytes:
    """The message signed as a client of its own would, with the pair in demo.json."""
    key = _CLIENT_KEYS.get(account["address"])
    if key is None:
        pair = account["smime"]
        read = Credential.read(Path(pair["certificate"]), Path(pair["key"]))
        chain = read_certificates(Path(pair["certificate"]).read_bytes())[1:]
        key = SealingKey.of(account["address"], read.certificate, chain, read.key)
        _CLIENT_KEYS[account["address"]] = key
    return seal(message, key, datetime.now(UTC))


_CLIENT_KEYS: dict[str, SealingKey] = {}


def content(kind: str, account: dict, patient: dict, number: int, run: str) -> bytes:
    """A message: 5 kB of text, or a CDA of 100 kB for the patient."""
    head = (
        f"From: {account['address']}\r\nTo: {patient['address']}\r\nSubject: Essai {number}\r\n"
        f"Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nMessage-ID: <{run}.{number}@bench.example>\r\n"
        "MIME-Version: 1.0\r\n"
    )
    if kind == "text5k":
        line = "Une ligne de texte sans importance, pour la mesure seulement.\r\n"
        return (head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + line * 80).encode()
    if kind == "signed100k":
        return signed(content("cda100k", account, patient, number, run), account)
    document = base64.encodebytes(document_for(patient, number, run)).replace(b"\n", b"\r\n")
    return (
        (
            head + 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
            "Content-Type: text/plain\r\n\r\nVoir le document.\r\n--b\r\n"
            'Content-Type: text/xml; name="cr.xml"\r\nContent-Transfer-Encoding: base64\r\n'
            'Content-Disposition: attachment; filename="cr.xml"\r\n\r\n'
        ).encode()
        + document
        + b"--b--\r\n"
    )


_TEMPLATES: dict[str, bytes] = {}


def document_for(patient: dict, number: int, run: str) -> bytes:
    """A level 3 report of about 100 kB, with an id of its own."""
    key = patient["ins"]
    if key not in _TEMPLATES:
        traits = patient["traits"]
        subject = make_samples.Subject(
            ins=patient["ins"],
            birth_name=traits["birthName"],
            given_names=traits["given"],
            first_given=traits["given"].split()[0],
            sex=traits["sex"],
            birth_date=traits["birthDate"].replace("-", ""),
            birth_place=traits["birthPlace"],
        )
        version = make_samples.Version(unique_id="1.2.250.1.999.77.1", set_id="1.2.250.1.999.77.2")
        _TEMPLATES[key] = make_samples.biology(subject, version=version, size=98_000)
    unique = f"1.2.250.1.999.{int(run, 16)}.{number}".encode()
    return (
        _TEMPLATES[key]
        .replace(b"1.2.250.1.999.77.1", unique + b".1")
        .replace(b"1.2.250.1.999.77.2", unique + b".2")
    )


def cpu_seconds(instance: Instance) -> float:
    """User and system time of the supervisor and its workers."""
    ticks = 0
    for pid in [instance.process.pid, *instance.workers()]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def count(path: Path, query: str) -> int:
    import sqlite3

    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        [[found]] = connection.execute(query)
    connection.close()
    return found


def limit(folder: Path, size: int, group: int, seconds: float = 1.0) -> float:
    """Records per second that this disk takes in synced groups."""
    block, done = [os.urandom(size)] * group, 0
    with (folder / "limit").open("wb", buffering=0) as file:
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            os.writev(file.fileno(), block)
            os.fdatasync(file.fileno())
            done += group
        took = time.perf_counter() - started
    (folder / "limit").unlink()
    return done / took


async def load(instance: Instance, kind: str, messages: int, connections: int) -> Result:
    senders = instance.accounts("professional")
    # The third has a client that signs.
    sender = senders[2] if kind.startswith("signed") else senders[0]
    patients = [one for one in instance.accounts("patient") if one["identityStatus"] == "QUAL"]
    run = secrets.token_hex(4)
    ready = [
        (
            patients[n % len(patients)],
            content(kind, sender, patients[n % len(patients)], n, run),
        )
        for n in range(messages)
    ]
    data = next(instance.directory.rglob("mail.sqlite")).parent
    delivered = "SELECT count(*) FROM mail_effect WHERE kind = 'deliver'"
    filed = "SELECT count(*) FROM document_entry"
    base_delivered = count(data / "mail.sqlite", delivered)
    base_filed = count(data / "dmp.sqlite", filed)
    clients = [await Client(instance, sender).open() for _ in range(connections)]
    queue, waits = iter(ready), []

    async def work(client: Client) -> None:
        for patient, message in queue:
            waits.append(await client.send([patient["address"]], message))

    cpu, started = cpu_seconds(instance), time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    accepted = time.perf_counter() - started

    def wait_for(path: Path, query: str, wanted: int) -> float:
        while count(path, query) < wanted:
            if time.perf_counter() - started > 120:
                raise RuntimeError(f"{wanted - count(path, query)} messages are missing")
            time.sleep(0.01)
        return time.perf_counter() - started

    took = await asyncio.to_thread(
        wait_for, data / "mail.sqlite", delivered, base_delivered + messages
    )
    filed_took = None
    if kind.endswith("100k"):
        filed_took = await asyncio.to_thread(
            wait_for, data / "dmp.sqlite", filed, base_filed + messages
        )
    while not instance.spool_is_empty():
        await asyncio.sleep(0.05)
    used = cpu_seconds(instance) - cpu
    for client in clients:
        await client.close()
    most = limit(data, len(ready[0][1]), connections)
    return Result(
        kind,
        messages,
        messages / accepted,
        messages / took,
        messages / filed_took if filed_took else None,
        1000 * used / messages,
        1000 * statistics.median(waits),
        1000 * statistics.quantiles(waits, n=100)[98],
        most,
        messages / took / most,
    )


async def relayed(here: Instance, there: Instance, messages: int, connections: int) -> Relayed:
    """From members here to members of the other operator."""
    sender, run = here.accounts("professional")[0], secrets.token_hex(4)
    recipients = there.accounts("professional")
    ready = [
        (one["address"], content("text5k", sender, one, n, run))
        for n, one in ((n, recipients[n % len(recipients)]) for n in range(messages))
    ]
    data = next(there.directory.rglob("mail.sqlite"))
    delivered = "SELECT count(*) FROM mail_effect WHERE kind = 'deliver'"
    base = count(data, delivered)
    clients = [await Client(here, sender).open() for _ in range(connections)]
    queue = iter(ready)

    async def work(client: Client) -> None:
        for address, message in queue:
            await client.send([address], message)

    before = cpu_seconds(here), cpu_seconds(there)
    started = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    accepted = time.perf_counter() - started
    while count(data, delivered) < base + messages:
        if time.perf_counter() - started > 120:
            raise RuntimeError(f"{base + messages - count(data, delivered)} messages are missing")
        await asyncio.sleep(0.01)
    took = time.perf_counter() - started
    while here.relays_waiting() or not (here.spool_is_empty() and there.spool_is_empty()):
        await asyncio.sleep(0.05)
    used = cpu_seconds(here) - before[0], cpu_seconds(there) - before[1]
    for client in clients:
        await client.close()
    return Relayed(
        messages,
        messages / accepted,
        messages / took,
        1000 * used[0] / messages,
        1000 * used[1] / messages,
    )


async def latency(instance: Instance, messages: int) -> list[float]:
    """Milliseconds from each 250 to the EXISTS at an idling client."""
    sender, reader = instance.accounts("professional")[:2]
    demo = instance.demo
    incoming, outgoing = await asyncio.open_connection(
        demo["host"], demo["ports"]["imaps"], ssl=instance.tls()
    )
    await incoming.readline()
    for line in (
        f"1 LOGIN {json.dumps(reader['login'])} {json.dumps(reader['password'])}",
        "2 SELECT INBOX",
    ):
        outgoing.write(line.encode() + b"\r\n")
        while not (await incoming.readline()).startswith(line[:2].encode()):
            pass
    outgoing.write(b"3 IDLE\r\n")
    await incoming.readuntil(b"+")
    await incoming.readline()
    client, waits = await Client(instance, sender).open(), []
    patient = {"address": reader["address"], "ins": "", "traits": {}}
    for number in range(messages):
        message = content("text5k", sender, patient, number, secrets.token_hex(4))
        seen = asyncio.create_task(_exists(incoming))
        await client.send([reader["address"]], message)
        answered = time.perf_counter()
        waits.append(1000 * max(0.0, await seen - answered))
        await asyncio.sleep(0.01)
    await client.close()
    outgoing.close()
    return waits


async def _exists(incoming: asyncio.StreamReader) -> float:
    while b"EXISTS" not in await incoming.readline():
        pass
    return time.perf_counter()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave the instance for a look")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mssante-bench-"))
    instance = Instance(folder / "instance").init("--demo-accounts", "20")
    neighbour = Instance(folder / "neighbour")
    instance.start(workers=options.workers)
    try:
        results = [
            uvloop.run(load(instance, kind, options.messages, options.connections))
            for _ in range(options.rounds + 1)
            for kind in KINDS
        ][len(KINDS) :]  # the first round warms up
        waits = uvloop.run(latency(instance, 200))
        instance.stop()
        neighbour.init(
            "--domain", "acacias.mssante.example", "--demo-accounts", "20",
            "--beside", str(instance.directory),
        )  # fmt: skip
        for each in (instance, neighbour):
            each.start(workers=options.workers)
        pairs = [
            uvloop.run(relayed(instance, neighbour, options.messages, options.connections))
            for _ in range(options.rounds + 1)
        ][1:]
    finally:
        instance.stop()
        neighbour.stop()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    report(results, waits)
    report_relayed(pairs)
    if options.json:
        summary = {
            "results": [asdict(one) for one in results],
            "relayed": [asdict(one) for one in pairs],
            "exists_ms": waits,
        }
        options.json.write_text(json.dumps(summary, indent=1))
    return 0


def report(results: list[Result], waits: list[float]) -> None:
    print(
        f"{'kind':10} {'accepted/s':>10} {'delivered/s':>11} {'filed/s':>8} {'CPU ms':>7} "
        f"{'250 p50/p99 ms':>15} {'limit/s':>8} {'ratio':>6}   (medians of {len(results) // len(KINDS)} rounds)"
    )
    for kind in KINDS:
        rows = [one for one in results if one.kind == kind]

        def median(name: str, rows: list[Result] = rows) -> float:
            return statistics.median(getattr(one, name) or 0 for one in rows)

        print(
            f"{kind:10} {median('accepted_per_s'):10.0f} {median('delivered_per_s'):11.0f} "
            f"{median('filed_per_s'):8.0f} {median('cpu_ms_per_message'):7.2f} "
            f"{median('accept_p50_ms'):8.1f}/{median('accept_p99_ms'):<6.1f} "
            f"{median('limit_per_s'):8.0f} {median('ratio_to_limit'):6.3f}"
        )
        print(f"         {GOALS[kind]}")
    quantiles = statistics.quantiles(waits, n=100)
    print(
        f"250 to EXISTS at an idling client: p50 {quantiles[49]:.1f} ms, p99 {quantiles[98]:.1f} ms "
        f"({len(waits)} messages)\n         {GOALS['latency']}"
    )


def report_relayed(pairs: list[Relayed]) -> None:
    def median(name: str) -> float:
        return statistics.median(getattr(one, name) for one in pairs)

    print(
        f"relay5k: accepted {median('accepted_per_s'):.0f}/s, delivered at the other operator "
        f"{median('delivered_per_s'):.0f}/s; CPU for each message {median('sender_cpu_ms'):.2f} ms where it is "
        f"sent, {median('receiver_cpu_ms'):.2f} ms where it arrives\n"
        "         both operators and the clients share this machine"
    )


if __name__ == "__main__":
    sys.exit(main())
