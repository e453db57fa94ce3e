"""Who signs in at what price, and what everybody may use in an hour."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from mssante.access.audit_log import AuditLog
from mssante.access.authentication import Authenticator
from mssante.access.budgets import Use, Who
from mssante.access.failure_table import FailureTable
from mssante.access.passwords import Argon2Cost, Passwords
from mssante.access.throttle import Throttle
from mssante.composition.stores import Stores
from mssante.kernel.reasons import Reason
from mssante.settings import Settings


def argon2_cost(settings: Settings) -> Argon2Cost:
    """What a password hash costs on this instance."""
    access = settings.access
    return Argon2Cost(access.argon2_memory_kib, access.argon2_passes, access.argon2_lanes)


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


def authenticator_of(
    stores: Stores,
    audit: AuditLog,
    failures: FailureTable,
    on_attempt: Callable[[str, Reason | None], None],
) -> Authenticator:
    """What checks who signs in; `on_attempt`: see `Authenticator`."""
    access = stores.settings.access
    return Authenticator(
        stores.directory,
        Passwords(argon2_cost(stores.settings), threads=access.argon2_threads),
        audit,
        stores.clock,
        patients_allowed=access.patients_allowed,
        remember_for=timedelta(seconds=access.cache_seconds),
        throttle=Throttle(stores.clock, failures),
        on_attempt=on_attempt,
    )
