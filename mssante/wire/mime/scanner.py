"""Finding the parts of a message by searching its bytes (RFC 2046 section 5.1).

The scanner copies header blocks and nothing else: bodies are only searched, with the compiled
searches of `bytes`, once per level of nesting. A malformed message is never an error; it degrades
as RFC 2045 section 5.2 says. Only limits raise.

Decisions where the RFCs leave room:

- A header ends at the empty line and nowhere else. Without one, everything is header.
- A boundary line is the boundary, optional ``--``, blanks, line end. RFC 2046 lets a receiver stop
  comparing after the boundary, but then a boundary that begins another one would cut its parts.
- The boundary of an outer multipart ends whatever is open inside (RFC 2046 section 5.1.2).
- A multipart without a usable boundary, or where no boundary line occurs, has one child: a text
  of the whole body. IMAP knows no multipart without a part.
- An attached message in base64 or quoted-printable (forbidden by RFC 2046 section 5.2.1) is kept
  closed: it has an empty header, and its text is the encoded body.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from mssante.wire.mime.headers import ADDRESS_FIELDS, collect
from mssante.wire.mime.limits import DEFAULT_LIMITS, MimeError, MimeFault, MimeLimits
from mssante.wire.mime.parameters import (
    Parameters,
    content_type,
    disposition,
    raw_parameter,
    token,
)

_DEFAULT_TYPE: Final = (b"text", b"plain", ((b"charset", b"us-ascii"),))
_DIGEST_TYPE: Final = (b"message", b"rfc822", ())
_BOUNDARY_REST: Final = re.compile(rb"(--)?+[ \t]*+(?:\r?\n|\r?\Z)")
_IDENTITY: Final = frozenset((b"7bit", b"8bit", b"binary"))
_MESSAGES: Final = frozenset((b"rfc822", b"global"))
_SHAPING: Final = (b"content-type", b"content-transfer-encoding", b"content-disposition")
_CR: Final = 13
_ADDRESS_SEPARATORS: Final = (b",", b";", b":", b"<")


@dataclass(slots=True, repr=False)
class Part:
    """One node of a message; offsets count from the start of the message."""

    header_start: int
    body_start: int
    """Also the end of the header block, which includes the empty line."""
    body_stop: int
    """Exclusive; the line end before a boundary belongs to the boundary."""
    fields: dict[bytes, bytes]
    """Raw field values by lower-case name; see `headers.collect`."""
    type: bytes
    """Lower-case, for instance ``text``."""
    subtype: bytes
    parameters: Parameters
    encoding: bytes
    """Content-Transfer-Encoding in lower case; ``7bit`` where absent."""
    disposition: tuple[bytes, Parameters] | None
    children: list["Part"] = field(default_factory=list)
    """Of a multipart: at least one."""
    message: "Part | None" = None
    """Of a message/rfc822 or message/global: the attached message."""

    @property
    def size(self) -> int:
        """Octets of the body, still encoded."""
        return self.body_stop - self.body_start

    @property
    def is_closed_message(self) -> bool:
        """Whether it is an attached message that cannot be looked into, because it is encoded."""
        return self.message is not None and self.encoding not in _IDENTITY

    @property
    def media_type(self) -> str:
        """For instance ``text/plain``."""
        return f"{self.type.decode('ascii')}/{self.subtype.decode('ascii')}"

    def moved(self, by: int) -> "Part":
        """The same where the message stands so many octets further on."""
        return Part(
            self.header_start + by,
            self.body_start + by,
            self.body_stop + by,
            self.fields,
            self.type,
            self.subtype,
            self.parameters,
            self.encoding,
            self.disposition,
            [child.moved(by) for child in self.children],
            None if self.message is None else self.message.moved(by),
        )

    def under(self, block: bytes, fields: dict[bytes, bytes]) -> "Part | None":
        """The same message under another header block; None where that changes what it is.

        Args:
            block: with the empty line; it stands at the beginning.
            fields: of this block, as `headers.collect` gives them.
        """
        if any(fields.get(name) != self.fields.get(name) for name in _SHAPING):
            return None
        moved = self.moved(len(block) - self.body_start)
        moved.header_start, moved.fields = 0, fields
        return moved


def scan(content: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> Part:
    """Find the structure of a message.

    Raises:
        MimeError: a limit is passed.
    """
    return _Scan(content, limits).part(0, len(content), depth=0, messages=0)


class _Scan:
    """One pass over one message, with what it has counted so far."""

    __slots__ = ("_boundary_lines", "_content", "_header_bytes", "_limits", "_parts", "_separators")

    def __init__(self, content: bytes, limits: MimeLimits) -> None:
        self._content = content
        self._limits = limits
        self._parts = 0
        self._boundary_lines = 0
        self._header_bytes = 0
        self._separators = 0

    def part(
        self, start: int, stop: int, *, depth: int, messages: int, in_digest: bool = False
    ) -> Part:
        limits = self._limits
        self._count_part(depth)
        body_start = self._header_stop(start, stop)
        self._header_bytes += body_start - start
        if (
            body_start - start > limits.max_header_bytes
            or self._header_bytes > limits.max_total_header_bytes
        ):
            raise MimeError(MimeFault.HEADER_TOO_LARGE)
        fields = collect(self._content[start:body_start], limits)
        self._count_addresses(fields)
        kind, subtype, parameters = self._type(fields.get(b"content-type"), in_digest=in_digest)
        written_encoding = fields.get(b"content-transfer-encoding")
        written_disposition = fields.get(b"content-disposition")
        part = Part(
            start,
            body_start,
            stop,
            fields,
            kind,
            subtype,
            parameters,
            b"7bit" if written_encoding is None else token(written_encoding) or b"7bit",
            None if written_disposition is None else disposition(written_disposition, limits),
        )
        if kind == b"multipart":
            part.children = self._children(part, depth=depth, messages=messages)
        elif kind == b"message" and subtype in _MESSAGES:
            part.message = self._message(part, depth=depth, messages=messages)
        return part

    def _count_part(self, depth: int) -> None:
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise MimeError(MimeFault.TOO_MANY_PARTS)
        if depth > self._limits.max_depth:
            raise MimeError(MimeFault.TOO_DEEP)

    def _count_addresses(self, fields: dict[bytes, bytes]) -> None:
        for name in ADDRESS_FIELDS & fields.keys():
            value = fields[name]
            self._separators += sum(map(value.count, _ADDRESS_SEPARATORS))
        if self._separators > self._limits.max_address_separators:
            raise MimeError(MimeFault.TOO_MANY_ADDRESSES)

    def _header_stop(self, start: int, stop: int) -> int:
        """Just after the empty line that ends the header, or `stop` without one."""
        content = self._content
        if content.startswith(b"\r\n", start, stop):
            return start + 2
        if content.startswith(b"\n", start, stop):
            return start + 1
        found = content.find(b"\n\r\n", start, stop)
        bare = content.find(b"\n\n", start, stop if found < 0 else found + 1)
        if bare >= 0:
            return bare + 2
        return stop if found < 0 else found + 3

    def _type(self, written: bytes | None, *, in_digest: bool) -> tuple[bytes, bytes, Parameters]:
        if written is None:
            return _DIGEST_TYPE if in_digest else _DEFAULT_TYPE
        return content_type(written, self._limits) or _DEFAULT_TYPE

    def _children(self, part: Part, *, depth: int, messages: int) -> list[Part]:
        boundary = (raw_parameter(part.parameters, b"boundary") or b"").rstrip()
        spans = self._between(boundary, part.body_start, part.body_stop) if boundary else []
        if not spans:
            return [self._whole_body(part.body_start, part.body_stop, depth=depth + 1)]
        in_digest = part.subtype == b"digest"
        return [
            self.part(start, stop, depth=depth + 1, messages=messages, in_digest=in_digest)
            for start, stop in spans
        ]

    def _between(self, boundary: bytes, start: int, stop: int) -> list[tuple[int, int]]:
        """The spans between the boundary lines of one multipart body."""
        content = self._content
        limits = self._limits
        delimiter = b"\n--" + boundary
        spans: list[tuple[int, int]] = []
        opened: int | None = None
        # A body follows an empty line, whose line feed may be that of the first boundary line.
        position = start - 1
        while (found := content.find(delimiter, position, stop)) >= 0:
            self._boundary_lines += 1
            if self._boundary_lines > limits.max_boundary_lines:
                raise MimeError(MimeFault.TOO_MANY_BOUNDARIES)
            position = found + len(delimiter)
            rest = _BOUNDARY_REST.match(content, position, stop)
            if rest is None:
                continue
            if opened is not None:
                spans.append((opened, max(opened, self._line_end(found))))
                # Refuse early: ten thousand parts are not worth ten thousand objects.
                if len(spans) + self._parts > limits.max_parts:
                    raise MimeError(MimeFault.TOO_MANY_PARTS)
            if rest[1] is not None:
                return spans
            opened = rest.end()
            # The line feed of this boundary line may be that of the next one.
            position = max(position, opened - 1)
        if opened is not None:
            spans.append((opened, max(opened, stop)))
        return spans

    def _line_end(self, line_feed: int) -> int:
        """Where the line end that stands at a line feed begins."""
        before = line_feed - 1
        return before if before >= 0 and self._content[before] == _CR else line_feed

    def _message(self, part: Part, *, depth: int, messages: int) -> Part:
        if messages >= self._limits.max_nested_messages:
            raise MimeError(MimeFault.TOO_MANY_NESTED_MESSAGES)
        if part.encoding not in _IDENTITY:
            return self._whole_body(part.body_start, part.body_stop, depth=depth + 1)
        return self.part(part.body_start, part.body_stop, depth=depth + 1, messages=messages + 1)

    def _whole_body(self, start: int, stop: int, *, depth: int) -> Part:
        """A text without header, where a structure was announced and cannot be found."""
        self._count_part(depth)
        kind, subtype, parameters = _DEFAULT_TYPE
        return Part(start, start, stop, {}, kind, subtype, parameters, b"7bit", None)
