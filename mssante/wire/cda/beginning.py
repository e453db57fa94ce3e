"""Reading a document for the record: the header, and whether its structured body has entries.

A structured body is twenty times as long as the header, and the record asks one thing of it. So the
whole document is checked for being well-formed, which needs no tree, and the tree ends where the body
begins. Where anything that is read could stand behind that, or what the bytes say is not certain, the
whole document becomes a tree.
"""

import re
from dataclasses import dataclass
from typing import Final

from mssante.wire.cda.elements import V3, Element
from mssante.wire.xml import (
    XmlLimits,
    check_depth,
    in_utf8,
    is_huge,
    is_well_formed,
    parse_beginning,
    parse_utf8,
)

_BODY: Final = b"structuredBody"
_ENTRY: Final = b"entry"
_PREFIX: Final = rb"(?:[A-Za-z_][A-Za-z0-9._-]*:)?"
_END: Final = re.compile(
    rb"</%b%b\s*>\s*</%bcomponent\s*>\s*</%bClinicalDocument\s*>\s*\Z"
    % (_PREFIX, _BODY, _PREFIX, _PREFIX)
)
"""Nothing follows the body, in its component or after it."""
_LONGEST_END: Final = 400
_ID: Final = b"xml:id"
"""Its values are judged once a tree is whole, also those of the header, and not else (xml:id 1.0
section 4)."""
_AFTER_NAME: Final = (b">", b"/", b" ", b"\t", b"\r", b"\n")
_OBSCURE: Final = (b"<!", b"<?", b"xmlns")
"""Without these every `<` begins a tag, and a name is that of the same element as before."""
_PLACE: Final = [V3 + "structuredBody", V3 + "component", V3 + "ClinicalDocument"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What of a document is a tree."""

    root: Element
    """All of it but the content of a structured body, which may be missing."""
    has_entries: bool
    """The structured body has entries, which make it one of level 3."""


def read_beginning(content: bytes, limits: XmlLimits) -> Beginning:
    """Read the beginning of a document and check all of it.

    Raises:
        XmlRefused: as `parse_xml` does. A body that is left out may be as deep as the parser goes.
    """
    encoded = in_utf8(content, limits)
    if not is_huge(encoded):
        cut = _cut(encoded)
        if cut is not None and is_well_formed(encoded):
            check_depth(cut.root, limits)
            return cut
    root = parse_utf8(encoded, limits)
    bodies = root.iterfind(f"{V3}component/{V3}structuredBody")
    has_entries = any(next(body.iterdescendants(V3 + "entry"), None) is not None for body in bodies)
    return Beginning(root, has_entries=has_entries)


def _cut(encoded: bytes) -> Beginning | None:
    """The document without the content of its structured body; None where that is not certain to be
    the only thing that is left out.
    """
    first, last = encoded.find(_BODY), encoded.rfind(_BODY)
    # Named twice, at its two ends: another body, or a text that names one, would be in between.
    if first == last or encoded.find(_BODY, first + 1) != last:
        return None
    if not _END.search(encoded, max(last - _LONGEST_END, 0)):
        return None
    if _ID in encoded:
        return None
    content = encoded.find(b">", first) + 1
    prefix = encoded[encoded.rfind(b"<", 0, first) + 1 : first]
    entry = _tag(encoded, b"<" + prefix + _ENTRY, content, last)
    if entry < 0 and encoded.find(_ENTRY, content, last) >= 0:  # under another prefix, or a text
        return None
    looked_at = last if entry < 0 else encoded.find(b"<", entry + 1)
    if not any(encoded.find(each, content, looked_at) >= 0 for each in _OBSCURE):
        root = _root(parse_beginning(encoded, content, V3 + "structuredBody"))
    elif entry >= 0:  # the parser says whether it is one
        root = _root(parse_beginning(encoded, encoded.find(b">", entry) + 1, V3 + "entry"))
    else:
        root = None
    return None if root is None else Beginning(root, has_entries=entry >= 0)


def _root(found: Element | None) -> Element | None:
    """The root above a structured body in its place, or above what stands in one."""
    if found is None:
        return None
    names = [found.tag, *(above.tag for above in found.iterancestors())]
    return found.getroottree().getroot() if names[-3:] == _PLACE else None


def _tag(encoded: bytes, tag: bytes, start: int, stop: int) -> int:
    """Where the first start tag of a name stands; -1: nowhere."""
    while (start := encoded.find(tag, start, stop)) >= 0:
        if encoded.startswith(_AFTER_NAME, start + len(tag)):
            return start
        start += len(tag)
    return -1
