"""The fields of the message's own header, cut once for all rules that look at them."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.mime.headers import Field, fields

_AT_MOST_ONCE: Final = (
    b"from",
    b"sender",
    b"date",
    b"message-id",
    b"subject",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
)
"""RFC 5322 section 3.6 and RFC 2045; of two, readers would choose differently. Repeated To and Cc
are against the RFC too, but programs write them and nobody is misled."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header block with the empty line that ends it, if there is one."""

    block: bytes
    fields: tuple[Field, ...]
    counts: Counter[bytes]
    """How often each field occurs, by lower-case name."""

    @classmethod
    def cut(cls, block: bytes) -> "Header":
        """Find the fields of a block."""
        found = tuple(fields(block))
        return cls(block, found, Counter(each.name.lower() for each in found))

    def value(self, field: Field) -> bytes:
        """What stands after the colon, folded as it was."""
        return self.block[field.value_start : field.stop]


def check_header_form(header: Header) -> None:
    """Refuse headers that two readers would read differently.

    Raises:
        Refusal: MESSAGE_MALFORMED.
    """
    if header.block[:1] in (b" ", b"\t"):
        raise Refusal(Reason.MESSAGE_MALFORMED, hint="the header begins with a continuation line")
    for name in _AT_MOST_ONCE:
        if header.counts[name] > 1:
            field = name.decode()
            raise Refusal(Reason.MESSAGE_MALFORMED, hint=f"the field {field} stands more than once")
