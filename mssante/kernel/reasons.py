"""Why something is refused: said once, translated at each door into the protocol's own words."""

from enum import StrEnum, unique


@unique
class Reason(StrEnum):
    """Why the server refuses. Public: the word itself may be shown; details are for the audit."""

    # who
    CREDENTIALS_INVALID = "credentials-invalid"
    AUTHENTICATION_REQUIRED = "authentication-required"
    ENCRYPTION_REQUIRED = "encryption-required"
    CERTIFICATE_REQUIRED = "certificate-required"
    CERTIFICATE_REFUSED = "certificate-refused"
    HANDSHAKE_FAILED = "handshake-failed"
    OPERATOR_NOT_LISTED = "operator-not-listed"
    SENDER_DOMAIN_FOREIGN = "sender-domain-foreign"
    SENDER_NOT_OWNED = "sender-not-owned"
    NOT_PERMITTED = "not-permitted"
    NOT_A_CONTACT = "not-a-contact"
    # to whom
    RECIPIENT_UNKNOWN = "recipient-unknown"
    RECIPIENT_CLOSED = "recipient-closed"
    RECIPIENT_MALFORMED = "recipient-malformed"
    ADDRESS_MALFORMED = "address-malformed"
    DOMAIN_NOT_TRUSTED = "domain-not-trusted"
    TOO_MANY_RECIPIENTS = "too-many-recipients"
    # what
    MESSAGE_TOO_LARGE = "message-too-large"
    MESSAGE_MALFORMED = "message-malformed"
    MESSAGE_TOO_COMPLEX = "message-too-complex"
    BARE_LINE_ENDING = "bare-line-ending"
    NUL_BYTE = "nul-byte"
    LINE_TOO_LONG = "line-too-long"
    CONTENT_REFUSED = "content-refused"
    CONVERSION_NEEDED = "conversion-needed"
    LOOP_DETECTED = "loop-detected"
    FROM_NOT_OWNED = "from-not-owned"
    # mailbox
    MAILBOX_NONEXISTENT = "mailbox-nonexistent"
    MAILBOX_EXISTS = "mailbox-exists"
    MAILBOX_FULL = "mailbox-full"
    LIMIT_REACHED = "limit-reached"
    # now
    TRY_LATER = "try-later"
    WHITE_LIST_OUTDATED = "white-list-outdated"
    RATE_EXCEEDED = "rate-exceeded"


class Refusal(Exception):
    """The request is understood and denied.

    Attributes:
        reason: what the peer may know.
        detail: for the audit and the log only; free of clinical content, secrets and INS.
        hint: a fixed text of ours, plain ASCII, that may be shown to the peer beside the reason
            (which limit was passed, which field is wrong).
    """

    def __init__(self, reason: Reason, detail: str = "", *, hint: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail
        self.hint = hint
