"""ZIP files from strangers: read strictly, refused with precise words, never beyond the limits."""

import stat
import time
import tracemalloc
from io import BytesIO
from zipfile import ZIP_BZIP2, ZIP_STORED, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.filing.causes import DETAILS
from mssante.wire.xdm.unzip import ArchiveRefused, ZipLimits, unzip
from tests.support.archives import raw_zip, zipped

LIMITS = ZipLimits()


def refusal_of(content, limits=LIMITS):
    """The word, at opening or at reading."""
    with pytest.raises(ArchiveRefused) as refused:
        for member in unzip(content, limits):
            member.read()
    assert refused.value.word in DETAILS
    return refused.value.word


@pytest.mark.parametrize("method", [0, 8])
def test_members_are_read_in_order(method):
    content = zipped({"B/x.txt": b"one" * 1000, "A": b"", "B/": b""}, compress=method)

    members = unzip(content, LIMITS)

    assert [(one.path, one.read()) for one in members] == [
        (("B", "x.txt"), b"one" * 1000),
        (("A",), b""),
    ]
    assert members[0].key == ("B", "X.TXT")


class Pipe(BytesIO):
    """What cannot be sought in: sizes follow the data (bit 3)."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError

    def tell(self):
        raise OSError


def test_an_archive_written_into_a_pipe_is_read():
    pipe = Pipe()
    with ZipFile(pipe, "w") as archive:
        for name in ("a", "b"):
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(name.encode() * 100)

    assert [one.read() for one in unzip(pipe.getvalue(), LIMITS)] == [b"a" * 100, b"b" * 100]


def test_an_empty_archive_has_no_members():
    assert unzip(zipped({}), LIMITS) == ()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./A/./B", ("A", "B")),
        ("A\\B", ("A", "B")),
        ("A//B", ("A", "B")),
        ("Été/é", ("Été", "é")),
    ],
)
def test_harmless_spellings_of_paths_are_read(name, path):
    assert [one.path for one in unzip(zipped({name: b"x"}), LIMITS)] == [path]


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["../x"], "zip-path"),
        (["a/../../x"], "zip-path"),
        (["a\\..\\..\\x"], "zip-path"),
        (["/etc/passwd"], "zip-path"),
        (["\\\\server\\x"], "zip-path"),
        (["C:\\x"], "zip-path"),
        (["c:x"], "zip-path"),
        (["a\x01b"], "zip-name"),
        (["a\nb"], "zip-name"),
        (["a" * 256], "zip-name"),
        (["/".join("abcdefghi")], "zip-depth"),
        (["DOC.XML", "doc.xml"], "zip-duplicate"),
        (["A/doc", "a\\DOC"], "zip-duplicate"),
        (["\u00e9", "e\u0301"], "zip-duplicate"),
        (["./A", "A"], "zip-duplicate"),
    ],
)
def test_names_that_lead_elsewhere_or_mean_two_files_are_refused(names, word):
    assert refusal_of(zipped(dict.fromkeys(names, b"x"))) == word


def test_a_nul_in_a_name_is_refused():
    assert refusal_of(raw_zip([(b"a\0b", b"x", None)])) == "zip-name"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(kind):
    content = zipped({"a": b"/etc/passwd"}, attributes={"a": (kind | 0o777) << 16})

    assert refusal_of(content) == "zip-link"


def test_ordinary_permissions_are_accepted():
    content = zipped({"a": b"x"}, attributes={"a": (stat.S_IFREG | 0o644) << 16})

    assert len(unzip(content, LIMITS)) == 1


ONE = [(b"a", b"x" * 100, None)]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (raw_zip(ONE, flags=1), "zip-encrypted"),
        (raw_zip(ONE, flags=1 << 6), "zip-encrypted"),
        (raw_zip(ONE, flags=1 << 13), "zip-encrypted"),
        (raw_zip(ONE, flags=1 << 5), "zip-method"),
        (zipped({"a": b"x"}, compress=ZIP_BZIP2), "zip-method"),
        (raw_zip(ONE, count=65_535), "zip-64"),
        (raw_zip(ONE, count=2), "zip-damaged"),
        (raw_zip(ONE * 2, count=1), "zip-damaged"),
        (raw_zip([(b"a", b"x", 0xFFFF_FFFF)]), "zip-64"),
        (raw_zip([(b"a", b"x", 2)]), "zip-damaged"),
        (raw_zip([(b"a", b"xyz", 2)]), "zip-damaged"),
        (raw_zip(ONE, local=b"b"), "zip-damaged"),
        (raw_zip(ONE, tail=b"a second stream"), "zip-damaged"),
        (raw_zip([(b"a/", b"content", None)]), "zip-damaged"),
        (raw_zip([(b"a", b"x" * 100, None), (b"a", b"x" * 100, None)], same_offset=True), "zip-overlap"),
        (raw_zip(ONE) + b"trailing", "zip-damaged"),
        (raw_zip(ONE)[:-1], "zip-damaged"),
        (b"MZ program" + raw_zip(ONE), "zip-damaged"),
        (b"PK\3\4", "zip-damaged"),
        (b"PK\5\6" + b"\0" * 17, "zip-damaged"),
        (b"", "zip-damaged"),
    ],
)  # fmt: skip
def test_what_readers_could_understand_differently_is_refused(content, word):
    assert refusal_of(content) == word


def test_a_comment_is_accepted():
    assert len(unzip(raw_zip(ONE, end=b"made by a test"), LIMITS)) == 1


def test_a_zip64_archive_is_refused():
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for number in range(65_536):
            archive.writestr(str(number), b"")

    assert refusal_of(buffer.getvalue()) == "zip-64"


def test_a_flipped_bit_of_the_content_is_seen():
    content = bytearray(zipped({"a": b"hello world"}, compress=0))
    content[content.index(b"hello")] ^= 1

    assert refusal_of(bytes(content)) == "zip-damaged"


def test_a_hundred_thousand_members_are_refused_before_they_are_looked_at():
    many = zipped({str(number): b"" for number in range(2_000)})
    assert refusal_of(many) == "zip-too-many"

    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for number in range(100_000):
            archive.writestr(str(number), b"")
    started = time.process_time()
    assert refusal_of(buffer.getvalue()) in ("zip-64", "zip-too-many")
    assert time.process_time() - started < 0.1


def test_a_thousandfold_inflation_is_refused_without_inflating():
    bomb = zipped({"a": b"\0" * 50_000_000})
    assert len(bomb) * 900 < 50_000_000

    tracemalloc.start()
    assert refusal_of(bomb) == "zip-ratio"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_bomb_that_declares_a_small_size_is_not_inflated_beyond_it():
    bomb = raw_zip([(b"a", b"\0" * 50_000_000, 1000)])

    tracemalloc.start()
    assert refusal_of(bomb) == "zip-damaged"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_many_middling_files_are_refused_by_their_sum():
    part = bytes(range(256)) * 4_000

    assert refusal_of(zipped({str(n): part for n in range(70)})) == "zip-too-large"


def test_an_archive_in_an_archive_is_a_file_like_another():
    inner = zipped({"bomb": b"\0" * 10_000_000})
    for _ in range(5):
        inner = zipped({f"lib {n}.zip": inner for n in range(4)})

    members = unzip(inner, LIMITS)

    assert sum(member.size for member in members) < 20 * len(inner)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_archives_are_refused_or_read_and_nothing_else(data):
    content = bytearray(zipped({"IHE_XDM/S/METADATA.XML": b"<a/>" * 50, "x": b"y" * 300}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        for member in unzip(bytes(content), LIMITS):
            assert len(member.read()) == member.size
    except ArchiveRefused as refusal:
        assert refusal.word.startswith("zip-")
