"""Files from outside are read within a bound, and an error names the file."""

import pytest

from mssante.storage.files import read_all, read_file
from mssante.trust.anchors import Unreadable


def lines(octets: bytes) -> list[bytes]:
    if b"?" in octets:
        raise Unreadable("a line is in doubt")
    return octets.split()


def test_a_file_of_just_the_bound_is_read_and_a_longer_one_is_not(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"12345")

    assert read_file(file, 5) == b"12345"
    with pytest.raises(Unreadable, match=f"{file} is larger than 4 octets"):
        read_file(file, 4)


def test_what_has_no_end_is_refused_and_not_waited_for():
    from pathlib import Path

    with pytest.raises(Unreadable, match="is larger than 1000 octets"):
        read_file(Path("/dev/zero"), 1000)


def test_files_are_read_in_their_order(tmp_path):
    (tmp_path / "a").write_bytes(b"1 2")
    (tmp_path / "b").write_bytes(b"3")

    assert read_all(lines, [tmp_path / "b", tmp_path / "a"]) == (b"3", b"1", b"2")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read: No such file"), (b"?", ": a line is in doubt")]
)
def test_the_error_names_the_file(tmp_path, content, why):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Unreadable) as refused:
        read_all(lines, [file])

    assert str(refused.value).startswith(str(file))
    assert why in str(refused.value)
