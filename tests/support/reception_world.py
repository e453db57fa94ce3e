"""A reception server on real stores, and the operators that connect to it."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

from mssante.mail.admission import AdmissionLimits
from mssante.mail.arrival import Arrival
from mssante.servers.smtp.dialogue import SessionLimits
from mssante.servers.smtp.reception import ReceptionServer, ReceptionServices
from mssante.storage.whitelist import StoredWhiteList
from mssante.trust.anchors import Trust, read_revocation_lists
from mssante.trust.list_signature import ListPolicy
from mssante.trust.peers import PeerJudge, PeerPolicy
from mssante.trust.peer_tls import PeerTls
from mssante.trust.whitelist import AgeLimit
from mssante.wire.whitelist.model import Listing
from mssante.wire.whitelist.writer import write_white_list
from tests.support.operator_pki import SERVER, OperatorPki, name_in
from tests.support.smtp_world import ACT, DOMAIN, PATIENTS, Client, World

VOISIN = "voisin.example"
AUTRE = "autre.example"


class ReceptionWorld(World):
    """The members of `World`; ``voisin`` and ``autre`` are listed, ``inconnu`` is not. The
    certificates ``voisin-…`` have the name of ``voisin`` and one thing wrong, or another key.
    """

    async def build(self) -> None:
        await super().build()
        self.pki = pki = OperatorPki(self.folder, datetime.now(UTC))
        # The world's clock is moved by hand; TLS of the clients looks at the machine's.
        self.clock.instant = pki.now
        pki.operator("own", "mx.medecins.example")
        host = f"mx.{VOISIN}"
        self.voisin = pki.operator("voisin", host)
        listings = [
            Listing(DOMAIN, name_in(pki.operator("ourselves", "mx2.medecins.example"))),
            Listing(VOISIN, name_in(self.voisin)),
            Listing(AUTRE, name_in(pki.operator("autre", f"mx.{AUTRE}"))),
            # The neighbour also speaks for a domain of ours by mistake of the list.
            Listing(PATIENTS, name_in(self.voisin)),
            Listing("labo.voisin.example", name_in(self.voisin)),
        ]
        pki.operator("inconnu", "mx.inconnu.example")
        pki.operator("voisin-expired", host, until=-timedelta(hours=1))
        pki.operator("voisin-early", host, since=timedelta(hours=1))
        pki.operator("voisin-server", host, usages=SERVER)
        pki.operator("voisin-encrypts", host, key_usage=("key_encipherment",))
        pki.operator("voisin-foreign", host, issuer=pki.foreign)
        pki.operator("voisin-below", host, issuer=pki.revoked_issuing)
        pki.operator("voisin-nochain", host, chain=False)
        self.revoked = pki.operator("voisin-revoked", host)
        self.lists = [
            pki.revoke(self.revoked),
            pki.revoke(pki.revoked_issuing, issuer=pki.root),
            pki.revoke(issuer=pki.revoked_issuing),
        ]
        self.white_list = StoredWhiteList(self.databases["directory"], self.clock)
        await self.publish(listings)

    async def publish(self, listings) -> None:
        content = write_white_list(self.clock.now(), listings)
        await self.white_list.replace(content, ACT, ListPolicy(), force=True)

    def trust(self, *lists: bytes) -> Trust:
        pki = self.pki
        return Trust(
            (pki.root.certificate,),
            (pki.issuing.certificate,),
            tuple(one for octets in lists or self.lists for one in read_revocation_lists(octets)),
        )

    async def receive(
        self,
        *,
        max_size=200_000,
        max_recipients=20,
        usages=("clientAuth",),
        hard=False,
        max_age=None,
        **limits,
    ) -> None:
        arrival = Arrival(
            self.directory,
            self.white_list,
            self.policy,
            "mx.medecins.example",
            AdmissionLimits(max_size=max_size, max_recipients=max_recipients),
            AgeLimit(self.white_list, self.clock, max_age),
        )
        self.peers = PeerJudge(self.trust(), PeerPolicy(usages, revocation_must_be_known=hard))
        self.server = ReceptionServer(
            ReceptionServices(arrival, self.peers, self.clock, self.spool, self.accepted.append),
            hostname="mx.medecins.example",
            tls=self.own_tls("own"),
            audit=self.audit,
            limits=SessionLimits(**limits),
        )
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        self.starttls_port = sock.getsockname()[1]
        await self.server.start([sock], implicit_tls=False)

    def own_tls(self, name: str) -> PeerTls:
        return PeerTls(
            (self.folder / f"{name}.pem").read_bytes(), (self.folder / f"{name}.key").read_bytes()
        )

    def operator_tls(self, name: str | None) -> ssl.SSLContext:
        """What the operator's own server believes and shows."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if name is not None:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    async def operator(self, name: str | None) -> Client:
        """A connection after STARTTLS and EHLO, with the certificate of `name`."""
        client = await Client.plain(self)
        assert "STARTTLS" in await client.say(f"EHLO mx.{name}.example")
        assert (await client.say("STARTTLS")).startswith("220")
        context = self.operator_tls(name)
        await asyncio.wait_for(client.writer.start_tls(context, server_hostname="localhost"), 10)
        greeting = await client.say(f"EHLO mx.{name}.example")
        assert "STARTTLS" not in greeting
        assert "AUTH" not in greeting
        return client
