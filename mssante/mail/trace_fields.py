"""What we put before a delivered message: Return-Path, Authentication-Results, Received.

It is kept beside the message and shared by all its recipients, so it names none of them (a Bcc
would show).
"""

from datetime import datetime
from email.utils import format_datetime

from mssante.kernel.opaque import id_text
from mssante.mail.model import Envelope, SpoolEntry


def trace_fields(entry: SpoolEntry, host: str, authserv_id: str) -> bytes:
    """The prefix of a message that was submitted here, or came from another operator.

    Return-Path: RFC 5321 section 4.4. Received: the same, with the protocol word of RFC 3848.
    Authentication-Results: RFC 8601, method ``auth`` (section 2.7.4), or a method of our own
    (section 2.7.6) for an operator whose certificate is listed for the sender's domain.
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
    fields.append(received_field(envelope, host, id_text(entry.id), entry.accepted_at))
    return "".join(f"{field}\r\n" for field in fields).encode("ascii")


def relayed_trace(entry: SpoolEntry, host: str) -> bytes:
    """What goes before a message to another operator: our Received field (RFC 5321 section 4.4)."""
    field = received_field(entry.envelope, host, id_text(entry.id), entry.accepted_at)
    return f"{field}\r\n".encode("ascii")


def received_field(envelope: Envelope, host: str, queue_id: str, at: datetime) -> str:
    """One Received field, folded."""
    return (
        f"Received: from {envelope.client} by {host}\r\n"
        f"\twith {envelope.protocol} ({envelope.tls}) id {queue_id};\r\n"
        f"\t{format_datetime(at)}"
    )
