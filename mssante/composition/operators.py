"""Other operators: until when their list is believed; what takes mail to them, and when again."""

from collections.abc import Callable
from datetime import timedelta

from mssante.clients.smtp.carrier import SmtpCarrier
from mssante.clients.smtp.exchangers import Exchangers, Host
from mssante.composition.journey import operator_of
from mssante.composition.stores import Stores
from mssante.courier.events import CourierEvents
from mssante.courier.relays import RelayServices
from mssante.courier.reports import Reports
from mssante.mail.relay import RetryRules
from mssante.settings import Settings, route_of
from mssante.trust.peer_tls import PeerTls
from mssante.trust.peers import PeerJudge
from mssante.trust.whitelist import AgeLimit


def list_age(stores: Stores) -> AgeLimit:
    """The age from which the white list is believed no more; for both doors to other operators."""
    hours = stores.settings.trust.max_age_hours
    return AgeLimit(stores.white_list, stores.clock, timedelta(hours=hours) if hours else None)


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


def retry_rules(settings: Settings) -> RetryRules:
    """When messages to other operators are tried again."""
    relay = settings.relay
    return RetryRules(
        first=timedelta(seconds=relay.first_retry_seconds),
        longest=timedelta(seconds=relay.longest_retry_seconds),
        warn_after=timedelta(hours=relay.warn_hours),
        expire_after=timedelta(hours=relay.expire_hours),
    )
