"""Writes a white list in the form of ``listeblanchemssante.xml``: for sandboxes and drills."""

from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from mssante.wire.whitelist.model import Listing
from mssante.wire.whitelist.reader import NAMESPACE


def write_white_list(generated: datetime, listings: Iterable[Listing]) -> bytes:
    """The same date and listings give the same bytes; contacts are left empty, nothing is signed."""
    at = generated.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    root = etree.Element(
        f"{{{NAMESPACE}}}ListeBlancheMSSante",
        nsmap={None: NAMESPACE},  # type: ignore[dict-item]  # the default namespace has no prefix
    )
    _add(root, "DateDeGeneration", at)
    domains = _add(root, "ListeDomaines")
    for listing in listings:
        entry = _add(domains, "Domaine")
        _add(entry, "Nom", listing.domain)
        _add(entry, "Description", listing.description)
        _add(entry, "DNCertificatOperateur", str(listing.operator))
        _add(entry, "ResponsableContact")
        _add(entry, "SupportContact")
        _add(entry, "DateMAJ", at)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


def _add(parent: etree._Element, name: str, text: str = "") -> etree._Element:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    element.text = text or None
    return element
