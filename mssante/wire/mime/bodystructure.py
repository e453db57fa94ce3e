"""BODY and BODYSTRUCTURE of a message (RFC 9051 section 7.5.2), ready to be sent.

Types, encodings and parameter names are written in capitals as in the RFC's examples; values are
left as the message has them.
"""

from mssante.wire.mime.envelope import envelope
from mssante.wire.mime.headers import unfold
from mssante.wire.mime.parameters import Parameters, strip_comments
from mssante.wire.mime.scanner import Part
from mssante.wire.mime.strings import NIL, string


def body_structures(part: Part, content: bytes) -> tuple[bytes, bytes]:
    """BODY (without extension data) and BODYSTRUCTURE of a message or part scanned in `content`."""
    if part.children:
        return _multipart(part, content)
    return _single(part, content)


def _multipart(part: Part, content: bytes) -> tuple[bytes, bytes]:
    both = [body_structures(child, content) for child in part.children]
    subtype = string(part.subtype.upper())
    short = b"".join([child[0] for child in both])
    long = b"".join([child[1] for child in both])
    extension = b"%b %b" % (_parameters(part.parameters), _common_extension(part))
    return b"(%b %b)" % (short, subtype), b"(%b %b %b)" % (long, subtype, extension)


def _single(part: Part, content: bytes) -> tuple[bytes, bytes]:
    fields = part.fields
    basic = b"%b %b %b %b %b %b %d" % (
        string(part.type.upper()),
        string(part.subtype.upper()),
        _parameters(part.parameters),
        _nstring(fields.get(b"content-id")),
        _nstring(fields.get(b"content-description")),
        string(part.encoding.upper()),
        part.size,
    )
    extension = b"%b %b" % (_nstring(fields.get(b"content-md5")), _common_extension(part))
    if part.message is not None:
        nested = part.message
        short, long = body_structures(nested, content)
        its_envelope, lines = envelope(nested.fields), _lines(part, content)
        return (
            b"(%b %b %b %d)" % (basic, its_envelope, short, lines),
            b"(%b %b %b %d %b)" % (basic, its_envelope, long, lines, extension),
        )
    if part.type == b"text":
        basic = b"%b %d" % (basic, _lines(part, content))
    return b"(%b)" % basic, b"(%b %b)" % (basic, extension)


def _lines(part: Part, content: bytes) -> int:
    """Line feeds of the body. Only here: counting them takes as long as finding the structure."""
    return content.count(b"\n", part.body_start, part.body_stop)


def _common_extension(part: Part) -> bytes:
    """Disposition, language and location, which both kinds of part end with."""
    fields = part.fields
    return b"%b %b %b" % (
        _disposition(part),
        _language(fields.get(b"content-language")),
        _nstring(fields.get(b"content-location")),
    )


def _disposition(part: Part) -> bytes:
    if part.disposition is None:
        return NIL
    kind, parameters = part.disposition
    return b"(%b %b)" % (string(kind.upper()), _parameters(parameters))


def _language(value: bytes | None) -> bytes:
    if value is None:
        return NIL
    tags = [tag for item in strip_comments(unfold(value)).split(b",") if (tag := item.strip())]
    return b"(" + b" ".join([string(tag) for tag in tags]) + b")" if tags else NIL


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return NIL
    pairs = [b"%b %b" % (string(name.upper()), string(value)) for name, value in parameters]
    return b"(" + b" ".join(pairs) + b")"


def _nstring(value: bytes | None) -> bytes:
    return NIL if value is None else string(unfold(value))
