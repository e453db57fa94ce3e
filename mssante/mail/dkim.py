"""DKIM of what a member sends to other operators (RFC 6376): the domain vouches for header and body.

Made once, when the order is written: a repeated attempt sends the same bytes.
"""

from dataclasses import dataclass
from typing import Final

import dkim

from mssante.kernel.address import Address
from mssante.trust.dkim_keys import DkimKey

_SIGNED: Final = (
    b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id",
    b"in-reply-to", b"references", b"mime-version", b"content-type", b"content-transfer-encoding",
    b"disposition-notification-to", b"x-mss-codecda", b"x-mss-ins", b"x-mss-nil", b"x-mss-mes",
)  # fmt: skip
"""Fields that a reader or a program acts on; those that a message has are signed."""
_CANONICAL: Final = (b"relaxed", b"simple")
"""Fields may be folded anew on the way; bodies are not touched between operators."""


@dataclass(frozen=True, slots=True)
class DkimSigner:
    """Signs for the operator's domains."""

    selector: str
    key: DkimKey

    def field_for(self, message: bytes, sender: Address) -> bytes:
        """The DKIM-Signature field of a message, with its line end; empty where the message cannot be
        signed (a blank before the colon of a field): it goes without rather than not at all, since
        between operators certificates and domains are what is believed.

        Args:
            message: header and body in CRLF, as it is sent.
            sender: whose domain signs: the author's, which was judged to be the member's own.
        """
        try:
            signer = dkim.DKIM(message, signature_algorithm=self.key.algorithm.encode())
            signer.set_message(message)
            present = {name.lower() for name, _ in signer.headers}
            field: bytes = signer.sign(
                self.selector.encode("ascii"),
                sender.domain.encode("ascii"),
                self.key.private,
                canonicalize=_CANONICAL,
                include_headers=[name for name in _SIGNED if name in present],
            )
        except dkim.DKIMException:
            return b""
        return field
