"""The outline of a CDA body: its level, sections, number of entries and embedded media."""

from typing import Final

from mssante.wire.cda import elements as cda
from mssante.wire.cda.elements import Element
from mssante.wire.cda.model import Body, Media, Section

CDA_MEDIA_TYPE: Final = "text/xml"


def outline(component: Element | None) -> Body:
    """The body in ClinicalDocument/component."""
    embedded = cda.child(component, "nonXMLBody")
    if embedded is not None:
        return _embedded(cda.child(embedded, "text"))
    sections: list[Section] = []
    entries = _walk(cda.child(component, "structuredBody"), 1, sections)
    return Body(
        level=3 if entries else 2,
        media_type=CDA_MEDIA_TYPE,
        sections=tuple(sections),
        entries=entries,
        media=tuple(_media(component)),
    )


def _embedded(text: Element | None) -> Body:
    return Body(
        level=1,
        media_type=(cda.attribute(text, "mediaType") or "text/plain").lower(),
        representation=cda.attribute(text, "representation"),
        embedded="" if text is None else cda.raw_text(text),
    )


def _walk(parent: Element | None, level: int, sections: list[Section]) -> int:
    """Collect the sections below `parent`, outer before inner; return the number of entries."""
    entries = 0
    for component in cda.each(parent, "component"):
        for section in cda.each(component, "section"):
            sections.append(
                Section(
                    code=cda.code(cda.child(section, "code")),
                    title=cda.text_of(cda.child(section, "title")),
                    level=level,
                )
            )
            entries += sum(1 for _ in cda.each(section, "entry"))
            entries += _walk(section, level + 1, sections)
    return entries


def _media(component: Element | None) -> list[Media]:
    if component is None:
        return []
    return [
        Media(cda.attribute(value, "mediaType"), cda.attribute(value, "representation"))
        for observation in component.iterdescendants(cda.V3 + "observationMedia")
        for value in cda.each(observation, "value")
    ]
