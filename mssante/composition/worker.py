"""One worker: stores → rooms → listeners, started and stopped in order."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from mssante.access.audit_log import CondensedAudit
from mssante.composition.acceptance import admission_of, arrival_of, policy_of, submission_spool
from mssante.composition.access import authenticator_of
from mssante.composition.certificates import Certificates
from mssante.composition.journey import journey_of
from mssante.composition.listeners import Listeners, Listening, Services
from mssante.composition.monitoring import health_of, sampler_of
from mssante.composition.operators import carrier_of, relay_services
from mssante.composition.pages import pages_of
from mssante.composition.smime import mailbox_keys
from mssante.composition.stores import Stores
from mssante.courier.courier import Courier
from mssante.courier.relays import RelayCourier
from mssante.mail.consultations import Consultations
from mssante.mail.mailboxes import MailboxService
from mssante.renewal import FileWatch
from mssante.servers.counting import CountingCourier
from mssante.servers.metrics import Meters
from mssante.servers.shared_memory import SharedMemory
from mssante.storage.audit import StoredAuditLog
from mssante.storage.spool import StoredSpool


class Worker:
    """One worker process's services: what listens, what carries, what serves the mailboxes."""

    def __init__(
        self,
        stores: Stores,
        spools: Sequence[StoredSpool],
        shared: SharedMemory | None = None,
    ) -> None:
        """Args:
        stores: the opened stores.
        spools: this worker's own first, then those of slots that nobody serves any more.
        shared: where all workers count; by default this one's alone.
        """
        self._stores = stores
        self._spools = spools
        shared = shared or SharedMemory.of_workers()
        numbers = shared.numbers
        meters = Meters(numbers.page(shared.worker))
        self._loaded = meters.loaded
        counting = CountingCourier(meters, stores.clock)
        policy, keys = policy_of(stores), mailbox_keys(stores)
        certificates = self._certificates = Certificates(stores.settings, keys, meters)
        audit = StoredAuditLog(stores.databases["directory"], stores.clock)
        self._authenticator = authenticator_of(stores, audit, shared.failures, meters.signed_in)
        self._carrier = carrier_of(stores, lambda: certificates.operators, certificates.peers)
        self._relays = RelayCourier(
            relay_services(stores, self._carrier, counting), [spool.relays for spool in spools]
        )
        self.courier = Courier(
            journey_of(
                stores, policy, keys, lambda: certificates.mail, self._relays.ordered, counting
            ),
            spools,
        )
        self.mailboxes = MailboxService(
            stores.mailboxes,
            stores.mail_blobs,
            stores.clock,
            Consultations(StoredAuditLog(stores.databases["mail"], stores.clock)),
        )
        self._health = health_of(stores, numbers, f"w{shared.worker}")
        self._web_audit = CondensedAudit(audit, stores.clock)
        self.listeners = Listeners(
            stores,
            Services(
                authenticator=self._authenticator,
                admission=admission_of(stores, policy),
                arrival=arrival_of(stores, policy),
                submission_spool=submission_spool(stores, spools[0], keys),
                reception_spool=spools[0],
                on_accepted=self.courier.accepted,
                mailboxes=self.mailboxes,
                pages=pages_of(stores, self._health, numbers, self._web_audit),
                audit=audit,
            ),
            certificates,
            meters,
            shared,
        )
        self._sampler = sampler_of(meters, stores.clock, self.listeners.sessions, spools)

    def watch(self) -> FileWatch:
        """What loads files again when they change."""
        items = self._certificates.renewables(self.listeners.reception.renew)
        return FileWatch(items, self._loaded.set)

    async def start(self, listening: Listening) -> None:
        """Recover what was left, then accept."""
        for spool in self._spools:
            await spool.recover()
        self.mailboxes.start()
        self.courier.start()
        self._relays.start()
        await self._sampler.start()
        await self.listeners.start(listening)

    async def stop(self) -> None:
        """Accept nothing more, let what is under way end, keep the rest for the next start."""
        seconds = self._stores.settings.workers.stop_seconds
        async with AsyncExitStack() as steps:  # the last first; each even if one before it fails
            steps.push_async_callback(self._authenticator.flush)
            steps.push_async_callback(self._web_audit.flush)
            steps.push_async_callback(self._sampler.close)
            steps.push_async_callback(self.mailboxes.close)
            steps.push_async_callback(self._carrier.close)
            steps.push_async_callback(self._relays.stop, seconds / 3)
            steps.push_async_callback(self.courier.stop)
            steps.push_async_callback(self.listeners.stop, grace_seconds=seconds / 2)
            steps.callback(self._health.stopping)
