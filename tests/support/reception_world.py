"""A reception server on real stores, and the operators that connect to it."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

from mssante.mail.admission import AdmissionLimits
from mssante.mail.arrival import Arrival
from mssante.servers.smtp.dialogue import SessionLimits
from mssante.servers.smtp.reception import ReceptionServer, ReceptionServices
from mssante.servers.tls import server_context
from mssante.storage.whitelist import StoredWhiteList
from mssante.trust import pki
from mssante.trust.names import name_of
from mssante.wire.whitelist.model import Listing
from mssante.wire.whitelist.writer import write_white_list
from tests.support.smtp_world import ACT, DOMAIN, PATIENTS, Client, World

VOISIN = "voisin.example"
AUTRE = "autre.example"
NOW = datetime.now(UTC)


class ReceptionWorld(World):
    """The members of `World`; ``voisin`` and ``autre`` are listed, ``inconnu`` is not."""

    async def build(self) -> None:
        await super().build()
        self.root = pki.make_root("Operators' root", NOW)
        self.root.write(self.folder / "ca.pem", self.folder / "ca.key")
        self._certificate("own", ["mx.medecins.example", "localhost"])
        listings = [Listing(DOMAIN, self._certificate("ourselves", ["mx2.medecins.example"]))]
        for operator, domain in (("voisin", VOISIN), ("autre", AUTRE)):
            listings.append(Listing(domain, self._certificate(operator, [f"mx.{domain}"])))
        # The neighbour also speaks for a domain of ours by mistake of the list.
        listings.append(Listing(PATIENTS, listings[1].operator))
        listings.append(Listing("labo.voisin.example", listings[1].operator))
        self._certificate("inconnu", ["mx.inconnu.example"])
        self._certificate("expired", ["mx.voisin.example"], NOW - timedelta(days=1000))
        server_only = pki.issue_server(self.root, ["mx.voisin.example"], NOW)
        server_only.write(self.folder / "server-only.pem", self.folder / "server-only.key")
        foreign = pki.make_root("Somebody's root", NOW)
        copy = pki.issue_operator(foreign, "voisin", [f"mx.{VOISIN}"], NOW)
        copy.write(self.folder / "foreign.pem", self.folder / "foreign.key")
        self.white_list = StoredWhiteList(self.databases["directory"], self.clock)
        await self.publish(listings)

    def _certificate(self, name, hosts, at=NOW):
        credential = pki.issue_operator(self.root, name, hosts, at)
        credential.write(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return name_of(credential.certificate.subject)

    async def publish(self, listings, at=NOW) -> None:
        content = write_white_list(at, listings)
        await self.white_list.replace(content, ACT, accept_signed=False, force=True)

    async def receive(self, *, max_size=200_000, max_recipients=20, **limits) -> None:
        arrival = Arrival(
            self.directory,
            self.white_list,
            self.policy,
            "mx.medecins.example",
            AdmissionLimits(max_size=max_size, max_recipients=max_recipients),
        )
        self.server = ReceptionServer(
            ReceptionServices(arrival, self.spool, self.accepted.append),
            hostname="mx.medecins.example",
            tls=server_context(
                self.folder / "own.pem",
                self.folder / "own.key",
                client_ca=self.folder / "ca.pem",
            ),
            audit=self.audit,
            clock=self.clock,
            limits=SessionLimits(**limits),
        )
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        self.starttls_port = sock.getsockname()[1]
        await self.server.start([sock], implicit_tls=False)

    async def operator(self, name: str | None) -> Client:
        """A connection after STARTTLS and EHLO, with the certificate of `name`."""
        client = await Client.plain(self)
        assert "STARTTLS" in await client.say(f"EHLO mx.{name}.example")
        assert (await client.say("STARTTLS")).startswith("220")
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if name is not None:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        await asyncio.wait_for(client.writer.start_tls(context, server_hostname="localhost"), 10)
        greeting = await client.say(f"EHLO mx.{name}.example")
        assert "STARTTLS" not in greeting
        assert "AUTH" not in greeting
        return client
