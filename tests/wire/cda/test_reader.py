"""Reading generated documents: the header, the faults, nothing leaking."""

import time

import pytest
from make_samples import Subject, Version, Writer, a_matricule, biology, level1

from mssante.wire.cda.embedded import EmbeddedRefused, decode_embedded, look_inside
from mssante.wire.cda.problems import Severity
from mssante.wire.cda.rules import problems_of
from mssante.wire.cda.reader import NotClinicalDocument, read_document

LIMIT = 50_000_000


def codes(content):
    return [problem.code for problem in problems_of(read_document(content))]


@pytest.mark.parametrize("make", [level1, biology])
@pytest.mark.parametrize("size", [0, 100_000])
def test_generated_documents_have_no_problem_and_are_reproducible(make, size):
    content = make(size=size)
    document = read_document(content)

    assert problems_of(document) == ()
    assert content == make(size=size)
    assert len(content) >= size
    inside = look_inside(document.body, LIMIT)
    assert inside is None or inside.problems == ()


def test_the_versions_of_a_generated_document_are_linked():
    document = read_document(level1(version=Version(4, version=2, replaces="1.2.3^a")))

    assert document.replaced_ids == ("1.2.3^a",)
    assert document.version_number == 2
    assert document.set_id.text == read_document(level1(version=Version(4))).set_id.text
    assert problems_of(document) == ()


def test_the_ins_is_found_by_its_authority_not_by_its_place():
    patient = read_document(level1()).patient

    assert patient.ids[0].root == "1.2.250.1.999.2"
    assert patient.ins.extension == Subject().ins
    assert [found.extension for found in patient.other_ids] == [Subject().local_id]


EXTENSION = b' xmlns:x="urn:x"'


def test_an_extension_of_another_namespace_is_no_part_of_a_name():
    content = level1()
    part = b'<x:family%b qualifier="BR">OTHER</x:family>' % EXTENSION
    changed = content.replace(b"<name><family", b"<name>" + part + b"<family")

    assert changed.count(part) > 1
    assert read_document(changed) == read_document(content)


def test_an_extension_of_another_namespace_is_no_part_of_an_address():
    content = level1()
    changed = content.replace(b"<addr>", b"<addr><x:city%b>ELSEWHERE</x:city>" % EXTENSION)

    assert changed != content
    assert read_document(changed) == read_document(content)


@pytest.mark.parametrize(
    "other",
    [
        b"<x:assignedPerson%b>%%b</x:assignedPerson>" % EXTENSION,
        b"<assignedPerson>%b</assignedPerson>",
    ],
)
def test_the_first_person_in_a_role_counts_and_none_of_another_namespace(other):
    content = level1()
    person = other % b"<name><family>OTHER</family></name>"
    changed = content.replace(b"</assignedPerson>", b"</assignedPerson>" + person)

    assert changed != content
    assert read_document(changed) == read_document(content)


def test_a_document_about_two_patients_has_the_identifiers_of_both():
    content = level1()
    start, end = content.index(b"<recordTarget>"), content.index(b"</recordTarget>") + 15
    target = content[start:end]
    other = target.replace(Subject().ins.encode(), a_matricule(7).encode())
    assert other != target

    for changed in (
        content.replace(target, target + other),
        content.replace(b"</patientRole>", b"</patientRole>" + other[14:-15]),
    ):
        patient = read_document(changed).patient
        assert [found.extension for found in patient.ins_ids] == [Subject().ins, a_matricule(7)]


def test_the_first_person_is_shown_before_a_device():
    content = level1()
    device = (
        b'<author><time value="20261123083000+0100"/><assignedAuthor><id nullFlavor="UNK"/>'
        b"<assignedAuthoringDevice><softwareName>Robot</softwareName></assignedAuthoringDevice>"
        b"</assignedAuthor></author>"
    )
    document = read_document(content.replace(b"<author>", device + b"<author>", 1))

    assert document.authors[0].entity.device.software == "Robot"
    assert document.first_person.entity.name.any_family == Writer().family


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((b'<realmCode code="FR"/>', b'<realmCode code="DE"/>'), "realm"),
        ((b'<confidentialityCode code="N"', b'<confidentialityCode code="X"'), "confidentiality"),
        ((b'<versionNumber value="1"/>', b'<versionNumber value="one"/>'), "version"),
        ((b'<versionNumber value="1"/>', b""), "missing"),
        ((b'<effectiveTime value="20261123083000+0100"/>\n', b""), "missing"),
        (
            (
                b'<effectiveTime value="20261123083000+0100"/>',
                b'<effectiveTime value="20261123083000+100"/>',
            ),
            "time-offset",
        ),
        (
            (
                b'<effectiveTime value="20261123083000+0100"/>',
                b'<effectiveTime value="20261123083000"/>',
            ),
            "time-zone",
        ),
        (
            (b'<effectiveTime value="20261123083000+0100"/>', b'<effectiveTime value="soon"/>'),
            "time-malformed",
        ),
        (
            (
                b'<languageCode code="fr-FR"/>\n',
                b'<languageCode code="fr-FR"/>\n<languageCode code="fr-FR"/>\n',
            ),
            "repeated",
        ),
        ((b'root="1.2.250.1.213.1.1.1.1"', b'root="1.2.3"'), "template"),
        ((b'extension="POCD_HD000040"', b'extension="other"'), "type-id"),
        ((b"standardIndustryClassCode", b"standardIndustryCode"), "main-act"),
        ((b'<code code="SA01"', b'<code nullFlavor="UNK" x="SA01"'), "facility"),
    ],
)
def test_each_fault_of_the_header_is_named(change, code):
    content = level1().replace(*change)

    assert codes(content) == [code]


def test_elements_out_of_order_are_an_error():
    content = level1()
    language, set_id = b'<languageCode code="fr-FR"/>', b'<setId root="1.2.250.1.999.1.1"/>'
    swapped = content.replace(language, b"@").replace(set_id, language).replace(b"@", set_id)

    assert codes(swapped) == ["order"]


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        (Subject(ins=None), "ins-missing"),
        (Subject(ins=a_matricule(215001)[:13] + "00"), "ins-wrong"),
        (Subject(ins="123"), "ins-wrong"),
        (Subject(birth_name=None), "trait-missing"),
        (Subject(given_names=None), "trait-missing"),
        (Subject(first_given=None), "trait-missing"),
        (Subject(sex=None), "trait-missing"),
        (Subject(birth_date=None), "trait-missing"),
        (Subject(birth_place=None), "trait-missing"),
        (Subject(sex="X"), "sex"),
        (Subject(birth_date="19790230"), "time-malformed"),
    ],
)
def test_each_fault_of_the_identity_is_named_and_the_value_kept(subject, code):
    document = read_document(level1(subject))

    assert code in [problem.code for problem in problems_of(document)]
    assert (document.patient.ins.extension if document.patient.ins else None) == subject.ins
    for problem in problems_of(document):
        assert subject.ins is None or subject.ins not in problem.text + problem.where


def test_wrong_keys_of_professionals_and_structures_are_warnings():
    problems = problems_of(
        read_document(level1(author=Writer(rpps="10000000000", finess="750000000")))
    )

    assert {problem.code for problem in problems} == {"rpps-key", "finess-key"}
    assert {problem.severity for problem in problems} == {Severity.WARNING}


def test_nothing_shows_the_patient_by_accident():
    document = read_document(biology())

    for text in (
        repr(document),
        repr(document.patient),
        str(problems_of(document)),
        repr(document.body),
    ):
        assert Subject().ins not in text
        assert Subject().birth_name not in text


@pytest.mark.parametrize(
    "content",
    [b"<a/>", b"<ClinicalDocument/>", b'<ClinicalDocument xmlns="urn:hl7-org:v2"/>'],
)
def test_other_xml_is_not_a_clinical_document(content):
    with pytest.raises(NotClinicalDocument):
        read_document(content)


def test_an_empty_document_is_read_with_all_its_faults():
    document = read_document(b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>')

    assert document.unique_id == ""
    assert document.body.level == 2
    assert [p.code for p in problems_of(document)].count("missing") == 17


def test_a_level_1_body_over_10_mb_is_decoded():
    pdf = b"%PDF-1.7\n" + b"0" * 12_000_000
    document = read_document(level1(pdf=pdf))

    assert decode_embedded(document.body, LIMIT) == pdf
    assert look_inside(document.body, LIMIT).size == len(pdf)
    with pytest.raises(EmbeddedRefused):
        decode_embedded(document.body, 1_000_000)


def test_a_document_of_100_kb_is_read_in_milliseconds():
    content = biology(size=100_000)
    best = min(_timed(content) for _ in range(5))

    assert best < 0.020  # about 2 ms on a quiet machine


def _timed(content):
    start = time.perf_counter()
    read_document(content)
    return time.perf_counter() - start


def test_a_name_written_twice_is_read_from_both():
    content = level1().replace(
        b"<name><family qualifier", b"<name><given>X</given></name><name><family qualifier", 1
    )

    assert read_document(content).patient.birth_name == Subject().birth_name
