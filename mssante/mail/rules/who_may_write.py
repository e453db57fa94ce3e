"""Who may write to whom, by kind of mailbox and direction: the one table.

The kind of a correspondent carries the direction: what is elsewhere is at another operator. A row is
the sender, a column the recipient. `mail.policy` asks what a rule needs to know and refuses.
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Final

from mssante.directory.model import MailboxType
from mssante.kernel.reasons import Reason, Refusal


@unique
class Party(StrEnum):
    """Kinds of correspondent."""

    PERSONAL = "PER"
    ORGANISATION = "ORG"
    APPLICATION = "APP"
    CABINET = "CAB"
    CITIZEN = "CIT"
    PROFESSIONAL_ELSEWHERE = "professional elsewhere"
    PATIENT_ELSEWHERE = "patient elsewhere"
    POSTMASTER = "postmaster"
    """postmaster@ and abuse@ of a domain of ours."""

    @property
    def is_patient(self) -> bool:
        """Whether it is a patient, here or elsewhere."""
        return self in (Party.CITIZEN, Party.PATIENT_ELSEWHERE)


@unique
class Rule(StrEnum):
    """What must be so for a message to be taken."""

    FREELY = "freely"
    UNLESS_REFUSED = "unless the patient refuses"
    """Not when the space is closed or objected to, or the sender blocked."""
    THEIR_OPERATOR = "their operator decides"
    """We judge the form only: INS key and size of what goes out."""
    IN_ANSWER = "in answer"
    """To an authorised contact: who has written to the patient and not closed since."""
    IN_ANSWER_OR_OPEN = "in answer, or where open to patients"
    NEVER = "never"


Row = Mapping[Party, Rule]


def _row(per: Rule, org: Rule, app: Rule, cab: Rule, cit: Rule, pro: Rule, pat: Rule) -> Row:
    """A row of the table, in the order of its columns; everybody may write to a postmaster (RFC 5321
    section 4.5.1).
    """
    rules = (per, org, app, cab, cit, pro, pat, Rule.FREELY)
    return dict(zip(Party, rules, strict=True))


_FREE, _REFUSED, _THEIRS = Rule.FREELY, Rule.UNLESS_REFUSED, Rule.THEIR_OPERATOR
_ANSWER, _OPEN, _NEVER = Rule.IN_ANSWER, Rule.IN_ANSWER_OR_OPEN, Rule.NEVER

# fmt: off
TABLE: Final[Mapping[Party, Row]] = {
    #  sender ↓  recipient →           PER      ORG      APP      CAB      CIT       pro. elsewhere, patient elsewhere
    Party.PERSONAL:               _row(_FREE,   _FREE,   _FREE,   _FREE,   _REFUSED, _FREE,   _THEIRS),
    Party.ORGANISATION:           _row(_FREE,   _FREE,   _FREE,   _FREE,   _REFUSED, _FREE,   _THEIRS),
    Party.APPLICATION:            _row(_FREE,   _FREE,   _FREE,   _FREE,   _REFUSED, _FREE,   _THEIRS),
    Party.CABINET:                _row(_FREE,   _FREE,   _FREE,   _FREE,   _REFUSED, _FREE,   _THEIRS),
    Party.CITIZEN:                _row(_ANSWER, _OPEN,   _ANSWER, _ANSWER, _NEVER,   _ANSWER, _NEVER),
    # What comes from other operators never passes through to others.
    Party.PROFESSIONAL_ELSEWHERE: _row(_FREE,   _FREE,   _FREE,   _FREE,   _REFUSED, _NEVER,  _NEVER),
    Party.PATIENT_ELSEWHERE:      _row(_THEIRS, _THEIRS, _THEIRS, _THEIRS, _NEVER,   _NEVER,  _NEVER),
}
# fmt: on


def party_of(kind: MailboxType) -> Party:
    """The kind of correspondent that a mailbox of ours is."""
    return Party(kind.value)


def rule_for(sender: Party, recipient: Party) -> Rule:
    """Look a pair up.

    Raises:
        Refusal: NOT_PERMITTED where the rule is `NEVER`.
    """
    rule = TABLE[sender][recipient]
    if rule is Rule.NEVER:
        raise Refusal(Reason.NOT_PERMITTED, f"{sender} never writes to {recipient}")
    return rule
