"""What a sender asks to be told (RFC 3461): the parameters RET, ENVID, NOTIFY and ORCPT."""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

MAX_ENVID: Final = 100
"""Characters, once decoded (RFC 3461 section 4.4)."""
MAX_ORCPT: Final = 500
"""Characters of the whole value (RFC 3461 section 4.2)."""

_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_HEX: Final = re.compile(r"\+([0-9A-F]{2})")
_PLAIN: Final = re.compile(r"[!-*,-<>-~]")
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9-]{1,40}\Z")
_SHOWN: Final = re.compile(r"[ -~]*\Z")


@unique
class Notify(StrEnum):
    """When the sender wants to hear of a recipient (RFC 3461 section 4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@unique
class Return(StrEnum):
    """How much of a message comes back when it failed (RFC 3461 section 4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True, repr=False)
class DeliveryRequest:
    """What was asked for one recipient."""

    notify: frozenset[Notify] | None = None
    """None where nothing was said: then failures are told, and delays where it seems good."""
    original: str = ""
    """ORCPT as it was given, address type and xtext; empty where it was not. It may hold an INS."""

    def wants(self, event: Notify) -> bool:
        """Whether the sender is told of an event (section 5.2)."""
        if self.notify is None:
            return event in (Notify.FAILURE, Notify.DELAY)
        return event in self.notify

    @property
    def original_recipient(self) -> str:
        """The value of Original-Recipient (RFC 3464 section 2.3.1), decoded; empty where it cannot
        be shown.
        """
        kind, _, text = self.original.partition(";")
        shown = _decoded(text)
        return f"{kind}; {shown}" if shown and _SHOWN.match(shown) else ""

    def parameters(self) -> str:
        """The parameters of RCPT, as they were given; with a leading blank each."""
        asked = "" if self.notify is None else f" NOTIFY={','.join(sorted(self.notify))}"
        return asked + (f" ORCPT={self.original}" if self.original else "")


UNASKED: Final = DeliveryRequest()


def read_notify(value: str) -> frozenset[Notify]:
    """Read the value of NOTIFY.

    Raises:
        ValueError: an unknown word, one that stands twice, or NEVER beside others.
    """
    words = [Notify(word) for word in value.upper().split(",")]
    found = frozenset(words)
    if len(found) != len(words) or (Notify.NEVER in found and len(found) > 1):
        raise ValueError("NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY")
    return found


def read_envid(value: str) -> str:
    """Check the value of ENVID, which stays as it was given.

    Raises:
        ValueError: not xtext, or too long.
    """
    if not _XTEXT.match(value) or len(_decoded(value)) > MAX_ENVID:
        raise ValueError("ENVID is xtext of at most 100 characters")
    return value


def read_orcpt(value: str) -> str:
    """Check the value of ORCPT, which stays as it was given.

    Raises:
        ValueError: not an address type and xtext, or too long.
    """
    kind, semicolon, text = value.partition(";")
    well_formed = semicolon and text and _ADDRESS_TYPE.match(kind) and _XTEXT.match(text)
    if not well_formed or len(value) > MAX_ORCPT:
        raise ValueError("ORCPT is an address type, a semicolon and xtext")
    return value


def shown_envid(value: str) -> str:
    """ENVID for the field Original-Envelope-Id; empty where it cannot be shown."""
    text = _decoded(value)
    return text if _SHOWN.match(text) else ""


def xtext(text: str) -> str:
    """Encode printable ASCII as xtext (section 4)."""
    return "".join(c if _PLAIN.match(c) else f"+{ord(c):02X}" for c in text)


def _decoded(text: str) -> str:
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text)
