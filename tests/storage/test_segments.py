import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mssante.mail.ports import BlobUnreadable
from mssante.storage.encryption import CHUNK, KeyUnavailable, Keyring, Tampered, create_keys
from mssante.storage.segments import SegmentBlobs, SegmentWriter


@pytest.mark.parametrize("size", [0, 1, 5_000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
async def test_what_was_put_is_read_back_whole_and_in_ranges(blobs, size):
    content = os.urandom(size)
    ref = await blobs.put(content)

    assert ref.length == size
    assert blobs.read(ref) == content
    for start, stop in [
        (0, 1),
        (size // 2, size // 2 + 10),
        (CHUNK - 3, CHUNK + 3),
        (size, size + 5),
    ]:
        assert blobs.read(ref, start, stop) == content[start:stop]


async def test_another_process_reads_the_segments_of_the_first(blobs, keyring, tmp_path):
    ref = await blobs.put(b"x" * 1000)
    other = SegmentBlobs(tmp_path / "segments", "w1", keyring)

    assert other.read(ref) == b"x" * 1000
    await other.close()


async def test_a_changed_byte_on_disk_is_noticed(blobs, tmp_path):
    ref = await blobs.put(b"clinical text " * 100)
    path = tmp_path / "segments" / ref.segment
    raw = bytearray(path.read_bytes())
    assert b"clinical" not in raw
    raw[ref.offset + 5] ^= 1
    path.write_bytes(raw)

    with pytest.raises(BlobUnreadable):
        blobs.read(ref)


async def test_a_segment_that_was_cut_off_is_noticed(blobs, tmp_path):
    ref = await blobs.put(b"y" * 5000)
    os.truncate(tmp_path / "segments" / ref.segment, 100)

    with pytest.raises(BlobUnreadable):
        blobs.read(ref)


async def test_a_blob_key_does_not_open_another_blob(blobs):
    from dataclasses import replace

    first, second = await blobs.put(b"a" * 50), await blobs.put(b"b" * 50)

    with pytest.raises(BlobUnreadable):
        blobs.read(replace(first, wrapped_key=second.wrapped_key))


async def test_a_row_cannot_name_a_path(blobs):
    from dataclasses import replace

    ref = await blobs.put(b"z")

    for name in ["../w0-00000001", "/etc/passwd", "w0-00000001/..", ""]:
        with pytest.raises(BlobUnreadable):
            blobs.read(replace(ref, segment=name))


async def test_a_new_start_never_writes_into_an_old_segment(blobs, keyring, tmp_path):
    first = await blobs.put(b"one")
    again = SegmentBlobs(tmp_path / "segments", "w0", keyring)
    second = await again.put(b"two")

    assert first.segment != second.segment
    assert (again.read(first), again.read(second)) == (b"one", b"two")
    await again.close()


def test_keys_are_never_overwritten_and_a_wrong_master_key_is_named(tmp_path):
    master, instance = tmp_path / "m", tmp_path / "i"
    create_keys(master, instance)
    assert master.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        create_keys(master, instance)
    master.write_text("00" * 32)

    with pytest.raises(KeyUnavailable, match="was not made with the master key"):
        Keyring.open(master, instance)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(key=st.binary(min_size=32, max_size=32), position=st.integers(0, 61))
def test_a_wrapped_key_opens_only_unchanged(keyring, key, position):
    wrapped = keyring.wrap(key)
    assert keyring.unwrap(wrapped) == key
    changed = bytearray(wrapped)
    changed[position] ^= 1

    with pytest.raises(Tampered):
        keyring.unwrap(bytes(changed))


async def test_a_reader_is_not_disturbed_when_its_file_is_put_out_meanwhile(
    keyring, tmp_path, monkeypatch
):
    monkeypatch.setattr("mssante.storage.segments._OPEN_FILES", 1)
    stores = [SegmentBlobs(tmp_path, owner, keyring) for owner in ("w1", "w2")]
    first, second = await stores[0].put(b"first"), await stores[1].put(b"other")
    reader = stores[0]
    real = os.pread

    def pread(descriptor, count, offset):
        # What a thread does between another's finding the file and reading from it.
        monkeypatch.setattr(os, "pread", real)
        assert reader.read(second) == b"other"
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", pread)

    assert reader.read(first) == b"first"
    for store in stores:
        await store.close()


async def test_bytes_that_no_row_names_are_without_their_key(blobs, tmp_path):
    ref = await blobs.put(b"clinical text " * 100)
    [path] = (tmp_path / "segments").iterdir()

    assert ref.wrapped_key not in path.read_bytes()
    assert blobs.key_of(ref) not in path.read_bytes()


def test_zeros_go_ahead_of_small_batches_and_end_with_the_file(tmp_path):
    writer = SegmentWriter(tmp_path, "w0")
    name, first = writer.append([b"one"])
    size = (tmp_path / name).stat().st_size
    _, second = writer.append([b"two", b"three"])

    assert (first, second) == (0, 3)
    assert size > 1_000_000
    assert (tmp_path / name).stat().st_size == size  # a sync has no new size to make durable
    assert (tmp_path / name).read_bytes().rstrip(b"\0") == b"onetwothree"
    writer.close()
    assert (tmp_path / name).read_bytes() == b"onetwothree"


def test_large_batches_come_without_zeros_ahead(tmp_path):
    writer = SegmentWriter(tmp_path, "w0")
    name, _ = writer.append([bytes(200_000)])

    assert (tmp_path / name).stat().st_size == 200_000
    writer.close()


def test_no_room_for_zeros_is_no_reason_to_refuse(tmp_path, monkeypatch):
    real = os.pwritev

    def full(fd, pieces, offset):
        if offset + sum(map(len, pieces)) > 4096:
            raise OSError(28, "No space left on device")
        return real(fd, pieces, offset)

    monkeypatch.setattr(os, "pwritev", full)
    writer = SegmentWriter(tmp_path, "w0")

    assert writer.append([b"one"])[1] == 0
    name, second = writer.append([b"two"])
    assert second == 3
    assert (tmp_path / name).read_bytes() == b"onetwo"
    with pytest.raises(OSError, match="No space"):
        writer.append([bytes(5000)])
    assert writer.append([b"three"])[1] == 6
    writer.close()


def test_zeros_for_which_there_is_not_enough_room_do_not_take_the_last_of_it(tmp_path, monkeypatch):
    real = os.pwritev

    def nearly_full(fd, pieces, offset):
        left = 4096 - offset
        if left <= 0:
            raise OSError(28, "No space left on device")
        return real(fd, [b"".join(pieces)[:left]], offset)

    monkeypatch.setattr(os, "pwritev", nearly_full)
    writer = SegmentWriter(tmp_path, "w0")
    for number in range(3):
        name, _ = writer.append([b"%d" % number])
        assert (tmp_path / name).stat().st_size == number + 1

    writer.close()
    assert (tmp_path / name).read_bytes() == b"012"
