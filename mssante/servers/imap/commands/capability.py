"""What the server says it can do: exactly what is complete, and no more than helps right now."""

from typing import Final

from mssante.servers.imap.session import Session
from mssante.servers.imap.state import State

_ALWAYS: Final = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE"
_SIGN_IN: Final = "AUTH=PLAIN AUTH=LOGIN"
_SIGNED_IN: Final = (
    "NAMESPACE IDLE UNSELECT UIDPLUS MOVE ESEARCH CONDSTORE CHILDREN LIST-EXTENDED LIST-STATUS"
    " SPECIAL-USE CREATE-SPECIAL-USE STATUS=SIZE OBJECTID"
)


def capabilities(session: Session) -> str:
    """The capabilities in the present state (RFC 3501 section 6.1.1)."""
    if session.state is not State.NOT_AUTHENTICATED:
        return f"{_ALWAYS} {_SIGNED_IN} APPENDLIMIT={session.limits.max_message}"
    if session.wire.is_tls:
        return f"{_ALWAYS} {_SIGN_IN}"
    return f"{_ALWAYS} STARTTLS LOGINDISABLED"
