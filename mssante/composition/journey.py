"""The path of an accepted message: to mailboxes, to records, and to the queue for other operators."""

from collections.abc import Callable

from mssante.clients.clamd import Clamd
from mssante.composition.stores import Stores
from mssante.courier.events import CourierEvents
from mssante.courier.journey import Journey, Operator
from mssante.filing.clerk import Clerk
from mssante.filing.inspect import InspectLimits
from mssante.mail.dkim import DkimSigner
from mssante.mail.policy import Policy
from mssante.mail.screening import AttachmentPolicy, Screening
from mssante.mail.smime import SecureMail
from mssante.settings import Settings
from mssante.trust.anchors import Trust
from mssante.trust.dkim_keys import read_dkim_key
from mssante.trust.mailbox_keys import MailboxKeys
from mssante.trust.validation import Validations


def journey_of(
    stores: Stores,
    policy: Policy,
    keys: MailboxKeys,
    trust: Callable[[], Trust],
    on_ordered: Callable[[], None],
    events: CourierEvents,
) -> Journey:
    """What carries each accepted message to mailboxes, records and the queue; `trust` gives whom mail
    is believed as it is now.
    """
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
        smime=SecureMail(keys, trust, Validations()),
        screening=screening_of(settings),
        limits=InspectLimits(),
        report_policy=settings.filing.report,
        dkim=dkim_signer(settings),
        on_ordered=on_ordered,
        events=events,
    )


def operator_of(settings: Settings) -> Operator:
    """In whose name reports are written."""
    operator = settings.operator
    return Operator(operator.domain, operator.name or operator.domain)


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


def dkim_signer(settings: Settings) -> DkimSigner | None:
    """What signs mail to other operators; None without a key.

    Raises:
        OSError, ValueError: the key is there and cannot be used.
    """
    key = read_dkim_key(settings.relay.dkim_key)
    return None if key is None else DkimSigner(settings.relay.dkim_selector, key)
