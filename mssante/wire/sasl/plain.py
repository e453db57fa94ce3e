"""The PLAIN mechanism (RFC 4616): ``[authzid] NUL authcid NUL password``, in UTF-8."""

from typing import Final

from mssante.wire.sasl.credentials import (
    MAX_IDENTITY_OCTETS,
    MAX_PASSWORD_OCTETS,
    PasswordCredentials,
    SaslError,
    credentials_from,
)

PlainCredentials = PasswordCredentials

MAX_MESSAGE_OCTETS: Final = 2 * MAX_IDENTITY_OCTETS + MAX_PASSWORD_OCTETS + 2


def parse_plain(initial: bytes) -> PlainCredentials:
    """Read the client's one message, already decoded from base64.

    Raises:
        SaslError: not three parts, a part is empty or too long, or not UTF-8.
    """
    if len(initial) > MAX_MESSAGE_OCTETS:
        raise SaslError("the PLAIN message is too long")
    parts = initial.split(b"\0")
    if len(parts) != 3:
        raise SaslError("a PLAIN message has three parts separated by NUL")
    return credentials_from(*parts)


class Plain:
    """The server's side of one exchange."""

    def step(self, response: bytes | None) -> bytes | PasswordCredentials:
        """Take the client's message (None: it sent no initial response).

        Returns:
            The next challenge, not yet in base64, or the credentials.

        Raises:
            SaslError: see :func:`parse_plain`.
        """
        return b"" if response is None else parse_plain(response)
