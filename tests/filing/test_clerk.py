"""The clerk on real stores: filed once, or held with the reason; never to the wrong person."""

from dataclasses import replace

import pytest
from make_samples import Subject, Version, a_matricule, biology, level1

from mssante.directory.model import MailboxType
from mssante.filing.causes import Cause
from mssante.kernel.address import Address
from mssante.kernel.ins import InsOid
from mssante.kernel.traits import IdentityStatus
from mssante.mail.smime import Reach


async def a_doctor(office, *, feeds_dmp=False):
    _, template = await office.patient(555001)
    return replace(
        template,
        type=MailboxType.PERSONAL,
        address=Address("doctor", "hospital.mssante.fr"),
        patient_id=None,
        feeds_dmp=feeds_dmp,
    )


async def test_a_document_for_its_patient_is_filed(office):
    patient, mailbox = await office.patient()
    content = biology()

    plan, [outcome], _ = await office.carry([content], [mailbox])
    [entry] = await office.documents.entries_of(patient.id)

    assert plan.withheld == frozenset()
    assert outcome.verdict == "filed"
    assert entry.id == outcome.entry_id
    assert await office.documents.content(entry.id) == content
    assert entry.metadata.type_code.code == "11502-2"


async def test_planning_changes_nothing_and_filing_twice_is_filing_once(office):
    patient, mailbox = await office.patient()
    _, first, entry = await office.carry([level1(), level1(Subject(sex="M"))], [mailbox])

    plan, again, _ = await office.carry(
        [level1(), level1(Subject(sex="M"))], [mailbox], entry=entry
    )

    assert first == again
    assert [one.verdict for one in first] == ["filed", "held"]
    assert len(plan.documents) == 2
    assert len(await office.documents.entries_of(patient.id)) == 1
    assert len(await office.documents.held(10)) == 1


async def test_what_a_crash_left_half_done_is_completed(office):
    patient, mailbox = await office.patient()
    documents = [level1(), biology()]
    _, _, entry = await office.carry(documents[:1], [mailbox])

    _, outcomes, _ = await office.carry(documents, [mailbox], entry=entry)

    assert [one.verdict for one in outcomes] == ["filed", "filed"]
    assert len(await office.documents.entries_of(patient.id)) == 2


async def test_the_same_document_in_two_messages_is_filed_once(office):
    patient, mailbox = await office.patient()
    await office.carry([level1()], [mailbox])

    _, [outcome], _ = await office.carry([level1()], [mailbox])

    assert outcome.verdict == "already-filed"
    assert len(await office.documents.entries_of(patient.id)) == 1


async def test_a_mailbox_not_activated_is_filed_to_all_the_same(office):
    patient, mailbox = await office.patient(activated=False)

    await office.carry([level1()], [mailbox])

    assert len(await office.documents.entries_of(patient.id)) == 1


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (level1()[:-9], Cause.UNREADABLE),
        (level1().replace(b'<id root="1.2.250.1.999.1.1.1"/>', b"<id/>"), Cause.ID_MISSING),
        (level1(Subject(ins=None)), Cause.INS_MISSING),
        (level1(pdf=b"no pdf"), Cause.BODY_UNSAFE),
        (level1(Subject(birth_name="AUTRE")), Cause.TRAIT_DIFFERS),
    ],
)
async def test_what_cannot_be_filed_is_delivered_and_held_with_its_reason(office, content, cause):
    patient, mailbox = await office.patient()

    plan, [outcome], _ = await office.carry([content], [mailbox])
    [held] = await office.documents.held(10)

    assert plan.withheld == frozenset()
    assert (outcome.verdict, outcome.cause) == ("held", cause)
    assert held.id == outcome.held_id
    assert await office.documents.held_content(held.id) == content
    assert await office.documents.entries_of(patient.id) == []


async def test_a_message_with_somebody_elses_document_reaches_neither_mailbox_nor_record(office):
    patient, mailbox = await office.patient()
    other, _ = await office.patient(7)

    plan, [outcome], _ = await office.carry([level1(Subject(ins=a_matricule(7)))], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert outcome.cause == Cause.OTHER_PERSON
    assert await office.documents.entries_of(patient.id) == []
    assert await office.documents.entries_of(other.id) == []


async def test_an_unknown_persons_document_is_withheld_too(office):
    _, mailbox = await office.patient()

    plan, [outcome], _ = await office.carry([level1(Subject(ins=a_matricule(9)))], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert outcome.cause == Cause.OTHER_PERSON


async def test_a_document_with_a_wrong_key_is_held_for_that_and_not_delivered(office):
    _, mailbox = await office.patient()
    mistyped = level1(Subject(ins=Subject().ins[:13] + "00"))

    plan, [outcome], _ = await office.carry([mistyped], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert outcome.cause == Cause.INS_WRONG


async def test_a_message_about_two_persons_is_kept_back_whole(office):
    patient, mailbox = await office.patient()
    await office.patient(7)
    own, others = level1(), level1(Subject(ins=a_matricule(7)), version=Version(8))

    plan, outcomes, _ = await office.carry([own, others], [mailbox])

    assert plan.withheld == {mailbox.id}
    assert [one.cause for one in outcomes] == [Cause.MIXED_PERSONS, Cause.OTHER_PERSON]
    assert await office.documents.entries_of(patient.id) == []


async def test_one_of_two_recipients_is_not_the_person(office):
    _, own = await office.patient()
    _, others = await office.patient(7)

    plan, [outcome], _ = await office.carry([level1()], [own, others])

    assert plan.withheld == {others.id}
    assert outcome.cause == Cause.OTHER_PERSON


async def test_messages_between_professionals_are_filed_only_by_choice(office):
    patient, _ = await office.patient()
    doctor = await a_doctor(office)
    feeding = replace(doctor, feeds_dmp=True)

    plan, outcomes, _ = await office.carry([level1()], [doctor], doctor)
    assert (plan.documents, outcomes) == ((), ())

    _, [outcome], _ = await office.carry([level1()], [doctor], feeding)
    assert outcome.verdict == "filed"
    assert len(await office.documents.entries_of(patient.id)) == 1


async def test_a_document_for_nobody_we_know_is_held(office):
    doctor = await a_doctor(office, feeds_dmp=True)

    _, [outcome], _ = await office.carry([level1()], [doctor], doctor)

    assert outcome.cause == Cause.PATIENT_UNKNOWN
    assert outcome.patient_id is None


async def test_what_a_patient_sends_is_not_filed(office):
    _, mailbox = await office.patient()

    plan, outcomes, _ = await office.carry([level1()], [mailbox], mailbox)

    assert (plan.documents, outcomes) == ((), ())


async def test_a_report_does_not_feed_the_dmp(office):
    _, mailbox = await office.patient()
    entry = await office.entry(recipients=[mailbox], sender=None)

    _, outcomes, _ = await office.carry([level1()], [mailbox], entry=entry)

    assert outcomes == ()


async def test_an_identity_that_is_not_qualified_is_not_filed_to(office):
    patient, mailbox = await office.patient(status=IdentityStatus.PROV)

    _, [outcome], _ = await office.carry([level1()], [mailbox])

    assert outcome.cause == Cause.NOT_QUALIFIED
    assert await office.documents.entries_of(patient.id) == []


async def test_a_test_identity_is_refused_in_production(production):
    patient, mailbox = await production.patient(oid=InsOid.NIR)

    _, [test], _ = await production.carry([level1()], [mailbox])
    real = Subject(ins_oid=InsOid.NIR.value)
    _, [outcome], _ = await production.carry([level1(real)], [mailbox])

    assert test.cause == Cause.INS_TEST_AUTHORITY
    assert outcome.verdict == "filed"
    assert len(await production.documents.entries_of(patient.id)) == 1


async def test_a_record_that_is_closed_is_not_filed_to(office):
    patient, mailbox = await office.patient()
    message_plan, _, _ = await office.carry([level1(version=Version(9))], [mailbox])
    assert message_plan.documents[0].cause is None

    class Closed:
        """The directory after the patient closed the record."""

        def __getattr__(self, name):
            return getattr(office.directory, name)

        async def patients_by_ins(self, matricule):
            found = await office.directory.patients_by_ins(matricule)
            return [replace(one, dmp_active=False) for one in found]

    office.clerk = replace(office.clerk, directory=Closed())
    _, [outcome], _ = await office.carry([level1()], [mailbox])

    assert outcome.cause == Cause.RECORD_UNAVAILABLE
    assert len(await office.documents.entries_of(patient.id)) == 1


async def test_a_trait_that_the_register_lacks_is_a_flag(office):
    traits = replace((await office.patient(31))[0].traits, birth_place=None)
    _, mailbox = await office.patient(traits=traits)

    _, [outcome], _ = await office.carry([level1()], [mailbox])

    assert outcome.flags == ("not-compared-birth-place",)


async def test_a_message_without_documents_needs_nothing(office):
    _, mailbox = await office.patient()

    plan, outcomes, _ = await office.carry([], [mailbox])

    assert (plan.documents, plan.withheld, outcomes) == ((), frozenset(), ())


@pytest.mark.parametrize(
    ("reach", "cause"),
    [
        (Reach.SIGNATURE_BAD, Cause.SIGNATURE_NOT_VALID),
        (Reach.UNUSABLE, Cause.PROTECTION_UNUSABLE),
        (Reach.NO_KEY, Cause.PROTECTION_UNUSABLE),
    ],
)
async def test_what_nothing_good_vouches_for_is_held(office, reach, cause):
    patient, mailbox = await office.patient()
    plan, [outcome], _ = await office.carry([biology()], [mailbox], reach=reach)

    assert (outcome.verdict, outcome.cause) == ("held", cause)
    assert plan.reach is reach
    assert await office.documents.entries_of(patient.id) == []


@pytest.mark.parametrize("reach", [Reach.OPEN, Reach.UNVOUCHED])
async def test_what_can_be_relied_on_is_filed(office, reach):
    _, mailbox = await office.patient()
    _, [outcome], _ = await office.carry([biology()], [mailbox], reach=reach)

    assert outcome.verdict == "filed"


async def test_a_bad_signature_does_not_hide_whom_a_document_is_about(office):
    _, mailbox = await office.patient(215002)
    plan, [outcome], _ = await office.carry([biology()], [mailbox], reach=Reach.SIGNATURE_BAD)

    assert plan.withheld == {mailbox.id}
    assert outcome.cause == Cause.OTHER_PERSON


async def test_a_message_that_is_not_to_be_filed_says_nothing_of_its_protection(office):
    doctor = await a_doctor(office)
    plan, outcomes, _ = await office.carry([biology()], [doctor], doctor, reach=Reach.NO_KEY)

    assert (plan.reach, outcomes) == (Reach.OPEN, ())
