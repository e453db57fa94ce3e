import asyncio
from pathlib import Path

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
