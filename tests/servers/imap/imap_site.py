"""A real IMAP server over real storage on SQLite, with a throw-away certificate."""

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import throw_away_certificate
from tests.support.memory import ManualClock, MemoryAudit, MemoryDirectory

from mssante.access.authentication import Authenticator
from mssante.access.passwords import Argon2Cost, Passwords
from mssante.directory.model import MailboxType
from mssante.kernel.opaque import OpaqueId, new_id
from mssante.mail.consultations import Consultations
from mssante.mail.mailboxes import MailboxService
from mssante.mail.model import StoredMessage
from mssante.mail.ports import Delivery
from mssante.servers.imap.limits import ImapLimits
from mssante.servers.imap.listener import ImapServer
from mssante.servers.tls import server_context
from mssante.storage import migrate, versions
from mssante.storage.database import Database
from mssante.storage.encryption import Keyring, create_keys
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.postgres import PostgresDatabase
from mssante.storage.segments import SegmentBlobs
from mssante.storage.sqlite import SqliteDatabase
from mssante.storage.wakeups import SocketWakeups
from mssante.wire.mime.summary import summarise

LOGIN = "claire.martin@medecins.example"
PASSWORD = "correct horse"
SHARED = "secretariat@medecins.example"


@dataclass
class Process:
    """One worker: database connections, service and server of its own."""

    database: Database
    blobs: SegmentBlobs
    store: StoredMailboxes
    service: MailboxService
    server: ImapServer
    imaps: int
    imap: int
    wakeups: SocketWakeups

    async def deliver(self, mailbox_id: OpaqueId, content: bytes, prefix: bytes = b"") -> None:
        summary = summarise(content).encode()
        message = StoredMessage(new_id(), prefix, summary, await self.blobs.put(content))
        size = len(prefix) + len(content)
        delivery = Delivery(new_id(), message, size, self.service._clock.now(), (mailbox_id,))
        await self.store.deliver(delivery)

    async def close(self) -> None:
        await self.server.close(grace=2)
        self.wakeups.close()
        await self.service.close()
        await self.database.close()
        await self.blobs.close()


class Site:
    """An instance: several processes over one database."""

    def __init__(self, folder: Path, postgres_url: str | None = None) -> None:
        self.folder = folder
        self.postgres_url = postgres_url
        self.clock = ManualClock()
        self.audit = MemoryAudit()
        self.directory = MemoryDirectory()
        self.passwords = Passwords(Argon2Cost(8, 1, 1))
        self.processes: list[Process] = []
        if postgres_url is None:
            migrate.upgrade_sqlite(folder / "mail.sqlite", versions.MAIL)
        else:
            migrate.upgrade_postgres(postgres_url, versions.MAIL)
        create_keys(folder / "master.key", folder / "instance-keys.json")
        (folder / "segments").mkdir()
        (folder / "run").mkdir()
        files = throw_away_certificate(folder)
        self.server_tls = server_context(files.certificate, files.key)
        self.client_tls = ssl.create_default_context(cafile=str(files.certificate))
        self.ca_file = files.certificate
        account = self.directory.add_account("claire", self.passwords.hash_now(PASSWORD))
        other = self.directory.add_account("paul", self.passwords.hash_now(PASSWORD))
        self.mailbox = self.directory.add_mailbox(LOGIN, owner=account)
        self.shared = self.directory.add_mailbox(
            SHARED, members=(account, other), type=MailboxType.ORGANISATION
        )

    async def process(self, limits: ImapLimits | None = None, *, hears: bool = True) -> Process:
        """Another worker; one that does not hear has lost its wake-ups."""
        name = f"w{len(self.processes)}"
        audit = versions.MAIL.audit
        database: Database = (
            SqliteDatabase(self.folder / "mail.sqlite", audit)
            if self.postgres_url is None
            else PostgresDatabase(self.postgres_url, audit, pool_size=4)
        )
        keyring = Keyring.open(self.folder / "master.key", self.folder / "instance-keys.json")
        blobs = SegmentBlobs(self.folder / "segments", name, keyring)
        services: list[MailboxService] = []

        def changed(number: int, modseq: int) -> None:
            services[0].on_folder_changed(number, modseq)

        wakeups = SocketWakeups(self.folder / "run", name, changed if hears else None)
        wakeups.listen(asyncio.get_running_loop())
        store = StoredMailboxes(database, blobs, wakeups, self.clock)
        consultations = Consultations(self.audit, gathered_seconds=0.05)
        service = MailboxService(store, blobs, self.clock, consultations)
        services.append(service)
        service.start()
        sign_in = Authenticator(
            self.directory, self.passwords, self.audit, self.clock, patients_allowed=True
        )
        server = ImapServer(service, sign_in, self.server_tls, limits)
        ports = []
        for implicit in (True, False):
            sock = socket.create_server(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
            await server.listen(sock, implicit_tls=implicit)
        process = Process(database, blobs, store, service, server, *ports, wakeups)
        self.processes.append(process)
        return process

    async def settled(self) -> None:
        """Until every open view has heard of what is in the store."""
        for _ in range(500):
            await asyncio.sleep(0.01)
            views = [
                each.view
                for process in self.processes
                for readers in process.service._views.values()
                for each in readers.values()
            ]
            if not views:
                return
            numbers = sorted({view.number for view in views})
            stored = await self.processes[0].store.modseqs(numbers)
            if all(view.highestmodseq >= stored.get(view.number, 0) for view in views):
                return
        raise AssertionError("a view has not heard of a change")

    async def close(self) -> None:
        for process in self.processes:
            await process.close()
        self.passwords.close()


class Client:
    r"""A client that shows the octets: sends commands, collects lines with their literals.

    RECENT and ``\Recent`` are left out unless a test is about them: they depend on which session
    came first.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._tag = 0
        self.greeting = b""
        self.shows_recent = False

    async def line(self) -> bytes:
        """One response with its literals, without the last CRLF."""
        while True:
            line = await self._line()
            if self.shows_recent:
                return line
            if not re.fullmatch(rb"\* \d+ RECENT", line):
                return re.sub(rb" \\Recent|\\Recent ?", b"", line)

    async def _line(self) -> bytes:
        data = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10)
        while data.endswith(b"}\r\n"):
            size = int(data[data.rindex(b"{") + 1 : -3])
            data += await asyncio.wait_for(self.reader.readexactly(size), 10)
            data += await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10)
        return data[:-2]

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, tag: bytes) -> list[bytes]:
        lines = [await self.line()]
        while not lines[-1].startswith(tag + b" "):
            lines.append(await self.line())
        return lines

    async def run(self, command: bytes | str) -> list[bytes]:
        """Send a command; all lines up to its tagged one, whose tag is cut off."""
        raw = command.encode() if isinstance(command, str) else command
        self._tag += 1
        tag = b"t%d" % self._tag
        self.send(tag + b" " + raw + b"\r\n")
        lines = await self.until(tag)
        lines[-1] = lines[-1][len(tag) + 1 :]
        return lines

    async def ok(self, command: bytes | str) -> list[bytes]:
        """The untagged lines of a command that must succeed."""
        lines = await self.run(command)
        assert lines[-1].startswith(b"OK"), lines
        return lines[:-1]

    async def append(self, mailbox: str, content: bytes, flags: str = "") -> bytes:
        wanted = f"{flags} " if flags else ""
        lines = await self.run(
            f"APPEND {mailbox} {wanted}{{{len(content)}+}}\r\n".encode() + content
        )
        assert lines[-1].startswith(b"OK"), lines
        return lines[-1]

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass

    async def closed_by_server(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""


def a_mail(subject: str = "Résultats", body: str = "Bonjour", number: int = 1) -> bytes:
    from base64 import b64encode

    word = b64encode(subject.encode()).decode()
    return (
        f"From: =?utf-8?q?Ren=C3=A9e?= <renee@medecins.example>\r\n"
        f"To: claire.martin@medecins.example\r\n"
        f"Subject: =?utf-8?b?{word}?=\r\n"
        f"Date: Mon, 23 Nov 2026 09:00:00 +0100\r\n"
        f"Message-ID: <{number}@medecins.example>\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        "\r\n"
        f"{body}\r\n"
    ).encode()
