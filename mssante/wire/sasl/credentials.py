"""What a password mechanism yields, and the limits of its parts."""

from dataclasses import dataclass, field
from typing import Final

MAX_IDENTITY_OCTETS: Final = 255
"""RFC 4616 section 2: a server must accept authzid and authcid of up to 255 octets."""
MAX_PASSWORD_OCTETS: Final = 1024
"""RFC 4616 asks for at least 255; passphrases may be longer."""


class SaslError(ValueError):
    """The peer broke the mechanism's grammar; the message is safe to send back."""


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """Login and password, and the identity that the client wants to act as."""

    authzid: str
    """Empty: the identity that belongs to the login."""
    authcid: str
    password: str = field(repr=False)


def credentials_from(authzid: bytes, authcid: bytes, password: bytes) -> PasswordCredentials:
    """Check the three parts of a password sign-in.

    Raises:
        SaslError: a part is empty (authzid may be), too long, holds a NUL or is not UTF-8.
    """
    if not authcid or not password:
        raise SaslError("login and password must not be empty")
    if max(len(authzid), len(authcid)) > MAX_IDENTITY_OCTETS:
        raise SaslError("the login is too long")
    if len(password) > MAX_PASSWORD_OCTETS:
        raise SaslError("the password is too long")
    if b"\0" in authzid + authcid + password:
        raise SaslError("login and password must not contain NUL")
    try:
        return PasswordCredentials(authzid.decode(), authcid.decode(), password.decode())
    except UnicodeDecodeError:
        raise SaslError("login and password must be UTF-8") from None
