"""What is asked of a message from another operator, inside the SMTP dialogue.

The connection proves an operator (its certificate's name); the white list says for which domains it
speaks. Envelope and header must both be of these domains, and the recipients must be ours: nothing
passes through to others.
"""

from dataclasses import dataclass

from mssante.directory.ports import Directory
from mssante.kernel.address import Address
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.admission import AdmissionLimits
from mssante.mail.model import Admitted
from mssante.mail.policy import Policy
from mssante.mail.rules.amounts import check_recipient_count, check_size
from mssante.mail.rules.authorship import check_authorship
from mssante.mail.rules.completion import without_forgeries
from mssante.mail.rules.header import Header, check_header_form
from mssante.mail.rules.hops import check_hops
from mssante.mail.rules.recipient_domain import check_local_domain
from mssante.mail.rules.structure import check_structure, kept
from mssante.trust.whitelist import AgeLimit, TrustedSpace
from mssante.wire.x500 import DistinguishedName


@dataclass(frozen=True, slots=True)
class Peer:
    """Another operator, at the moment of one MAIL command."""

    name: DistinguishedName
    """In its certificate, which is believed."""
    domains: frozenset[str]
    """For which it speaks, by the white list; never ours."""

    def speaks_for(self, address: Address) -> bool:
        """Whether the operator may send in the name of an address."""
        return address.domain.lower() in self.domains


@dataclass(frozen=True, slots=True)
class Arrival:
    """Lets messages of listed operators in, or refuses them for a stated reason."""

    directory: Directory
    space: TrustedSpace
    policy: Policy
    """Who may write to whom."""
    authserv_id: str
    """Our name in Authentication-Results."""
    limits: AdmissionLimits
    age: AgeLimit | None = None
    """How old the white list may be; None: as old as it likes."""

    async def check_sender(
        self, name: DistinguishedName | None, sender: Address | None, *, declared_size: int = 0
    ) -> Peer:
        """Judge MAIL; gives the operator.

        Args:
            name: of the client certificate that is believed; None where there is none.
            sender: reverse-path. The null one, which reports have, needs a listed operator only.
            declared_size: octets that the peer announces (RFC 1870), 0 when it does not.

        Raises:
            Refusal: CERTIFICATE_REQUIRED, WHITE_LIST_OUTDATED, OPERATOR_NOT_LISTED,
                SENDER_DOMAIN_FOREIGN, MESSAGE_TOO_LARGE.
        """
        if name is None:
            raise Refusal(Reason.CERTIFICATE_REQUIRED, "no client certificate")
        if self.age is not None:
            await self.age.check()
        listed = await self.space.domains_of(name)
        if not listed:
            raise Refusal(Reason.OPERATOR_NOT_LISTED, "certificate name is not in the white list")
        # Our members submit; what is in our name never comes from outside.
        ours = [domain for domain in listed if await self.directory.is_local_domain(domain)]
        peer = Peer(name, listed.difference(ours))
        if sender is not None and not peer.speaks_for(sender):
            raise Refusal(Reason.SENDER_DOMAIN_FOREIGN, "sender domain is not the operator's")
        check_size(declared_size, self.limits.max_size)
        return peer

    async def check_recipient(
        self, sender: Address | None, recipient: Address, *, accepted: int = 0
    ) -> None:
        """Judge RCPT; `accepted` recipients of this message came before.

        Raises:
            Refusal: TOO_MANY_RECIPIENTS, DOMAIN_NOT_TRUSTED, RECIPIENT_MALFORMED,
                RECIPIENT_UNKNOWN, RECIPIENT_CLOSED, NOT_PERMITTED.
        """
        check_recipient_count(accepted, self.limits.max_recipients)
        await check_local_domain(self.directory, recipient)
        await self.policy.check_here(self.policy.stranger(sender), recipient)

    def check_content(self, peer: Peer, content: bytes) -> Admitted:
        """Judge the message, and take away the fields that only we may write.

        The lines of `content` end in CRLF and were judged by the door that read them.

        Raises:
            Refusal: MESSAGE_TOO_LARGE, MESSAGE_TOO_COMPLEX, MESSAGE_MALFORMED, LOOP_DETECTED,
                FROM_NOT_OWNED.
        """
        check_size(len(content), self.limits.max_size)
        root = check_structure(content, self.limits.mime)
        header = Header.cut(content[: root.body_start])
        check_header_form(header)
        check_hops(header.count(b"received"), self.limits.max_hops)
        check_authorship(peer.speaks_for, header)
        block = without_forgeries(header, self.authserv_id)
        return kept(content, root, block, self.limits.mime)
