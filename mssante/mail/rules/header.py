"""The fields of the message's own header, cut once for all rules that look at them."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.mime.headers import Field, fields

_AT_MOST_ONCE: Final = frozenset(
    {
        b"from",
        b"sender",
        b"date",
        b"message-id",
        b"subject",
        b"mime-version",
        b"content-type",
        b"content-transfer-encoding",
    }
)
"""RFC 5322 section 3.6 and RFC 2045; of two, readers would choose differently. Repeated To and Cc
are against the RFC too, but programs write them and nobody is misled."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header block with the empty line that ends it, if there is one."""

    block: bytes
    by_name: Mapping[bytes, Sequence[Field]]
    """The fields by lower-case name, in their order."""

    @classmethod
    def cut(cls, block: bytes) -> "Header":
        """Find the fields of a block."""
        found: dict[bytes, list[Field]] = {}
        for field in fields(block):
            found.setdefault(field.name.lower(), []).append(field)
        return cls(block, found)

    def named(self, name: bytes) -> Sequence[Field]:
        """The fields of one lower-case name."""
        return self.by_name.get(name, ())

    def of_any(self, names: AbstractSet[bytes]) -> list[Field]:
        """The fields of several lower-case names."""
        return [field for name in self.by_name.keys() & names for field in self.by_name[name]]

    def count(self, name: bytes) -> int:
        """How often a field occurs, by lower-case name."""
        return len(self.named(name))

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
    for name, found in header.by_name.items():
        if len(found) > 1 and name in _AT_MOST_ONCE:
            field = name.decode()
            raise Refusal(Reason.MESSAGE_MALFORMED, hint=f"the field {field} stands more than once")
