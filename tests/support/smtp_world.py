"""A submission server on real stores, with its members, for tests of the dialogue."""

import asyncio
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from mssante.access.authentication import Authenticator
from mssante.access.passwords import Argon2Cost, Passwords
from mssante.directory.model import (
    Account,
    AccountRole,
    Domain,
    Mailbox,
    MailboxState,
    MailboxType,
)
from mssante.directory.ports import Act, Grant
from mssante.kernel.address import Address
from mssante.kernel.ins import matricule_key
from mssante.kernel.opaque import new_id
from mssante.mail.admission import Admission, AdmissionLimits
from mssante.mail.model import SpoolEntry
from mssante.mail.policy import Policy
from mssante.servers.limits import ByteBudget, ConnectionLimits
from mssante.servers.smtp.dialogue import SessionLimits
from mssante.servers.smtp.submission import SubmissionServer, SubmissionServices
from mssante.servers.tls import server_context
from mssante.storage import migrate, versions
from mssante.storage.audit import StoredAuditLog
from mssante.storage.contacts import StoredContacts
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.encryption import Keyring, create_keys
from mssante.storage.journal import Journal
from mssante.storage.segments import SegmentBlobs
from mssante.storage.spool import StoredSpool
from mssante.storage.sqlite import SqliteDatabase
from mssante.storage.whitelist import StoredWhiteList
from tests.support.certificates import throw_away_certificate

DOMAIN = "medecins.example"
PATIENTS = "patients.example"
PATIENTS_ELSEWHERE = "patients-ailleurs.example"
ACT = Act("test set-up", "tester")
CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


def patient_number(serial: int) -> str:
    body = f"2780175{serial:06d}"
    return f"{body}{matricule_key(body):02d}"


def plain(login: str, password: str, authzid: str = "") -> str:
    return b64encode(f"{authzid}\0{login}\0{password}".encode()).decode()


@dataclass
class World:
    """alice and bob are doctors who share cardio@; carol is a patient with an account."""

    folder: Path
    clock: object
    accepted: list[SpoolEntry] = field(default_factory=list)

    async def build(self) -> None:
        self.files = throw_away_certificate(self.folder)
        self.databases = {}
        for schema in (versions.DIRECTORY, versions.SPOOL, versions.MAIL):
            path = self.folder / f"{schema.name}.sqlite"
            migrate.upgrade_sqlite(path, schema)
            self.databases[schema.name] = SqliteDatabase(path, schema.audit)
        create_keys(self.folder / "master.key", self.folder / "instance-keys.json")
        self.keyring = Keyring.open(self.folder / "master.key", self.folder / "instance-keys.json")
        (self.folder / "segments").mkdir()
        self.blobs = SegmentBlobs(self.folder / "segments", "w0b", self.keyring)
        self.directory = StoredDirectory(self.databases["directory"])
        self.registry = StoredRegistry(self.databases["directory"], self.clock)
        self.audit = StoredAuditLog(self.databases["directory"], self.clock)
        self.contacts = StoredContacts(self.databases["mail"], self.keyring, self.clock)
        self.policy = Policy(
            self.directory,
            self.contacts,
            self.clock,
            patient_domains=frozenset({PATIENTS}),
            remote_patient_domains=frozenset({PATIENTS_ELSEWHERE}),
        )
        self.spool = await self.open_spool()
        self.passwords = Passwords(CHEAP)
        self.authenticator = Authenticator(
            self.directory, self.passwords, self.audit, self.clock, patients_allowed=True
        )
        await self._people()

    async def open_spool(self) -> StoredSpool:
        """The slot's spool as a process finds it when it starts."""
        journal = Journal(self.folder / "segments", "w0", self.keyring)
        spool = StoredSpool(self.databases["spool"], journal, self.blobs, self.keyring, self.clock)
        await spool.recover()
        return spool

    async def _people(self) -> None:
        await self.registry.add_domain(Domain(new_id(), DOMAIN, patients=False), ACT)
        await self.registry.add_domain(Domain(new_id(), PATIENTS, patients=True), ACT)
        stored = self.passwords.hash_now("right")
        self.alice = await self.add_account("alice", stored)
        self.bob = await self.add_account("bob", stored)
        self.carol = await self.add_account("carol", stored, AccountRole.PATIENT)
        self.alice_box = await self.add_mailbox(f"alice@{DOMAIN}", {self.alice: True})
        self.bob_box = await self.add_mailbox(f"bob@{DOMAIN}", {self.bob: True})
        self.cardio = await self.add_mailbox(
            f"cardio@{DOMAIN}", {self.alice: False, self.bob: False}, MailboxType.ORGANISATION
        )
        citizen = MailboxType.CITIZEN
        self.carol_box = await self.add_mailbox(
            f"{patient_number(1)}@{PATIENTS}", {self.carol: True}, citizen
        )
        self.waiting_box = await self.add_mailbox(
            f"{patient_number(2)}@{PATIENTS}", {}, citizen, MailboxState.NOT_ACTIVATED
        )
        self.closed_box = await self.add_mailbox(
            f"{patient_number(3)}@{PATIENTS}", {}, citizen, MailboxState.CLOSED
        )
        self.suspended_box = await self.add_mailbox(
            f"away@{DOMAIN}", {}, MailboxType.CABINET, MailboxState.SUSPENDED
        )

    async def add_account(self, login, stored, role=AccountRole.PROFESSIONAL) -> Account:
        account = Account(new_id(), role, login, login.title(), True, 1, stored)
        await self.registry.add_member(account, None, [], ACT)
        return account

    async def add_mailbox(
        self, address, rights, type=MailboxType.PERSONAL, state=MailboxState.ACTIVE
    ) -> Mailbox:
        box = Mailbox(new_id(), type, Address.split(address), state, address)
        grants = [Grant(a.id, box.id, may_send=True, is_owner=own) for a, own in rights.items()]
        await self.registry.add_member(None, box, grants, ACT)
        return box

    async def serve(
        self, *, max_size=200_000, max_recipients=20, spool=None, **limits
    ) -> SubmissionServer:
        admission = Admission(
            self.directory,
            StoredWhiteList(self.databases["directory"], self.clock),
            self.clock,
            self.policy,
            "mx.medecins.example",
            AdmissionLimits(max_size=max_size, max_recipients=max_recipients),
        )
        services = SubmissionServices(
            admission, self.authenticator, spool or self.spool, self.accepted.append
        )
        self.connections = limits.pop("connections", ConnectionLimits())
        self.memory = limits.pop("memory", ByteBudget())
        budgets = limits.pop("budgets", None)
        self.server = SubmissionServer(
            services,
            hostname="mx.medecins.example",
            tls=server_context(self.files.certificate, self.files.key),
            audit=self.audit,
            clock=self.clock,
            limits=SessionLimits(**limits),
            connections=self.connections,
            memory=self.memory,
            budgets=budgets,
        )
        self.starttls_port = await self._listen(implicit=False)
        self.implicit_port = await self._listen(implicit=True)
        return self.server

    def open_connections(self) -> int:
        return self.connections._counts.total()

    async def _listen(self, *, implicit: bool) -> int:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        port = sock.getsockname()[1]
        await self.server.start([sock], implicit_tls=implicit)
        return port

    def client_tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.files.certificate))

    def content(self, entry: SpoolEntry) -> bytes:
        return self.blobs.read(entry.blob)

    async def close(self) -> None:
        if hasattr(self, "server"):
            await self.server.stop(grace_seconds=0.2)
        self.passwords.close()
        await self.spool.close()
        await self.blobs.close()
        for database in self.databases.values():
            await database.close()


class Client:
    """A raw client: bytes out, reply lines in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def plain(cls, world: World) -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", world.starttls_port))
        assert (await client.reply()).startswith("220 ")
        return client

    @classmethod
    async def tls(cls, world: World, *, greeted: bool = True) -> "Client":
        client = cls(
            *await asyncio.open_connection(
                "127.0.0.1",
                world.implicit_port,
                ssl=world.client_tls(),
                server_hostname="localhost",
            )
        )
        assert (await client.reply()).startswith("220 ")
        if greeted:
            await client.say("EHLO client.example")
        return client

    @classmethod
    async def signed_in(cls, world: World, login: str = "alice", authzid: str = "") -> "Client":
        client = await cls.tls(world)
        reply = await client.say(f"AUTH PLAIN {plain(login, 'right', authzid)}")
        assert reply.startswith("235 2.7.0"), reply
        return client

    async def reply(self) -> str:
        """One reply, its lines joined with line feeds."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            if not line:
                raise ConnectionError("closed by the server")
            assert line.endswith("\r\n"), line
            lines.append(line[:-2])
            if line[3] == " ":
                return "\n".join(lines)

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def say(self, command: str) -> str:
        await self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def begin(self, *recipients: str, sender: str = f"alice@{DOMAIN}") -> None:
        """MAIL, RCPT and DATA, all accepted."""
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for recipient in recipients or (f"bob@{DOMAIN}",):
            assert (await self.say(f"RCPT TO:<{recipient}>")).startswith("250")
        assert (await self.say("DATA")).startswith("354 ")

    async def submit(
        self, content: bytes, *recipients: str, sender: str = f"alice@{DOMAIN}"
    ) -> str:
        """A whole transaction; the reply to the end of data."""
        await self.begin(*recipients, sender=sender)
        await self.send(content + b".\r\n")
        return await self.reply()

    async def closed(self) -> bool:
        """Whether the server closes within five seconds, with nothing more to say."""
        try:
            return await asyncio.wait_for(self.reader.read(), 5) == b""
        except (ConnectionError, ssl.SSLError):
            return True
        finally:
            self.leave()

    def leave(self) -> None:
        self.writer.transport.abort()


def message(
    *lines: str, sender: str = f"alice@{DOMAIN}", body: str = "Hello", fields: str = ""
) -> bytes:
    text = f"From: Alice <{sender}>\r\nTo: bob@{DOMAIN}\r\nSubject: test\r\n{fields}"
    return (text + "\r\n" + "\r\n".join((body, *lines)) + "\r\n").encode()
