import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.address import Address
from mssante.kernel.clock import SystemClock, from_milliseconds, to_milliseconds
from mssante.kernel.opaque import OpaqueId, entry_uuid, id_text, new_id, parse_id
from mssante.kernel.pseudonym import Pseudonymiser
from mssante.kernel.traits import Traits

ids = st.binary(min_size=16, max_size=16).map(OpaqueId)
keys = st.binary(min_size=32, max_size=32)
PATIENTS = frozenset({"patient.example"})


def test_new_ids_are_random_uuids_of_version_4():
    drawn = [new_id() for _ in range(200)]

    assert len(set(drawn)) == 200
    assert {uuid.UUID(bytes=each).version for each in drawn} == {4}
    assert {uuid.UUID(bytes=each).variant for each in drawn} == {uuid.RFC_4122}


@given(ids)
def test_an_id_is_read_back_from_its_text(opaque):
    assert parse_id(id_text(opaque)) == opaque
    assert uuid.UUID(entry_uuid(opaque)).bytes == opaque
    assert entry_uuid(opaque).startswith("urn:uuid:")


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "0" * 31 + "\n", "0x" + "0" * 30]
)
def test_other_texts_are_no_ids(text):
    with pytest.raises(ValueError, match="32 lower-case hexadecimal digits"):
        parse_id(text)


@given(keys, st.from_regex(r"[12][0-9]{14}", fullmatch=True))
def test_a_pseudonym_is_stable_ignores_case_and_shows_nothing(key, matricule):
    pseudonyms = Pseudonymiser(key, PATIENTS)

    assert pseudonyms.of(matricule) == pseudonyms.of(matricule)
    assert pseudonyms.of(f"{matricule[:6]}a") == pseudonyms.of(f"{matricule[:6]}A")
    assert matricule not in pseudonyms.of(matricule)


@given(keys, keys, st.from_regex(r"[12][0-9]{14}", fullmatch=True))
def test_another_key_gives_another_pseudonym(one, two, matricule):
    same = Pseudonymiser(one, PATIENTS).of(matricule) == Pseudonymiser(two, PATIENTS).of(matricule)

    assert same == (one == two)


def test_only_patients_addresses_are_pseudonymised_whatever_the_case_of_the_domain():
    pseudonyms = Pseudonymiser(bytes(32), PATIENTS)
    patient = pseudonyms.of_address(Address("279035121518989", "Patient.Example"))

    assert patient.startswith("pat-")
    assert "279035121518989" not in patient
    assert pseudonyms.of_address(Address("dr.a", "h.example")) == "dr.a@h.example"


def test_a_patient_of_another_operator_is_a_pseudonym_too():
    pseudonyms = Pseudonymiser(bytes(32), PATIENTS)

    assert pseudonyms.of_address(Address("279035121518989", "elsewhere.example")) == (
        pseudonyms.of("279035121518989") + "@elsewhere.example"
    )
    assert pseudonyms.of_address(Address("279035121518980", "elsewhere.example")) == (
        "279035121518980@elsewhere.example"  # a wrong key: nobody's number
    )


def test_neither_the_key_nor_traits_appear_in_a_repr():
    assert repr(bytes(32)) not in repr(Pseudonymiser(bytes(32), PATIENTS))
    assert "DURAND" not in repr(Traits("DURAND", "A", "A", "F", "19790101", None))


@given(st.integers(0, 4_102_444_800_000))
def test_instants_keep_their_millisecond(milliseconds):
    assert to_milliseconds(from_milliseconds(milliseconds)) == milliseconds
    assert from_milliseconds(milliseconds).utcoffset() == timedelta(0)


def test_the_machines_clock_is_in_utc():
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert SystemClock().now().tzinfo is UTC
