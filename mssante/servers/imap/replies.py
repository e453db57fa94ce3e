"""Reasons of refusal in IMAP's words (RFC 3501 section 7.1, RFC 5530)."""

from dataclasses import dataclass
from typing import assert_never

from mssante.kernel.reasons import Reason


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged answer to a command."""

    status: str
    """OK, NO or BAD."""
    text: str
    code: str = ""
    """Response code, without brackets."""


class Rejected(Exception):
    """Ends a command with this reply instead of OK."""

    def __init__(self, status: str, text: str, code: str = "") -> None:
        super().__init__(text)
        self.reply = Reply(status, text, code)


def reply_for(reason: Reason) -> Reply:
    """Say a refusal in IMAP."""
    match reason:
        case Reason.CREDENTIALS_INVALID:
            return Reply("NO", "Invalid credentials", "AUTHENTICATIONFAILED")
        case Reason.AUTHENTICATION_REQUIRED:
            return Reply("NO", "Log in first", "AUTHORIZATIONFAILED")
        case Reason.ENCRYPTION_REQUIRED:
            return Reply("NO", "Start TLS first", "PRIVACYREQUIRED")
        case (
            Reason.SENDER_NOT_OWNED
            | Reason.FROM_NOT_OWNED
            | Reason.NOT_PERMITTED
            | Reason.NOT_A_CONTACT
        ):
            return Reply("NO", "Not permitted", "NOPERM")
        case (
            Reason.RECIPIENT_UNKNOWN
            | Reason.RECIPIENT_CLOSED
            | Reason.RECIPIENT_MALFORMED
            | Reason.ADDRESS_MALFORMED
            | Reason.DOMAIN_NOT_TRUSTED
            | Reason.CERTIFICATE_REQUIRED
            | Reason.CERTIFICATE_REFUSED
            | Reason.HANDSHAKE_FAILED
            | Reason.OPERATOR_NOT_LISTED
            | Reason.SENDER_DOMAIN_FOREIGN
            | Reason.TOO_MANY_RECIPIENTS
            | Reason.CONTENT_REFUSED
            | Reason.CONVERSION_NEEDED
            | Reason.LOOP_DETECTED
        ):
            return Reply("NO", "Not possible with this address", "CANNOT")
        case Reason.MESSAGE_TOO_LARGE:
            return Reply("NO", "Message too large", "TOOBIG")
        case Reason.MESSAGE_TOO_COMPLEX:
            return Reply("NO", "Message too complex", "LIMIT")
        case (
            Reason.MESSAGE_MALFORMED
            | Reason.BARE_LINE_ENDING
            | Reason.NUL_BYTE
            | Reason.LINE_TOO_LONG
        ):
            return Reply("NO", "Not a well-formed message", "CANNOT")
        case Reason.MAILBOX_NONEXISTENT:
            return Reply("NO", "No such mailbox", "NONEXISTENT")
        case Reason.MAILBOX_EXISTS:
            return Reply("NO", "There is a mailbox of this name", "ALREADYEXISTS")
        case Reason.MAILBOX_FULL:
            return Reply("NO", "Mailbox full", "OVERQUOTA")
        case Reason.LIMIT_REACHED:
            return Reply("NO", "Limit reached", "LIMIT")
        case Reason.TRY_LATER | Reason.WHITE_LIST_OUTDATED | Reason.RATE_EXCEEDED:
            return Reply("NO", "Try again later", "UNAVAILABLE")
        case _:
            assert_never(reason)
