"""The header of a clinical document as values, everything as received.

Names follow CDA (HL7 CDA R2, POCD_HD000040) in Python's spelling. No value here shows its content in
its `repr`: a document is health data about a named person.
"""

from dataclasses import dataclass, field

from mssante.kernel.ins import INS_OIDS
from mssante.wire.cda.times import Interval, Timestamp


class Private:
    """Shows its kind only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


@dataclass(frozen=True, slots=True, repr=False)
class Identifier(Private):
    """An instance identifier (HL7 V3 type II)."""

    root: str | None
    extension: str | None = None
    null_flavor: str | None = None
    assigning_authority: str | None = None

    @property
    def text(self) -> str:
        """``root``, or ``root^extension``: the form of an XDS uniqueId."""
        root = self.root or ""
        return root if self.extension is None else f"{root}^{self.extension}"


@dataclass(frozen=True, slots=True, repr=False)
class Code(Private):
    """A coded value (HL7 V3 types CD, CE and CS)."""

    code: str | None
    system: str | None = None
    display: str | None = None
    null_flavor: str | None = None
    translations: tuple["Code", ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Telecom(Private):
    """A telephone number or address, as a URL."""

    value: str | None
    use: str | None = None
    null_flavor: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PostalAddress(Private):
    """A postal address: (part name, text) in document order."""

    parts: tuple[tuple[str, str], ...]
    use: str | None = None
    null_flavor: str | None = None

    def part(self, name: str) -> str | None:
        """The first part of that name, such as ``city`` or ``county``."""
        return next((text for part, text in self.parts if part == name), None)


@dataclass(frozen=True, slots=True, repr=False)
class NamePart(Private):
    """One part of a person's name with its qualifier (BR birth, CL used, SP spouse)."""

    text: str
    qualifier: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PersonName(Private):
    """A person's name (HL7 V3 type PN): parts in document order, free text where it has no parts."""

    family: tuple[NamePart, ...] = ()
    given: tuple[NamePart, ...] = ()
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    text: str | None = None
    null_flavor: str | None = None

    def family_name(self, *qualifiers: str | None) -> str | None:
        """The first family name that carries one of `qualifiers`, tried in order (None: without)."""
        return _qualified(self.family, qualifiers)

    def given_name(self, *qualifiers: str | None) -> str | None:
        """The first given name that carries one of `qualifiers`, tried in order (None: without)."""
        return _qualified(self.given, qualifiers)

    @property
    def any_family(self) -> str | None:
        """The first family name, whatever its qualifier."""
        return self.family[0].text if self.family else None

    @property
    def any_given(self) -> str | None:
        """The first given name, whatever its qualifier."""
        return self.given[0].text if self.given else None


def _qualified(parts: tuple[NamePart, ...], qualifiers: tuple[str | None, ...]) -> str | None:
    for qualifier in qualifiers:
        for part in parts:
            if part.qualifier == qualifier:
                return part.text
    return None


@dataclass(frozen=True, slots=True, repr=False)
class Organization(Private):
    """A structure."""

    ids: tuple[Identifier, ...] = ()
    name: str | None = None
    telecoms: tuple[Telecom, ...] = ()
    addresses: tuple[PostalAddress, ...] = ()
    industry: Code | None = None
    """standardIndustryClassCode: the practice setting (JDV_J04)."""

    @property
    def id(self) -> Identifier | None:
        """The first identifier that has a value."""
        return _first_id(self.ids)


def _first_id(ids: tuple[Identifier, ...]) -> Identifier | None:
    return next((identifier for identifier in ids if identifier.root), None)


@dataclass(frozen=True, slots=True, repr=False)
class Device(Private):
    """An authoring system."""

    model: str | None = None
    software: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Entity(Private):
    """A person or system in a role: assignedEntity, assignedAuthor, relatedEntity,
    associatedEntity, intendedRecipient.
    """

    ids: tuple[Identifier, ...] = ()
    class_code: str | None = None
    code: Code | None = None
    addresses: tuple[PostalAddress, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    name: PersonName | None = None
    device: Device | None = None
    organization: Organization | None = None

    @property
    def id(self) -> Identifier | None:
        """The first identifier that has a value."""
        return _first_id(self.ids)


@dataclass(frozen=True, slots=True, repr=False)
class Participation(Private):
    """Someone's part in the document or its act."""

    entity: Entity
    type_code: str | None = None
    function: Code | None = None
    time: Interval | None = None
    signature_code: str | None = None

    @property
    def at(self) -> Timestamp | None:
        """The time of a participation that has a single one."""
        return self.time.value if self.time else None


@dataclass(frozen=True, slots=True, repr=False)
class Guardian(Private):
    """A representative of the patient."""

    ids: tuple[Identifier, ...] = ()
    code: Code | None = None
    addresses: tuple[PostalAddress, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    name: PersonName | None = None
    organization: Organization | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Patient(Private):
    """recordTarget/patientRole."""

    ids: tuple[Identifier, ...] = ()
    addresses: tuple[PostalAddress, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    name: PersonName = field(default_factory=PersonName)
    gender: Code | None = None
    birth_time: Timestamp | None = None
    birth_place: PostalAddress | None = None
    birth_place_name: str | None = None
    guardians: tuple[Guardian, ...] = ()
    deceased: str | None = None
    """sdtc:deceasedInd as written."""
    deceased_time: Timestamp | None = None
    multiple_birth: str | None = None
    multiple_birth_order: str | None = None
    others: int = 0
    """How many more patients the document names, where the profile allows one."""

    @property
    def ins_ids(self) -> tuple[Identifier, ...]:
        """Identifiers under an INS authority, found by root, never by position."""
        return tuple(found for found in self.ids if found.root in INS_OIDS)

    @property
    def ins(self) -> Identifier | None:
        """The INS as received, unchecked."""
        return next(iter(self.ins_ids), None)

    @property
    def other_ids(self) -> tuple[Identifier, ...]:
        """Local identifiers (IPP)."""
        return tuple(found for found in self.ids if found.root and found.root not in INS_OIDS)

    @property
    def birth_name(self) -> str | None:
        """family[@qualifier='BR']."""
        return self.name.family_name("BR")

    @property
    def used_name(self) -> str | None:
        """family[@qualifier='CL'], else the spouse's name, else the birth name."""
        return self.name.family_name("CL", "SP", "BR")

    @property
    def given_names(self) -> str | None:
        """The list of the birth certificate: given without qualifier."""
        return self.name.given_name(None)

    @property
    def first_given(self) -> str | None:
        """given[@qualifier='BR']."""
        return self.name.given_name("BR")

    @property
    def used_given(self) -> str | None:
        """given[@qualifier='CL']."""
        return self.name.given_name("CL")

    @property
    def sex(self) -> str | None:
        """The code of administrativeGenderCode."""
        return self.gender.code if self.gender else None

    @property
    def birth_place_code(self) -> str | None:
        """INSEE code of the commune or country: birthplace/place/addr/county."""
        return self.birth_place.part("county") if self.birth_place else None


@dataclass(frozen=True, slots=True, repr=False)
class ServiceEvent(Private):
    """An act that the document reports."""

    ids: tuple[Identifier, ...] = ()
    code: Code | None = None
    time: Interval = field(default_factory=Interval)
    status: str | None = None
    performers: tuple[Participation, ...] = ()

    @property
    def practice_setting(self) -> Code | None:
        """The standardIndustryClassCode of the first performer that has one."""
        for performer in self.performers:
            organization = performer.entity.organization
            if organization is not None and organization.industry is not None:
                return organization.industry
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Encounter(Private):
    """componentOf/encompassingEncounter."""

    ids: tuple[Identifier, ...] = ()
    code: Code | None = None
    time: Interval = field(default_factory=Interval)
    responsible: Entity | None = None
    participants: tuple[Participation, ...] = ()
    facility_id: Identifier | None = None
    facility_code: Code | None = None
    facility_name: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Order(Private):
    """inFulfillmentOf/order."""

    ids: tuple[Identifier, ...] = ()
    accession_number: Identifier | None = None


@dataclass(frozen=True, slots=True, repr=False)
class RelatedDocument(Private):
    """A document that this one replaces (RPLC), transforms (XFRM) or completes (APND)."""

    type_code: str | None
    ids: tuple[Identifier, ...] = ()
    set_id: Identifier | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Section(Private):
    """One section of a structured body."""

    code: Code | None
    title: str | None
    level: int
    """1 for a section of the body, 2 for one inside it, and so on."""


@dataclass(frozen=True, slots=True, repr=False)
class Media(Private):
    """An embedded image or document (observationMedia/value)."""

    media_type: str | None
    representation: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Body(Private):
    """The body: one embedded file (level 1), narrative (2), or narrative and entries (3)."""

    level: int
    media_type: str
    """Of the embedded file at level 1, else ``text/xml``."""
    representation: str | None = None
    """``B64`` or absent (text)."""
    embedded: str | None = None
    """Level 1: the text as written; see :mod:`mssante.wire.cda.embedded`."""


@dataclass(frozen=True, slots=True, repr=False)
class Outline(Private):
    """What is in a structured body."""

    sections: tuple[Section, ...]
    """Outer before inner."""
    entries: int
    """Direct entries of all sections."""
    media: tuple[Media, ...]


@dataclass(frozen=True, slots=True, repr=False)
class ClinicalDocument(Private):
    """The complete header and the kind of body; what is wrong with them: `rules.problems_of`."""

    id: Identifier
    code: Code | None
    title: str | None
    effective_time: Timestamp
    confidentiality: tuple[Code, ...]
    """The profile has one; of several, what any of them restricts counts."""
    language: str | None
    set_id: Identifier | None
    version: str | None
    """versionNumber as written."""
    realm: str | None
    type_id: Identifier | None
    template_ids: tuple[Identifier, ...]
    patient: Patient
    authors: tuple[Participation, ...]
    data_enterer: Participation | None
    informants: tuple[Entity, ...]
    custodian: Organization | None
    recipients: tuple[Entity, ...]
    legal_authenticator: Participation | None
    authenticators: tuple[Participation, ...]
    participants: tuple[Participation, ...]
    orders: tuple[Order, ...]
    service_events: tuple[ServiceEvent, ...]
    related_documents: tuple[RelatedDocument, ...]
    consents: tuple[Code, ...]
    encounter: Encounter | None
    body: Body
    elements: tuple[str, ...]
    """Names of the root's children in their order, those of other namespaces in braces."""

    @property
    def unique_id(self) -> str:
        """``root`` or ``root^extension`` of the document's id."""
        return self.id.text

    @property
    def version_number(self) -> int | None:
        """The versionNumber where it is a positive integer."""
        text = self.version or ""
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            return None
        return int(text) or None

    @property
    def replaced_ids(self) -> tuple[str, ...]:
        """Ids of the documents that this one says it replaces."""
        return tuple(
            found.text
            for related in self.related_documents
            if related.type_code == "RPLC"
            for found in related.ids
            if found.root
        )

    @property
    def first_person(self) -> Participation | None:
        """The first author who is a person, else the first author."""
        persons = (author for author in self.authors if author.entity.name is not None)
        return next(persons, next(iter(self.authors), None))

    @property
    def main_act(self) -> ServiceEvent | None:
        """The act whose performer has a practice setting (dmp: exactly one is expected)."""
        return next((act for act in self.service_events if act.practice_setting is not None), None)
