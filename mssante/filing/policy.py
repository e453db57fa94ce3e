"""What feeds the DMP, and what must not reach a mailbox. The one place to read or change it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mssante.directory.model import Mailbox, MailboxType
from mssante.filing.visibility import INVISIBLE, MASKED


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the policy."""

    name: str
    applies: Callable[[Mailbox | None, bool, Sequence[Mailbox]], bool]
    """Asked with the sender's local mailbox, whether the reverse-path is null, and the recipients'
    local mailboxes."""
    feeds: bool


RULES: Final = (
    Rule("reports and receipts (null reverse-path)", lambda _s, null, _r: null, feeds=False),
    Rule("what a patient sends", lambda s, _n, _r: _is_patient(s), feeds=False),
    Rule("messages to a patient", lambda _s, _n, r: any(map(_is_patient, r)), feeds=True),
    Rule("mailboxes that chose it", lambda s, _n, _r: s is not None and s.feeds_dmp, feeds=True),
    Rule("everything else", lambda _s, _n, _r: True, feeds=False),
)
"""The first rule that applies decides."""


def feeds_dmp(
    sender: Mailbox | None, *, null_reverse_path: bool, recipients: Sequence[Mailbox]
) -> bool:
    """Whether the documents of a message are filed."""
    rule = next(rule for rule in RULES if rule.applies(sender, null_reverse_path, recipients))
    return rule.feeds


def _is_patient(mailbox: Mailbox | None) -> bool:
    return mailbox is not None and mailbox.type is MailboxType.CITIZEN


CUMUL: Final[bool] = False
"""The DMP's parameter ``cumul-invisible_patient-masque_ps``: whether a document may be both masked from
professionals and not visible to the patient (EX_2.1-1050)."""


def is_contradictory(flags: frozenset[str]) -> bool:
    """Whether a document's flags leave nobody to see it but its author."""
    return not CUMUL and flags.issuperset({MASKED, INVISIBLE})


def is_kept_from_patient(flags: frozenset[str]) -> bool:
    """Whether a message with the document must not reach a patient's mailbox."""
    return INVISIBLE in flags


def must_not_receive(matricule: str, named: Sequence[frozenset[str]]) -> bool:
    """Whether a patient must not receive a message: one of its documents names somebody else.

    Args:
        matricule: of the patient.
        named: for each document that names an INS, the matricules that it names. One that is
            mistyped names somebody else too: what it means is for a person to judge.
    """
    return any(matricule not in matricules for matricules in named)
