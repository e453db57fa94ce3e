"""Who may write to whom, asked for one recipient at a time: the table with what its rules need to know.

What concerns a patient's choices (closed, objected to, blocked sender) has one public reason. A patient
who may not write somewhere hears the same whether the address exists or not.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mssante.directory.model import Mailbox, MailboxType, OpenTo
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.civil import a_year_before
from mssante.kernel.clock import Clock, to_milliseconds
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.contacts import Correspondence, Standing
from mssante.mail.model import SpoolEntry
from mssante.mail.ports import Contacts
from mssante.mail.routing import Route, Undeliverable
from mssante.mail.rules.amounts import check_size
from mssante.mail.rules.patient_address import check_patient_address
from mssante.mail.rules.recipient_mailbox import (
    check_found,
    check_receives,
    find_recipient,
    is_role,
)
from mssante.mail.rules.who_may_write import TABLE, Party, Rule, party_of, rule_for

MOST_OCTETS_TO_PATIENTS: Final = 25_000_000
"""The patients' messaging service takes messages of at most 25 MB, and a larger one comes back."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, as the door knows it at RCPT."""

    party: Party
    addresses: frozenset[str]
    """Keys of the addresses that a patient may have blocked."""
    mailbox: Mailbox | None = None
    """Of a member."""
    null_path: bool = False
    """The reverse-path is null: a report or a receipt."""
    declared_size: int = 0
    """Octets that the client announces (RFC 1870), 0 when it does not."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Judges recipients; the same for submission, reception and what was accepted."""

    directory: Directory
    contacts: Contacts
    clock: Clock
    patient_domains: frozenset[str] = frozenset()
    """Ours, lower case."""
    remote_patient_domains: frozenset[str] = frozenset()
    """Of patients at other operators, lower case."""
    postmaster: Address | None = None
    """The mailbox that serves postmaster@ and abuse@ of our domains."""

    def member(self, mailbox: Mailbox, sender: Address | None, declared_size: int = 0) -> Writer:
        """A member that submits with a mailbox open."""
        keys = {mailbox.address.key, *((sender.key,) if sender is not None else ())}
        party = party_of(mailbox.type)
        return Writer(party, frozenset(keys), mailbox, sender is None, declared_size)

    def stranger(self, sender: Address | None) -> Writer:
        """Somebody at another operator; who sends reports counts as a professional there."""
        keys = frozenset({sender.key}) if sender is not None else frozenset[str]()
        return Writer(self.elsewhere(sender), keys, null_path=sender is None)

    def elsewhere(self, address: Address | None) -> Party:
        """What kind of correspondent an address at another operator is."""
        if address is not None and address.domain.lower() in self.remote_patient_domains:
            return Party.PATIENT_ELSEWHERE
        return Party.PROFESSIONAL_ELSEWHERE

    # --- at RCPT -----------------------------------------------------------------------------

    async def check_here(self, writer: Writer, recipient: Address) -> Mailbox:
        """Judge a recipient in a domain of ours; gives its mailbox.

        Raises:
            Refusal: NOT_PERMITTED, NOT_A_CONTACT, RECIPIENT_MALFORMED, RECIPIENT_UNKNOWN,
                RECIPIENT_CLOSED.
        """
        role = is_role(recipient)
        is_patients = recipient.domain.lower() in self.patient_domains
        if writer.party is Party.CITIZEN and is_patients and not role:
            rule_for(writer.party, Party.CITIZEN)
        if not role:
            check_patient_address(self.patient_domains, recipient)
        mailbox = await find_recipient(self.directory, self.postmaster, recipient)
        # An address that nobody has is judged as a professional's: who may not write to those does
        # not learn that it has nobody.
        party = Party.POSTMASTER if role else Party.PERSONAL
        if mailbox is not None and not role:
            party = party_of(mailbox.type)
        match rule_for(writer.party, party):
            case Rule.IN_ANSWER:
                await self._check_contact(writer, recipient)
            case Rule.IN_ANSWER_OR_OPEN:
                await self._check_contact(writer, recipient, mailbox)
            case Rule.UNLESS_REFUSED:
                found = check_found(mailbox, recipient)
                # Both are looked up, so that neither answer is the quicker one.
                now = self.clock.now()
                blocked = await self.contacts.is_blocked(found.id, writer.addresses, now)
                check_receives(found)
                if blocked:
                    raise Refusal(Reason.RECIPIENT_CLOSED, _BLOCKED)
            case _:
                pass
        found = check_found(mailbox, recipient)
        check_receives(found)
        return found

    async def check_elsewhere(self, writer: Writer, recipient: Address) -> None:
        """Judge a recipient at another operator, listed or not.

        Raises:
            Refusal: NOT_PERMITTED, NOT_A_CONTACT, RECIPIENT_MALFORMED, MESSAGE_TOO_LARGE.
        """
        match rule_for(writer.party, self.elsewhere(recipient)):
            case Rule.IN_ANSWER | Rule.IN_ANSWER_OR_OPEN:
                await self._check_contact(writer, recipient)
            case Rule.THEIR_OPERATOR:
                check_patient_address(self.remote_patient_domains, recipient)
                check_size(writer.declared_size, MOST_OCTETS_TO_PATIENTS)
            case _:
                pass

    def check_size_elsewhere(self, recipients: Collection[Address], octets: int) -> None:
        """Refuse what is too large for a patient at another operator, who would send it back.

        Raises:
            Refusal: MESSAGE_TOO_LARGE.
        """
        if octets > MOST_OCTETS_TO_PATIENTS and any(
            self.elsewhere(one).is_patient for one in recipients
        ):
            raise Refusal(
                Reason.MESSAGE_TOO_LARGE, f"{octets} octets", hint="patients elsewhere take 25 MB"
            )

    async def _check_contact(
        self, writer: Writer, recipient: Address, open_mailbox: Mailbox | None = None
    ) -> None:
        """A patient's recipient is an authorised contact, or may be written to first.

        A receipt also goes to a contact that has closed: who closes may still ask whether the last
        message was read.
        """
        assert writer.mailbox is not None  # patients who are not ours never get here
        found = await self.contacts.standing(writer.mailbox.id, recipient)
        if found.is_open or (writer.null_path and found.receipt_asked):
            return
        if open_mailbox is not None and may_write_first(open_mailbox, found, self.clock.now()):
            return
        raise Refusal(Reason.NOT_A_CONTACT, "not an authorised contact of the patient")

    # --- after acceptance --------------------------------------------------------------------

    def correspondence(
        self, entry: SpoolEntry, sender: Mailbox | None, read: Correspondence | None
    ) -> Correspondence | None:
        """What a message means for patients' contacts: nothing, if it is a patient's or a report."""
        if entry.envelope.sender is None or read is None or self.party(entry, sender).is_patient:
            return None
        return read

    async def screen(
        self,
        entry: SpoolEntry,
        sender: Mailbox | None,
        read: Correspondence | None,
        routed: Route,
    ) -> Route:
        """Take out the patients who do not want this message, judged as of its acceptance: RCPT did
        not know the header, and a state may have changed since.

        Args:
            entry: the message.
            sender: the member's mailbox that it came from.
            read: what its header says.
            routed: where it would go.
        """
        party = self.party(entry, sender)
        if read is not None and any(self.elsewhere(one).is_patient for one in read.authors):
            party = Party.PATIENT_ELSEWHERE
        path = entry.envelope.sender
        keys = {*(read.addresses if read else ()), *((path.key,) if path is not None else ())}
        kept: list[Mailbox] = []
        gone: list[Undeliverable] = []
        for mailbox in routed.mailboxes:
            reason, detail = Reason.RECIPIENT_CLOSED, ""
            if mailbox.type is MailboxType.CITIZEN:
                if TABLE[party][Party.CITIZEN] is Rule.NEVER:
                    reason, detail = Reason.NOT_PERMITTED, f"{party} never writes to a patient"
                elif await self.contacts.is_blocked(mailbox.id, keys, entry.accepted_at):
                    detail = _BLOCKED
            if detail:
                recipient = routed.recipients[mailbox.id]
                gone.append(Undeliverable(recipient, reason, mailbox.id, detail))
            else:
                kept.append(mailbox)
        if not gone:
            return routed
        return replace(routed, mailboxes=tuple(kept), undeliverable=(*routed.undeliverable, *gone))

    def party(self, entry: SpoolEntry, sender: Mailbox | None) -> Party:
        """Who wrote an accepted message."""
        if entry.envelope.operator or sender is None:
            return self.elsewhere(entry.envelope.sender)
        return party_of(sender.type)


_BLOCKED: Final = "the patient has blocked the sender"


def may_write_first(mailbox: Mailbox, found: Standing, now: datetime) -> bool:
    """Whether a patient may write to a mailbox that has not written, or has closed.

    The mailbox is an organisation's that is open to patients, belongs to a registered structure, and
    either takes every patient or has written to this one within twelve months.
    """
    if mailbox.type is not MailboxType.ORGANISATION or mailbox.organisation_id is None:
        return False
    if mailbox.open_to_patients is OpenTo.KNOWN_PATIENTS:
        since = to_milliseconds(a_year_before(now))
        return found.wrote_at is not None and found.wrote_at >= since
    return mailbox.open_to_patients is OpenTo.ANY_PATIENT
