"""Which mail is accepted: who may write to whom, what members submit, what other operators bring."""

from dataclasses import replace

from mssante.composition.operators import list_age
from mssante.composition.stores import Stores
from mssante.kernel.address import Address
from mssante.mail.admission import Admission, AdmissionLimits
from mssante.mail.arrival import Arrival
from mssante.mail.policy import Policy
from mssante.mail.ports import Spool
from mssante.mail.sealing import LIMITS as SEALING_LIMITS
from mssante.mail.sealing import SealingSpool
from mssante.settings import Settings
from mssante.storage.spool import StoredSpool
from mssante.trust.mailbox_keys import MailboxKeys


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


def submission_spool(stores: Stores, spool: StoredSpool, keys: MailboxKeys) -> Spool:
    """Where members' mail is accepted: sealed on its way in, where the settings want it."""
    if stores.settings.smime.seal == "always":
        return SealingSpool(spool, keys, stores.directory, stores.clock)
    return spool
