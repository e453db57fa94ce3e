"""New certificates and revocation lists on a real instance, without a restart."""

import json
import smtplib
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from mssante.trust import pki
from tests.journeys.instance import Instance
from tests.journeys.test_operators import refusal_of

pytestmark = pytest.mark.timeout(180)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    made = Instance(tmp_path_factory.mktemp("reload") / "instance").init()
    revoke(made)
    with made.config.open("a") as settings:
        settings.write('\n[trust]\nrevocation_lists = ["tls/ca.crl"]\n')
    made.start(workers=2)
    yield made
    assert made.stop() == 0


def authority(instance) -> pki.Credential:
    folder = instance.directory / "tls"
    return pki.Credential(
        x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()),
        load_pem_private_key((folder / "ca.key").read_bytes(), None),
    )


def revoke(instance, *certificates: Path) -> None:
    root = authority(instance)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.certificate.subject)
        .last_update(NOW - timedelta(hours=1))
        .next_update(NOW + timedelta(days=1))
    )
    for path in certificates:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(NOW - timedelta(hours=1))
            .build()
        )
    replace(
        instance.directory / "tls" / "ca.crl",
        builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.DER),
    )


def replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


def renew(instance, name: str) -> None:
    """A new pair in the place of ``tls/NAME.pem``."""
    folder = instance.directory / "tls"
    made = pki.issue_operator(authority(instance), "renewed", ["localhost", "127.0.0.1"], NOW)
    replace(folder / f"{name}.key", pki.key_pem(made.key))
    replace(folder / f"{name}.pem", made.certificate.public_bytes(Encoding.PEM))


def serials(instance) -> tuple[str, str, str]:
    """Of the certificates that members, operators and browsers see on one connection each."""
    ports = instance.demo["ports"]
    members, web = (
        ssl_serial(instance, port) for port in (ports["imaps"], instance.port_base + 443)
    )
    with smtplib.SMTP("localhost", ports["smtp"], timeout=20) as client:
        client.starttls(context=instance.tls())
        operators = client.sock.getpeercert()["serialNumber"]
    return members, operators, web


def ssl_serial(instance, port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        with instance.tls().wrap_socket(sock, server_hostname="localhost") as tls:
            return tls.getpeercert()["serialNumber"]


def seen(instance) -> set[tuple[str, str, str]]:
    return {serials(instance) for _ in range(12)}


def until(happened, seconds=20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)


def logged(instance, event: str) -> list[dict]:
    lines = [json.loads(line) for line in instance.log.read_text().splitlines() if line[:1] == "{"]
    return [line for line in lines if line["event"] == event]


def test_new_certificates_are_shown_by_every_worker_after_a_reload(instance):
    [before] = seen(instance)
    workers = instance.workers()
    renew(instance, "server")
    renew(instance, "operator")

    instance.run("reload", "-c", str(instance.config))

    until(lambda: len(logged(instance, "files were loaded again")) >= 2)
    until(lambda: all(set(new).isdisjoint(before) for new in seen(instance)))
    [(members, operators, web)] = seen(instance)
    assert members == web != operators
    assert instance.workers() == workers


def test_a_broken_pair_keeps_the_former_one_and_the_log_says_which(instance):
    before = seen(instance)
    key = instance.directory / "tls" / "operator.key"
    good = key.read_bytes()
    other = pki.make_root("other", NOW)
    replace(key, pki.key_pem(other.key))

    with pytest.raises(AssertionError, match=r"operator\.key"):
        instance.run("reload", "-c", str(instance.config))
    instance.process.send_signal(1)  # SIGHUP, as by hand

    event = "new files cannot be used, the former ones stay in force"
    until(lambda: len(logged(instance, event)) >= 2)
    told = logged(instance, event)[0]
    assert told["what"] == "certificate for operators"
    assert "operator.key" in told["why"]
    assert seen(instance) == before
    replace(key, good)
    instance.run("reload", "-c", str(instance.config))


def test_a_revoked_operator_is_refused_after_a_reload(instance):
    listed = instance.demo["remote_operators"][0]
    sender = f"dr@{listed['domain']}"
    assert refusal_of(instance, listed, sender)[0] == 250

    revoke(instance, instance.directory / listed["client_certificate"])
    instance.run("reload", "-c", str(instance.config))

    until(lambda: refusal_of(instance, listed, sender)[0] == 550)
    [entry, *_] = [
        each
        for each in instance.json("audit", "show", "--kind", "refusal")
        if each["outcome"] == "certificate-refused"
    ]
    assert entry["facts"]["detail"].startswith("revoked-")
