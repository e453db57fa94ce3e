"""What we put before a delivered message: Return-Path, Authentication-Results, the verdict on its
S/MIME, Received.

It is kept beside the message and shared by all its recipients, so it names none of them (a Bcc
would show).
"""

import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from mssante.kernel.opaque import id_text
from mssante.mail.model import Envelope, SpoolEntry
from mssante.mail.smime import Finding
from mssante.trust.judgement import Verdict

_RESULT: Final = {
    Verdict.VALID: "pass",
    Verdict.INVALID: "fail",
    Verdict.REVOKED: "fail",
    Verdict.ADDRESS_MISMATCH: "fail",
    Verdict.UNTRUSTED: "policy",
    Verdict.EXPIRED: "policy",
    Verdict.WRONG_USAGE: "policy",
    Verdict.MALFORMED: "permerror",
    Verdict.UNSUPPORTED: "permerror",
    Verdict.NONE: "none",
}
"""The results of RFC 7281 section 3.1."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-./^_`{|}~]+(?:@[A-Za-z0-9.\-]+)?\Z")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def trace_fields(
    entry: SpoolEntry, host: str, authserv_id: str, smime: Finding | None = None
) -> bytes:
    """The prefix of a message that was submitted here, or came from another operator.

    Return-Path: RFC 5321 section 4.4. Received: the same, with the protocol word of RFC 3848.
    Authentication-Results: RFC 8601, method ``auth`` (section 2.7.4), or a method of our own
    (section 2.7.6) for an operator whose certificate is listed for the sender's domain; method
    ``smime`` (RFC 7281) where `smime` is given.
    """
    envelope = entry.envelope
    fields = [f"Return-Path: <{envelope.sender or ''}>"]
    if envelope.account_id is not None and envelope.sender is not None:
        fields.append(
            f"Authentication-Results: {authserv_id}; auth=pass smtp.mailfrom={envelope.sender}"
        )
    if envelope.operator:
        # The null reverse-path stands for the operator alone (RFC 8601 section 2.7.2).
        proved = (
            f"smtp.mailfrom={envelope.sender}"
            if envelope.sender
            else f"smtp.helo={envelope.client}"
        )
        fields.append(f"Authentication-Results: {authserv_id}; x-mss-operator=pass {proved}")
    if smime is not None:
        fields += [smime_results(smime, authserv_id), smime_verdict(smime)]
    fields.append(received_field(envelope, host, id_text(entry.id), entry.accepted_at))
    return "".join(f"{field}\r\n" for field in fields).encode("ascii")


def relayed_trace(entry: SpoolEntry, host: str) -> bytes:
    """What goes before a message to another operator: our Received field (RFC 5321 section 4.4)."""
    field = received_field(entry.envelope, host, id_text(entry.id), entry.accepted_at)
    return f"{field}\r\n".encode("ascii")


def smime_results(finding: Finding, authserv_id: str) -> str:
    """One Authentication-Results field, folded: the signer and the certificate that it claims."""
    parts = [f"Authentication-Results: {authserv_id}; smime={_RESULT[finding.verdict]}"]
    if finding.address:
        parts.append(f"body.smime-identifier={_value(finding.address)}")
    # Both or neither (RFC 7281 section 3.2.3).
    if finding.serial and finding.issuer:
        parts += [
            f"body.smime-serial={_value(finding.serial)}",
            f"body.smime-issuer={_value(finding.issuer)}",
        ]
    return "\r\n\t".join(parts)


def smime_verdict(finding: Finding) -> str:
    """X-MSS-Smime, folded: the verdict in our words, who signed, why, what was opened."""
    parts = [f"X-MSS-Smime: {finding.verdict.value}"]
    if finding.serial:
        parts.append(f"by={'sealed' if finding.sealed else 'signed'}")
    for name, value in (
        ("address", finding.address),
        ("serial", finding.serial),
        ("reason", finding.reason),
        ("decrypt", finding.decryption.value if finding.decryption else None),
        ("warnings", ",".join(finding.warnings)),
    ):
        if value:
            parts.append(f"{name}={_value(value)}")
    return ";\r\n\t".join(parts)


def _value(text: str) -> str:
    """A token or a quoted-string: what a certificate says stays inside its quotes, on one line."""
    if _PLAIN.match(text):
        return text
    clean = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def received_field(envelope: Envelope, host: str, queue_id: str, at: datetime) -> str:
    """One Received field, folded."""
    return (
        f"Received: from {envelope.client} by {host}\r\n"
        f"\twith {envelope.protocol} ({envelope.tls}) id {queue_id};\r\n"
        f"\t{_date_time(at.replace(microsecond=0))}"
    )


@lru_cache(maxsize=64)
def _date_time(second: datetime) -> str:
    """RFC 5322 section 3.3; many messages come in one second."""
    return format_datetime(second)
