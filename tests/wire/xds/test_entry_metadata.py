"""XDS metadata from a CDA: formats, codes, times."""

import re

import pytest
from make_samples import Subject, Version, Writer, biology, level1

from mssante.wire.cda.model import Device, Entity, Identifier, NamePart, Organization, PersonName
from mssante.wire.cda.reader import read_document
from mssante.wire.xds import codes
from mssante.wire.xds.entry import code_problems, entry_from_cda, submission_set_of
from mssante.wire.xds.hl7 import cx, reference, xcn, xon


LEVELS, FLAGS = "2.16.840.1.113883.5.25", "1.2.250.1.213.1.1.4.13"


def entry_of(content):
    return entry_from_cda(read_document(content), content)


def test_a_level_1_document_gives_the_metadata_of_the_profile():
    entry = entry_of(level1())

    assert entry.type_code.code == "34112-3"
    assert entry.class_code.code == "10"
    assert entry.format_code.code == "urn:ihe:iti:xds-sd:pdf:2008"
    assert entry.mime_type == "text/xml"
    assert entry.creation_time == "20261123073000"
    assert entry.service_start == "20261123073000"
    assert entry.patient_id == f"{Subject().ins}^^^&1.2.250.1.213.1.4.10&ISO^NH"
    assert entry.source_patient_id == f"{Subject().local_id}^^^&1.2.250.1.999.2&ISO^PI"
    assert entry.source_patient_info == (
        "PID-5|PATIENT-DEUX^ALIX^ALIX MARIE-LOUISE^^^^L",
        "PID-7|19790328",
        "PID-8|F",
    )
    assert entry.authors[0].person == (
        f"8{Writer().rpps}^EXEMPLE^Camille^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS"
    )
    assert entry.authors[0].institution == (
        f"Centre hospitalier Exemple^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^1{Writer().finess}"
    )
    assert list(code_problems(entry)) == []


def test_a_structured_document_has_the_format_of_its_model():
    assert entry_of(biology()).format_code.code == "urn:ihe:lab:xd-lab:2008"
    outside = (
        biology()
        .replace(b"1.2.250.1.213.1.1.1.55", b"1.2.3")
        .replace(b"1.3.6.1.4.1.19376.1.3.3", b"1.2.4")
    )
    assert entry_of(outside).format_code.code == "urn:asipSante:modelesHorsProfils:2011"


def test_unknown_codes_are_kept_with_a_warning():
    content = (
        level1()
        .replace(b'code="34112-3"', b'code="99999-9"')
        .replace(b'code="SA01"', b'code="SA99"')
    )
    entry = entry_of(content.replace(b'code="ETABLISSEMENT"', b'code="AILLEURS"'))

    assert entry.type_code.code == "99999-9"
    assert entry.class_code is None
    assert [problem.code for problem in code_problems(entry)] == [
        "type-unknown", "facility-unknown", "practice-unknown", "class-unknown",
    ]  # fmt: skip


def test_unknown_confidentiality_counts_as_the_most_restrictive():
    content = level1().replace(b'<confidentialityCode code="N"', b'<confidentialityCode code="X"')

    assert [one.code for one in entry_of(content).confidentiality] == ["R", "INVISIBLE_PATIENT"]


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        ([("N", LEVELS), ("R", LEVELS)], ["R"]),
        ([("V", LEVELS), ("N", LEVELS)], ["V"]),
        ([("N", LEVELS), ("MASQUE_PS", FLAGS)], ["N", "MASQUE_PS"]),
        ([("N", LEVELS), ("INVISIBLE_PATIENT", FLAGS)], ["N", "INVISIBLE_PATIENT"]),
        ([("N", LEVELS), ("SECRET", LEVELS)], ["R", "INVISIBLE_PATIENT"]),
        ([("MASQUE_PS", FLAGS), ("N", "1.2.3")], ["R", "INVISIBLE_PATIENT", "MASQUE_PS"]),
        ([("N", LEVELS), ("N", LEVELS)], ["N"]),
        ([], ["R", "INVISIBLE_PATIENT"]),
    ],
)
def test_of_several_confidentialities_all_that_they_restrict_counts(written, counted):
    elements = b"".join(
        f'<confidentialityCode code="{code}" codeSystem="{system}"/>'.encode()
        for code, system in written
    )
    content, replaced = re.subn(rb"<confidentialityCode [^>]*/>", elements, level1())

    assert replaced == 1
    assert [one.code for one in entry_of(content).confidentiality] == counted


def test_without_an_act_the_encounter_gives_the_start():
    at = b'<low value="20261123083000+0100"/>'
    content = level1().replace(
        b"<serviceEvent><effectiveTime>" + at, b"<serviceEvent><effectiveTime>"
    )
    content = content.replace(at, b'<low value="20261120"/>')

    assert entry_of(content).service_start == "20261120"
    assert (
        entry_of(content.replace(b'<low value="20261120"/>', b"")).service_start == "20261123073000"
    )


def test_a_submission_set_has_its_patient_and_an_activity():
    content = level1()
    document = read_document(content)
    entry = entry_from_cda(document, content)

    found = submission_set_of(
        document, entry, unique_id="2.25.1", source_id="1.2", submission_time="20261123073000"
    )

    assert found.content_type.code == "03"
    assert found.patient_id == entry.patient_id
    with pytest.raises(ValueError, match="patient"):
        anonymous = level1(Subject(ins=None))
        document = read_document(anonymous)
        submission_set_of(
            document,
            entry_from_cda(document, anonymous),
            unique_id="",
            source_id="",
            submission_time="",
        )


def test_a_date_without_time_stays_a_date():
    assert entry_of(level1(version=Version(at="20201231"))).creation_time == "20201231"


def test_systems_patients_and_strangers_have_their_own_forms():
    system = Entity(
        (Identifier("1.2.250.1.71.4.2.1", "3750100125/88"),), device=Device("Modele", "NomSysteme")
    )
    name = PersonName((NamePart("NOM"),), (NamePart("Prenom"),))
    patient = Entity((Identifier("1.2.250.1.213.1.4.8", "2"),), name=name)

    assert xcn(system) == "3750100125/88^NomSysteme^Modele^^^^^^&1.2.250.1.71.4.2.1&ISO^U^^^RI"
    assert xcn(patient) == "2^NOM^Prenom^^^^^^&1.2.250.1.213.1.4.8&ISO^D^^^NH"
    assert xcn(Entity(name=name)) == "^NOM^Prenom^^^^^^^D^^^"
    assert xon(Organization(name="A")) == "A"
    assert xon(Organization((Identifier("1.3.2", "123"),), "A")).startswith(
        "A^^^^^&1.3.2&ISO^SIREN"
    )


def test_separators_in_values_are_escaped():
    assert (
        cx(Identifier("1.2", "a^b&c|d~e\\f"), "PI")
        == "a\\S\\b\\T\\c\\F\\d\\R\\e\\E\\f^^^&1.2&ISO^PI"
    )


def test_an_identifier_that_is_only_an_oid_is_its_own_reference():
    assert reference(Identifier("1.2.3"), "kind") == "1.2.3^^^^kind"
    assert reference(Identifier("1.2.3", "x"), "kind") == "x^^^&1.2.3&ISO^kind"


def test_the_code_lists_are_whole():
    assert len(codes.labels("types")) == 123
    assert codes.class_of("11502-2", "2.16.840.1.113883.6.1") == "10"
    assert codes.class_of("34876-3", "2.16.840.1.113883.6.1") is None
    assert codes.format_of("1.2.250.1.213.1.1.1.13")[0] == "urn:asip:ci-sis:vsm:2012"
