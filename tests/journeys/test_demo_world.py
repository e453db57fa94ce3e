"""The demo's path through a real server, and what its logs say of it."""

import asyncio
import json
import smtplib

import demo
import pytest


@pytest.fixture
def world(tmp_path):
    made = demo.instance(tmp_path / "instance", demo.free_port_base())
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(text + '\n[logging]\nlevel = "debug"\n', encoding="utf-8")
    return made


def provoke_refusals(world, doctor, patient) -> None:
    """Sign-ins and recipients that are refused, all naming an INS."""
    port = world.content["ports"]["submissions"]
    with smtplib.SMTP_SSL(world.host, port, context=world.tls, timeout=20) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(patient["address"], "wrong")
        client.login(doctor["login"], doctor["password"])
        client.mail(doctor["address"])
        wrong_key = patient["ins"][:13] + "98"
        for local in (wrong_key, patient["ins"][:14], patient["ins"] + "0"):
            assert client.rcpt(f"{local}@{world.content['patient_domain']}")[0] >= 500
        client.rset()


def test_a_message_is_accepted_seen_and_filed_and_the_logs_say_no_ins_and_no_content(world, capfd):
    doctor, patient = world.account("professional"), world.account("patient")

    with demo.serving(world):
        summary = asyncio.run(demo.one_message(world))
        provoke_refusals(world, doctor, patient)
    logs = capfd.readouterr().err

    assert set(summary) == {"accepted_ms", "imap_seen_ms", "filed_ms", "signature", "document"}
    assert set(summary["document"]) == {"uniqueId", "typeCode", "patient"}
    assert summary["document"]["typeCode"] == "11502-2"
    lines = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    assert lines, "a server at level debug says something"
    said = "\n".join(line for line in logs.splitlines() if line.startswith("{"))
    for secret in (
        patient["ins"][:13], patient["traits"]["birthName"], "résultats", patient["password"],
        doctor["password"],
    ):  # fmt: skip
        assert secret not in said
