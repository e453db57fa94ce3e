"""The public sample documents of the ANS, each mailed as a lone CDA, where they are at hand.

They lie beside a developer's checkout (their licence is unclear); without them this file is skipped
and the suite's own generated documents stand in (test_main_job.py).
"""

import json
import re

import pytest

from tests.journeys.instance import Instance, a_message

pytestmark = pytest.mark.timeout(240)
WRONG_KEY = "CSE-MDE_2023.01.xml"


@pytest.fixture(scope="module")
def samples(shared_data):
    if shared_data is None:
        pytest.skip("NO ANS SAMPLES beside this checkout")
    folder = shared_data / "cda"
    expected = json.loads((folder / "expected.json").read_text())
    return {name: ((folder / name).read_bytes(), facts) for name, facts in expected.items()}


@pytest.fixture(scope="module")
def filed(samples, tmp_path_factory):
    """Sends every sample to its patient; gives the instance and the documents by file name."""
    instance = Instance(tmp_path_factory.mktemp("ans") / "instance").init()
    patients = {}
    for _, facts in samples.values():
        patient = facts["patient"]
        if patient["ins"] in patients or not patient["nir_key_ok"]:
            continue
        birth = patient["birth_date"]
        made = instance.json(
            "patient",
            "create",
            "--ins",
            "-",
            "--birth-name",
            patient["birth_name"],
            "--given",
            patient["given_list"],
            "--first-given",
            patient["first_given"],
            "--sex",
            patient["sex"],
            "--birth-date",
            f"{birth[:4]}-{birth[4:6]}-{birth[6:]}",
            "--birth-place",
            patient["birth_place_insee"],
            stdin=patient["ins"],
        )
        patients[patient["ins"]] = made
    domain = instance.demo["patient_domain"]
    instance.start(workers=1)
    try:
        account = instance.accounts("professional")[0]
        with instance.smtp(account) as client:
            for name, (content, facts) in samples.items():
                ins = facts["patient"]["ins"]
                someone = next(iter(patients))
                to = f"{ins if ins in patients else someone}@{domain}"
                message = a_message(account, to, f"Document {name}", (name, content))
                client.sendmail(
                    account["address"],
                    [to],
                    message.as_bytes(policy=message.policy.clone(linesep="\r\n")),
                )
        instance.wait_until_carried()
        listed = {}
        for ins in patients:
            for document in instance.json("dmp", "list", "--patient", "-", stdin=ins):
                listed[document["uniqueId"]] = document
        held = instance.json("dmp", "held", "list")
        yield instance, listed, held, patients
    finally:
        instance.stop()


def _iso(text: str) -> str:
    """2021-01-04T16:05:27+01:00 from 20210104160527+0100, in its own precision and offset."""
    year, month, day, hour, minute, second, zone = re.fullmatch(
        r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?([+-]\d{4})", text
    ).groups()
    seconds = f":{second}" if second else ""
    return f"{year}-{month}-{day}T{hour}:{minute}{seconds}{zone[:3]}:{zone[3:]}"


def test_thirteen_of_fourteen_are_filed_and_the_wrong_key_is_held(filed, samples):
    _, listed, held, _ = filed
    should = {facts["unique_id"] for name, (_, facts) in samples.items() if name != WRONG_KEY}

    assert set(listed) == should
    assert len(listed) == 13
    assert len(held) == 1
    assert "key" in json.dumps(held[0]).lower()


def test_each_has_its_patient_author_type_title_and_dates(filed, samples):
    _, listed, _, patients = filed
    compared = 0
    for name, (content, facts) in samples.items():
        if name == WRONG_KEY:
            continue
        document = listed[facts["unique_id"]]
        person = next((a for a in facts["authors"] if a["family"]), facts["authors"][0])
        identifier = person["id"]
        assert document["typeCode"] == facts["type"]["code"], name
        assert document["typeDisplay"] == facts["type"]["display"], name
        assert document["title"] == facts["title"], name
        assert document["creationTime"] == _iso(facts["effective_time"]), name
        assert document["setId"] == facts["set_id"], name
        assert document["version"] == facts["version"], name
        assert identifier["extension"] in document["authorId"], name
        assert document["size"] == len(content) == facts["size"], name
        assert document["hash"] == facts["sha1"], name
        assert document["mimeType"] == facts["xds"]["mime_type"], name
        compared += 1
    assert compared == 13


def test_microbiology_v2_replaces_v1_by_its_set_id(filed, samples):
    _, listed, _, _ = filed
    v1, v2 = (
        listed[samples[f"BIO-CR-BIO_2021.01_Microbiologie_V{n}.xml"][1]["unique_id"]]
        for n in (1, 2)
    )

    assert (v1["status"], v2["status"]) == ("Deprecated", "Approved")
    assert v1["setId"] == v2["setId"]


def test_the_sender_is_told_of_the_held_one(filed):
    import imaplib

    instance, *_ = filed
    account = instance.accounts("professional")[0]
    demo = instance.demo
    with imaplib.IMAP4_SSL(
        demo["host"], demo["ports"]["imaps"], ssl_context=instance.tls()
    ) as client:
        client.login(account["login"], account["password"])
        client.select("INBOX")
        _, [numbers] = client.search(None, "SUBJECT", '"KO Alimentation"')
        [number] = numbers.split()
        _, [(_, text), _] = client.fetch(number, "(BODY[])")

    assert b"222127505611201" not in text
