"""Replies (RFC 5321 section 4.2) with enhanced status codes (RFC 2034, RFC 3463).

ENHANCEDSTATUSCODES may be announced only if every reply other than the greeting, the answers to
HELO and EHLO, and 3xx carries a code. Ours do by construction; what a library says without one gets
the code that its reply code implies.
"""

import re
from dataclasses import dataclass
from typing import Final, assert_never

from mssante.kernel.reasons import Reason, Refusal

_BASIC: Final = re.compile(r"(?P<code>[245][0-9]{2})(?P<separator>[ -])(?![245]\.[0-9]+\.[0-9]+ )")

_IMPLIED: Final = {
    "221": "2.0.0",
    "235": "2.7.0",
    "250": "2.0.0",
    "252": "2.5.0",
    "421": "4.3.2",
    "450": "4.2.0",
    "451": "4.3.0",
    "452": "4.3.1",
    "454": "4.7.0",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "504": "5.5.4",
    "530": "5.7.0",
    "535": "5.7.8",
    "538": "5.7.11",
    "550": "5.0.0",
    "552": "5.3.4",
    "553": "5.1.3",
    "554": "5.0.0",
    "555": "5.5.4",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of one line."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


def with_enhanced_code(reply: str) -> str:
    """Put the implied enhanced status code into a reply that has none."""
    found = _BASIC.match(reply)
    if found is None:
        return reply
    enhanced = _IMPLIED.get(found["code"], f"{found['code'][0]}.0.0")
    return f"{found['code']}{found['separator']}{enhanced} {reply[4:]}"


def refusal_reply(refusal: Refusal) -> Reply:
    """Say a refusal in SMTP; its detail stays here."""
    reply = reply_for(refusal.reason)
    if not refusal.hint:
        return reply
    return Reply(reply.code, reply.enhanced, f"{reply.text}: {refusal.hint}")


def sign_in_reply(refusal: Refusal) -> Reply:
    """Say why AUTH was refused (RFC 4954 section 6)."""
    match refusal.reason:
        case Reason.TRY_LATER:
            return Reply(454, "4.7.0", "Temporary authentication failure, try again later")
        case Reason.ENCRYPTION_REQUIRED:
            return Reply(538, "5.7.11", "Encryption required for this authentication mechanism")
        case _:
            return refusal_reply(refusal)


def reply_for(reason: Reason) -> Reply:
    """The reply for a reason: RFC 5321 section 4.2, RFC 3463, RFC 4954, RFC 6409.

    The four causes that a sender to a patient may learn (unknown, closed, malformed, too large) have
    the codes that the patients' messaging service uses.
    """
    match reason:
        case Reason.CREDENTIALS_INVALID:
            return Reply(535, "5.7.8", "Authentication credentials invalid")
        case Reason.AUTHENTICATION_REQUIRED:
            return Reply(530, "5.7.0", "Authentication required")
        case Reason.ENCRYPTION_REQUIRED:
            # RFC 3207 section 4.
            return Reply(530, "5.7.0", "Must issue a STARTTLS command first")
        case Reason.CERTIFICATE_REQUIRED:
            return Reply(550, "5.7.1", "A client certificate of a listed operator is required")
        case Reason.CERTIFICATE_REFUSED:
            return Reply(550, "5.7.1", "The client certificate is not accepted")
        case Reason.HANDSHAKE_FAILED:
            # RFC 3207 section 4; for the audit: nobody hears a reply after a failed handshake.
            return Reply(454, "4.7.0", "TLS not available due to temporary reason")
        case Reason.OPERATOR_NOT_LISTED:
            return Reply(550, "5.7.1", "This operator is not in the white list")
        case Reason.SENDER_DOMAIN_FOREIGN:
            return Reply(550, "5.7.1", "This operator does not speak for that domain")
        case Reason.SENDER_NOT_OWNED:
            # RFC 6409 section 6.1.
            return Reply(550, "5.7.1", "This account may not send from that address")
        case Reason.NOT_PERMITTED:
            return Reply(550, "5.7.1", "This sender may not write to that recipient")
        case Reason.NOT_A_CONTACT:
            return Reply(550, "5.7.1", "A patient may write to who has written and not closed")
        case Reason.RECIPIENT_UNKNOWN:
            return Reply(550, "5.1.1", "No such mailbox here")
        case Reason.RECIPIENT_CLOSED:
            return Reply(550, "5.2.1", "This mailbox does not take messages")
        case Reason.RECIPIENT_MALFORMED:
            return Reply(
                553, "5.1.3", "A patient's address is the INS of 15 characters and its key"
            )
        case Reason.ADDRESS_MALFORMED:
            return Reply(553, "5.1.3", "The address is not well formed")
        case Reason.DOMAIN_NOT_TRUSTED:
            return Reply(550, "5.7.1", "That domain is outside the trusted space")
        case Reason.TOO_MANY_RECIPIENTS:
            # RFC 5321 section 4.5.3.1.10.
            return Reply(452, "4.5.3", "Too many recipients, send to the others apart")
        case Reason.MESSAGE_TOO_LARGE:
            # RFC 1870 section 6.2.
            return Reply(552, "5.3.4", "The message is larger than this server takes")
        case Reason.MESSAGE_MALFORMED:
            return Reply(554, "5.6.0", "The message is not well formed")
        case Reason.MESSAGE_TOO_COMPLEX:
            return Reply(554, "5.6.0", "The message passes a limit of its structure")
        case Reason.BARE_LINE_ENDING:
            # RFC 5321 section 2.3.8 forbids them; 5.6.11 is what other servers say.
            return Reply(554, "5.6.11", "The message has a bare CR or LF, lines must end in CRLF")
        case Reason.NUL_BYTE:
            return Reply(554, "5.6.0", "The message has a NUL byte")
        case Reason.LINE_TOO_LONG:
            # RFC 5321 section 4.5.3.1.10 leaves the code open; 500 would read as an unknown command.
            return Reply(554, "5.6.0", "A line of the message is longer than 998 octets")
        case Reason.CONTENT_REFUSED:
            return Reply(554, "5.7.1", "The message has an attachment that is not taken here")
        case Reason.CONVERSION_NEEDED:
            # RFC 3030 section 3, RFC 3463 section 3.7.
            return Reply(554, "5.6.3", "The binary content cannot be converted without changing it")
        case Reason.LOOP_DETECTED:
            # RFC 5321 section 6.3.
            return Reply(554, "5.4.6", "Too many hops, the message runs in a loop")
        case Reason.FROM_NOT_OWNED:
            # RFC 6409 sections 6.1 and 8.1.
            return Reply(550, "5.7.1", "From or Sender is not an address of who sends")
        case Reason.MAILBOX_NONEXISTENT:
            return Reply(550, "5.2.0", "There is no such folder")
        case Reason.MAILBOX_EXISTS:
            return Reply(550, "5.2.0", "The folder exists already")
        case Reason.MAILBOX_FULL:
            return Reply(452, "4.2.2", "The mailbox is full")
        case Reason.LIMIT_REACHED:
            return Reply(452, "4.3.1", "A limit of this server is reached")
        case Reason.TRY_LATER:
            return Reply(451, "4.3.0", "Try again later")
        case Reason.WHITE_LIST_OUTDATED:
            return Reply(451, "4.7.1", "The white list here is out of date, try again later")
        case Reason.RATE_EXCEEDED:
            return Reply(451, "4.7.1", "Too much in too short a time, try again later")
        case _:
            assert_never(reason)
