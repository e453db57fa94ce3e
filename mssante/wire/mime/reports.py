"""What a report says about an earlier message: RFC 3464 (delivery) and RFC 8098 (disposition).

Read from the report's own parts, within limits; what is not said is left empty. Nothing here decides
whether a report is to be believed.
"""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from mssante.kernel.address import Address
from mssante.wire.mime.headers import first
from mssante.wire.mime.identifiers import message_id_of
from mssante.wire.mime.scanner import Part

_LIMIT: Final = 256 * 1024
"""Octets of a status part that are looked at."""
_MOST_GROUPS: Final = 200
_EMPTY_LINE: Final = re.compile(rb"\r?\n\r?\n")
_ACTIONS: Final = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})
_DISPOSITION: Final = re.compile(rb"[^;]{0,200};\s*([A-Za-z]{1,20})\s*(?:/\s*([A-Za-z]{1,20}))?")
_DISPOSITIONS: Final = frozenset({"displayed", "processed", "dispatched", "deleted"})


@unique
class ReportKind(StrEnum):
    """Which of the two a report is."""

    DELIVERY = "delivery-status"
    DISPOSITION = "disposition-notification"


@dataclass(frozen=True, slots=True, repr=False)
class Reported:
    """What is said of one recipient."""

    recipient: Address | None
    outcome: str
    """``failed``, ``delayed``, ``delivered``, ``relayed``, ``expanded``; ``displayed``, ``processed``,
    ``dispatched``, ``deleted``; ``error`` for a disposition that failed."""
    status: str = ""
    """Enhanced status code, where there is one."""


@dataclass(frozen=True, slots=True, repr=False)
class ReadReport:
    """A report about one message."""

    kind: ReportKind
    original: str
    """Message-ID of the message, with its angle brackets; empty where it is not said."""
    recipients: tuple[Reported, ...]


def read_report(content: bytes, root: Part) -> ReadReport | None:
    """Read a message that is a multipart/report; None for any other, or for one that says nothing.

    Args:
        content: the whole message.
        root: as it was scanned.
    """
    if (root.type, root.subtype) != (b"multipart", b"report") or len(root.children) < 2:
        return None
    status = root.children[1]
    body = content[status.body_start : min(status.body_stop, status.body_start + _LIMIT)]
    if (status.type, status.subtype) == (b"message", b"disposition-notification"):
        return _disposition(body)
    if (status.type, status.subtype) == (b"message", b"delivery-status"):
        return _delivery(body, content, root)
    return None


def _disposition(body: bytes) -> ReadReport | None:
    found = _DISPOSITION.match(first(body, b"Disposition") or b"")
    if found is None:
        return None
    word = found[1].decode("ascii").lower()
    modifier = (found[2] or b"").decode("ascii").lower()
    outcome = "error" if modifier in ("error", "failed") else word
    if outcome not in _DISPOSITIONS and outcome != "error":
        return None
    said = first(body, b"Original-Message-ID") or b""
    original = message_id_of(b"Message-ID: " + said + b"\r\n")
    recipient = _address(first(body, b"Original-Recipient") or first(body, b"Final-Recipient"))
    return ReadReport(ReportKind.DISPOSITION, original, (Reported(recipient, outcome),))


def _delivery(body: bytes, content: bytes, root: Part) -> ReadReport | None:
    recipients = []
    for group in _EMPTY_LINE.split(body)[1 : _MOST_GROUPS + 1]:
        action = (first(group, b"Action") or b"").decode("latin-1").strip().lower()
        if action in _ACTIONS:
            status = (first(group, b"Status") or b"").decode("latin-1").split(" ")[0]
            named = first(group, b"Original-Recipient") or first(group, b"Final-Recipient")
            recipients.append(Reported(_address(named), action, status[:12]))
    if not recipients:
        return None
    return ReadReport(ReportKind.DELIVERY, _original(content, root), tuple(recipients))


def _original(content: bytes, root: Part) -> str:
    """The Message-ID in what came back of the message, else what the report answers."""
    if len(root.children) > 2:
        returned = root.children[2]
        inside = content[
            returned.body_start : min(returned.body_stop, returned.body_start + _LIMIT)
        ]
        found = message_id_of(inside.partition(b"\r\n\r\n")[0] + b"\r\n")
        if found:
            return found
    answered = first(content[: root.body_start], b"In-Reply-To") or b""
    return message_id_of(b"Message-ID: " + answered + b"\r\n")


def _address(value: bytes | None) -> Address | None:
    """The address in ``rfc822; address``."""
    _, _, text = (value or b"").decode("latin-1").partition(";")
    try:
        return Address.split(text.strip().strip("<>")) if text.isascii() else None
    except ValueError:
        return None
