"""Hands what the server itself writes to who is to read it: a member's mailbox, or another operator.

Each report has a key; handing it over again, after a crash, finds what was done.
"""

from dataclasses import dataclass
from datetime import datetime

from mssante.directory.model import Mailbox
from mssante.kernel.address import Address
from mssante.kernel.derived import derived_id
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import StoredMessage
from mssante.mail.ports import Blobs, Deliveries, Delivery, RelayQueue
from mssante.mail.relay import RelayOrder, RelayRecipient
from mssante.mail.tracing import confirmation
from mssante.wire.mime.reports import read_report
from mssante.wire.mime.scanner import scan
from mssante.wire.mime.summary import summarise

_PREFIX = b"Return-Path: <>\r\n"


@dataclass(frozen=True, slots=True)
class Report:
    """One message of ours, with the null reverse-path: nothing answers it."""

    key: OpaqueId
    """Of the message or the order that it is about."""
    kind: str
    """With `key` and who reads it, the key of the effect."""
    spool_id: OpaqueId
    """Of the message that it is about."""
    content: bytes
    at: datetime
    require_tls: bool = False
    """As the message that it is about (RFC 8689 section 5)."""

    @property
    def id(self) -> OpaqueId:
        """Of the report itself."""
        return derived_id(self.key, self.kind)


@dataclass(frozen=True, slots=True)
class Reports:
    """The way of our own messages."""

    blobs: Blobs
    deliveries: Deliveries

    async def to_member(self, report: Report, mailbox: Mailbox) -> None:
        """Put it into a member's mailbox, once."""
        blob = await self.blobs.put(report.content)
        message = StoredMessage(report.id, _PREFIX, summarise(report.content).encode(), blob)
        await self.deliveries.deliver(
            Delivery(
                report.key,
                message,
                len(_PREFIX) + len(report.content),
                report.at,
                (mailbox.id,),
                kind=report.kind,
                confirmation=confirmation(read_report(report.content, scan(report.content))),
            )
        )

    async def to_operator(self, report: Report, address: Address, relays: RelayQueue) -> None:
        """Send it to somebody at another operator."""
        blob = await self.blobs.put(report.content)
        order = RelayOrder(
            id=report.id,
            spool_id=report.spool_id,
            domain=address.domain.lower(),
            sender=None,
            mailbox_id=None,
            recipients=(RelayRecipient(address),),
            blob=blob,
            prefix=b"",
            accepted_at=report.at,
            is_8bit=not report.content.isascii(),
            require_tls=report.require_tls,
        )
        await relays.order([order])
