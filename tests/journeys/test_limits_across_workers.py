"""What a network may take counts at all workers together, and not at those that died."""

import smtplib
import socket

import pytest

from tests.journeys.instance import Instance, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.timeout(180)]

MOST = 6


@pytest.fixture
def instance(tmp_path):
    made = Instance(tmp_path / "instance").init()
    with made.config.open("a") as settings:
        settings.write(f"\n[limits]\nconnections_per_peer = {MOST}\n")
    made.start(workers=3)
    yield made
    assert made.stop() == 0


def admitted(instance, count):
    """Open connections to the submission port; those that are served."""
    served = []
    for _ in range(count):
        opened = socket.create_connection(
            (instance.demo["host"], instance.demo["ports"]["submission"]), timeout=10
        )
        greeting = opened.recv(200)
        if greeting.startswith(b"220 "):
            served.append(opened)
        else:
            assert greeting.startswith(b"421 4.7.0 "), greeting
            opened.close()
    return served


def still_open(connection):
    try:
        connection.sendall(b"NOOP\r\n")
        return connection.recv(200).startswith(b"250 ")
    except ConnectionError:
        return False


def test_a_network_has_its_connections_at_all_workers_together(instance):
    served = admitted(instance, 3 * MOST)
    assert len(served) == MOST
    assert admitted(instance, 3) == []

    served.pop().close()
    found = []
    wait_for(lambda: found.extend(admitted(instance, 1)) or found)
    served += found

    before = set(instance.workers())
    instance.kill_a_worker()
    wait_for(lambda: len(set(instance.workers()) - before) == 1)
    alive = [one for one in served if still_open(one)]
    again = admitted(instance, 3 * MOST)
    assert len(alive) + len(again) == MOST
    for one in served + again:
        one.close()


def test_failed_sign_ins_count_at_all_workers_together(instance):
    account = instance.accounts("professional")[0]
    codes = []
    for number in range(7):
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            instance.smtp({**account, "password": f"guess {number}"})
        codes.append(caught.value.smtp_code)

    # The client tries a second mechanism at once: the sixth failure it meets is followed by a wait.
    assert codes == [535] * 5 + [454] * 2
