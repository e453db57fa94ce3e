"""Reads ``listeblanchemssante.xml`` (ANS, ``https://listeblanche.mssante.fr/schema``).

Strict: a list is read whole or not at all. A file that was cut off, lacks an element or has one
that we do not know changes nothing, because the caller then keeps the list it has.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import idna
from lxml import etree

from mssante.wire.whitelist.model import Listing, WhiteList
from mssante.wire.x500 import DistinguishedName, NameRefused
from mssante.wire.xml import XmlLimits, XmlRefused, parse_xml

NAMESPACE: Final = "https://listeblanche.mssante.fr/schema"
_DSIG: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_SIGNATURE: Final = f"{_DSIG}Signature"
_CERTIFICATES: Final = f"{_DSIG}KeyInfo/{_DSIG}X509Data/{_DSIG}X509Certificate"
_MAX_CERTIFICATES: Final = 10
_MAX_SIGNATURE: Final = 200
"""Elements; a real one has about twenty."""
_TRANSFORMS: Final = frozenset(
    (
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        "http://www.w3.org/2006/12/xml-c14n11",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
    )
)
"""The list as it is, without the signature; nothing that selects or computes."""
_ENTRY: Final = (
    "Nom",
    "Description",
    "DNCertificatOperateur",
    "ResponsableContact",
    "SupportContact",
    "DateMAJ",
)
"""The children of ``Domaine``: all there, in this order."""
_LIMITS: Final = XmlLimits(size=50_000_000, nodes=2_000_000, attributes=2_000_000, depth=20)
"""Sixteen times the real list of 2026 (8 650 entries)."""
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)
_MAX_DOMAIN: Final = 253


class WhiteListRefused(ValueError):
    """The list cannot be used; the present one stays.

    Attributes:
        word: ``malformed``, ``empty``, ``too-large``, ``older``, ``halved`` or ``signature``.
        detail: what and where, for people; public data only.
    """

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word
        self.detail = detail


def read_white_list(content: bytes) -> WhiteList:
    """Read a whole list.

    Raises:
        WhiteListRefused: ``malformed``, ``empty`` or ``too-large``.
    """
    try:
        root = parse_xml(content, _LIMITS)
    except XmlRefused as refused:
        word = "too-large" if refused.word.startswith("too-") else "malformed"
        raise WhiteListRefused(word, f"the XML is refused: {refused}") from None
    if root.tag != _tag("ListeBlancheMSSante"):
        raise WhiteListRefused("malformed", "the root is not ListeBlancheMSSante")
    children = list(root)
    tags = [child.tag for child in children]
    signed = tags[2:] == [_SIGNATURE]
    if tags[:2] != [_tag("DateDeGeneration"), _tag("ListeDomaines")] or tags[2:] not in (
        [],
        [_SIGNATURE],
    ):
        raise WhiteListRefused("malformed", "the root's children are not those of the schema")
    generated = _instant(_leaf(children[0], "DateDeGeneration"), "DateDeGeneration")
    # A pair that stands twice says nothing more than once.
    listings = tuple(dict.fromkeys(_listings(children[1])))
    if not listings:
        raise WhiteListRefused("empty", "it lists no domain")
    return WhiteList(generated, listings, signed)


def read_signature(content: bytes) -> tuple[bytes, ...]:
    """The certificates (DER) in the signature of a list that `read_white_list` has read.

    The form of the signature is checked, nothing is verified: it must be about the whole document,
    by itself, with no transform but canonicalisation.

    Raises:
        WhiteListRefused: ``signature``.
    """
    [signature] = parse_xml(content, _LIMITS).findall(_SIGNATURE)
    references = signature.findall(f".//{_DSIG}Reference")
    if [reference.get("URI") for reference in references] != [""]:
        raise WhiteListRefused("signature", "it is not about the whole document")
    used = {each.get("Algorithm") for each in signature.iterfind(f".//{_DSIG}Transform")}
    if not used <= _TRANSFORMS or len(list(signature.iter())) > _MAX_SIGNATURE:
        raise WhiteListRefused("signature", "it is put together in a way that is not accepted")
    texts = [each.text or "" for each in signature.iterfind(_CERTIFICATES)]
    if len(texts) > _MAX_CERTIFICATES:
        raise WhiteListRefused("signature", "it holds too many certificates")
    try:
        return tuple(b64decode("".join(text.split()), validate=True) for text in texts)
    except ValueError:
        raise WhiteListRefused("signature", "its certificate cannot be read") from None


def a_label(domain: str) -> str:
    """A domain as it stands in addresses and in the DNS: lower case, A-labels (RFC 5890, RFC 5891).

    Raises:
        ValueError: not a domain.
    """
    labels = domain.strip().rstrip(".")
    try:
        encoded = idna.encode(labels, uts46=True, std3_rules=True).decode("ascii").lower()
    except idna.IDNAError:
        raise ValueError("not a domain") from None
    if not encoded or len(encoded) > _MAX_DOMAIN:
        raise ValueError("not a domain")
    return encoded


def _listings(parent: etree._Element) -> Iterator[Listing]:
    for number, element in enumerate(parent, start=1):
        where = f"entry {number}"
        if element.tag != _tag("Domaine") or tuple(child.tag for child in element) != _ENTRY_TAGS:
            raise WhiteListRefused("malformed", f"{where} is not a whole Domaine")
        values = {name: _leaf(child, where) for name, child in zip(_ENTRY, element, strict=True)}
        _instant(values["DateMAJ"], where)
        try:
            yield Listing(
                a_label(values["Nom"]),
                DistinguishedName.parse(values["DNCertificatOperateur"]),
                values["Description"],
            )
        except NameRefused as refused:
            raise WhiteListRefused(
                "malformed", f"{where}: DNCertificatOperateur: {refused}"
            ) from None
        except ValueError:
            raise WhiteListRefused("malformed", f"{where}: Nom is not a domain") from None


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


_ENTRY_TAGS: Final = tuple(map(_tag, _ENTRY))


def _leaf(element: etree._Element, where: str) -> str:
    if len(element):
        raise WhiteListRefused("malformed", f"{where}: text is expected, not elements")
    return (element.text or "").strip()


def _instant(text: str, where: str) -> datetime:
    """An ``xs:dateTime`` with its zone."""
    if _DATE_TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise WhiteListRefused("malformed", f"{where}: not a date and time with its zone")
