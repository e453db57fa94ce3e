"""Outlook's Autodiscover, the plain XML kind (POX): [MS-OXDSCLI] sections 2.2.3 and 2.2.4.

Only what an IMAP account needs. ``SSL`` alone means TLS from the first octet; ``Encryption`` stands
over it, and its ``TLS`` is Outlook's word for STARTTLS.
"""

import re
from datetime import datetime
from typing import Final

from lxml import etree

from mssante.wire.autoconfig.model import Door, MailService, domain_of
from mssante.wire.xml import XmlLimits, XmlRefused, parse_xml

MEDIA_TYPE: Final = "application/xml; charset=utf-8"
MAX_REQUEST: Final = 16_384
_LIMITS: Final = XmlLimits(size=MAX_REQUEST, nodes=200, attributes=200, depth=10)
_MAX_ADDRESS: Final = 320
_PRINTABLE: Final = re.compile(r"[!-~]+\Z")

_REQUEST: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_RESPONSE: Final = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_OUTLOOK: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

INVALID_REQUEST: Final = 600
"""[MS-OXDSCLI] section 2.2.4.1.1.2.3: the request is not understood."""
NO_SUCH_ADDRESS: Final = 500
"""The address is not one of ours; said of domains only."""
SCHEMA_UNKNOWN: Final = 601
"""Only the answer for Outlook can be given."""


class RequestRefused(Exception):
    """The request cannot be answered; `code` is one of the error codes above."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def requested_address(content: bytes) -> str:
    """The address that a request asks about; its domain need not be one of ours.

    Raises:
        RequestRefused: not a request, or one for another answer.
    """
    try:
        root = parse_xml(content, _LIMITS)
    except XmlRefused:
        raise RequestRefused(INVALID_REQUEST, "Invalid Request") from None
    request = root.find(f"{{{_REQUEST}}}Request")
    if root.tag != f"{{{_REQUEST}}}Autodiscover" or request is None:
        raise RequestRefused(INVALID_REQUEST, "Invalid Request")
    wanted = request.findtext(f"{{{_REQUEST}}}AcceptableResponseSchema", "").strip()
    if wanted and wanted != _OUTLOOK:
        raise RequestRefused(SCHEMA_UNKNOWN, "Provider is not available")
    address = request.findtext(f"{{{_REQUEST}}}EMailAddress", "").strip()
    is_address = len(address) <= _MAX_ADDRESS and _PRINTABLE.match(address)
    if not is_address or not domain_of(address):
        raise RequestRefused(INVALID_REQUEST, "Invalid Request")
    return address


def settings_answer(service: MailService, address: str) -> bytes:
    """The servers, for one address that the client told us."""
    root, response = _response(_OUTLOOK)
    account = etree.SubElement(response, f"{{{_OUTLOOK}}}Account")
    _add(account, "AccountType", "email")
    _add(account, "Action", "settings")
    # Outlook takes one server of each kind: the preferred one.
    for kind, door in (("IMAP", next(service.incoming(), None)),
                       ("SMTP", next(service.outgoing(), None))):  # fmt: skip
        if door is not None:
            _protocol(account, kind, door, service.user_name_of(address))
    return _written(root)


def error_answer(code: int, text: str, at: datetime) -> bytes:
    """Why there is no answer, in the protocol's own form."""
    root, response = _response(_RESPONSE)
    error = etree.SubElement(response, f"{{{_RESPONSE}}}Error")
    error.set("Time", f"{at:%H:%M:%S}.{at.microsecond * 10:07d}")
    error.set("Id", "0")
    for name, value in (("ErrorCode", str(code)), ("Message", text), ("DebugData", "")):
        etree.SubElement(error, f"{{{_RESPONSE}}}{name}").text = value
    return _written(root)


def _response(namespace: str) -> tuple[etree._Element, etree._Element]:
    # Default namespaces, both: some clients do not resolve prefixes.
    outer: dict[str | None, str] = {None: _RESPONSE}
    inner: dict[str | None, str] = {None: namespace}
    root = etree.Element(f"{{{_RESPONSE}}}Autodiscover", nsmap=outer)  # type: ignore[arg-type]
    response = etree.SubElement(root, f"{{{namespace}}}Response", nsmap=inner)  # type: ignore[arg-type]
    return root, response


def _protocol(account: etree._Element, kind: str, door: Door, login: str) -> None:
    protocol = etree.SubElement(account, f"{{{_OUTLOOK}}}Protocol")
    _add(protocol, "Type", kind)
    _add(protocol, "Server", door.endpoint.host)
    _add(protocol, "Port", str(door.endpoint.port))
    _add(protocol, "DomainRequired", "off")
    _add(protocol, "LoginName", login)
    _add(protocol, "SPA", "off")  # Microsoft's own authentication is on unless one says so
    _add(protocol, "SSL", "on")
    if not door.implicit_tls:
        _add(protocol, "Encryption", "TLS")
    _add(protocol, "AuthRequired", "on")
    if kind == "SMTP":
        _add(protocol, "UsePOPAuth", "off")
        _add(protocol, "SMTPLast", "off")


def _add(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, f"{{{_OUTLOOK}}}{name}").text = text


def _written(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
