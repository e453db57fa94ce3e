import os
import socket

import pytest

from mssante.servers.service_manager import ServiceManager


@pytest.fixture
def systemd(tmp_path):
    """The manager's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        yield heard


def environment(systemd, **more) -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.getsockname(), **more}


def words(systemd) -> list[str]:
    return systemd.recv(1000).decode().splitlines()


def test_ready_reloading_and_stopping_are_said_in_systemds_words(systemd):
    manager = ServiceManager(environment(systemd))

    manager.ready("2 workers")
    assert words(systemd) == ["READY=1", "STATUS=2 workers"]
    manager.reloading()
    reloading, moment = words(systemd)
    assert reloading == "RELOADING=1"
    assert moment.startswith("MONOTONIC_USEC=")
    manager.stopping()
    assert words(systemd) == ["STOPPING=1", "STATUS=stopping"]


def test_a_socket_without_a_file_is_found_too():
    name = f"\0mssante-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name)
        ServiceManager({"NOTIFY_SOCKET": f"@{name[1:]}"}).ready("x")

        assert heard.recv(100).startswith(b"READY=1")


def test_the_watchdog_gets_a_sign_of_life_twice_as_often_as_it_bears(systemd):
    manager = ServiceManager(environment(systemd, WATCHDOG_USEC="60000000"))

    assert manager.watchdog_seconds == 30
    manager.alive()
    manager.alive()
    assert words(systemd) == ["WATCHDOG=1"]
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}]
)
def test_no_watchdog_or_another_processs_gets_none(systemd, more):
    manager = ServiceManager(environment(systemd, **more))

    assert manager.watchdog_seconds is None
    manager.alive()
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


def test_without_a_manager_nothing_is_said_and_nothing_fails(tmp_path):
    ServiceManager({}).ready("x")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
    ServiceManager({"NOTIFY_SOCKET": "vsock:2:1234"}).ready("x")


def test_processes_that_we_start_do_not_speak_for_the_service(systemd):
    variables = environment(systemd, WATCHDOG_USEC="1", WATCHDOG_PID="1", OTHER="stays")

    ServiceManager(variables)

    assert variables == {"OTHER": "stays"}
