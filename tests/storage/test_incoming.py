"""Large messages on their way in."""

import os
from pathlib import Path

import pytest

from mssante.kernel.reasons import Reason
from mssante.storage import incoming
from mssante.storage.incoming import OverflowKeeper
from mssante.wire.smtp.data import DataReader


@pytest.mark.parametrize("size", [0, 10, 1000, 1001, 50_000])
def test_what_is_kept_comes_back_from_memory_or_the_disk(tmp_path, size):
    keeper, octets = OverflowKeeper(tmp_path, in_memory=1000), os.urandom(size)
    for at in range(0, size, 300):
        keeper.add(octets[at : at + 300])
        assert keeper.held <= 1000

    assert keeper.content() == octets
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_unnamed_files_serves_too(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_UNNAMED", os.O_RDWR)
    keeper = OverflowKeeper(tmp_path, in_memory=10)
    keeper.add(b"x" * 100)

    assert keeper.content() == b"x" * 100
    assert list(tmp_path.iterdir()) == []


def test_what_lies_on_the_disk_cannot_be_read_without_the_process(tmp_path):
    keeper = OverflowKeeper(tmp_path, in_memory=10)
    keeper.add(b"compte rendu " * 1000)

    descriptor = keeper._descriptor
    assert b"compte rendu" not in os.pread(descriptor, 100_000, 0)


def test_what_is_dropped_gives_the_disk_back(tmp_path):
    keeper = OverflowKeeper(tmp_path, in_memory=10)
    keeper.add(b"x" * 100)
    descriptor = keeper._descriptor
    keeper.drop()

    assert not Path(f"/proc/self/fd/{descriptor}").exists()
    assert keeper.content() == b""
    keeper.add(b"y" * 50)
    assert keeper.content() == b"y" * 50


def test_a_full_disk_is_a_refusal_at_the_end_of_the_message(tmp_path):
    keeper = OverflowKeeper(Path("/dev/full"), in_memory=10)
    reader = DataReader(10_000, keeper)

    with pytest.raises(OSError):
        reader.receive(b"x" * 60 + b"\r\n" + b"y" * 60 + b"\r\n")
    reader.discard(Reason.TRY_LATER)

    assert reader.receive(b"z\r\n.\r\nNOOP\r\n").fault is Reason.TRY_LATER
