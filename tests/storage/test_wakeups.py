import asyncio
from pathlib import Path

import pytest

from mssante.storage.wakeups import SocketWakeups


async def test_a_change_that_is_durable_does_not_fail_because_nobody_can_be_woken(
    tmp_path, monkeypatch
):
    heard = []
    wakeups = SocketWakeups(tmp_path, "w0", lambda *change: heard.append(change))
    wakeups.listen(asyncio.get_running_loop())

    def no_descriptor_left(self):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "iterdir", no_descriptor_left)
    wakeups.folder_changed(7, 3)
    monkeypatch.undo()

    assert heard == [(7, 3)]
    wakeups.close()


@pytest.fixture
def pair(tmp_path):
    heard = []
    reader = SocketWakeups(tmp_path, "w0", lambda *change: heard.append(change))
    speaker = SocketWakeups(tmp_path, "w1")
    yield reader, speaker, heard
    speaker.close()
    reader.close()


async def until_heard(heard, changes):
    async with asyncio.timeout(5):
        while set(heard) != set(changes):
            await asyncio.sleep(0.001)


async def test_a_busy_process_hears_of_every_folder_even_when_its_queue_is_full(pair):
    reader, speaker, heard = pair
    reader.listen(asyncio.get_running_loop())
    changes = [(number, 2) for number in range(60)]
    for change in changes:  # a datagram each, as from as many transactions: the reader has no turn
        speaker.folder_changed(*change)
        speaker._flush()

    await until_heard(heard, changes)
    assert len(heard) == len(changes)


async def test_the_changes_of_one_transaction_go_out_together_and_the_newest_of_each_folder(pair):
    reader, speaker, heard = pair
    reader.listen(asyncio.get_running_loop())
    for modseq in (3, 5, 4):
        for number in range(1_500):
            speaker.folder_changed(number, modseq)

    await until_heard(heard, [(number, 5) for number in range(1_500)])
    assert len(heard) == 1_500


async def test_what_was_not_said_yet_is_said_at_the_end(pair, tmp_path):
    reader, _, heard = pair
    reader.listen(asyncio.get_running_loop())
    command = SocketWakeups(tmp_path, "cli")
    command.folder_changed(7, 3)
    command.close()

    await until_heard(heard, [(7, 3)])


async def test_for_a_process_that_hangs_a_bounded_number_is_kept(pair):
    reader, speaker, heard = pair
    reader.listen(asyncio.get_running_loop())
    asyncio.get_running_loop().remove_reader(reader._socket.fileno())
    for number in range(30_000):
        speaker.folder_changed(number, 1)
    await asyncio.sleep(0.05)

    [waiting] = speaker._waiting.values()
    assert len(waiting) <= 10_000
    asyncio.get_running_loop().add_reader(reader._socket.fileno(), reader._receive)
    await until_heard(heard, [(number, 1) for number in range(10_000)])
    assert not speaker._waiting
