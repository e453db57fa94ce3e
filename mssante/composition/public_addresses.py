"""What mail clients are told: where each listener is, seen from outside."""

from mssante.settings import Settings
from mssante.wire.autoconfig.model import Endpoint, MailService


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
