"""Reading CDA's data types from elements: text, codes, identifiers, names, addresses, times."""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from mssante.wire.cda.model import (
    Code,
    Identifier,
    NamePart,
    PersonName,
    PostalAddress,
    Telecom,
)
from mssante.wire.cda.times import Interval, Timestamp

V3: Final = "{urn:hl7-org:v3}"
"""Namespace of CDA (HL7 V3)."""
SDTC: Final = "{urn:hl7-org:sdtc}"
"""Namespace of HL7's extensions."""
PS3_20: Final = "{urn:dicom-org:ps3-20}"
"""Namespace of DICOM's extensions (accessionNumber)."""
LAB: Final = "{urn:oid:1.3.6.1.4.1.19376.1.3.2}"
"""Namespace of IHE's laboratory extensions (statusCode)."""

Element = etree._Element  # noqa: SLF001 - the type's only name


def each(parent: Element | None, name: str) -> Iterator[Element]:
    """The children of that name in CDA's namespace."""
    if parent is None:
        return iter(())
    return parent.iterchildren(V3 + name)


def child(parent: Element | None, *path: str) -> Element | None:
    """The first child of that name, or the first grandchild along `path`."""
    for name in path:
        if parent is None:
            return None
        parent = next(parent.iterchildren(V3 + name), None)
    return parent


def local_name(element: Element) -> str:
    """The name without its namespace."""
    name: str = element.tag.rpartition("}")[2]
    return name


def parts_of(element: Element) -> Iterator[Element]:
    """The children of whatever name in CDA's namespace.

    An extension's are no parts: who does not know it passes them over (CDA release 2, section 1.4).
    """
    return element.iterchildren(V3 + "*")


def text_of(element: Element | None) -> str | None:
    """All text below an element, blanks collapsed; `None` where there is none."""
    if element is None:
        return None
    return " ".join(raw_text(element).split()) or None


def raw_text(element: Element) -> str:
    """All text below an element, as written."""
    if len(element) == 0:
        return element.text or ""
    return "".join(str(piece) for piece in element.itertext())


def attribute(element: Element | None, name: str) -> str | None:
    """An attribute without surrounding blanks; `None` where it is absent or empty."""
    if element is None:
        return None
    value = element.get(name)
    return (value.strip() or None) if value is not None else None


def identifier(element: Element) -> Identifier:
    """Type II."""
    return Identifier(
        root=attribute(element, "root"),
        extension=attribute(element, "extension"),
        null_flavor=attribute(element, "nullFlavor"),
        assigning_authority=attribute(element, "assigningAuthorityName"),
    )


def identifiers(parent: Element | None) -> tuple[Identifier, ...]:
    """All children named ``id``."""
    return tuple(identifier(found) for found in each(parent, "id"))


def code(element: Element | None) -> Code | None:
    """Types CD, CE, CS; `None` where the element is absent."""
    if element is None:
        return None
    return Code(
        code=attribute(element, "code"),
        system=attribute(element, "codeSystem"),
        display=attribute(element, "displayName"),
        null_flavor=attribute(element, "nullFlavor"),
        translations=codes(element, "translation"),
    )


def codes(parent: Element, name: str) -> tuple[Code, ...]:
    """All children of that name, of types CD, CE, CS."""
    return tuple(found for element in each(parent, name) if (found := code(element)) is not None)


def timestamp(element: Element | None) -> Timestamp | None:
    """Type TS; `None` where the element is absent."""
    if element is None:
        return None
    return Timestamp(attribute(element, "value"), attribute(element, "nullFlavor"))


def interval(element: Element | None) -> Interval:
    """Type IVL_TS: the element's own value and its bounds, each where it is written."""
    if element is None:
        return Interval()
    single = element.get("value") is not None or element.get("nullFlavor") is not None
    return Interval(
        low=timestamp(child(element, "low")),
        high=timestamp(child(element, "high")),
        value=timestamp(element) if single else None,
    )


def telecoms(parent: Element | None) -> tuple[Telecom, ...]:
    """All children named ``telecom``."""
    return tuple(
        Telecom(attribute(found, "value"), attribute(found, "use"), attribute(found, "nullFlavor"))
        for found in each(parent, "telecom")
    )


def address(element: Element) -> PostalAddress:
    """Type AD: parts in order; text without parts is one part named ``text``."""
    parts = tuple(
        (local_name(part), text)
        for part in parts_of(element)
        if (text := text_of(part)) is not None
    )
    if not parts and (whole := text_of(element)) is not None:
        parts = (("text", whole),)
    return PostalAddress(parts, attribute(element, "use"), attribute(element, "nullFlavor"))


def addresses(parent: Element | None) -> tuple[PostalAddress, ...]:
    """All children named ``addr``."""
    return tuple(address(found) for found in each(parent, "addr"))


def person_name(element: Element | None) -> PersonName | None:
    """Type PN; `None` where the element is absent."""
    if element is None:
        return None
    parts: dict[str, list[NamePart]] = {"family": [], "given": []}
    titles: dict[str, list[str]] = {"prefix": [], "suffix": []}
    for part in parts_of(element):
        name = local_name(part)
        text = text_of(part)
        if text is None:
            continue
        if name in parts:
            parts[name].append(NamePart(text, attribute(part, "qualifier")))
        elif name in titles:
            titles[name].append(text)
    return PersonName(
        family=tuple(parts["family"]),
        given=tuple(parts["given"]),
        prefix=tuple(titles["prefix"]),
        suffix=tuple(titles["suffix"]),
        text=None if len(element) else text_of(element),
        null_flavor=attribute(element, "nullFlavor"),
    )
