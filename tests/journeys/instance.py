"""A real instance for tests: made, served, killed and looked into from outside."""

import contextlib
import functools
import json
import os
import random
import signal
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from mssante.storage.encryption import Keyring
from mssante.storage.journal import live_records
from tests.support.peers import Peer, PeerThread, peer_context

COMMAND = [sys.executable, "-m", "mssante"]
READY_SECONDS = 60


def free_port_base() -> int:
    """A base such that all of an instance's ports are free at this moment."""
    for _ in range(100):
        # Below the ports that the kernel gives to clients, which could take one before we do; and
        # any number, so that tests side by side hardly ever meet.
        base = random.randrange(10_000, 31_000)
        try:
            for port in (25, 143, 389, 443, 465, 587, 636, 993):
                socket.create_server(("", base + port)).close()  # a machine may lack IPv6
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")


def wait_for(condition, seconds: float = 60, pause: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(pause)


class Instance:
    """One instance directory and, while it runs, its supervisor."""

    def __init__(self, directory: Path, port_base: int | None = None) -> None:
        self.directory = directory
        self.port_base = port_base or free_port_base()
        self.process: subprocess.Popen[str] | None = None
        self.log = directory.parent / f"{directory.name}.log"

    @property
    def config(self) -> Path:
        return self.directory / "mssante.toml"

    @property
    def demo(self) -> dict:
        return json.loads((self.directory / "demo.json").read_text())

    def init(self, *options: str) -> "Instance":
        self.run(
            "init", str(self.directory), "--demo", "--port-base", str(self.port_base), *options
        )
        return self

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=300
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments[:2]} exited {done.returncode}: {done.stderr[-3000:]}")
        return done.stdout

    def json(self, *arguments: str, stdin: str | None = None):
        return json.loads(self.run(*arguments, "-c", str(self.config), "--json", stdin=stdin))

    def start(self, workers: int = 2) -> None:
        log = self.log.open("a")
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "-c", str(self.config), "--workers", str(workers)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        timer = threading.Timer(READY_SECONDS, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready"):
            self.process.wait(10)
            raise AssertionError(f"not ready: {self.log.read_text()[-3000:]}")

    def workers(self) -> list[int]:
        try:
            listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in listed.split()]

    def kill_a_worker(self) -> None:
        pids = self.workers()
        if pids:
            self._kill(random.choice(pids))

    def kill_the_supervisor(self) -> None:
        pids = self.workers()
        self._kill(self.process.pid)
        self.process.wait(10)
        self.process.stdout.close()
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            assert time.monotonic() < deadline, "workers outlive their supervisor"
            time.sleep(0.01)

    def kill_everything(self) -> None:
        for pid in [self.process.pid, *self.workers()]:
            self._kill(pid)
        self.process.wait(10)
        self.process.stdout.close()

    def stop(self) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self.process.stdout.close()
        self.process = None
        return code

    @staticmethod
    def _kill(pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    # -- what a client needs ----------------------------------------------------------------------

    def tls(self) -> ssl.SSLContext:
        ca_file = Path(self.demo["ca_file"])
        return ssl.create_default_context(cafile=self.directory / ca_file)

    def accounts(self, role: str) -> list[dict]:
        return [account for account in self.demo["accounts"] if account["role"] == role]

    def smtp(self, account: dict, timeout: float = 20) -> smtplib.SMTP_SSL:
        demo = self.demo
        client = smtplib.SMTP_SSL(
            demo["host"], demo["ports"]["submissions"], context=self.tls(), timeout=timeout
        )
        try:
            client.login(account["login"], account["password"])
        except Exception:
            client.close()
            raise
        return client

    def look(self, database: Path, query: str):
        """The one value that a query finds in a database, looked up without a lock."""
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            [[value]] = opened.execute(query)
        return value

    def database(self, name: str) -> Path:
        return self.directory / "data" / f"{name}.sqlite"

    def spools(self) -> list[Path]:
        return list((self.directory / "data").glob("spool-*.sqlite"))

    def spool_is_empty(self) -> bool:
        """Nothing is live in the journals and nothing is deferred: looked up without a lock.

        The journal first: what is put back meanwhile is missed otherwise (`storage.spool.mark_of`).
        """
        folder = self.directory / "data" / "segments-mail"
        for path in self.spools():
            slot = path.stem.removeprefix("spool-")
            if any(live_records(folder, slot, self.keyring, 1)) or self.look(
                path, "SELECT count(*) FROM spool_entry"
            ):
                return False
        return True

    def relays_waiting(self) -> int:
        """Orders to other operators that have no outcome yet."""
        waiting = "SELECT count(*) FROM relay_order WHERE state = 'due'"
        return sum(self.look(path, waiting) for path in self.spools())

    @functools.cached_property
    def keyring(self) -> Keyring:
        return Keyring.open(
            self.directory / "keys" / "master.key", self.directory / "data" / "instance-keys.json"
        )

    def wait_until_carried(self, seconds: float = 90) -> None:
        wait_for(self.spool_is_empty, seconds, pause=0.2)

    def wait_until_done(self, seconds: float = 90) -> None:
        """Also what goes to other operators."""
        self.wait_until_carried(seconds)
        wait_for(lambda: self.relays_waiting() == 0, seconds)

    def peer(self, **options) -> PeerThread:
        """The demo's other operator, who listens once it is entered."""
        operator = self.demo["remote_operators"][0]
        context = peer_context(
            operator["client_certificate"],
            operator["client_key"],
            self.directory / "tls" / "peers.pem",
        )
        extensions = ["PIPELINING", "SIZE 25000000", "8BITMIME"]
        return PeerThread(Peer(context, extensions, **options), operator["port"])


@dataclass
class Sent:
    """One message of a load, with what its sender knows of it."""

    message_id: str
    recipient: str
    unique_id: str | None
    attempts: int = 0
    accepted: bool = False


@dataclass
class Load:
    """Messages with documents, submitted over many connections, tried again after each fault."""

    instance: Instance
    make: object
    """(number) -> (EmailMessage, recipient, document uniqueId or None)"""
    connections: int = 8
    sent: list[Sent] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    unexpected: list[str] = field(default_factory=list)

    def run(self, count: int) -> None:
        numbers = iter(range(count))
        lock = threading.Lock()
        self.sent = [None] * count
        senders = self.instance.accounts("professional")
        threads = [
            threading.Thread(target=self._client, args=(senders[n % len(senders)], numbers, lock))
            for n in range(self.connections)
        ]
        for thread in threads:
            thread.start()
        self.threads = threads

    def join(self) -> None:
        for thread in self.threads:
            thread.join()
        assert not self.unexpected, self.unexpected[:5]

    def _client(self, account, numbers, lock) -> None:
        client = None
        while not self.stop.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            message, recipient, unique_id = self.make(number, account)
            sent = Sent(message["Message-ID"], recipient, unique_id)
            self.sent[number] = sent
            content = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
            while not sent.accepted and not self.stop.is_set():
                try:
                    client = client or self.instance.smtp(account)
                    sent.attempts += 1
                    client.sendmail(account["address"], [recipient], content)
                    sent.accepted = True
                except smtplib.SMTPResponseException as refusal:
                    if refusal.smtp_code >= 500:
                        self.unexpected.append(f"{refusal.smtp_code} {refusal.smtp_error!r}")
                        return
                    client = self._close(client)
                    time.sleep(0.05)
                except smtplib.SMTPRecipientsRefused as refusal:
                    if any(code >= 500 for code, _ in refusal.recipients.values()):
                        self.unexpected.append(f"{list(refusal.recipients.values())}")
                        return
                    client = self._close(client)
                except (OSError, smtplib.SMTPException):
                    client = self._close(client)
                    time.sleep(0.05)
        self._close(client)

    @staticmethod
    def _close(client) -> None:
        if client is not None:
            try:
                client.close()
            except OSError:
                pass


def a_message(
    account: dict, recipient: str, subject: str, *attachments: tuple[str, bytes]
) -> EmailMessage:
    """A message as an ordinary client writes it."""
    from email.utils import formatdate, make_msgid

    message = EmailMessage()
    message["From"] = f"{account['name']} <{account['address']}>"
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain="client.example")
    message.set_content("Bonjour,\n\nVeuillez trouver ci-joint le document.\n\nCordialement")
    for name, content in attachments:
        message.add_attachment(content, maintype="text", subtype="xml", filename=name, cte="base64")
    return message
