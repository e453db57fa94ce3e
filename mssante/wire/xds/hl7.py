"""The HL7 v2 data types inside XDS metadata: XCN, XON and CX (IHE ITI TF-3 table 4.2.3.1.7-2).

Layouts of the French profile (ANS, volet "partage de documents de santé").
"""

from typing import Final

from mssante.kernel.ins import INS_OIDS
from mssante.kernel.oid import PS_ID_NAT, STRUCT_ID_NAT
from mssante.wire.cda.model import Entity, Identifier, Organization

_SIRENE: Final = "1.3.2"
_ESCAPES: Final = str.maketrans(
    {"\\": "\\E\\", "^": "\\S\\", "&": "\\T\\", "|": "\\F\\", "~": "\\R\\", "\r": " ", "\n": " "}
)


def escaped(text: str | None) -> str:
    """A value without the separators of HL7 v2 (chapter 2, escape sequences)."""
    return (text or "").translate(_ESCAPES)


def cx(identifier: Identifier, kind: str) -> str:
    """``id^^^&OID&ISO^kind``: NH for an INS, PI for an establishment's own number."""
    return f"{escaped(identifier.extension)}^^^&{escaped(identifier.root)}&ISO^{kind}"


def cx_parts(text: str) -> tuple[str, str]:
    """The id and the authority's OID of a CX; empty where they are not given."""
    components = text.split("^")
    authority = components[3].split("&") if len(components) > 3 else []
    return components[0].strip(), authority[1].strip() if len(authority) > 1 else ""


def reference(identifier: Identifier, kind: str) -> str:
    """One value of referenceIdList (CXi); an identifier that is only an OID is its own value."""
    if identifier.extension is None:
        return f"{escaped(identifier.root)}^^^^{kind}"
    return f"{escaped(identifier.extension)}^^^&{escaped(identifier.root)}&ISO^{kind}"


def xcn(entity: Entity) -> str:
    """A professional, patient or system as authorPerson or legalAuthenticator.

    ``id^family^given^^^^^^&OID&ISO^D^^^IDNPS``; a system has its software and model as names, name
    type U and identifier type RI.
    """
    identifier = entity.id
    root = identifier.root if identifier else None
    is_person = entity.name is not None
    first, second = (
        (entity.name.any_family or entity.name.text, entity.name.any_given)
        if entity.name is not None
        else (entity.device.software, entity.device.model)
        if entity.device is not None
        else (None, None)
    )
    authority = f"&{escaped(root)}&ISO" if root else ""
    number = escaped(identifier.extension or identifier.root) if identifier else ""
    kind = _person_kind(root, is_person=is_person) if root else ""
    name_type = "D" if is_person else "U"
    return f"{number}^{escaped(first)}^{escaped(second)}^^^^^^{authority}^{name_type}^^^{kind}"


def _person_kind(root: str | None, *, is_person: bool) -> str:
    if root in INS_OIDS:
        return "NH"
    return "IDNPS" if is_person and root == PS_ID_NAT else "RI"


def xon(organization: Organization) -> str:
    """A structure as authorInstitution: ``name^^^^^&OID&ISO^IDNST^^^id``."""
    name, identifier = escaped(organization.name), organization.id
    if identifier is None:
        return name
    root = identifier.root or ""
    kind = {STRUCT_ID_NAT: "IDNST", _SIRENE: "SIREN"}.get(root, "RI")
    number = escaped(identifier.extension or root)
    return f"{name}^^^^^&{escaped(root)}&ISO^{kind}^^^{number}"
