"""The file that Thunderbird and others read: ``config-v1.1.xml``.

The format is that of Mozilla's "Autoconfig: How to" and of draft-ietf-mailmaint-autoconfig. Thunderbird
for Android is the stricter reader: `id` a host name, each server whole, TLS everywhere. The file says
nothing of any person: the client puts the address in.
"""

from typing import Final

from lxml import etree

from mssante.wire.autoconfig.model import Door, MailService

MEDIA_TYPE: Final = "application/xml; charset=utf-8"
_VARIABLES: Final = {"address": "%EMAILADDRESS%", "local-part": "%EMAILLOCALPART%"}


def client_config(service: MailService, domain: str) -> bytes:
    """The file for the addresses of one domain."""
    root = etree.Element("clientConfig", version="1.1")
    provider = etree.SubElement(root, "emailProvider", id=domain)
    _add(provider, "domain", domain)
    _add(provider, "displayName", service.name)
    _add(provider, "displayShortName", service.name)
    for door in service.incoming():
        _server(provider, "incomingServer", "imap", door, service)
    for door in service.outgoing():
        _server(provider, "outgoingServer", "smtp", door, service)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _server(
    provider: etree._Element, name: str, kind: str, door: Door, service: MailService
) -> None:
    server = etree.SubElement(provider, name, type=kind)
    _add(server, "hostname", door.endpoint.host)
    _add(server, "port", str(door.endpoint.port))
    _add(server, "socketType", "SSL" if door.implicit_tls else "STARTTLS")
    _add(server, "authentication", "password-cleartext")  # inside TLS
    _add(server, "username", _VARIABLES[service.user_name])


def _add(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, name).text = text
