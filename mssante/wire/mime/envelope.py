"""The ENVELOPE of a message (RFC 9051 section 7.5.2), ready to be sent."""

from mssante.wire.mime.address_lists import read_addresses
from mssante.wire.mime.headers import unfold
from mssante.wire.mime.strings import NIL, nstring, string


def envelope(fields: dict[bytes, bytes]) -> bytes:
    """ENVELOPE from the fields of a header block, as `headers.collect` gives them.

    Strings stay as the message has them (encoded words, raw UTF-8), unfolded. An absent field is
    NIL, an empty one the empty string; without addresses a list is NIL, and Sender and Reply-To
    repeat From.
    """
    sender = _addresses(fields.get(b"from"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(fields.get(b"date")),
        _text(fields.get(b"subject")),
        sender,
        _addresses(fields.get(b"sender"), sender),
        _addresses(fields.get(b"reply-to"), sender),
        _addresses(fields.get(b"to")),
        _addresses(fields.get(b"cc")),
        _addresses(fields.get(b"bcc")),
        _text(fields.get(b"in-reply-to")),
        _text(fields.get(b"message-id")),
    )


def _text(value: bytes | None) -> bytes:
    return NIL if value is None else string(unfold(value))


def _addresses(value: bytes | None, default: bytes = NIL) -> bytes:
    if value is None:
        return default
    entries = read_addresses(value)
    if not entries:
        return default
    written = [
        b"(%b NIL %b %b)" % (nstring(entry.name), nstring(entry.mailbox), nstring(entry.host))
        for entry in entries
    ]
    return b"(" + b"".join(written) + b")"
