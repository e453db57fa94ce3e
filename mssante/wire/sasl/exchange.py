"""The line form that SMTP AUTH (RFC 4954) and IMAP AUTHENTICATE (RFC 9051) share."""

import binascii
from base64 import b64decode
from typing import Final, Protocol

from mssante.wire.sasl.credentials import PasswordCredentials, SaslError
from mssante.wire.sasl.login import Login
from mssante.wire.sasl.plain import MAX_MESSAGE_OCTETS, Plain

MAX_LINE_OCTETS: Final = 4 * ((MAX_MESSAGE_OCTETS + 2) // 3)
"""Longest base64 line that any of our mechanisms can need, without its CRLF."""
ABORT: Final = b"*"
"""The client gives up (RFC 4954 section 4, RFC 9051 section 6.2.2)."""


class Mechanism(Protocol):
    """One exchange of one mechanism."""

    def step(self, response: bytes | None) -> bytes | PasswordCredentials:
        """Take the client's answer, give the next challenge or the credentials."""
        ...


MECHANISMS: Final[dict[str, type[Plain] | type[Login]]] = {"PLAIN": Plain, "LOGIN": Login}
"""What we speak, best first; the order in which they are announced."""


def mechanism_named(name: str) -> Mechanism | None:
    """A new exchange of the mechanism `name` (without case), or None if we do not speak it."""
    kind = MECHANISMS.get(name.upper())
    return None if kind is None else kind()


def decode_line(line: bytes, *, initial: bool = False) -> bytes:
    """Decode one line of the client, without its CRLF.

    Args:
        line: base64 text.
        initial: whether it is an initial response, where a lone ``=`` means empty (RFC 4954
            section 4).

    Raises:
        SaslError: not strict base64, too long, or the client aborted.
    """
    if line == ABORT:
        raise SaslError("authentication aborted by the client")
    if len(line) > MAX_LINE_OCTETS:
        raise SaslError("the response is too long")
    if initial and line == b"=":
        return b""
    try:
        return b64decode(line, validate=True)
    except binascii.Error:
        raise SaslError("the response is not base64") from None
