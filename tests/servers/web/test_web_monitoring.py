"""Health and metrics of a real instance, asked as a monitoring system asks."""

import contextlib
import json
import math
import re
import resource
import shutil
import smtplib
import socket
import ssl
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mssante.trust import pki
from tests.journeys.instance import Instance, a_message
from tests.servers.web.conftest import Site

LINE = re.compile(
    r"(?P<name>[a-z_:][a-z0-9_:]*)(?P<labels>\{[^{}]*\})? (?P<value>[-+0-9.eInfNa]+)\Z"
)
LABEL = re.compile(r'([a-z_]+)="([^"\\]*)"')


def metrics(site) -> dict[tuple, float]:
    """The text, line by line as the exposition format says it, without Prometheus' own library."""
    answer = site.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP|TYPE) mssante_[a-z_]+ .+\Z", line), line
            continue
        match = LINE.match(line)
        assert match, line
        labels = tuple(sorted(LABEL.findall(match["labels"] or "")))
        assert (match["name"], labels) not in found, line
        found[match["name"], labels] = float(match["value"])
    return found


def value(found, name, **labels) -> float:
    return found[name, tuple(sorted(labels.items()))]


def eventually(look, seconds: float = 20):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def ready(site) -> tuple[int, list[str]]:
    answer = site.ask("/readyz")
    return answer.status, json.loads(answer.body)["reasons"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An instance that a test may hurt, and heals again."""
    instance = Instance(tmp_path_factory.mktemp("own") / "instance").init()
    instance.start(workers=2)
    yield Site(instance)
    instance.stop()


def test_a_healthy_instance_is_alive_and_ready(site):
    assert site.ask("/healthz").status == 200
    assert ready(site) == (200, [])


def test_what_one_worker_counts_every_worker_shows(site):
    before = value(metrics(site), "mssante_http_requests_total", status="4xx")
    for _ in range(20):
        site.ask("/nowhere")

    for _ in range(8):  # whichever worker answers
        assert value(metrics(site), "mssante_http_requests_total", status="4xx") == before + 20
    assert value(metrics(site), "mssante_worker_starts_total") == 2


def test_a_message_is_counted_on_its_whole_way(site):
    before = metrics(site)
    instance = site.instance
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    message = a_message(doctor, patient["address"], "Bonjour")
    with instance.smtp(doctor) as client:
        client.send_message(message)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(doctor["address"], [f"nobody@{site.domain}"], b"x")

    after = eventually(
        lambda: (
            (found := metrics(site))
            and value(found, "mssante_delivery_seconds_count")
            > value(before, "mssante_delivery_seconds_count")
            and found
        )
    )

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("mssante_messages_accepted_total", service="smtp") == 1
    assert grown("mssante_messages_delivered_total") == 1
    assert grown("mssante_accept_seconds_count") == 1
    assert grown("mssante_sign_ins_total", service="smtp", outcome="done") == 1
    assert grown("mssante_smtp_refusals_total", service="smtp", reason="recipient-unknown") == 1
    assert grown("mssante_tls_handshakes_total", certificate="members", outcome="TLSv1.3") == 1
    assert grown("mssante_delivery_seconds_bucket", le="+Inf") == 1
    assert 0 < grown("mssante_delivery_seconds_sum") < 60


def test_a_wrong_password_and_a_failed_handshake_are_counted(site):
    before = metrics(site)
    ports = site.instance.demo["ports"]
    with smtplib.SMTP_SSL("localhost", ports["submissions"], context=site.instance.tls()) as client:
        client.ehlo()
        client.user, client.password = "claire.morel", "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.auth("PLAIN", client.auth_plain)
    with socket.create_connection(("localhost", ports["imaps"])) as plain:
        plain.sendall(b"a LOGIN x y\r\n")
        plain.settimeout(5)
        try:
            plain.recv(100)
        except OSError:
            pass

    after = metrics(site)
    labels = {"service": "smtp", "outcome": "credentials-invalid"}
    name = "mssante_sign_ins_total"
    assert value(after, name, **labels) == value(before, name, **labels) + 1
    labels = {"certificate": "members", "outcome": "failed"}
    name = "mssante_tls_handshakes_total"
    assert value(after, name, **labels) == value(before, name, **labels) + 1


def test_handshakes_of_other_operators_are_counted_too(site):
    before = metrics(site)
    with smtplib.SMTP("localhost", site.instance.demo["ports"]["smtp"], timeout=20) as client:
        client.starttls(context=site.instance.tls())
        client.ehlo()
    with smtplib.SMTP("localhost", site.instance.demo["ports"]["smtp"], timeout=20) as client:
        client.docmd("STARTTLS")
        client.sock.sendall(b"EHLO x.example\r\n")
        with contextlib.suppress(OSError):
            while client.sock.recv(100):
                pass
        client.close()

    after = metrics(site)
    name = "mssante_tls_handshakes_total"
    for outcome in ("TLSv1.3", "failed"):
        labels = {"certificate": "operators", "outcome": outcome}
        assert value(after, name, **labels) == value(before, name, **labels) + 1


def test_the_text_is_what_prometheus_own_parser_reads_too(site):
    families = {
        f.name: f for f in text_string_to_metric_families(site.ask("/metrics").body.decode())
    }

    assert families["mssante_messages_accepted"].type == "counter"
    assert families["mssante_delivery_seconds"].type == "histogram"
    assert families["mssante_sessions"].type == "gauge"
    for family in families.values():
        assert family.documentation
        if family.type == "histogram":
            counts = [s.value for s in family.samples if s.name.endswith("_bucket")]
            assert counts == sorted(counts)


def test_openmetrics_is_given_to_who_asks_for_it(site):
    answer = site.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_labels_are_few_and_name_nobody(site):
    found = metrics(site)

    assert len(found) < 500
    text = site.ask("/metrics").body.decode()
    for account in site.instance.demo["accounts"]:
        assert account["login"] not in text
    assert site.domain not in text
    assert "@" not in text


def test_certificates_the_white_list_and_the_disk_are_watched(site):
    found = metrics(site)

    for name in ("members", "operators"):
        seconds = value(found, "mssante_certificate_expiry_seconds", certificate=name)
        assert timedelta(days=820) < timedelta(seconds=seconds) < timedelta(days=826)
    assert 0 < value(found, "mssante_white_list_age_seconds") < 3600
    free = shutil.disk_usage(site.instance.directory).free
    assert math.isclose(value(found, "mssante_disk_free_bytes"), free, rel_tol=0.5)
    assert value(found, "mssante_workers") == 2


# --- who may ask -------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_a_proxy_forwards_is_not_near(site, field, path):
    assert site.ask(path, **{field.replace("-", "_"): "127.0.0.1"}).status == 403


def test_only_the_networks_of_the_settings_or_the_token_get_in(tmp_path):
    instance = Instance(tmp_path / "far").init()
    with instance.config.open("a") as file:
        file.write('\n[monitoring]\nnetworks = ["192.0.2.0/24"]\n')
    instance.start(workers=1)
    site = Site(instance)
    token = "a-token-of-more-than-twenty-characters"
    try:
        assert site.ask("/metrics").status == 403
        file = instance.directory / "keys" / "monitoring.token"
        file.write_text("short\n")
        assert site.ask("/metrics", Authorization="Bearer short").status == 403
        file.write_text(f"{token}\n")
        asked = site.ask("/metrics")
        assert (asked.status, asked.headers["www-authenticate"]) == (401, "Bearer")
        assert site.ask("/metrics", Authorization=f"Bearer {token}x").status == 401
        assert site.ask("/metrics", Authorization=f"Basic {token}").status == 401
        assert site.ask("/metrics", Authorization=f"bearer {token}").status == 200
        assert site.ask("/readyz", Authorization=f"Bearer {token}", Via="1.1 proxy").status == 200
        assert site.ask("/mail/config-v1.1.xml").status == 200  # for everybody
        refused = instance.json("audit", "show", "--kind", "refusal")
        assert [entry["action"] for entry in refused] == ["monitoring"]
        assert token not in instance.log.read_text()
    finally:
        instance.stop()


# --- not ready ---------------------------------------------------------------------------------


def test_an_expired_certificate_is_told(own):
    past = datetime.now(UTC) - timedelta(days=900)
    root = pki.make_root("old", past)
    old = pki.issue_server(root, ["localhost"], past)
    folder = own.instance.directory / "tls"
    old.write(folder / "old.pem", folder / "old.key")
    (folder / "server.pem").rename(folder / "kept.pem")
    # It is not the key's: what is served stays what was loaded.
    (folder / "old.pem").rename(folder / "server.pem")

    assert eventually(lambda: ready(own)[0] == 503 and ready(own)) == (
        503, ["certificate-expired: members"],
    )  # fmt: skip
    assert own.ask("/healthz").status == 200
    found = metrics(own)
    assert value(found, "mssante_certificate_expiry_seconds", certificate="members") < 0

    (folder / "kept.pem").rename(folder / "server.pem")
    assert eventually(lambda: ready(own) == (200, []))


def test_a_disk_that_takes_no_writes_is_told_and_forgotten_when_it_does_again(own):
    pids = own.instance.workers()
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    # Each worker remembers its last answer for a second: also that of the test before.
    assert eventually(lambda: ready(own) == (503, ["disk-unwritable"]))

    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert eventually(lambda: ready(own) == (200, []))
    assert not list(Path(own.instance.directory / "data").glob(".probe-*"))


def test_counters_survive_the_death_of_a_worker(own):
    for _ in range(10):
        own.ask("/nowhere")
    before = value(metrics(own), "mssante_http_requests_total", status="4xx")
    started = value(metrics(own), "mssante_worker_starts_total")
    own.instance.kill_a_worker()

    def is_replaced():
        try:
            return value(metrics(own), "mssante_worker_starts_total") == started + 1
        except OSError:  # the connection was the dead one's
            return False

    eventually(is_replaced)
    assert value(metrics(own), "mssante_http_requests_total", status="4xx") >= before >= 10


def test_without_a_white_list_an_operator_is_not_ready(tmp_path):
    instance = Instance(tmp_path / "new")
    instance.run(
        "init", str(instance.directory), "--domain", "new.example",
        "--port-base", str(instance.port_base),
    )  # fmt: skip
    instance.start(workers=1)
    try:
        context = ssl.create_default_context(cafile=instance.directory / "tls/ca.pem")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                f"https://localhost:{instance.port_base + 443}/readyz", context=context
            )
        with refused.value as answer:
            assert answer.code == 503
            assert json.loads(answer.read())["reasons"] == ["white-list-missing"]
    finally:
        instance.stop()


def test_a_stop_ends_idle_connections_in_order(own):
    with own.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)

        assert own.instance.stop() == 0
        assert connection.recv(100) == b""
    assert "exception" not in own.log()
    own.instance.start(workers=2)
