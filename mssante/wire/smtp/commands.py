"""Command lines (RFC 5321 section 4.1): verb, path, parameters. Their order is not judged here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from mssante.kernel.address import Address
from mssante.wire.mime.addresses import parse_address
from mssante.wire.smtp.notifications import (
    UNASKED,
    DeliveryRequest,
    Notify,
    Return,
    read_envid,
    read_notify,
    read_orcpt,
)

MAX_COMMAND_LINE: Final = 4096
"""Octets with CRLF. RFC 5321 section 4.5.3.1.4 asks for 512 and what extensions add; the longest
answer of our SASL mechanisms needs 2052."""
MAX_PATH: Final = 256
"""Octets with the angle brackets (RFC 5321 section 4.5.3.1.3)."""

_PATH: Final = re.compile(r"[ ]*<(?P<address>[^<>]*)>(?P<parameters>(?: .*)?)\Z")
_BARE_PATH: Final = re.compile(r"[ ]*(?P<address>[^<> ]+)(?P<parameters>(?: .*)?)\Z")
_PARAMETER: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>[!-<>-~]+))?\Z")
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+\Z")
_HELO_NAME: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}\Z")
_SIZE: Final = re.compile(r"[0-9]{1,20}\Z")

_T = TypeVar("_T")


class CommandError(ValueError):
    """A command cannot be taken.

    Attributes:
        reply: what to answer: code, enhanced code and text.
    """

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailCommand:
    """``MAIL FROM:<reverse-path> parameters``."""

    sender: Address | None
    """None is the null reverse-path."""
    size: int | None
    """Declared by the client (RFC 1870)."""
    body_8bit: bool
    returns: Return | None = None
    """How much is to come back of a message that failed (RFC 3461 section 4.3)."""
    envid: str = ""
    """Envelope identifier for reports, in xtext as given (RFC 3461 section 4.4)."""


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """``RCPT TO:<forward-path> parameters``."""

    recipient: Address
    request: DeliveryRequest = UNASKED


def split_command(line: bytes) -> tuple[str, str]:
    """Verb in capitals and argument of a line without its CRLF.

    Raises:
        CommandError: no verb, or octets other than printable ASCII and blanks.
    """
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise CommandError("500 5.5.2 Commands are ASCII") from None
    if not text.isprintable():
        raise CommandError("500 5.5.2 Commands have no control characters")
    verb, _, argument = text.strip(" ").partition(" ")
    if not verb:
        raise CommandError("500 5.5.2 A command is needed")
    return verb.upper(), argument.strip(" ")


def parse_mail(argument: str) -> MailCommand:
    """Read the argument of MAIL. Blanks after the colon are borne: a common client writes them.

    Raises:
        CommandError: 501, 553 or 555.
    """
    path, parameters = _path_and_parameters(argument, "FROM:")
    size: int | None = None
    body_8bit = False
    returns: Return | None = None
    envid = ""
    for name, value in _parameters(parameters).items():
        match name:
            case "SIZE" if value is not None and _SIZE.match(value):
                size = int(value)
            case "BODY" if value is not None and value.upper() in ("7BIT", "8BITMIME"):
                body_8bit = value.upper() == "8BITMIME"
            case "AUTH" if value is not None and (value == "<>" or _XTEXT.match(value)):
                # RFC 4954 section 5: we trust no client to speak for others, so it counts as <>.
                pass
            case "RET" if value is not None and value.upper() in tuple(Return):
                returns = Return(value.upper())
            case "ENVID" if value is not None:
                envid = _well_formed(name, value, read_envid)
            case "SIZE" | "BODY" | "AUTH" | "RET" | "ENVID":
                raise _malformed(name)
            case _:
                raise CommandError("555 5.5.4 Unknown parameter of MAIL")
    sender = None if path == "" else _address(path, "5.1.7")
    return MailCommand(sender, size, body_8bit, returns, envid)


def parse_rcpt(argument: str, own_domain: str = "") -> RcptCommand:
    """Read the argument of RCPT. ``<Postmaster>`` alone is ours (RFC 5321 section 4.5.1): it is
    completed with `own_domain`.

    Raises:
        CommandError: 501, 553 or 555.
    """
    path, parameters = _path_and_parameters(argument, "TO:")
    if own_domain and path.lower() == "postmaster":
        path = f"{path}@{own_domain}"
    notify: frozenset[Notify] | None = None
    original = ""
    for name, value in _parameters(parameters).items():
        match name:
            case "NOTIFY" if value is not None:
                notify = _well_formed(name, value, read_notify)
            case "ORCPT" if value is not None:
                original = _well_formed(name, value, read_orcpt)
            case "NOTIFY" | "ORCPT":
                raise _malformed(name)
            case _:
                raise CommandError("555 5.5.4 Unknown parameter of RCPT")
    asked = UNASKED if notify is None and not original else DeliveryRequest(notify, original)
    return RcptCommand(_address(path, "5.1.3"), asked)


def parse_hello(argument: str) -> str:
    """The name in HELO or EHLO, fit to be recorded; ``unknown`` for one that is none.

    Clients name themselves badly (no dot, wrong case), and refusing them helps nobody.

    Raises:
        CommandError: there is no name at all.
    """
    if not argument:
        raise CommandError("501 5.5.4 A host name is needed")
    return argument if _HELO_NAME.match(argument) else "unknown"


def _path_and_parameters(argument: str, keyword: str) -> tuple[str, str]:
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(f"501 5.5.4 {keyword} and an address in angle brackets are needed")
    after = argument[len(keyword) :]
    found = _PATH.match(after) or _BARE_PATH.match(after)
    if found is None:
        raise CommandError("501 5.5.4 An address in angle brackets is needed")
    if len(found["address"]) > MAX_PATH - 2:
        raise CommandError("501 5.1.3 The address is too long")
    return found["address"], found["parameters"]


def _well_formed(name: str, value: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(value)
    except ValueError:
        raise _malformed(name) from None


def _malformed(name: str) -> CommandError:
    return CommandError(f"501 5.5.4 The parameter {name} is not well formed")


def _parameters(text: str) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for word in text.split():
        found = _PARAMETER.match(word)
        if found is None or found["name"].upper() in result:
            raise CommandError("501 5.5.4 A parameter is not well formed or stands twice")
        result[found["name"].upper()] = found["value"]
    return result


@lru_cache(maxsize=4096)
def _known_address(text: str) -> Address:
    """The full check costs 25 microseconds, and the same addresses come again and again."""
    return parse_address(text)


def _address(path: str, enhanced: str) -> Address:
    try:
        return _known_address(path)
    except ValueError:
        raise CommandError(f"553 {enhanced} The address is not well formed") from None
