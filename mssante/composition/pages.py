"""What the web listener publishes: the pages of every part, put together."""

from importlib import metadata
from ipaddress import ip_network

from starlette.types import ASGIApp

from mssante.access.audit_log import CondensedAudit
from mssante.composition.public_addresses import mail_service, public_address
from mssante.composition.stores import Stores
from mssante.servers.health import Health
from mssante.servers.metrics import Memory
from mssante.servers.web.application import application
from mssante.servers.web.autoconfiguration import Autoconfiguration
from mssante.servers.web.monitoring import Monitoring
from mssante.trust.server_signature import signed_by_server


def pages_of(stores: Stores, health: Health, numbers: Memory, audit: CondensedAudit) -> ASGIApp:
    """Settings of mail clients, health and metrics.

    Args:
        stores: the opened stores.
        health: of the instance.
        numbers: where all workers count.
        audit: where wrong tokens are recorded; the caller flushes it.
    """
    settings, public = stores.settings, public_address(stores.settings, "https")
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
        health,
        numbers,
        stores.clock,
        audit,
        version=metadata.version("mssante"),
        networks=[ip_network(text) for text in settings.monitoring.networks],
        token_file=settings.monitoring.token_file,
    )
    return application(
        [*autoconfiguration.routes(), *monitoring.routes()],
        request_bytes=settings.web.request_bytes,
    )
