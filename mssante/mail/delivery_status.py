"""Delivery status notifications (RFC 3464): what became of a message, told to its sender.

The same facts give the same bytes. The report repeats addresses that the sender wrote itself, and the
answer of the other server; it never says whose choice a refusal was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId, id_text
from mssante.mail.relay import Action
from mssante.wire.mime.builder import (
    Entity,
    address_field,
    build_message,
    date_field,
    fields_entity,
    header_field,
    headers_entity,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.identifiers import message_id_of
from mssante.wire.smtp.notifications import Return, shown_envid

MOST_RETURNED: Final = 5_000_000
"""Octets of a message that comes back whole; of a larger one the header comes back."""

_FRENCH: Final = {
    Action.FAILED: "n'a pas été remis",
    Action.DELAYED: "n'a pas encore été remis ; l'envoi continue",
    Action.DELIVERED: "a été remis",
    Action.RELAYED: "a été transmis à l'opérateur du destinataire, qui n'envoie pas d'autre accusé",
}
_ENGLISH: Final = {
    Action.FAILED: "was not delivered",
    Action.DELAYED: "was not delivered yet; we go on trying",
    Action.DELIVERED: "was delivered",
    Action.RELAYED: "was handed to the recipient's operator, which sends no further notice",
}
_SUBJECTS: Final = {
    Action.FAILED: "Message non remis / Undelivered message",
    Action.DELAYED: "Message retardé / Delayed message",
    Action.DELIVERED: "Message remis / Delivered message",
    Action.RELAYED: "Message transmis / Relayed message",
}
_GRAVEST_FIRST: Final = (Action.FAILED, Action.DELAYED, Action.RELAYED, Action.DELIVERED)


@dataclass(frozen=True, slots=True, repr=False)
class RecipientStatus:
    """What became of one recipient."""

    recipient: Address
    action: Action
    status: str
    """Enhanced status code (RFC 3463)."""
    original: str = ""
    """Value of Original-Recipient, where one was given."""
    diagnostic: str = ""
    """The other server's answer."""
    remote: str = ""
    """Its host."""
    at: datetime | None = None
    """Of the last attempt."""
    until: datetime | None = None
    """While it is delayed: how long it is tried."""


@dataclass(frozen=True, slots=True, repr=False)
class StatusReport:
    """All that one notification is made of."""

    key: OpaqueId
    """Of the report: two with the same key are the same report."""
    spool_id: OpaqueId
    """Of the message, shown as Final-Log-ID."""
    to: Address
    operator: Address
    """From whom the report comes; its domain is the Reporting-MTA."""
    operator_name: str
    recipients: Sequence[RecipientStatus]
    header: bytes
    """Header block of the message."""
    arrived_at: datetime
    reported_at: datetime
    envid: str = ""
    """As it was given."""
    content: bytes | None = None
    """The whole message, where its sender wants a failed one back (RET=FULL)."""


def build_status_report(report: StatusReport) -> bytes:
    """The notification as a message."""
    seed = sha256(b"delivery status\0" + report.key).hexdigest()
    gravest = min((one.action for one in report.recipients), key=_GRAVEST_FIRST.index)
    fields = [
        address_field("From", [(report.operator_name, report.operator)]),
        address_field("To", [("", report.to)]),
        header_field("Subject", _SUBJECTS[gravest]),
        date_field("Date", report.reported_at),
        header_field("Message-ID", f"<{seed[:32]}.dsn@{report.operator.domain}>"),
        # RFC 3834 section 5: nobody answers this automatically.
        header_field("Auto-Submitted", "auto-replied"),
    ]
    original = message_id_of(report.header)
    if original:
        fields += [header_field("In-Reply-To", original), header_field("References", original)]
    parts = (
        text_entity("\r\n".join((*_text(report, french=True), "", "--", "", *_text(report)))),
        fields_entity("message/delivery-status", _groups(report)),
        _returned(report, failed=gravest is Action.FAILED),
    )
    entity = multipart_entity(
        "report", f"=_{seed[:40]}", parts, (("report-type", "delivery-status"),)
    )
    return build_message(fields, entity)


def returned_content(returns: Return | None, size: int) -> bool:
    """Whether a message that failed comes back whole."""
    return returns is Return.FULL and size <= MOST_RETURNED


def _text(report: StatusReport, *, french: bool = False) -> list[str]:
    day = report.arrived_at.strftime("%d/%m/%Y %H:%M UTC" if french else "%Y-%m-%d %H:%M UTC")
    lines = [
        f"Votre message accepté le {day} :" if french else f"Your message accepted on {day}:",
        "",
    ]
    words = _FRENCH if french else _ENGLISH
    for one in report.recipients:
        lines.append(f"<{one.recipient}>{' ' if french else ''}: {words[one.action]}.")
        if one.action is Action.FAILED or one.action is Action.DELAYED:
            lines.append(f"    {one.status} {one.diagnostic}".rstrip())
        if one.until is not None:
            until = one.until.strftime("%d/%m/%Y %H:%M UTC" if french else "%Y-%m-%d %H:%M UTC")
            lines.append(f"    jusqu'au {until}" if french else f"    until {until}")
    return lines


def _groups(report: StatusReport) -> list[list[bytes]]:
    about = [header_field("Reporting-MTA", f"dns; {report.operator.domain}")]
    envid = shown_envid(report.envid)
    if envid:
        about.insert(0, header_field("Original-Envelope-Id", envid))
    about.append(date_field("Arrival-Date", report.arrived_at))
    return [about, *(_group(report, one) for one in report.recipients)]


def _group(report: StatusReport, one: RecipientStatus) -> list[bytes]:
    fields = []
    if one.original:
        fields.append(header_field("Original-Recipient", one.original))
    fields += [
        header_field("Final-Recipient", f"rfc822; {one.recipient}"),
        header_field("Action", one.action.value),
        header_field("Status", one.status),
    ]
    if one.remote:
        fields.append(header_field("Remote-MTA", f"dns; {one.remote}"))
    if one.diagnostic:
        fields.append(header_field("Diagnostic-Code", f"smtp; {one.diagnostic}"))
    if one.at is not None:
        fields.append(date_field("Last-Attempt-Date", one.at))
    fields.append(header_field("Final-Log-ID", id_text(report.spool_id)))
    if one.until is not None:
        fields.append(date_field("Will-Retry-Until", one.until))
    return fields


def _returned(report: StatusReport, *, failed: bool) -> Entity:
    """The whole message only where it failed (RFC 3461 section 6.2)."""
    if report.content is None or not failed:
        return headers_entity(report.header)
    encoding = b"7bit" if report.content.isascii() else b"8bit"
    header = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: " + encoding + b"\r\n"
    return Entity(header, report.content)
