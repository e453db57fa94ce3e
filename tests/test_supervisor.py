import os
import time

import pytest

from mssante.supervisor import Supervisor


@pytest.fixture
def supervisor():
    """One that serves nothing: its workers are what the test starts."""
    supervisor = Supervisor(None, 1, ())  # type: ignore[arg-type]
    supervisor._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield supervisor
    for descriptor in supervisor._wake:
        os.close(descriptor)


def test_a_worker_that_dies_in_the_moment_it_is_ready_is_replaced(supervisor, monkeypatch):
    def ready_and_gone(slot, ready, parent):
        os.write(ready, b"r")
        os._exit(1)

    monkeypatch.setattr(supervisor, "_become_worker", ready_and_gone)
    read, write = os.pipe()
    supervisor._start("w0", write, pause=0.0)
    time.sleep(0.2)
    supervisor._wait_ready(read, lambda _: None)

    assert list(supervisor._due) == ["w0"]
    os.close(read)
    os.close(write)


def test_a_worker_that_cannot_be_forked_now_is_started_later(supervisor, monkeypatch):
    def no_more():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_more)
    supervisor._restart("w0", -1, 0.0)

    assert list(supervisor._due) == ["w0"]
