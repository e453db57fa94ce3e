"""Command lines (RFC 5321 section 4.1): verb, path, parameters. Their order is not judged here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import idna

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

_CHUNK: Final = re.compile(r"(?P<octets>[0-9]{1,20})(?P<last> +LAST)?\Z", re.IGNORECASE)
_BODIES: Final = ("7BIT", "8BITMIME", "BINARYMIME")

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
    body_binary: bool = False
    """The body may be anything (RFC 3030); it comes by BDAT."""
    smtputf8: bool = False
    """Header and addresses may be UTF-8 (RFC 6531)."""
    require_tls: bool = False
    """Every hop must use TLS, or the message comes back (RFC 8689)."""
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
        CommandError: no verb, or characters that are not printable, or none of ASCII where no address
            can stand.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise CommandError("500 5.5.2 Commands are ASCII, addresses are UTF-8") from None
    if not text.isprintable():
        raise CommandError("500 5.5.2 Commands have no control characters")
    verb, _, argument = text.strip(" ").partition(" ")
    if not verb:
        raise CommandError("500 5.5.2 A command is needed")
    verb = verb.upper()
    if not text.isascii() and verb not in ("MAIL", "RCPT", "VRFY"):
        raise CommandError("500 5.5.2 Commands are ASCII")
    return verb, argument.strip(" ")


def parse_mail(argument: str) -> MailCommand:
    """Read the argument of MAIL. Blanks after the colon are borne: a common client writes them.

    Raises:
        CommandError: 501, 553 or 555.
    """
    path, parameters = _path_and_parameters(argument, "FROM:")
    size: int | None = None
    body = "7BIT"
    flags = {"SMTPUTF8": False, "REQUIRETLS": False}
    returns: Return | None = None
    envid = ""
    for name, value in _parameters(parameters).items():
        match name:
            case "SIZE" if value is not None and _SIZE.match(value):
                size = int(value)
            case "BODY" if value is not None and value.upper() in _BODIES:
                body = value.upper()
            case "SMTPUTF8" | "REQUIRETLS" if value is None:
                flags[name] = True
            case "AUTH" if value is not None and (value == "<>" or _XTEXT.match(value)):
                # RFC 4954 section 5: we trust no client to speak for others, so it counts as <>.
                pass
            case "RET" if value is not None and value.upper() in tuple(Return):
                returns = Return(value.upper())
            case "ENVID" if value is not None:
                envid = _well_formed(name, value, read_envid)
            case "SIZE" | "BODY" | "AUTH" | "RET" | "ENVID" | "SMTPUTF8" | "REQUIRETLS":
                raise _malformed(name)
            case _:
                raise CommandError("555 5.5.4 Unknown parameter of MAIL")
    utf8 = flags["SMTPUTF8"]
    sender = None if path == "" else _address(path, "5.1.7", utf8=utf8)
    return MailCommand(
        sender,
        size,
        body_8bit=body != "7BIT",
        body_binary=body == "BINARYMIME",
        smtputf8=utf8,
        require_tls=flags["REQUIRETLS"],
        returns=returns,
        envid=envid,
    )


def parse_rcpt(argument: str, own_domain: str = "", *, utf8: bool = False) -> RcptCommand:
    """Read the argument of RCPT; `utf8` where its MAIL had SMTPUTF8. ``<Postmaster>`` alone is ours
    (RFC 5321 section 4.5.1): it is completed with `own_domain`.

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
    return RcptCommand(_address(path, "5.1.3", utf8=utf8), asked)


def parse_chunk(argument: str, *, most: int) -> tuple[int, bool]:
    """Read the argument of BDAT (RFC 3030 section 2): octets, and whether they are the last.

    Raises:
        CommandError: 501, or 552 for more than `most` octets.
    """
    found = _CHUNK.match(argument)
    if found is None:
        raise CommandError("501 5.5.4 BDAT needs a number of octets, and LAST for the last ones")
    octets = int(found["octets"])
    if octets > most:
        raise CommandError("552 5.3.4 The chunk is larger than any message here")
    return octets, found["last"] is not None


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


def _in_ascii(path: str, *, utf8: bool) -> str:
    """An address whose domain alone is not ASCII, with the domain as A-labels (RFC 6531 section
    3.7.1); mailboxes of this network have ASCII names.
    """
    if not utf8:
        raise CommandError("553 5.6.7 An address beyond ASCII needs SMTPUTF8")
    local, _, domain = path.rpartition("@")
    if not local.isascii():
        raise CommandError("553 5.6.7 No mailbox of this network has such a name")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except idna.IDNAError:
        raise CommandError("553 5.6.7 The domain is not one of IDNA") from None


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


def _address(path: str, enhanced: str, *, utf8: bool) -> Address:
    if not path.isascii():
        path = _in_ascii(path, utf8=utf8)
    try:
        return _known_address(path)
    except ValueError:
        raise CommandError(f"553 {enhanced} The address is not well formed") from None
