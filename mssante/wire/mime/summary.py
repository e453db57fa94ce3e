"""What is computed once at delivery, so that no read ever parses MIME.

A summary is kept as the bytes it is stored in: decoding checks the first bytes, and each property
cuts what it is asked for. Ten thousand ENVELOPEs are ten thousand slices.

Stored form, integers big-endian: version (1 octet); size of the message; lengths of envelope, body,
body structure and header; number of parts (4 octets each); these four byte strings; then for each
part, in the order of the message: where its header, its body and its nested text begin and where
it ends (4 octets each; the nested text is 0 for what is not an attached message), the lengths of
section, media type and encoding (2 octets each), and these three in ASCII.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mssante.wire.mime.bodystructure import body_structures
from mssante.wire.mime.envelope import envelope
from mssante.wire.mime.limits import DEFAULT_LIMITS, MimeLimits
from mssante.wire.mime.scanner import Part, scan

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BIIIIII")
_PART: Final = struct.Struct(">IIIIHHH")

Span = tuple[int, int]
"""Start and stop (exclusive) in the original message."""


@dataclass(frozen=True, slots=True)
class PartSpan:
    """Where one numbered part stands in the message."""

    section: str
    """IMAP section number, for instance ``2.1``."""
    header: Span
    """Its MIME header with the empty line; for part 1 of a single-part message, the header."""
    body: Span
    """Its content, still encoded."""
    message_header: Span | None
    """Header of the attached message, where the part is one."""
    message_text: Span | None
    """Text of the attached message, where the part is one."""
    media_type: str
    """Lower-case, for instance ``application/pdf``."""
    encoding: str
    """Content-Transfer-Encoding in lower case."""


class SummaryUnreadable(ValueError):
    """Stored bytes are not a summary of a version that this code knows."""


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """ENVELOPE, BODY, BODYSTRUCTURE, header and offsets of one message."""

    _encoded: bytes = field(repr=False)

    @classmethod
    def decode(cls, encoded: bytes) -> "MessageSummary":
        """Take back what `encode` gave.

        Raises:
            SummaryUnreadable: another version, or too short to begin one.
        """
        if len(encoded) < _HEAD.size or encoded[0] != _VERSION:
            raise SummaryUnreadable("not a message summary of version 1")
        return cls(encoded)

    def encode(self) -> bytes:
        """The stored form."""
        return self._encoded

    @property
    def size(self) -> int:
        """Octets of the whole message."""
        size: int = _HEAD.unpack_from(self._encoded)[1]
        return size

    @property
    def envelope(self) -> bytes:
        """ENVELOPE, from parenthesis to parenthesis."""
        return self._string(0)

    @property
    def body(self) -> bytes:
        """BODY without section: the structure without extension data."""
        return self._string(1)

    @property
    def body_structure(self) -> bytes:
        """BODYSTRUCTURE."""
        return self._string(2)

    @property
    def header(self) -> bytes:
        """The message's header block with its empty line, as received."""
        return self._string(3)

    @property
    def header_length(self) -> int:
        """Octets of `header`, without copying it."""
        length: int = _HEAD.unpack_from(self._encoded)[5]
        return length

    @property
    def parts(self) -> tuple[PartSpan, ...]:
        """The numbered parts in the order of the message."""
        return tuple(self.iter_parts())

    def iter_parts(self) -> Iterator[PartSpan]:
        """Each numbered part in turn."""
        encoded = self._encoded
        _, _, *lengths, count = _HEAD.unpack_from(encoded)
        position = _HEAD.size + sum(lengths)
        for _ in range(count):
            header, body, text, stop, section, media, encoding = _PART.unpack_from(
                encoded, position
            )
            position += _PART.size
            media_start = position + section
            encoding_start = media_start + media
            after = encoding_start + encoding
            yield PartSpan(
                encoded[position:media_start].decode("ascii"),
                (header, body),
                (body, stop),
                (body, text) if text else None,
                (text, stop) if text else None,
                encoded[media_start:encoding_start].decode("ascii"),
                encoded[encoding_start:after].decode("ascii"),
            )
            position = after

    def _string(self, index: int) -> bytes:
        lengths = _HEAD.unpack_from(self._encoded)
        start = _HEAD.size + sum(lengths[2 : 2 + index])
        return self._encoded[start : start + lengths[2 + index]]


def summarise(content: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> MessageSummary:
    """Scan a message and keep what IMAP asks of it.

    Raises:
        MimeError: a limit is passed.
    """
    return summary_of(scan(content, limits), content)


def summary_of(root: Part, content: bytes) -> MessageSummary:
    """The summary of a message that is already scanned."""
    body, body_structure = body_structures(root, content)
    its_envelope = envelope(root.fields)
    header = content[: root.body_start]
    numbered = list(number_parts(root))
    head = _HEAD.pack(
        _VERSION,
        len(content),
        len(its_envelope),
        len(body),
        len(body_structure),
        len(header),
        len(numbered),
    )
    pieces = [head, its_envelope, body, body_structure, header]
    for section, part in numbered:
        written = section.encode("ascii")
        media = part.type + b"/" + part.subtype
        text = part.message.body_start if part.message is not None else 0
        pieces.append(
            _PART.pack(
                part.header_start,
                part.body_start,
                text,
                part.body_stop,
                len(written),
                len(media),
                len(part.encoding),
            )
        )
        pieces += (written, media, part.encoding)
    return MessageSummary(b"".join(pieces))


def number_parts(root: Part, prefix: str = "") -> Iterator[tuple[str, Part]]:
    """Parts with their IMAP section numbers (RFC 9051 section 6.4.5.1), in order.

    Args:
        root: a message, or a message attached to a part.
        prefix: the section of that part with a dot, empty for the message itself.
    """
    # The multipart of a message itself has no number: its parts carry the message's.
    for number, part in enumerate(root.children or (root,), start=1):
        section = f"{prefix}{number}"
        yield section, part
        if part.children and part is not root:
            yield from number_parts(part, f"{section}.")
        elif part.message is not None:
            yield from number_parts(part.message, f"{section}.")


def section_span(summary: MessageSummary, section: str) -> Span | None:
    """Where an IMAP section stands in the message; None where the message has no such section.

    Args:
        summary: of the message.
        section: ``""``, ``HEADER``, ``TEXT``, ``1.2``, ``1.2.HEADER``, ``1.2.TEXT`` or ``1.2.MIME``,
            in any case. For HEADER.FIELDS ask for the HEADER and use `headers.select_fields`.
    """
    wanted = section.upper()
    if not wanted:
        return 0, summary.size
    if wanted == "HEADER":
        return 0, summary.header_length
    if wanted == "TEXT":
        return summary.header_length, summary.size
    number, dot, what = wanted, "", ""
    if wanted.endswith((".HEADER", ".TEXT", ".MIME")):
        number, dot, what = wanted.rpartition(".")
    for part in summary.iter_parts():
        if part.section == number:
            return _part_span(part, what) if dot else part.body
    return None


def _part_span(part: PartSpan, what: str) -> Span | None:
    if what == "MIME":
        return part.header
    return part.message_header if what == "HEADER" else part.message_text
