"""Reading the people, structures, acts and links of a CDA header (structuration minimale, CI-SIS)."""

from mssante.wire.cda import elements as cda
from mssante.wire.cda.elements import Element
from mssante.wire.cda.model import (
    Device,
    Encounter,
    Entity,
    Guardian,
    Order,
    Organization,
    Participation,
    Patient,
    PersonName,
    RelatedDocument,
    ServiceEvent,
)

_PERSONS = ("assignedPerson", "relatedPerson", "associatedPerson", "informationRecipient")
_ORGANIZATIONS = ("representedOrganization", "scopingOrganization", "receivedOrganization")


def organization(element: Element | None) -> Organization | None:
    """A structure; `None` where the element is absent."""
    if element is None:
        return None
    return Organization(
        ids=cda.identifiers(element),
        name=cda.text_of(cda.child(element, "name")),
        telecoms=cda.telecoms(element),
        addresses=cda.addresses(element),
        industry=cda.code(cda.child(element, "standardIndustryClassCode")),
    )


def entity(element: Element | None) -> Entity:
    """A person or system in a role, whichever of CDA's role elements it is."""
    if element is None:
        return Entity()
    # The first of each name, as everywhere.
    named = {cda.local_name(found): found for found in reversed([*cda.parts_of(element)])}
    person = next((named[name] for name in _PERSONS if name in named), None)
    structure = next((named[name] for name in _ORGANIZATIONS if name in named), None)
    machine = named.get("assignedAuthoringDevice")
    return Entity(
        ids=cda.identifiers(element),
        class_code=cda.attribute(element, "classCode"),
        code=cda.code(cda.child(element, "code")),
        addresses=cda.addresses(element),
        telecoms=cda.telecoms(element),
        name=cda.person_name(cda.child(person, "name")),
        device=None
        if machine is None
        else Device(
            model=cda.text_of(cda.child(machine, "manufacturerModelName")),
            software=cda.text_of(cda.child(machine, "softwareName")),
        ),
        organization=organization(structure),
    )


def participation(element: Element | None, role: str) -> Participation | None:
    """A participation whose role stands in the child named `role`."""
    if element is None:
        return None
    return Participation(
        entity=entity(cda.child(element, role)),
        type_code=cda.attribute(element, "typeCode"),
        function=cda.code(cda.child(element, "functionCode")),
        time=cda.interval(cda.child(element, "time")),
        signature_code=cda.attribute(cda.child(element, "signatureCode"), "code"),
    )


def participations(parent: Element | None, name: str, role: str) -> tuple[Participation, ...]:
    """All participations of that name."""
    found = (participation(element, role) for element in cda.each(parent, name))
    return tuple(one for one in found if one is not None)


def informant(element: Element) -> Entity:
    """Who informed: an assignedEntity or a relatedEntity."""
    assigned = cda.child(element, "assignedEntity")
    return entity(cda.child(element, "relatedEntity") if assigned is None else assigned)


def patient(root: Element) -> Patient:
    """The patient, from the first recordTarget.

    The identifiers are those of all: the profile allows one patient, and a document about two must not
    pass for one about the first alone.
    """
    role = cda.child(root, "recordTarget", "patientRole")
    roles = [
        found
        for target in cda.each(root, "recordTarget")
        for found in cda.each(target, "patientRole")
    ]
    person = cda.child(role, "patient")
    place = cda.child(person, "birthplace", "place")
    place_address = cda.child(place, "addr")
    return Patient(
        ids=tuple([one for found in roles for one in cda.identifiers(found)]),
        others=max(0, len(roles) - 1),
        addresses=cda.addresses(role),
        telecoms=cda.telecoms(role),
        name=_all_names(person),
        gender=cda.code(cda.child(person, "administrativeGenderCode")),
        birth_time=cda.timestamp(cda.child(person, "birthTime")),
        birth_place=None if place_address is None else cda.address(place_address),
        birth_place_name=cda.text_of(cda.child(place, "name")),
        guardians=tuple(_guardian(found) for found in cda.each(person, "guardian")),
        deceased=cda.attribute(_sdtc(person, "deceasedInd"), "value"),
        deceased_time=cda.timestamp(_sdtc(person, "deceasedTime")),
        multiple_birth=cda.attribute(_sdtc(person, "multipleBirthInd"), "value"),
        multiple_birth_order=cda.attribute(_sdtc(person, "multipleBirthOrderNumber"), "value"),
    )


def _all_names(person: Element | None) -> PersonName:
    """The parts of all name elements: the French profile has one, others write one per use."""
    names = [
        name for found in cda.each(person, "name") if (name := cda.person_name(found)) is not None
    ]
    if len(names) == 1:
        return names[0]
    return PersonName(
        family=tuple(part for name in names for part in name.family),
        given=tuple(part for name in names for part in name.given),
        prefix=tuple(part for name in names for part in name.prefix),
        suffix=tuple(part for name in names for part in name.suffix),
    )


def _sdtc(person: Element | None, name: str) -> Element | None:
    return None if person is None else next(person.iterchildren(cda.SDTC + name), None)


def _guardian(element: Element) -> Guardian:
    return Guardian(
        ids=cda.identifiers(element),
        code=cda.code(cda.child(element, "code")),
        addresses=cda.addresses(element),
        telecoms=cda.telecoms(element),
        name=cda.person_name(cda.child(element, "guardianPerson", "name")),
        organization=organization(cda.child(element, "guardianOrganization")),
    )


def order(element: Element) -> Order:
    """An order, from its inFulfillmentOf."""
    found = cda.child(element, "order")
    accession = None if found is None else next(found.iterchildren(_ACCESSION), None)
    return Order(
        ids=cda.identifiers(found),
        accession_number=None if accession is None else cda.identifier(accession),
    )


_ACCESSION = cda.PS3_20 + "accessionNumber"


def service_event(element: Element) -> ServiceEvent:
    """One act, from its documentationOf."""
    event = cda.child(element, "serviceEvent")
    status = None if event is None else next(event.iterchildren(cda.LAB + "statusCode"), None)
    return ServiceEvent(
        ids=cda.identifiers(event),
        code=cda.code(cda.child(event, "code")),
        time=cda.interval(cda.child(event, "effectiveTime")),
        status=cda.attribute(status, "code"),
        performers=participations(event, "performer", "assignedEntity"),
    )


def related_document(element: Element) -> RelatedDocument:
    """A link to another document."""
    parent = cda.child(element, "parentDocument")
    set_id = cda.child(parent, "setId")
    return RelatedDocument(
        type_code=cda.attribute(element, "typeCode"),
        ids=cda.identifiers(parent),
        set_id=None if set_id is None else cda.identifier(set_id),
        version=cda.attribute(cda.child(parent, "versionNumber"), "value"),
    )


def encounter(element: Element | None) -> Encounter | None:
    """The encounter, from componentOf; `None` where the element is absent."""
    found = cda.child(element, "encompassingEncounter")
    if found is None:
        return None
    responsible = cda.child(found, "responsibleParty", "assignedEntity")
    facility = cda.child(found, "location", "healthCareFacility")
    return Encounter(
        ids=cda.identifiers(found),
        code=cda.code(cda.child(found, "code")),
        time=cda.interval(cda.child(found, "effectiveTime")),
        responsible=None if responsible is None else entity(responsible),
        participants=participations(found, "encounterParticipant", "assignedEntity"),
        facility_id=next(iter(cda.identifiers(facility)), None),
        facility_code=cda.code(cda.child(facility, "code")),
        facility_name=cda.text_of(cda.child(facility, "location", "name")),
    )
