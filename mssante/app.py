"""Composition: settings → stores → rooms → listeners, by hand and in dependency order.

`Stores` is what the commands of the administrator and the workers share; `run_worker` is one
worker process from its first line to its last.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from importlib import metadata
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import uvloop

from mssante.access.audit_log import CondensedAudit
from mssante.access.authentication import Authenticator
from mssante.access.budgets import Budgets, Use, Who
from mssante.access.passwords import Argon2Cost, Passwords
from mssante.clients.clamd import Clamd
from mssante.clients.smtp.carrier import SmtpCarrier
from mssante.clients.smtp.exchangers import Exchangers, Host
from mssante.courier.courier import Courier
from mssante.courier.events import CourierEvents
from mssante.courier.journey import Journey
from mssante.courier.journey import Operator as JourneyOperator
from mssante.courier.relays import RelayCourier, RelayServices
from mssante.courier.reports import Reports
from mssante.filing.clerk import Clerk
from mssante.filing.inspect import InspectLimits
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock, SystemClock
from mssante.kernel.pseudonym import Pseudonymiser
from mssante.mail.admission import Admission, AdmissionLimits
from mssante.mail.arrival import Arrival
from mssante.mail.consultations import Consultations
from mssante.mail.dkim import DkimSigner
from mssante.mail.mailboxes import MailboxService
from mssante.mail.policy import Policy
from mssante.mail.relay import RetryRules
from mssante.mail.screening import AttachmentPolicy, Screening
from mssante.mail.sealing import LIMITS as SEALING_LIMITS
from mssante.mail.sealing import SealingSpool
from mssante.mail.smime import SecureMail
from mssante.renewal import Fetcher, FileWatch, Renewable
from mssante.servers import logs
from mssante.servers.counting import CountingCourier
from mssante.servers.health import Health, Subjects, Thresholds
from mssante.servers.imap.limits import ImapLimits
from mssante.servers.imap.listener import ImapServer
from mssante.servers.limits import ByteBudget, ConnectionLimits
from mssante.servers.metrics import Memory, Meters
from mssante.servers.sampling import Sampler, Waiting
from mssante.servers.smtp.dialogue import SessionLimits
from mssante.servers.smtp.reception import ReceptionServer, ReceptionServices
from mssante.servers.smtp.submission import SubmissionServer, SubmissionServices
from mssante.servers.tls import server_context
from mssante.servers.web.application import application
from mssante.servers.web.autoconfiguration import Autoconfiguration
from mssante.servers.web.limits import WebLimits
from mssante.servers.web.listener import WebServer
from mssante.servers.web.monitoring import Monitoring
from mssante.settings import Settings, route_of
from mssante.storage import trust_files, versions
from mssante.storage.audit import StoredAuditLog
from mssante.storage.contacts import StoredContacts
from mssante.storage.database import Database
from mssante.storage.directory import StoredDirectory, StoredRegistry
from mssante.storage.documents import StoredDocuments
from mssante.storage.encryption import Keyring
from mssante.storage.incoming import OverflowKeeper
from mssante.storage.journal import Journal
from mssante.storage.layout import Layout
from mssante.storage.mailbox_keys import StoredMailboxKeys
from mssante.storage.mailboxes import StoredMailboxes
from mssante.storage.segments import SegmentBlobs
from mssante.storage.spool import StoredSpool
from mssante.storage.upkeep import Upkeep
from mssante.storage.usage import StoredUsage
from mssante.storage.wakeups import FolderListener, SocketWakeups
from mssante.storage.whitelist import StoredWhiteList
from mssante.trust.anchors import Unreadable
from mssante.trust.dkim_keys import read_dkim_key
from mssante.trust.mailbox_keys import MailboxKeys, read_authority
from mssante.trust.peer_tls import PeerTls
from mssante.trust.peers import PeerJudge, PeerPolicy
from mssante.trust.server_signature import signed_by_server
from mssante.trust.tls import OnHandshake
from mssante.trust.trust_files import TrustFiles
from mssante.trust.validation import Validations
from mssante.trust.whitelist import AgeLimit
from mssante.wire.autoconfig.model import Endpoint, MailService
from mssante.wire.smime.signing_template import SignatureTemplate

_LOG: Final = logging.getLogger(__name__)

Listening = Mapping[str, Sequence[socket.socket]]
"""Bound sockets by the listener's name in the settings."""

_SLOT_SECONDS: Final = 30.0
"""How long to wait for a slot whose former process is just ending."""
_ORPHAN_SECONDS: Final = 5.0
"""The same for a slot that nobody serves any more."""


def layout_of(settings: Settings) -> Layout:
    """Where the instance keeps what."""
    return Layout(
        settings.storage.directory,
        settings.workers.run_directory,
        settings.storage.database_url,
    )


def check_stores(settings: Settings) -> None:
    """Refuse stores of another version.

    Raises:
        WrongVersion: says which one and what to do.
    """
    for where, version in layout_of(settings).present():
        versions.require_current(version, where, str(settings.file))


@dataclass(frozen=True, slots=True)
class Stores:
    """The opened stores of an instance."""

    settings: Settings
    layout: Layout
    clock: Clock
    keyring: Keyring
    pseudonymiser: Pseudonymiser
    databases: Mapping[str, Database]
    """By schema name; each has an audit chain of its own."""
    directory: StoredDirectory
    registry: StoredRegistry
    white_list: StoredWhiteList
    mailbox_keys: StoredMailboxKeys
    mail_blobs: SegmentBlobs
    mailboxes: StoredMailboxes
    contacts: StoredContacts
    dmp_blobs: SegmentBlobs
    documents: StoredDocuments
    wakeups: SocketWakeups


@asynccontextmanager
async def open_stores(
    settings: Settings,
    owner: str = "cli",
    listener: FolderListener | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Stores]:
    """Open the stores; closing finishes waiting writes.

    Args:
        settings: the instance's.
        owner: who writes: a worker's slot, or ``cli`` and the process id for a command.
        listener: called for folders that changed, here or in another process.
        clock: the clock; the machine's where none is given.

    Raises:
        WrongVersion: a store was written by another version.
        KeyUnavailable: the keys cannot be opened.
    """
    check_stores(settings)
    layout, clock = layout_of(settings), clock or SystemClock()
    keyring = Keyring.open(settings.keys.master_key, layout.instance_keys)
    operator = settings.operator
    patient_domains = frozenset((*operator.patient_domains, *operator.remote_patient_domains))
    async with AsyncExitStack() as stack:
        databases: dict[str, Database] = {}
        for schema in (versions.DIRECTORY, versions.MAIL, versions.DMP):
            database = databases[schema.name] = layout.open(schema)
            stack.push_async_callback(database.close)
        mail_blobs = SegmentBlobs(layout.mail_segments, owner, keyring)
        stack.push_async_callback(mail_blobs.close)
        dmp_blobs = SegmentBlobs(layout.dmp_segments, owner, keyring)
        stack.push_async_callback(dmp_blobs.close)
        wakeups = SocketWakeups(layout.run, owner, listener)
        stack.callback(wakeups.close)
        yield Stores(
            settings=settings,
            layout=layout,
            clock=clock,
            keyring=keyring,
            pseudonymiser=Pseudonymiser(keyring.derive("pseudonyms"), patient_domains),
            databases=databases,
            directory=StoredDirectory(databases["directory"]),
            registry=StoredRegistry(databases["directory"], clock),
            white_list=StoredWhiteList(databases["directory"], clock),
            mailbox_keys=StoredMailboxKeys(databases["directory"], keyring, clock),
            mail_blobs=mail_blobs,
            mailboxes=StoredMailboxes(databases["mail"], mail_blobs, wakeups, clock),
            contacts=StoredContacts(databases["mail"], keyring, clock),
            dmp_blobs=dmp_blobs,
            documents=StoredDocuments(databases["dmp"], dmp_blobs, clock),
            wakeups=wakeups,
        )


@contextlib.contextmanager
def hold_slot(layout: Layout, slot: str, seconds: float = _SLOT_SECONDS) -> Iterator[bool]:
    """Hold a slot's lock: its spool and segments belong to this process until it ends.

    Yields whether the lock was got within `seconds`.
    """
    # Beside what it protects: two configurations of one store must not miss each other.
    lock = os.open(
        layout.directory / f"slot-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        yield _lock_within(lock, seconds)
    finally:
        os.close(lock)


class Worker:
    """One worker process's services: what listens, what carries, what serves the mailboxes."""

    def __init__(
        self,
        stores: Stores,
        spools: Sequence[StoredSpool],
        memory: Memory | None = None,
        number: int = 0,
    ) -> None:
        """Args:
        stores: the opened stores.
        spools: this worker's own first, then those of slots that nobody serves any more.
        memory: where all workers count; by default this one's alone.
        number: of this worker's page in it.
        """
        settings = stores.settings
        self._stores = stores
        self._spools = spools
        numbers = memory or Memory()
        meters = Meters(numbers.page(number))
        counting = CountingCourier(meters, stores.clock)
        self._tls = server_context(
            settings.tls.certificate,
            settings.tls.key,
            on_handshake=partial(meters.handshake, "members"),
        )
        self.peers = PeerJudge(
            trust_files.peer_trust(settings),
            PeerPolicy(
                client_usages=settings.trust.peer_usages,
                revocation_must_be_known=settings.trust.revocation == "hard",
            ),
        )
        audit_log = StoredAuditLog(stores.databases["directory"], stores.clock)
        self.authenticator = Authenticator(
            stores.directory,
            Passwords(argon2_cost(settings), threads=settings.access.argon2_threads),
            audit_log,
            stores.clock,
            patients_allowed=settings.access.patients_allowed,
            remember_for=timedelta(seconds=settings.access.cache_seconds),
            on_attempt=meters.signed_in,
        )
        policy = policy_of(stores)
        self._count_operators: OnHandshake = partial(meters.handshake, "operators")
        self._peer_tls = trust_files.peer_tls(settings, self._count_operators)
        self._carrier = carrier_of(stores, lambda: self._peer_tls, self.peers)
        self.relays = RelayCourier(
            relay_services(stores, self._carrier, counting), [spool.relays for spool in spools]
        )
        keys = mailbox_keys(stores)
        self.courier = Courier(
            journey_of(stores, policy, keys, self.relays.ordered, counting), spools
        )
        self.mailboxes = MailboxService(
            stores.mailboxes,
            stores.mail_blobs,
            stores.clock,
            Consultations(StoredAuditLog(stores.databases["mail"], stores.clock)),
        )
        connections = ConnectionLimits(
            total=settings.limits.connections,
            per_peer=settings.limits.connections_per_peer or settings.limits.connections,
        )
        budget = ByteBudget()
        smtp: dict[str, Any] = {
            "hostname": settings.operator.domain,
            "audit": audit_log,
            "clock": stores.clock,
            "limits": SessionLimits(idle_seconds=settings.limits.smtp_idle_seconds),
            "connections": connections,
            "memory": budget,
            "meters": meters,
            "keeper": lambda: OverflowKeeper(stores.layout.directory),
            "budgets": Budgets(
                StoredUsage(stores.databases["directory"]), stores.clock, limits_of(settings)
            ),
        }
        self.submission = SubmissionServer(
            SubmissionServices(
                admission=admission_of(stores, policy),
                authenticator=self.authenticator,
                spool=SealingSpool(spools[0], keys, stores.directory, stores.clock)
                if settings.smime.seal == "always"
                else spools[0],
                on_accepted=self.courier.accepted,
            ),
            tls=self._tls,
            **smtp,
        )
        self.reception = ReceptionServer(
            ReceptionServices(
                arrival=arrival_of(stores, policy),
                peers=self.peers,
                clock=stores.clock,
                spool=spools[0],
                on_accepted=self.courier.accepted,
            ),
            tls=self._peer_tls,
            **{name: value for name, value in smtp.items() if name != "clock"},
        )
        self.imap = ImapServer(
            self.mailboxes,
            self.authenticator,
            self._tls,
            ImapLimits(
                max_message=settings.limits.message_bytes,
                max_connections=settings.limits.connections,
                seconds_of_silence=settings.limits.imap_idle_seconds,
            ),
            budget,
        )
        self._health = health_of(stores, numbers, f"w{number}")
        self.web = self._web_server(meters, numbers, connections, audit_log)
        self._sampler = Sampler(
            meters,
            stores.clock,
            {
                "submission": lambda: self.submission.open_sessions,
                "reception": lambda: self.reception.open_sessions,
                "imap": lambda: self.imap.connections,
                "web": lambda: self.web.open_sessions,
            },
            {
                "here": [partial(_waiting_here, spool) for spool in spools],
                "relay": [partial(_waiting_to_go, spool) for spool in spools],
            },
        )

    def _web_server(
        self,
        meters: Meters,
        numbers: Memory,
        connections: ConnectionLimits,
        audit_log: StoredAuditLog,
    ) -> WebServer:
        stores, settings = self._stores, self._stores.settings
        public = public_address(settings, "https")
        # A context of its own: it says by ALPN which protocol is spoken here.
        self._web_tls = server_context(
            settings.tls.certificate,
            settings.tls.key,
            on_handshake=partial(meters.handshake, "web"),
        )
        self._web_audit = CondensedAudit(audit_log, stores.clock)
        autoconfiguration = Autoconfiguration(
            mail_service(settings),
            stores.directory,
            stores.clock,
            web_host=public.host,
            web_port=public.port,
            main_domain=settings.operator.domain,
            patients_allowed=settings.access.patients_allowed,
            sign=lambda profile: signed_by_server(
                profile,
                settings.tls.certificate.read_bytes(),
                settings.tls.key.read_bytes(),
                stores.clock.now(),
            ),
        )
        monitoring = Monitoring(
            self._health,
            numbers,
            stores.clock,
            self._web_audit,
            version=metadata.version("mssante"),
            networks=[ip_network(text) for text in settings.monitoring.networks],
            token_file=settings.monitoring.token_file,
        )
        return WebServer(
            application(
                [*autoconfiguration.routes(), *monitoring.routes()],
                request_bytes=settings.web.request_bytes,
            ),
            self._web_tls,
            limits=WebLimits(
                request_seconds=settings.web.request_seconds,
                idle_seconds=settings.web.idle_seconds,
            ),
            connections=connections,
            meters=meters,
        )

    def renewables(self) -> list[Renewable]:
        """What this worker loads again when its files change."""
        settings, tls = self._stores.settings, self._stores.settings.tls

        def members() -> Callable[[], None]:
            server_context(tls.certificate, tls.key)  # a pair that is broken changes nothing
            return partial(self._renew_tls, tls.certificate, tls.key)

        def operators() -> Callable[[], None]:
            own = trust_files.peer_tls(settings, self._count_operators)
            return partial(self._renew_peer_tls, own)

        def peers() -> Callable[[], None]:
            return partial(self.peers.renew, trust_files.peer_trust(settings))

        return [
            Renewable("certificate for members", lambda: (tls.certificate, tls.key), members),
            Renewable(
                "certificate for operators",
                lambda: (tls.operator_certificate, tls.operator_key),
                operators,
            ),
            Renewable(
                "authorities and revocation lists",
                lambda: trust_files.peer_files(settings),
                peers,
            ),
        ]

    def _renew_tls(self, certificate: Path, key: Path) -> None:
        for context in (self._tls, self._web_tls):
            context.load_cert_chain(certificate, key)

    def _renew_peer_tls(self, tls: PeerTls) -> None:
        self._peer_tls = tls
        self.reception.renew(tls)

    async def start(self, listening: Listening) -> None:
        """Recover what was left, then accept."""
        for spool in self._spools:
            await spool.recover()
        self.mailboxes.start()
        self.courier.start()
        self.relays.start()
        await self._sampler.start()
        for name, sockets in listening.items():
            implicit = name in ("submissions", "imaps")
            if name in ("submission", "submissions"):
                await self.submission.start(sockets, implicit_tls=implicit)
            elif name == "smtp":
                await self.reception.start(sockets, implicit_tls=False)
            elif name == "https":
                await self.web.start(sockets)
            else:
                for sock in sockets:
                    await self.imap.listen(sock, implicit_tls=implicit)

    async def stop(self) -> None:
        """Accept nothing more, let what is under way end, keep the rest for the next start."""
        async with AsyncExitStack() as steps:  # the last first; each even if one before it fails
            steps.push_async_callback(self.authenticator.flush)
            steps.push_async_callback(self._web_audit.flush)
            steps.push_async_callback(self._sampler.close)
            steps.push_async_callback(self.mailboxes.close)
            steps.push_async_callback(self._carrier.close)
            steps.push_async_callback(
                self.relays.stop, self._stores.settings.workers.stop_seconds / 3
            )
            steps.push_async_callback(self.courier.stop)
            steps.push_async_callback(self._close_doors)

    async def _close_doors(self) -> None:
        grace = self._stores.settings.workers.stop_seconds / 2
        self._health.stopping()
        for outcome in await asyncio.gather(
            self.submission.stop(grace_seconds=grace),
            self.reception.stop(grace_seconds=grace),
            self.imap.close(grace=grace),
            self.web.stop(grace_seconds=grace),
            return_exceptions=True,
        ):
            if isinstance(outcome, BaseException):
                raise outcome


def limits_of(settings: Settings) -> Mapping[Who, Mapping[Use, int]]:
    """What everybody may use in an hour."""
    limits = settings.limits
    return {
        Who.ACCOUNT: {
            Use.MESSAGES: limits.account_messages_per_hour,
            Use.RECIPIENTS: limits.account_recipients_per_hour,
            Use.OCTETS: limits.account_bytes_per_hour,
            Use.CONNECTIONS: limits.account_connections_per_hour,
            Use.UNKNOWN: limits.account_unknown_per_hour,
        },
        Who.OPERATOR: {
            Use.MESSAGES: limits.operator_messages_per_hour,
            Use.RECIPIENTS: limits.operator_recipients_per_hour,
            Use.OCTETS: limits.operator_bytes_per_hour,
            Use.UNKNOWN: limits.operator_unknown_per_hour,
        },
        Who.NETWORK: {
            Use.CONNECTIONS: limits.network_connections_per_hour,
            Use.UNKNOWN: limits.network_unknown_per_hour,
        },
    }


def policy_of(stores: Stores) -> Policy:
    """Who may write to whom on this instance."""
    operator = stores.settings.operator
    return Policy(
        stores.directory,
        stores.contacts,
        stores.clock,
        patient_domains=frozenset(operator.patient_domains),
        remote_patient_domains=frozenset(operator.remote_patient_domains),
        postmaster=Address.split(operator.postmaster) if operator.postmaster else None,
    )


def admission_limits(settings: Settings) -> AdmissionLimits:
    """How large a message may be, and for how many."""
    limits = settings.limits
    return AdmissionLimits(max_size=limits.message_bytes, max_recipients=limits.recipients)


def admission_of(stores: Stores, policy: Policy) -> Admission:
    """What judges mail that members submit."""
    operator = stores.settings.operator
    return Admission(
        stores.directory,
        stores.white_list,
        stores.clock,
        policy,
        operator.domain,
        replace(admission_limits(stores.settings), mime=SEALING_LIMITS),
        frozenset(name.lower().encode() for name in operator.private_fields),
    )


def arrival_of(stores: Stores, policy: Policy) -> Arrival:
    """What judges mail that comes from other operators."""
    settings = stores.settings
    return Arrival(
        stores.directory,
        stores.white_list,
        policy,
        settings.operator.domain,
        admission_limits(settings),
        list_age(stores),
    )


def journey_of(
    stores: Stores,
    policy: Policy,
    keys: MailboxKeys,
    on_ordered: Callable[[], None],
    events: CourierEvents,
) -> Journey:
    """What carries each accepted message to mailboxes, records and the queue."""
    settings = stores.settings
    return Journey(
        operator=operator_of(settings),
        directory=stores.directory,
        policy=policy,
        blobs=stores.mail_blobs,
        deliveries=stores.mailboxes,
        clerk=Clerk(
            stores.directory,
            stores.documents,
            source_id=f"{settings.operator.oid_arc}.1",
            sandbox=settings.operator.sandbox,
        ),
        smime=SecureMail(keys, mail_trust(settings, keys), Validations()),
        screening=screening_of(settings),
        limits=InspectLimits(),
        report_policy=settings.filing.report,
        dkim=dkim_signer(settings),
        on_ordered=on_ordered,
        events=events,
    )


def relay_services(stores: Stores, carrier: SmtpCarrier, events: CourierEvents) -> RelayServices:
    """What takes the queue's messages to other operators."""
    settings, operator = stores.settings, operator_of(stores.settings)
    return RelayServices(
        carrier=carrier,
        directory=stores.directory,
        blobs=stores.mail_blobs,
        reports=Reports(stores.mail_blobs, stores.mailboxes),
        clock=stores.clock,
        rules=retry_rules(settings),
        operator=operator.postmaster,
        operator_name=operator.name,
        per_domain=settings.relay.per_domain,
        events=events,
    )


def operator_of(settings: Settings) -> JourneyOperator:
    """In whose name reports are written."""
    operator = settings.operator
    return JourneyOperator(operator.domain, operator.name or operator.domain)


def list_age(stores: Stores) -> AgeLimit:
    """The age from which the white list is believed no more; for both doors to other operators."""
    hours = stores.settings.trust.max_age_hours
    return AgeLimit(stores.white_list, stores.clock, timedelta(hours=hours) if hours else None)


async def _waiting_here(spool: StoredSpool) -> Waiting:
    return Waiting(*await spool.census())


async def _waiting_to_go(spool: StoredSpool) -> Waiting:
    return Waiting(*await spool.relays.census())


def public_address(settings: Settings, listener: str) -> Endpoint:
    """What clients of a listener are told to connect to."""
    operator, chosen = settings.operator, getattr(settings.listeners, listener)
    host = chosen.public_host or operator.public_host or operator.domain
    return Endpoint(host, chosen.public_port or chosen.port)


def mail_service(settings: Settings) -> MailService:
    """What mail clients are told of this instance."""

    def told(listener: str) -> Endpoint | None:
        is_open: bool = getattr(settings.listeners, listener).enabled
        return public_address(settings, listener) if is_open else None

    return MailService(
        settings.operator.name or settings.operator.domain,
        imaps=told("imaps"),
        imap=told("imap"),
        submissions=told("submissions"),
        submission=told("submission"),
        user_name=settings.web.user_name,
    )


def health_of(stores: Stores, numbers: Memory, slot: str) -> Health:
    """What tells whether the instance is ready."""
    settings, monitoring = stores.settings, stores.settings.monitoring

    async def nothing(database: Database) -> None:
        await database.write(lambda _conn: None)

    return Health(
        Subjects(
            data=settings.storage.directory,
            slot=slot,
            databases={name: partial(nothing, each) for name, each in stores.databases.items()},
            certificates={
                "members": settings.tls.certificate,
                "operators": settings.tls.operator_certificate,
            },
            white_list=list_age(stores),
        ),
        Thresholds(
            least_free_octets=monitoring.least_free_megabytes * 1_000_000,
            late=timedelta(minutes=monitoring.late_minutes),
            certificate=timedelta(days=monitoring.certificate_days),
            white_list="reception" in settings.workers.roles,
        ),
        numbers,
        stores.clock,
    )


def carrier_of(stores: Stores, tls: Callable[[], PeerTls], peers: PeerJudge) -> SmtpCarrier:
    """What takes messages to other operators; `tls` gives our certificate as it is now."""
    settings = stores.settings
    routes = {}
    for text in settings.relay.routes:
        route = route_of(text)
        assert route is not None  # the settings were checked
        domain, host, port = route
        routes[domain] = Host(host, port)
    return SmtpCarrier(
        settings.operator.domain,
        tls,
        peers,
        list_age(stores),
        Exchangers(routes),
        stores.mail_blobs,
    )


def dkim_signer(settings: Settings) -> DkimSigner | None:
    """What signs mail to other operators; None without a key.

    Raises:
        OSError, ValueError: the key is there and cannot be used.
    """
    key = read_dkim_key(settings.relay.dkim_key)
    return None if key is None else DkimSigner(settings.relay.dkim_selector, key)


def screening_of(settings: Settings) -> Screening:
    """What is not carried."""
    screening = settings.screening
    return Screening(
        AttachmentPolicy(
            frozenset(ending.lower().lstrip(".") for ending in screening.refused_endings),
            screening.encrypted_archives,
        ),
        Clamd(screening.clamd, screening.clamd_seconds) if screening.clamd else None,
    )


def retry_rules(settings: Settings) -> RetryRules:
    """When messages to other operators are tried again."""
    relay = settings.relay
    return RetryRules(
        first=timedelta(seconds=relay.first_retry_seconds),
        longest=timedelta(seconds=relay.longest_retry_seconds),
        warn_after=timedelta(hours=relay.warn_hours),
        expire_after=timedelta(hours=relay.expire_hours),
    )


def prepare(settings: Settings) -> None:
    """Do once, before workers are forked, what each would do again for its first seal.

    Raises:
        ValueError, OSError: the mailbox authority's files are there and cannot be used.
    """
    smime = settings.smime
    authority = read_authority(smime.authority_certificate, smime.authority_key)
    if authority is not None:
        SignatureTemplate(authority.certificate)


def mailbox_keys(stores: Stores) -> MailboxKeys:
    """The keys of the mailboxes, with the authority that issues them where its key is here.

    Raises:
        ValueError, OSError: the authority's files are there and cannot be used.
    """
    smime = stores.settings.smime
    authority = read_authority(smime.authority_certificate, smime.authority_key)
    return MailboxKeys(stores.mailbox_keys, authority, stores.clock)


def mail_trust(settings: Settings, keys: MailboxKeys) -> TrustFiles:
    """What is believed about the certificates of mail."""
    smime = settings.smime
    known = [keys.authority] if keys.authority is not None else []
    return TrustFiles(smime.anchors, smime.revocation_lists, known)


def argon2_cost(settings: Settings) -> Argon2Cost:
    """What a password hash costs on this instance."""
    access = settings.access
    return Argon2Cost(access.argon2_memory_kib, access.argon2_passes, access.argon2_lanes)


def run_worker(
    settings: Settings,
    slot: str,
    slots: Sequence[str],
    listening: Listening,
    ready: Callable[[], None],
    memory: Memory | None = None,
) -> int:
    """Be one worker process until SIGTERM.

    Args:
        settings: the instance's.
        slot: this worker's own.
        slots: those of all workers; the first one's adopts the spools of former slots.
        listening: sockets that the supervisor bound.
        ready: called once, when every listener accepts.
        memory: where all workers of the instance count.

    Returns:
        The process's exit code.
    """
    logs.configure(settings.logging.level, context={"worker": slot})
    layout = layout_of(settings)
    with ExitStack() as locks:
        if not locks.enter_context(hold_slot(layout, slot)):
            _LOG.error("another process holds this slot", extra={"slot": slot})
            return 1
        orphans = [other for other in layout.slots() if other not in slots]
        adopted = [
            other
            for other in (orphans if slot == slots[0] else [])
            # Its former process may be ending just now: with fewer workers than before a restart.
            if locks.enter_context(hold_slot(layout, other, _ORPHAN_SECONDS))
        ]
        for other in orphans if slot == slots[0] else []:
            if other not in adopted:
                _LOG.error("a former slot is held by another process", extra={"slot": other})
        is_first = slot == slots[0]
        page = (memory, list(slots).index(slot))
        try:
            uvloop.run(
                _serve(settings, [slot, *adopted], listening, ready, page, is_first=is_first)
            )
        except Unreadable as error:  # a file that was good when the instance started
            _LOG.error("this worker cannot start", extra={"why": str(error)})
            return 1
    return 0


async def _serve(
    settings: Settings,
    slots: Sequence[str],
    listening: Listening,
    ready: Callable[[], None],
    page: tuple[Memory | None, int],
    *,
    is_first: bool,
) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    hear = _Relay()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings, f"{slots[0]}b", hear))
        spools = [await _open_spool(stack, stores, slot) for slot in slots]
        worker = Worker(stores, spools, *page)
        hear.to = worker.mailboxes.on_folder_changed
        stores.wakeups.listen(asyncio.get_running_loop())
        upkeep = Upkeep(
            stores.layout,
            stores.clock,
            [(spool.database, spool.relays) for spool in spools],
            dict(stores.databases) if is_first else None,
        )
        stack.push_async_callback(upkeep.close)
        fetcher = Fetcher(settings, stores.white_list, stores.clock)
        stack.push_async_callback(fetcher.close)
        watch = FileWatch(worker.renewables())
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.ask)
        try:
            await worker.start(listening)
            upkeep.start()
            if is_first:
                fetcher.start()
            watching = asyncio.create_task(watch.run())
            stack.callback(watching.cancel)
            ready()
            await stopping.wait()
        finally:
            await worker.stop()


class _Relay:
    """Hands wake-ups on to a service that is made after the stores."""

    to: FolderListener | None = None

    def __call__(self, folder_number: int, highestmodseq: int) -> None:
        if self.to is not None:
            self.to(folder_number, highestmodseq)


async def _open_spool(stack: AsyncExitStack, stores: Stores, slot: str) -> StoredSpool:
    stores.layout.create_spool(slot)
    database = stores.layout.open(versions.SPOOL, slot)
    stack.push_async_callback(database.close)
    journal = Journal(stores.layout.mail_segments, slot, stores.keyring)
    spool = StoredSpool(database, journal, stores.mail_blobs, stores.keyring, stores.clock)
    stack.push_async_callback(spool.close)
    return spool


def _lock_within(lock: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
