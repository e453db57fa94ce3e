"""Documents in XDM archives, filed on real stores as those that come alone."""

import email
import time
from dataclasses import replace
from hashlib import sha1

import pytest
from make_samples import Subject, Version, a_matricule, biology, level1

from mssante.directory.model import MailboxType
from mssante.filing.causes import DETAILS, WORDS, Cause
from mssante.filing.inspect import InspectLimits, inspect
from mssante.filing.report import ReportRequest, build_report
from mssante.kernel.address import Address
from mssante.wire.cda.reader import read_document
from mssante.wire.mime.builder import (
    attachment_entity,
    build_message,
    header_field,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.summary import summarise
from mssante.wire.xdm.model import XdmLimits
from mssante.wire.xdm.unzip import ZipLimits
from mssante.wire.xds.entry import entry_from_cda
from tests.support.archives import LAYOUTS, an_archive, edited, files_of, zipped

VISIBILITY = "1.2.250.1.213.1.1.4.13"


def a_zip(content, media_type="application/zip", name="IHE_XDM.zip"):
    return content, media_type, name


def a_message(*attached):
    parts = [text_entity("Bonjour"), *(attachment_entity(*one) for one in attached)]
    return build_message(
        [header_field("Subject", "XDM/1.0/DDM+CR")], multipart_entity("mixed", "b0undary", parts)
    )


async def a_doctor(office):
    _, template = await office.patient(555001)
    return replace(
        template,
        type=MailboxType.PERSONAL,
        address=Address("doctor", "hospital.mssante.fr"),
        patient_id=None,
        feeds_dmp=True,
    )


async def entries(office, patient):
    return await office.documents.entries_of(patient.id)


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_each_layout_files_what_the_lone_documents_file(office, layout):
    patient, mailbox = await office.patient()
    content = [level1(), biology()]
    archive = LAYOUTS[layout](an_archive(*content))

    plan, outcomes, _ = await office.carry([a_zip(archive)], [mailbox])
    in_archive = await entries(office, patient)
    _, again, _ = await office.carry(content, [mailbox])

    assert plan.withheld == frozenset()
    assert [one.verdict for one in outcomes] == ["filed", "filed"]
    assert [one.flags for one in outcomes] == [(), ()]
    assert [one.verdict for one in again] == ["already-filed", "already-filed"]
    for document in content:
        alone = entry_from_cda(read_document(document), document)
        [entry] = [one for one in in_archive if one.metadata.hash == alone.hash]
        assert entry.metadata == alone
        assert await office.documents.content(entry.id) == document


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("application/zip", "IHE_XDM.ZIP"),
        ("application/x-zip-compressed", "ihe_xdm.zip"),
        ("application/octet-stream", "envoi.zip"),
        ("application/octet-stream", "noname"),
    ],
)
async def test_an_archive_is_found_by_its_bytes(office, media_type, name):
    _, mailbox = await office.patient()

    _, [outcome], _ = await office.carry([a_zip(an_archive(level1()), media_type, name)], [mailbox])

    assert outcome.verdict == "filed"


async def test_the_documents_of_a_subset_share_one_submission_set_with_the_senders_title(office):
    patient, mailbox = await office.patient()
    await office.carry([a_zip(an_archive(level1(), biology(), title="Sortie"))], [mailbox])

    rows = await office.documents._database.read(
        lambda conn: conn.exec_driver_sql("SELECT id, metadata FROM submission_set").all()
    )
    members = await office.documents._database.read(
        lambda conn: conn.exec_driver_sql("SELECT submission_set_id FROM document_entry").all()
    )

    [(set_id, metadata)] = rows
    assert '"Sortie"' in metadata
    assert [one for (one,) in members] == [set_id, set_id]
    assert len(await entries(office, patient)) == 2


async def test_the_same_document_alone_and_in_an_archive_is_filed_once(office):
    patient, mailbox = await office.patient()

    _, outcomes, _ = await office.carry([level1(), a_zip(an_archive(level1()))], [mailbox])

    assert [(one.key.index, one.verdict) for one in outcomes] == [
        (0, "filed"),
        (1, "already-filed"),
    ]
    assert len(await entries(office, patient)) == 1


async def test_a_readable_copy_beside_is_left_alone(office):
    patient, mailbox = await office.patient()
    pdf = (b"%PDF-1.7 copy", "application/pdf", "20261123_CR.pdf")

    _, outcomes, _ = await office.carry([pdf, a_zip(an_archive(level1())), pdf], [mailbox])

    assert [one.key.index for one in outcomes] == [0]
    assert len(await entries(office, patient)) == 1


async def test_places_follow_the_parts_then_the_entries(office):
    _, mailbox = await office.patient()
    archive = an_archive(level1(version=Version(11)), level1(version=Version(12)))

    _, outcomes, _ = await office.carry(
        [level1(version=Version(10)), a_zip(archive), level1(version=Version(13))], [mailbox]
    )

    assert [(one.key.index, one.unique_id) for one in outcomes] == [
        (place, Version(number).id) for place, number in enumerate((10, 11, 12, 13))
    ]


async def test_filing_an_archive_twice_is_filing_it_once(office):
    patient, mailbox = await office.patient()
    sent = [a_zip(an_archive(level1(), level1(Subject(sex="M"), version=Version(4))))]
    _, first, entry = await office.carry(sent, [mailbox])

    _, again, _ = await office.carry(sent, [mailbox], entry=entry)

    assert first == again
    assert [one.verdict for one in first] == ["filed", "held"]
    assert len(await entries(office, patient)) == 1


async def test_a_replacement_in_an_archive_replaces(office):
    patient, mailbox = await office.patient()
    new = biology(version=Version(2, version=2, replaces=Version(2).id))
    await office.carry([biology()], [mailbox])

    await office.carry([a_zip(with_action(an_archive(new), "C"))], [mailbox])

    assert [one.status.value for one in await entries(office, patient)] == [
        "Approved",
        "Deprecated",
    ]


def with_action(archive, value):
    slot = (
        f'<rim:Slot name="urn:asip:action"><rim:ValueList><rim:Value>{value}</rim:Value>'
        "</rim:ValueList></rim:Slot>"
    )
    return edited(archive, (b'<rim:Slot name="hash">', f'{slot}<rim:Slot name="hash">'.encode()))


async def test_a_deletion_waits_for_a_person(office):
    patient, mailbox = await office.patient()
    await office.carry([level1()], [mailbox])

    _, [outcome], _ = await office.carry([a_zip(with_action(an_archive(level1()), "D"))], [mailbox])

    assert (outcome.verdict, outcome.cause) == ("held", Cause.DELETION_ASKED)
    assert [one.status.value for one in await entries(office, patient)] == ["Approved"]


# -- who must not see it -----------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["MASQUE_PS", "INVISIBLE_REPRESENTANTS_LEGAUX"])
async def test_the_senders_flags_are_filed(office, flag):
    patient, mailbox = await office.patient()

    plan, [outcome], _ = await office.carry([a_zip(an_archive(level1(), flags=[flag]))], [mailbox])
    [entry] = await entries(office, patient)

    assert (plan.withheld, outcome.verdict) == (frozenset(), "filed")
    assert [(one.code, one.system) for one in entry.metadata.confidentiality] == [
        ("N", "2.16.840.1.113883.5.25"),
        (flag, VISIBILITY),
    ]


async def test_what_the_patient_must_not_see_is_neither_delivered_nor_filed(office):
    patient, mailbox = await office.patient()
    archive = an_archive(level1(), flags=["INVISIBLE_PATIENT"])

    plan, outcomes, entry = await office.carry([a_zip(archive), biology()], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert [one.cause for one in outcomes] == [Cause.INVISIBLE_PATIENT, Cause.INVISIBLE_BESIDE]
    assert await entries(office, patient) == []
    report = _report(entry, plan, outcomes, mailbox)
    assert b"is not visible to the patient (recipients concerned: 1)" in _text(report)
    assert b"names another person" not in _text(report)


def _report(entry, plan, outcomes, sender):
    return build_report(
        ReportRequest(
            entry=entry,
            header=b"",
            to=sender.address,
            outcomes=tuple(outcomes),
            withheld=plan.withheld,
            waiting=0,
            operator_name="Opérateur",
            operator_address=Address("postmaster", "hospital.mssante.fr"),
            invisible=plan.invisible,
        )
    )


def _text(report):
    [part] = [
        p for p in email.message_from_bytes(report).walk() if p.get_content_type() == "text/plain"
    ]
    return part.get_payload(decode=True)


async def test_between_professionals_it_is_filed_as_not_visible(office):
    patient, _ = await office.patient()
    doctor = await a_doctor(office)
    archive = an_archive(level1(), flags=["INVISIBLE_PATIENT"])

    # The lone copy stands first: it must not be filed without the flag.
    plan, outcomes, _ = await office.carry([level1(), a_zip(archive)], [doctor], doctor)
    [entry] = await entries(office, patient)

    assert plan.withheld == frozenset()
    assert [one.verdict for one in outcomes] == ["filed", "already-filed"]
    assert "INVISIBLE_PATIENT" in [one.code for one in entry.metadata.confidentiality]


async def test_the_other_recipients_of_an_invisible_document_get_the_message(office):
    patient, mailbox = await office.patient()
    doctor = await a_doctor(office)
    archive = an_archive(level1(), flags=["INVISIBLE_PATIENT"])

    plan, _, _ = await office.carry([a_zip(archive)], [mailbox, doctor], doctor)

    assert plan.withheld == {mailbox.id}
    assert await entries(office, patient) == []


async def test_the_flags_of_a_refused_archive_count_for_the_documents_beside_it(office):
    patient, _ = await office.patient()
    doctor = await a_doctor(office)
    archive = an_archive(level1(), flags=["INVISIBLE_PATIENT"], hash="0" * 40)

    _, outcomes, _ = await office.carry([level1(), a_zip(archive)], [doctor], doctor)
    [entry] = await entries(office, patient)

    assert [one.verdict for one in outcomes] == ["filed", "held"]
    assert "INVISIBLE_PATIENT" in [one.code for one in entry.metadata.confidentiality]


async def test_a_deletion_in_an_archive_holds_the_lone_copy_too(office):
    patient, mailbox = await office.patient()
    archive = with_action(an_archive(level1()), "D")

    _, outcomes, _ = await office.carry([level1(), a_zip(archive)], [mailbox])

    assert [one.cause for one in outcomes] == [Cause.DELETION_ASKED] * 2
    assert await entries(office, patient) == []


async def test_masked_and_invisible_together_is_held(office):
    patient, _ = await office.patient()
    doctor = await a_doctor(office)
    archive = an_archive(level1(), flags=["INVISIBLE_PATIENT", "MASQUE_PS"])

    _, [outcome], _ = await office.carry([a_zip(archive)], [doctor], doctor)

    assert outcome.cause == Cause.VISIBILITY_CONTRADICTORY
    assert await entries(office, patient) == []


async def test_a_flag_that_nobody_knows_counts_as_the_most_restrictive(office):
    patient, _ = await office.patient()
    doctor = await a_doctor(office)
    archive = edited(an_archive(level1(), flags=["MASQUE_PS"]), (b"MASQUE_PS", b"MASQUE_NEW"))

    _, [outcome], _ = await office.carry([a_zip(archive)], [doctor], doctor)
    [entry] = await entries(office, patient)

    assert outcome.verdict == "filed"
    assert [one.code for one in entry.metadata.confidentiality] == ["R", "INVISIBLE_PATIENT"]


async def test_a_refused_archive_is_kept_from_the_patient_as_it_asks(office):
    _, mailbox = await office.patient()
    archive = an_archive(level1(), flags=["INVISIBLE_PATIENT"], hash="0" * 40)

    plan, [outcome], _ = await office.carry([a_zip(archive)], [mailbox])

    assert outcome.cause == Cause.ARCHIVE_REFUSED
    assert (plan.withheld, plan.invisible) == ({mailbox.id}, True)


# -- what is refused as a whole -------------------------------------------------------------------------


def test_each_detail_has_words():
    for word in ("hash-differs", "patient-differs", "patients-mixed", "zip-link", "uri-unknown"):
        assert word in DETAILS
    for cause in Cause:
        assert cause in WORDS


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"hash": "0" * 40}, "hash-differs"),
        ({"hash": "0" * 64}, "hash-sha256"),
        ({"hash": "nonsense"}, "hash-malformed"),
        ({"size": 17}, "size-differs"),
        ({"patient_id": f"{a_matricule(9)}^^^&1.2.250.1.213.1.4.10&ISO^NH"}, "patient-differs"),
        ({"patient_id": "4711^^^&1.2.250.1.999.2&ISO^PI"}, "patient-differs"),
    ],
)
async def test_metadata_that_are_not_those_of_the_files_refuse_the_archive(office, changed, detail):
    patient, mailbox = await office.patient()
    archive = an_archive(level1(), biology(), **changed)

    plan, [outcome], _ = await office.carry([a_zip(archive)], [mailbox])

    assert (outcome.cause, outcome.detail) == (Cause.ARCHIVE_REFUSED, detail)
    assert await office.documents.held_content(outcome.held_id) == archive
    assert await entries(office, patient) == []
    assert bool(plan.withheld) is (a_matricule(9) in str(changed))


async def test_an_archive_about_two_patients_is_refused_and_not_delivered(office):
    patient, mailbox = await office.patient()
    other, _ = await office.patient(9)
    archive = an_archive(level1(), level1(Subject(ins=a_matricule(9)), version=Version(5)))

    plan, [outcome], _ = await office.carry([a_zip(archive)], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert outcome.cause == Cause.ARCHIVE_REFUSED
    assert outcome.detail in ("patients-mixed", "patient-differs")
    assert await entries(office, patient) == await entries(office, other) == []


async def test_two_subsets_about_two_patients_are_refused(office):
    patient, mailbox = await office.patient()
    await office.patient(9)
    one, other = (
        files_of(an_archive(level1(subject, version=version)))
        for subject, version in ((Subject(), Version(1)), (Subject(ins=a_matricule(9)), Version(5)))
    )
    both = one | {name.replace("SUBSET01", "SUBSET02"): other[name] for name in other}

    plan, [outcome], _ = await office.carry([a_zip(zipped(both))], [mailbox])

    assert (outcome.cause, outcome.detail) == (Cause.ARCHIVE_REFUSED, "patients-mixed")
    assert plan.withheld == {mailbox.id}
    assert await entries(office, patient) == []


async def test_two_subsets_are_two_submission_sets(office):
    patient, mailbox = await office.patient()
    one, other = (files_of(an_archive(level1(version=Version(n)))) for n in (1, 5))
    both = one | {name.replace("SUBSET01", "SUBSET02"): other[name] for name in other}

    _, outcomes, _ = await office.carry([a_zip(zipped(both))], [mailbox])
    [(sets,)] = await office.documents._database.read(
        lambda conn: conn.exec_driver_sql("SELECT count(*) FROM submission_set").all()
    )

    assert [one.verdict for one in outcomes] == ["filed", "filed"]
    assert sets == 2


async def test_a_mistake_in_one_document_does_not_hold_the_others(office):
    patient, mailbox = await office.patient()
    whole = level1(version=Version(6))
    broken = whole[:-9]
    archive = edited(
        an_archive(biology(), whole),
        (sha1(whole).hexdigest().encode(), sha1(broken).hexdigest().encode()),
        (f"<rim:Value>{len(whole)}<".encode(), f"<rim:Value>{len(broken)}<".encode()),
    )
    files = files_of(archive) | {"IHE_XDM/SUBSET01/DOC00002.XML": broken}

    _, outcomes, _ = await office.carry([a_zip(zipped(files))], [mailbox])

    assert [(one.verdict, one.detail) for one in outcomes] == [("filed", ""), ("held", "malformed")]
    assert len(await entries(office, patient)) == 1


async def test_metadata_built_carelessly_are_computed_again_and_the_sender_is_told(office):
    patient, mailbox = await office.patient()
    archive = an_archive(
        level1(), class_code=None, service_start="20261123083000+0100", unique_id="1.2.3"
    )

    _, [outcome], entry = await office.carry([a_zip(archive)], [mailbox])
    [filed] = await entries(office, patient)

    assert (outcome.verdict, outcome.flags) == ("filed", ("metadata-recomputed",))
    assert filed.metadata.class_code.code == "10"
    assert filed.metadata.service_start == "20261123073000"
    assert filed.metadata.unique_id == Version().id


# -- hostile archives ------------------------------------------------------------------------------------

METADATA = "IHE_XDM/SUBSET01/METADATA.XML"


def _nested(levels=4):
    inner = zipped({"bomb": b"\0" * 1_000_000})
    for _ in range(levels):
        inner = zipped({f"lib {number}.zip": inner for number in range(16)})
    return inner


def _files():
    return files_of(an_archive(level1()))


HOSTILE = {
    "traversal": (lambda: zipped(_files() | {"../../etc/cron.d/x": b"x"}), "zip-path"),
    "absolute": (lambda: zipped(_files() | {"/etc/passwd": b"x"}), "zip-path"),
    "symlink": (
        lambda: zipped(
            _files() | {"IHE_XDM/SUBSET01/LINK": b"/etc/passwd"},
            attributes={"IHE_XDM/SUBSET01/LINK": 0o120777 << 16},
        ),
        "zip-link",
    ),
    "two-of-one-name": (
        lambda: zipped(_files() | {METADATA.lower(): b"<a/>"}),
        "zip-duplicate",
    ),
    "ratio": (
        lambda: zipped(_files() | {"IHE_XDM/SUBSET01/DOC00002.XML": b" " * 20_000_000}),
        "zip-ratio",
    ),
    "members": (
        lambda: zipped(_files() | {f"IHE_XDM/SUBSET01/{n}": b"" for n in range(100_000)}),
        "zip-64",
    ),
    "some-members": (
        lambda: zipped(_files() | {f"IHE_XDM/SUBSET01/{n}": b"" for n in range(5_000)}),
        "zip-too-many",
    ),
    "nested": (_nested, "no-metadata"),
    "cut": (lambda: an_archive(level1())[:-30], "zip-damaged"),
    "entities": (
        lambda: zipped(_files() | {METADATA: b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"}),
        "metadata-unreadable",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_archive_is_held_for_its_reason_at_little_cost(office, kind):
    patient, mailbox = await office.patient()
    make, detail = HOSTILE[kind]
    archive = make()
    started = time.process_time()

    plan, [outcome], _ = await office.carry([a_zip(archive)], [mailbox])

    assert time.process_time() - started < 1
    assert (outcome.cause, outcome.detail) == (Cause.ARCHIVE_REFUSED, detail)
    assert detail in DETAILS
    assert plan.withheld == frozenset()
    assert await office.documents.held_content(outcome.held_id) == archive
    assert await entries(office, patient) == []


@pytest.mark.parametrize(
    "archive",
    [
        zipped({"word/document.xml": b"<a/>"}),
        zipped({"../x": b""}),
        _nested(2),
        b"PK\3\4 damaged",
        zipped({}),
    ],
)
async def test_other_zip_files_are_left_alone(office, archive):
    _, mailbox = await office.patient()

    plan, _, _ = await office.carry([a_zip(archive, name="photos.zip")], [mailbox])

    assert plan.documents == ()


async def test_archives_of_one_message_share_the_limit_of_what_they_inflate_to():
    archive = an_archive(level1(size=400_000))
    limits = XdmLimits(files=ZipLimits(total_bytes=600_000))

    message = a_message(a_zip(archive), a_zip(archive))
    found = inspect(message, summarise(message), InspectLimits(archive=limits))

    assert [one.fault for one in found] == [None, "zip-too-large"]


async def test_more_documents_than_a_message_may_have_refuse_the_archive():
    archive = an_archive(*[level1(version=Version(number)) for number in range(1, 4)])
    message = a_message((level1(version=Version(9)), "text/xml", "a.xml"), a_zip(archive))

    found = inspect(message, summarise(message), InspectLimits(documents=3))

    assert [(one.index, one.fault) for one in found] == [(0, None), (1, "too-many")]
    assert found[1].content == archive


def test_an_archive_in_a_forwarded_message_is_left_alone():
    forwarded = b"Content-Type: message/rfc822\r\n\r\n" + a_message(a_zip(an_archive(level1())))
    whole = (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="outer"\r\n\r\n'
        b"--outer\r\n" + forwarded + b"\r\n--outer--\r\n"
    )

    assert inspect(whole, summarise(whole), InspectLimits()) == ()


def test_an_archive_whose_encoding_is_damaged_is_held_by_its_name():
    message = a_message(a_zip(an_archive(level1())))
    start = message.index(b"UEsDB") + 300
    damaged = message[:start] + b"****" + message[start + 4 :]

    [found] = inspect(damaged, summarise(damaged), InspectLimits())

    assert (found.cause, found.fault) == (Cause.ARCHIVE_REFUSED, "transfer")


async def test_a_file_that_is_no_document_is_held_alone(office):
    _, mailbox = await office.patient()
    kos = b"DICM key object selection"
    content = biology()
    archive = edited(
        an_archive(level1(), content),
        (sha1(content).hexdigest().encode(), sha1(kos).hexdigest().encode()),
        (f"<rim:Value>{len(content)}<".encode(), f"<rim:Value>{len(kos)}<".encode()),
    )
    files = files_of(archive) | {"IHE_XDM/SUBSET01/DOC00002.XML": kos}

    _, outcomes, _ = await office.carry([a_zip(zipped(files))], [mailbox])

    assert [(one.verdict, one.detail) for one in outcomes] == [("filed", ""), ("held", "not-cda")]


async def test_a_document_without_ins_in_an_archive_is_held_for_that(office):
    _, mailbox = await office.patient()
    patient_id = f"{Subject().ins}^^^&1.2.250.1.213.1.4.10&ISO^NH"
    archive = an_archive(
        level1(), level1(Subject(ins=None), version=Version(3)), patient_id=patient_id
    )

    _, outcomes, _ = await office.carry([a_zip(archive)], [mailbox])

    assert [one.cause for one in outcomes] == [None, Cause.INS_MISSING]


async def test_an_archive_for_another_patient_is_kept_back_whole(office):
    patient, mailbox = await office.patient()
    other, _ = await office.patient(9)
    archive = an_archive(level1(Subject(ins=a_matricule(9))))

    plan, [outcome], _ = await office.carry([a_zip(archive)], [mailbox])

    assert (plan.withheld, plan.invisible) == ({mailbox.id}, False)
    assert outcome.cause == Cause.OTHER_PERSON
    assert await entries(office, patient) == await entries(office, other) == []


async def test_a_document_without_ins_under_anothers_name_is_not_delivered(office):
    _, mailbox = await office.patient()
    other = f"{a_matricule(9)}^^^&1.2.250.1.213.1.4.10&ISO^NH"
    content = level1(Subject(ins=None))
    archive = an_archive_named(other, content)

    plan, [outcome], _ = await office.carry([a_zip(archive)], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert outcome.cause == Cause.INS_MISSING


def an_archive_named(patient_id, content):
    """An archive whose metadata name a patient that the document does not."""
    named = an_archive(level1(), patient_id=patient_id)
    files = files_of(edited(named, (Subject().ins.encode(), patient_id[:15].encode())))
    metadata = files[METADATA].replace(
        sha1(level1()).hexdigest().encode(), sha1(content).hexdigest().encode()
    )
    size = f"<rim:Value>{len(level1())}<".encode()
    metadata = metadata.replace(size, f"<rim:Value>{len(content)}<".encode())
    return zipped(files | {METADATA: metadata, "IHE_XDM/SUBSET01/DOC00001.XML": content})
