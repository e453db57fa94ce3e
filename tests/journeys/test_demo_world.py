"""The demo's path through a real server, and what its logs say of it."""

import asyncio
import json
import os
import signal
import smtplib
import time
from pathlib import Path

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


def kill_a_worker(server) -> None:
    """So that the logs are not empty: a server to which nothing happens says nothing."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)


def test_a_message_is_accepted_seen_and_filed_and_the_logs_say_no_ins_and_no_content(world, capfd):
    doctor, patient = world.account("professional"), world.account("patient")
    said = ""

    with demo.serving(world) as server:
        summary = asyncio.run(demo.one_message(world))
        provoke_refusals(world, doctor, patient)
        # The demo tells its user, on the same stream, who writes to whom: that is no log.
        capfd.readouterr()
        kill_a_worker(server)
        deadline = time.monotonic() + 20
        while not said and time.monotonic() < deadline:
            time.sleep(0.1)
            said += capfd.readouterr().err
        asyncio.run(demo.one_message(world))
    said += "\n".join(line for line in capfd.readouterr().err.splitlines() if line[:1] == "{")

    assert set(summary) == {"accepted_ms", "imap_seen_ms", "filed_ms", "signature", "document"}
    assert set(summary["document"]) == {"uniqueId", "typeCode", "patient"}
    assert summary["document"]["typeCode"] == "11502-2"
    assert "event" in json.loads(said.splitlines()[0])
    for secret in (
        patient["ins"][:13],
        patient["traits"]["birthName"],
        "résultats",
        patient["password"],
        doctor["password"],
    ):
        assert secret not in said
