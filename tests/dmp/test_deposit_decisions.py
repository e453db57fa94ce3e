"""Versions of documents: the decision, and its independence of the order of arrival."""

from dataclasses import replace
from itertools import count, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.dmp.deposit import Accepted, AlreadyFiled, Conflict, Refused, decide
from mssante.dmp.lineage import Version, document_key, has_cycle
from mssante.kernel.opaque import OpaqueId
from mssante.wire.xds.model import AvailabilityStatus

PATIENT, OTHER = OpaqueId(bytes(16)), OpaqueId(bytes(15) + b"\1")
_numbers = count(1)


def a_version(key, *, number=1, set_key="set", claims=(), actors=("author",), patient=PATIENT):
    return Version(
        entry_id=OpaqueId(next(_numbers).to_bytes(16, "big")),
        patient_id=patient,
        key=key,
        hash=f"hash of {key}",
        set_key=set_key,
        number=number,
        claims=tuple(claims),
        actors=frozenset(actors),
        status=AvailabilityStatus.APPROVED,
    )


class Record:
    """A patient's record that does what the decisions say."""

    def __init__(self):
        self.versions, self.links, self.unresolved, self.refused = {}, set(), set(), {}

    def deposit(self, new):
        decision = decide(new, list(self.versions.values()))
        if isinstance(decision, Refused):
            self.refused[new.key] = decision.conflict
        if isinstance(decision, Accepted):
            self.versions[new.entry_id] = replace(new, status=decision.status)
            for entry in decision.deprecate:
                old = self.versions[entry]
                self.versions[entry] = replace(old, status=AvailabilityStatus.DEPRECATED)
            self.links |= set(decision.link)
            self.links -= set(decision.unlink)
            self.unresolved -= set(decision.resolve)
            self.unresolved |= {new.entry_id} if decision.unresolved else set()
        return decision

    def state(self):
        key = {entry: version.key for entry, version in self.versions.items()}
        return (
            {version.key: version.status.value for version in self.versions.values()},
            {(key[new], key[old]) for new, old in self.links},
            {key[entry] for entry in self.unresolved},
        )


def states(versions):
    for order in permutations(versions):
        record = Record()
        for version in order:
            record.deposit(version)
        assert not record.refused
        yield record.state()


CHAINS = {
    "named and in one set": [
        a_version("1"),
        a_version("2", number=2, claims=["1"]),
        a_version("3", number=3, claims=["2"]),
        a_version("4", number=4, claims=["3"]),
    ],
    "named only": [
        a_version("1", set_key=None),
        a_version("2", set_key=None, claims=["1"]),
        a_version("3", set_key=None, claims=["2"]),
    ],
    "in one set only": [
        a_version("1"),
        a_version("2", number=2),
        a_version("3", number=3),
        a_version("7", number=7),
    ],
    "one names a document that never comes": [
        a_version("1"),
        a_version("2", number=2, claims=["elsewhere"]),
        a_version("3", number=3, claims=["2"]),
    ],
    "the set changes on the way": [
        a_version("1", set_key="a"),
        a_version("2", set_key="b", number=2, claims=["1"]),
        a_version("3", set_key="b", number=3, claims=["2"]),
        a_version("0", set_key="b", number=1),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_versions_end_the_same_in_whatever_order_they_come(name):
    first, *others = states(CHAINS[name])

    assert all(other == first for other in others)
    assert list(first[0].values()).count("Approved") == 1


def test_a_chain_is_linked_step_by_step():
    statuses, links, unresolved = next(states(CHAINS["named and in one set"]))

    assert statuses == {"1": "Deprecated", "2": "Deprecated", "3": "Deprecated", "4": "Approved"}
    assert links == {("2", "1"), ("3", "2"), ("4", "3")}
    assert unresolved == set()


@given(st.data())
def test_any_chain_ends_the_same_in_any_order(data):
    length = data.draw(st.integers(2, 6))
    versions = []
    for number in range(1, length + 1):
        names_parent = number > 1 and data.draw(st.booleans())
        claims = [str(number - 1)] if names_parent else []
        versions.append(a_version(str(number), number=number, claims=claims))
    one, two = Record(), Record()

    for version in versions:
        one.deposit(version)
    for version in data.draw(st.permutations(versions)):
        two.deposit(version)

    assert one.state() == two.state()
    assert not one.refused
    assert not two.refused


def test_the_same_document_twice_is_filed_once():
    record, version = Record(), a_version("1")
    record.deposit(version)

    again = record.deposit(replace(version, entry_id=OpaqueId(b"x" * 16)))

    assert again == AlreadyFiled(version.entry_id)


def test_other_bytes_under_a_known_id_are_refused():
    record, version = Record(), a_version("1")
    record.deposit(version)

    assert record.deposit(replace(version, hash="other")) == Refused(Conflict.NON_IDENTICAL_HASH)


def test_an_id_of_another_patients_document_is_refused_even_with_the_same_bytes():
    record, version = Record(), a_version("1")
    record.deposit(version)

    assert record.deposit(replace(version, patient_id=OTHER)) == Refused(Conflict.OTHER_PATIENT)


def test_the_same_version_twice_is_refused():
    record = Record()
    record.deposit(a_version("1", number=2))

    assert record.deposit(a_version("2", number=2)) == Refused(Conflict.SAME_VERSION)


def test_another_set_may_have_the_same_version():
    record = Record()
    record.deposit(a_version("1", set_key="a"))

    assert isinstance(record.deposit(a_version("2", set_key="b")), Accepted)


@pytest.mark.parametrize("claims", [(), ("1",)])
def test_only_the_author_or_the_organisation_may_replace(claims):
    record = Record()
    record.deposit(a_version("1", actors=("author", "hospital")))
    stranger = a_version("2", number=2, claims=claims, actors=("someone",))
    colleague = a_version("3", number=3, claims=claims, actors=("colleague", "hospital"))

    assert record.deposit(stranger) == Refused(Conflict.NOT_ALLOWED)
    assert isinstance(record.deposit(colleague), Accepted)


def test_a_late_document_is_not_replaced_by_a_stranger_who_came_before():
    record = Record()
    record.deposit(a_version("2", number=2, claims=["1"], actors=("stranger",)))

    record.deposit(a_version("1", actors=("author",)))

    assert record.state() == ({"1": "Approved", "2": "Approved"}, set(), {"2"})


def test_only_the_latest_version_can_be_replaced():
    record = Record()
    record.deposit(a_version("1", set_key=None))
    record.deposit(a_version("2", set_key=None, claims=["1"]))

    assert record.deposit(a_version("3", set_key=None, claims=["1"])) == Refused(
        Conflict.NOT_LATEST
    )


def test_documents_cannot_replace_each_other_in_a_circle():
    record = Record()
    record.deposit(a_version("1", set_key=None, claims=["3"]))
    record.deposit(a_version("2", set_key=None, claims=["1"]))

    assert record.deposit(a_version("3", set_key=None, claims=["2"])) == Refused(
        Conflict.NOT_LATEST
    )


def test_a_document_cannot_replace_itself():
    decision = decide(a_version("1", claims=["1"]), [])

    assert isinstance(decision, Accepted)
    assert decision.unresolved
    assert decision.link == ()


def test_a_document_of_another_patient_cannot_be_replaced():
    elsewhere = a_version("1", patient=OTHER)

    decision = decide(a_version("2", number=2, claims=["1"]), [elsewhere])

    assert decision == Refused(Conflict.REPLACED_ELSEWHERE)


def test_a_deleted_document_cannot_be_replaced():
    deleted = replace(a_version("1"), status=AvailabilityStatus.DELETED)

    decision = decide(a_version("2", number=2, claims=["1"]), [deleted])

    assert decision == Refused(Conflict.REPLACED_ELSEWHERE)


def test_a_replacement_of_an_unknown_document_is_filed_and_flagged():
    decision = decide(a_version("2", number=2, claims=["1"]), [])

    assert isinstance(decision, Accepted)
    assert decision.unresolved
    assert decision.status is AvailabilityStatus.APPROVED


def test_guids_have_no_case():
    guid = "90e1c8ec-f951-4b26-a305-a34848818dd6"

    assert document_key(f"{guid}^a") == f"{guid.upper()}^a"
    assert document_key("1.2.3^Abc") == "1.2.3^Abc"


def test_a_cycle_is_seen_wherever_it_is():
    assert has_cycle([("a", "b"), ("b", "c"), ("c", "b")])
    assert not has_cycle([("a", "b"), ("b", "c"), ("a", "c")])


def test_statuses_have_the_identifiers_of_the_protocols():
    assert AvailabilityStatus.DEPRECATED.urn.endswith("regrep:StatusType:Deprecated")
    assert AvailabilityStatus.ARCHIVED.urn == "urn:asip:ci-sis:2010:StatusType:Archived"
