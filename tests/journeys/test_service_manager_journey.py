"""A real instance under a service manager, whose end of the socket is ours."""

import signal
import socket
import time

import pytest

from tests.journeys.instance import Instance


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        yield heard


def heard_until(systemd, word: str, seconds: float = 30) -> list[str]:
    said, deadline = [], time.monotonic() + seconds
    while word not in said:
        assert time.monotonic() < deadline, said
        said += systemd.recv(1000).decode().splitlines()
    return said


def test_the_manager_hears_ready_signs_of_life_reloads_and_the_end(systemd, tmp_path):
    instance = Instance(tmp_path / "instance").init()
    instance.start(workers=2)
    try:
        said = heard_until(systemd, "READY=1")
        assert said == ["READY=1", "STATUS=2 workers"]
        heard_until(systemd, "WATCHDOG=1")
        instance.process.send_signal(signal.SIGHUP)
        said = heard_until(systemd, "READY=1")
        assert "RELOADING=1" in said
        assert any(word.startswith("MONOTONIC_USEC=") for word in said)
        # Each worker loads four things: they are there when the manager hears that all is ready.
        assert instance.log.read_text().count("files were loaded again") == 2 * 4
        instance.process.send_signal(signal.SIGTERM)
        heard_until(systemd, "STOPPING=1")
    finally:
        assert instance.stop() == 0
