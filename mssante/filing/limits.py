"""What the documents of one message may cost."""

from dataclasses import dataclass, field

from mssante.wire.xdm.model import XdmLimits
from mssante.wire.xml import XmlLimits


@dataclass(frozen=True, slots=True)
class InspectLimits:
    """What the documents of one message may cost."""

    document_bytes: int = 26_214_400
    """Of one document or archive, decoded."""
    embedded_bytes: int = 26_214_400
    """Of the file inside a level 1 document, decoded."""
    header_items: int = 200
    """Authors, acts, orders or replaced documents of one document, each."""
    metadata_characters: int = 200_000
    """Of all metadata of one document."""
    documents: int = 50
    """More than these in one message are not read, and held."""
    xml: XmlLimits = field(default_factory=XmlLimits)
    archive: XdmLimits = field(default_factory=XdmLimits)
    """Of one archive; what several inflate to is counted together."""
