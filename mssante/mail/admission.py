"""What is asked of a submission inside the SMTP dialogue: one service, the rules in order.

Only what the directory and the bytes can tell at once. What needs keys, archives or XML is judged
after the message was accepted, and answered by a report.
"""

from dataclasses import dataclass
from typing import Final

from mssante.access.identity import Identity
from mssante.directory.model import Mailbox, MailboxType
from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.clock import Clock
from mssante.kernel.opaque import id_text, new_id
from mssante.mail.model import Admitted, Envelope
from mssante.mail.policy import Policy
from mssante.mail.rules.amounts import check_recipient_count, check_size
from mssante.mail.rules.authorship import check_authorship
from mssante.mail.rules.completion import completed
from mssante.mail.rules.header import Header, check_header_form
from mssante.mail.rules.hops import check_hops
from mssante.mail.rules.receipt import check_is_receipt
from mssante.mail.rules.recipient_domain import check_trusted
from mssante.mail.rules.sender import check_sender_owned
from mssante.mail.rules.structure import check_structure, kept
from mssante.trust.whitelist import TrustedSpace
from mssante.wire.mime.limits import DEFAULT_LIMITS, MimeLimits

MAX_MESSAGE_OCTETS: Final = 25_000_000
"""The patients' messaging service takes messages of at most 25 MB."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What one message may be."""

    max_size: int = MAX_MESSAGE_OCTETS
    max_recipients: int = 500
    """RFC 5321 section 4.5.3.1.8 asks for at least 100."""
    max_hops: int = 50
    mime: MimeLimits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets submissions in, or refuses them for a stated reason."""

    directory: Directory
    space: TrustedSpace
    clock: Clock
    policy: Policy
    """Who may write to whom."""
    authserv_id: str
    """Our name in Authentication-Results."""
    limits: AdmissionLimits = AdmissionLimits()
    private_fields: frozenset[bytes] = frozenset()
    """Names of header fields, lower case, that are taken out of what is submitted."""

    async def check_sender(
        self, identity: Identity, sender: Address | None, *, declared_size: int = 0
    ) -> None:
        """Judge MAIL.

        Args:
            identity: who submits.
            sender: reverse-path; None is the null one.
            declared_size: octets that the client announces (RFC 1870), 0 when it does not.

        Raises:
            Refusal: SENDER_NOT_OWNED, MESSAGE_TOO_LARGE.
        """
        check_sender_owned(identity, sender)
        check_size(declared_size, self.limits.max_size)

    async def check_recipient(
        self,
        identity: Identity,
        sender: Address | None,
        recipient: Address,
        *,
        accepted: int = 0,
        declared_size: int = 0,
    ) -> Mailbox | None:
        """Judge RCPT; gives the recipient's mailbox, None for one at another operator.

        Args:
            identity: who submits.
            sender: reverse-path.
            recipient: forward-path.
            accepted: recipients of this message so far.
            declared_size: as at MAIL.

        Raises:
            Refusal: TOO_MANY_RECIPIENTS, DOMAIN_NOT_TRUSTED, RECIPIENT_MALFORMED,
                RECIPIENT_UNKNOWN, RECIPIENT_CLOSED, NOT_PERMITTED, NOT_A_CONTACT,
                MESSAGE_TOO_LARGE.
        """
        check_recipient_count(accepted, self.limits.max_recipients)
        writer = self.policy.member(identity.mailbox, sender, declared_size)
        if await self.directory.is_local_domain(recipient.domain):
            return await self.policy.check_here(writer, recipient)
        await self.policy.check_elsewhere(writer, recipient)
        await check_trusted(self.space, recipient)
        return None

    def check_content(self, identity: Identity, envelope: Envelope, content: bytes) -> Admitted:
        """Judge the message and complete its header.

        The lines of `content` end in CRLF and were judged by the door that read them.

        Raises:
            Refusal: MESSAGE_TOO_LARGE, MESSAGE_TOO_COMPLEX, MESSAGE_MALFORMED, LOOP_DETECTED,
                FROM_NOT_OWNED, NOT_PERMITTED.
        """
        check_size(len(content), self.limits.max_size)
        self.policy.check_size_elsewhere(envelope.recipients, len(content))
        root = check_structure(content, self.limits.mime)
        header = Header.cut(content[: root.body_start])
        check_header_form(header)
        check_hops(header.count(b"received"), self.limits.max_hops)
        check_authorship(identity.may_send_as, header)
        if identity.mailbox.type is MailboxType.CITIZEN and envelope.sender is None:
            check_is_receipt(header)
        domain = (envelope.sender or identity.mailbox.address).domain
        block = completed(
            header,
            now=self.clock.now(),
            message_id=f"{id_text(new_id())}@{domain}",
            authserv_id=self.authserv_id,
            private=self.private_fields,
        )
        return kept(content, root, block, self.limits.mime)
