"""Which parts of a message may be attached documents. Whether they are is judged by their bytes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mssante.wire.mime.parameters import text_parameter
from mssante.wire.mime.scanner import Part
from mssante.wire.mime.summary import Span

MAX_FILENAME: Final = 255
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DIRECTORY: Final = re.compile(r".*[/\\]", re.DOTALL)
_BODY_TYPES: Final = frozenset(("text/plain", "text/html"))


@dataclass(frozen=True, slots=True)
class Attachment:
    """A leaf of the message that is not merely its text."""

    section: str
    """IMAP section number."""
    filename: str | None = field(repr=False)
    """Decoded, without directories or control characters, at most 255 characters."""
    media_type: str
    """As the sender declared it, lower-case."""
    encoding: str
    """Content-Transfer-Encoding in lower case, for `transfer.decode_body`."""
    disposition: str | None
    """``attachment``, ``inline`` or another word; None where the part does not say."""
    span: Span
    """The body in the original message, still encoded."""
    in_attached_message: bool
    """Whether it stands inside an attached message, for instance one that was forwarded."""


def attachments(root: Part) -> tuple[Attachment, ...]:
    """The leaves that may be attachments, in the order of the message.

    Left out are texts (plain or HTML) that have neither a file name nor the disposition
    ``attachment``. An attached message counts by its own leaves; one that came encoded, which
    RFC 2046 forbids and the scanner keeps closed, is a leaf itself.
    """
    return tuple(_leaves(root, "", in_message=False))


def _leaves(root: Part, prefix: str, *, in_message: bool) -> Iterator[Attachment]:
    for number, part in enumerate(root.children or (root,), start=1):
        section = f"{prefix}{number}"
        if part.children:
            yield from _leaves(part, f"{section}.", in_message=in_message)
        elif part.message is not None and not part.is_closed_message:
            yield from _leaves(part.message, f"{section}.", in_message=True)
        elif (found := _attachment(part, section, in_message=in_message)) is not None:
            yield found


def _attachment(part: Part, section: str, *, in_message: bool) -> Attachment | None:
    kind, parameters = part.disposition or (None, ())
    name = text_parameter(parameters, b"filename")
    filename = _clean(name if name is not None else text_parameter(part.parameters, b"name"))
    if filename is None and kind != b"attachment" and part.media_type in _BODY_TYPES:
        return None
    return Attachment(
        section,
        filename,
        part.media_type,
        part.encoding.decode("ascii"),
        None if kind is None else kind.decode("ascii"),
        (part.body_start, part.body_stop),
        in_message,
    )


def _clean(name: str | None) -> str | None:
    """Paths in a file name are not to be respected (RFC 2183 section 2.3)."""
    if name is None:
        return None
    return _DIRECTORY.sub("", _CONTROLS.sub("", name)).strip()[:MAX_FILENAME] or None
