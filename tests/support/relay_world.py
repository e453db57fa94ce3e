"""A worker's queue to other operators in this process: real stores, real carrier, peers that obey.

The clock is moved by hand, so that hours of retries pass in moments.
"""

import asyncio
import contextlib
import secrets
import ssl
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default

from sqlalchemy import select

from mssante.clients.smtp.exchangers import Exchangers, Host
from mssante.composition.certificates import Certificates
from mssante.composition.operators import carrier_of, relay_services
from mssante.composition.smime import mailbox_keys
from mssante.composition.stores import Stores
from mssante.courier.relays import RelayCourier
from mssante.kernel.address import Address
from mssante.kernel.clock import from_milliseconds, to_milliseconds
from mssante.kernel.opaque import new_id
from mssante.mail.relay import RelayOrder, RelayRecipient
from mssante.servers.counting import CountingCourier
from mssante.servers.metrics import Memory, Meters
from mssante.storage import versions
from mssante.storage.journal import Journal
from mssante.storage.schema.spool import RELAY
from mssante.storage.spool import StoredSpool
from mssante.wire.smtp.notifications import UNASKED, DeliveryRequest
from tests.support.peers import Peer


async def until(condition, seconds: float = 30) -> None:
    """Wait for something that comes to pass."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


class Mx:
    """A resolver whose answer is replaced as the zone changes: an exception, or hosts."""

    def __init__(self) -> None:
        self.hosts: dict[str, int] = {}
        self.error: Exception | None = None
        self.asked = 0

    async def hosts_of(self, domain):
        self.asked += 1
        if self.error is not None:
            # What the real one makes of the resolver's errors.
            return await Exchangers({}, self).hosts_of(domain)
        return [Host("127.0.0.1", self.hosts[domain])]

    async def resolve(self, *_, **__):
        raise self.error


@dataclass
class RelayWorld:
    """A worker's queue to other operators, its peers, and the time."""

    stores: Stores
    clock: object
    """A `HandClock`."""
    account: dict
    """Of who sends."""
    context: ssl.SSLContext
    """Of the peers."""
    stack: contextlib.AsyncExitStack
    mx: Mx = field(default_factory=Mx)
    spool: StoredSpool | None = None
    relays: RelayCourier | None = None

    async def peer(self, domain: str, **options) -> Peer:
        made = Peer(self.context, **options)
        self.mx.hosts[domain] = await made.start()
        self.stack.push_async_callback(made.stop)
        return made

    async def start(self) -> None:
        """As a worker starts; what the former one held in memory is gone."""
        database = self.stores.layout.open(versions.SPOOL, "w0")
        journal = Journal(self.stores.layout.mail_segments, "w0", self.stores.keyring)
        self.spool = StoredSpool(
            database, journal, self.stores.mail_blobs, self.stores.keyring, self.clock
        )
        meters = Meters(Memory().page(0))
        certificates = Certificates(self.stores.settings, mailbox_keys(self.stores), meters)
        carrier = carrier_of(self.stores, lambda: certificates.operators, certificates.peers)
        carrier._exchangers = self.mx
        counting = CountingCourier(meters, self.clock)
        self.relays = RelayCourier(
            relay_services(self.stores, carrier, counting), [self.spool.relays]
        )
        self.stack.push_async_callback(database.close)
        self.stack.push_async_callback(self.spool.close)
        self.stack.push_async_callback(carrier.close)
        self.stack.push_async_callback(self.stop)
        self.relays.start()

    async def stop(self) -> None:
        """The queue's tasks end; what they held in memory is not written."""
        await self.relays.stop(0.1)

    async def order(
        self, domain: str, *locals_: str, count: int = 1, asked: DeliveryRequest = UNASKED
    ) -> list[RelayOrder]:
        """Put messages into the queue, all at once, as their journeys do."""
        sender = Address.split(self.account["address"])
        mailbox = await self.stores.directory.mailbox_by_address(sender)
        recipients = tuple(RelayRecipient(Address(one, domain), asked) for one in locals_ or ("x",))
        made = []
        for _ in range(count):
            message_id = f"<{secrets.token_hex(8)}@client.example>"
            content = f"From: {sender}\r\nMessage-ID: {message_id}\r\n\r\nBonjour.\r\n"
            blob = await self.stores.mail_blobs.put(content.encode())
            made.append(
                RelayOrder(
                    id=new_id(), spool_id=new_id(), domain=domain, sender=sender,
                    mailbox_id=mailbox.id, recipients=recipients, blob=blob,
                    prefix=b"Received: by us\r\n", accepted_at=self.clock.now(),
                )
            )  # fmt: skip
        await self.spool.relays.order(made)
        self.relays.ordered()
        return made

    def content_of(self, order: RelayOrder) -> bytes:
        return order.prefix + self.stores.mail_blobs.read(order.blob)

    async def waiting(self) -> int:
        due, held, _ = await self.spool.relays.census()
        return due + held

    async def calm(self) -> None:
        """Until nothing is under way and nothing is due at this time."""

        async def rests():
            return self.relays.under_way == 0 and not await self._due_now()

        await until(rests)

    async def _due_now(self) -> bool:
        now = to_milliseconds(self.clock.now())
        resting = self.relays._at_rest()
        return any(at <= now and domain not in resting for domain, at in await self._due())

    async def _due(self) -> list[tuple[str, int]]:
        due = select(RELAY.c.domain, RELAY.c.due_at).where(RELAY.c.state == "due")
        return await self.spool.database.read(lambda conn: conn.execute(due).all())

    async def next_due(self) -> datetime:
        resting = self.relays._resting
        return min(
            max(from_milliseconds(at), resting.get(domain, from_milliseconds(at)))
            for domain, at in await self._due()
        )

    async def pass_time(self) -> timedelta:
        """Go on to the next attempt, let it end; gives how long was waited for it."""
        before, due = self.clock.now(), await self.next_due()
        self.clock.instant = max(due, before) + timedelta(milliseconds=1)
        self.relays.ordered()
        await self.calm()
        return due - before

    async def told(self, order: RelayOrder) -> list[str]:
        """What the sender was told of an order, oldest first."""
        about = message_from_bytes(self.content_of(order), policy=default)["Message-ID"]
        mailbox = await self.stores.directory.mailbox_by_address(
            Address.split(self.account["address"])
        )
        inbox = await self.stores.mailboxes.folder(mailbox.id, "INBOX")
        if inbox is None:
            return []
        rows = (await self.stores.mailboxes.changes(inbox.number, None)).rows
        found = []
        async for _, stored in self.stores.mailboxes.messages(inbox.number, rows):
            content = self.stores.mail_blobs.read(stored.blob)
            report = message_from_bytes(content, policy=default)
            if report["In-Reply-To"] == about:
                _, status, _ = report.iter_parts()
                found.append(status.get_payload()[1]["Action"])
        return found
