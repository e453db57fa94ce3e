"""A CDA body: its level, and of a structured one the sections, entries and embedded media."""

from collections.abc import Iterator
from typing import Final

from mssante.wire.cda import elements as cda
from mssante.wire.cda.elements import Element
from mssante.wire.cda.model import Body, Media, Outline, Section

CDA_MEDIA_TYPE: Final = "text/xml"


def body_of(component: Element | None, *, has_entries: bool) -> Body:
    """The body in ClinicalDocument/component; the content of a structured one need not be there."""
    embedded = cda.child(component, "nonXMLBody")
    if embedded is not None:
        return _embedded(cda.child(embedded, "text"))
    return Body(level=3 if has_entries else 2, media_type=CDA_MEDIA_TYPE)


def outline(component: Element | None) -> Outline:
    """What is in the whole body in ClinicalDocument/component."""
    sections = list(_sections(cda.child(component, "structuredBody"), 1))
    return Outline(
        sections=tuple(
            Section(
                code=cda.code(cda.child(section, "code")),
                title=cda.text_of(cda.child(section, "title")),
                level=level,
            )
            for section, level in sections
        ),
        entries=sum(1 for section, _ in sections for _ in cda.each(section, "entry")),
        media=tuple(_media(component)),
    )


def _embedded(text: Element | None) -> Body:
    return Body(
        level=1,
        media_type=(cda.attribute(text, "mediaType") or "text/plain").lower(),
        representation=cda.attribute(text, "representation"),
        embedded="" if text is None else cda.raw_text(text),
    )


def _sections(parent: Element | None, level: int) -> Iterator[tuple[Element, int]]:
    """The sections below a body or a section with their levels, outer before inner."""
    for component in cda.each(parent, "component"):
        for section in cda.each(component, "section"):
            yield section, level
            yield from _sections(section, level + 1)


def _media(component: Element | None) -> list[Media]:
    if component is None:
        return []
    return [
        Media(cda.attribute(value, "mediaType"), cda.attribute(value, "representation"))
        for observation in component.iterdescendants(cda.V3 + "observationMedia")
        for value in cda.each(observation, "value")
    ]
