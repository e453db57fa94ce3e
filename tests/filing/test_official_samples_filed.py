"""The public ANS samples, each mailed to its patient alone and in archives of several layouts, where
they are at hand.
"""

import json

import pytest
from make_samples import a_matricule

from mssante.directory.ports import Act
from mssante.filing.causes import Cause
from mssante.kernel.ins import Ins
from mssante.kernel.traits import IdentityStatus, Traits
from tests.support.archives import LAYOUTS, an_archive


@pytest.fixture
def samples(shared_data):
    if shared_data is None:
        pytest.skip("THE OFFICIAL CDA SAMPLES ARE NOT HERE: set MSSANTE_SHARED to their directory")
    folder = shared_data / "cda"
    expected = json.loads((folder / "expected.json").read_text())
    return {name: ((folder / name).read_bytes(), facts) for name, facts in expected.items()}


async def register(office, facts, matricule):
    """The patient of a sample, as an administrator would register them."""
    traits = Traits(
        facts["birth_name"],
        facts["given_list"],
        facts["first_given"],
        facts["sex"],
        facts["birth_date"],
        facts["birth_place_insee"],
    )
    ins = Ins.parse(matricule, facts["ins_oid"])
    return await office.registration.patient(
        ins, traits, Act("test", "tester"), status=IdentityStatus.QUAL
    )


def alone(content):
    return content, "text/xml", "document.xml"


def in_archive(layout):
    def attached(content):
        return LAYOUTS[layout](an_archive(content)), "application/zip", "IHE_XDM.zip"

    return attached


WAYS = {"alone": alone} | {layout: in_archive(layout) for layout in LAYOUTS}


@pytest.fixture(params=WAYS)
def attached(request):
    """How a sample is attached."""
    return WAYS[request.param]


async def file_all(office, samples, attached):
    """The outcome of each sample, and the entries of all patients by uniqueId."""
    people, outcomes, entries = {}, {}, {}
    for name, (content, expected) in samples.items():
        facts = expected["patient"]
        matricule = facts["ins"] if facts["nir_key_ok"] else a_matricule(4242)
        if matricule not in people:
            people[matricule] = await register(office, facts, matricule)
        _, mailbox, _ = people[matricule]
        _, [outcomes[name]], _ = await office.carry([attached(content)], [mailbox])
    for patient, _, _ in people.values():
        for entry in await office.documents.entries_of(patient.id):
            entries[entry.metadata.unique_id] = entry
    return outcomes, entries


async def test_thirteen_are_filed_and_the_one_with_a_wrong_key_is_held(office, samples, attached):
    outcomes, entries = await file_all(office, samples, attached)

    held = {name: outcome.cause for name, outcome in outcomes.items() if outcome.verdict == "held"}
    assert held == {"CSE-MDE_2023.01.xml": Cause.INS_WRONG}
    assert sum(outcome.verdict == "filed" for outcome in outcomes.values()) == 13
    assert len(entries) == 13


async def test_what_is_filed_has_the_facts_of_the_document(office, samples, attached):
    outcomes, entries = await file_all(office, samples, attached)

    for name, (_, expected) in samples.items():
        if outcomes[name].verdict == "held":
            continue
        entry = entries[expected["unique_id"]]
        listing = entry.listing
        persons = [author for author in expected["authors"] if author["family"]]
        first = (persons or expected["authors"])[0]
        assert entry.metadata.hash == expected["sha1"]
        assert entry.metadata.size == expected["size"]
        assert entry.metadata.title == expected["title"]
        assert (listing.type_code, listing.type_display) == (
            expected["type"]["code"],
            expected["type"]["display"],
        )
        assert listing.author_id == first["id"]["extension"]
        assert listing.set_id == expected["set_id"]
        assert listing.version == str(expected["version"])
        assert (
            listing.creation_time.replace("-", "").replace(":", "").replace("T", "")
            == (expected["effective_time"])
        )


async def test_versions_and_unknown_replacements_are_seen(office, samples, attached):
    outcomes, entries = await file_all(office, samples, attached)
    first = samples["BIO-CR-BIO_2021.01_Microbiologie_V1.xml"][1]["unique_id"]
    second = samples["BIO-CR-BIO_2021.01_Microbiologie_V2.xml"][1]["unique_id"]

    assert (entries[first].status, entries[second].status) == ("Deprecated", "Approved")
    flagged = {name for name, one in outcomes.items() if "replaced-document-unknown" in one.flags}
    assert flagged == {
        "CNAM-HR_2021.01_sans-info.xml",
        "IMG_CR_IMG_2024.01_CDA-R2-Niveau-1.xml",
        "TLM-DA_2022.01_TCG.xml",
    }
