from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.kernel.reasons import Reason
from mssante.wire.smtp.data import ChunkReader, DataReader

LIMIT = 3000


class Read(NamedTuple):
    content: bytes
    fault: Reason | None
    rest: bytes


def reference(stream: bytes, max_size: int = LIMIT) -> Read | None:
    """Line by line and slowly: the same rules, written another way."""
    content, position = b"", 0
    faults = set()
    while True:
        end = stream.find(b"\r\n", position)
        if end < 0:
            return None
        line = stream[position:end]
        position = end + 2
        if line == b".":
            break
        if line.startswith(b"."):
            line = line[1:]
        if b"\r" in line or b"\n" in line:
            faults.add(Reason.BARE_LINE_ENDING)
        if b"\0" in line:
            faults.add(Reason.NUL_BYTE)
        if max(map(len, line.replace(b"\r", b"\n").split(b"\n"))) > 998:
            faults.add(Reason.LINE_TOO_LONG)
        content += line + b"\r\n"
    if len(content) > max_size:
        faults.add(Reason.MESSAGE_TOO_LARGE)
    for reason in (
        Reason.MESSAGE_TOO_LARGE,
        Reason.BARE_LINE_ENDING,
        Reason.NUL_BYTE,
        Reason.LINE_TOO_LONG,
    ):
        if reason in faults:
            return Read(b"", reason, stream[position:])
    return Read(content, None, stream[position:])


def read(chunks, max_size: int = LIMIT) -> Read | None:
    reader = DataReader(max_size)
    for number, chunk in enumerate(chunks):
        result = reader.receive(chunk)
        if result is not None:
            content = reader.keeper.content()
            assert result.fault is not None or result.size == len(content)
            return Read(content, result.fault, result.rest + b"".join(chunks[number + 1 :]))
    return None


PIECE = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b".", b"\0", b"text", b"\r\n.\r\n", b"\r\n..", b"x" * 500, b"y" * 998, b"\xc3\xa9", b" "]
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECE, max_size=25), st.data())
def test_how_bytes_are_cut_does_not_matter_and_the_slow_reading_agrees(pieces, data):
    stream = b"".join(pieces) + b"\r\n.\r\nQUIT\r\n"
    cuts = data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12))
    chunks = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    got, expected = read(chunks), reference(stream)

    if expected.fault is Reason.LINE_TOO_LONG or got.fault is Reason.LINE_TOO_LONG:
        assert got.fault == expected.fault
    assert got == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECE, max_size=25))
def test_byte_by_byte_is_the_same_as_all_at_once(pieces):
    stream = b"".join(pieces) + b"\r\n.\r\n"

    assert read([bytes((octet,)) for octet in stream]) == read([stream]) == reference(stream)


def test_data_may_be_empty():
    assert read([b".\r\nNOOP\r\n"]) == Read(b"", None, b"NOOP\r\n")


def test_transparency_dots_go_and_other_dots_stay():
    stream = b"..one\r\n.\x20two.\r\na.b\r\n....\r\n.\r\n"

    assert read([stream]).content == b".one\r\n two.\r\na.b\r\n...\r\n"


@pytest.mark.parametrize(
    "trick",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n\0.\r\n", b"\r\r\n.\r\r\n", b"\n\r.\r\n",
     b"\r\n.\0\r\n", b"\n.\r", b"\r.\n", b"\r\n.\r\r\n"],
)  # fmt: skip
def test_no_other_sequence_ends_the_data(trick):
    stream = (
        b"Subject: one\r\n\r\nbody"
        + trick
        + b"MAIL FROM:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\nsecond\r\n.\r\n"
    )
    result = read([stream])

    assert result.rest == b""
    assert result.fault in (Reason.BARE_LINE_ENDING, Reason.NUL_BYTE)


def test_a_line_of_998_octets_passes_and_one_of_999_does_not():
    assert read([b"x" * 998 + b"\r\n.\r\n"]).fault is None
    assert read([b"." + b"." * 998 + b"\r\n.\r\n"]).fault is None
    assert read([b"x" * 999 + b"\r\n.\r\n"]).fault is Reason.LINE_TOO_LONG
    assert read([b"x" * 5000, b"x" * 5000, b"\r\n.\r\n"], 100_000).fault is Reason.LINE_TOO_LONG


def test_the_size_counts_content_without_transparency_dots():
    line = b".." + b"x" * 7 + b"\r\n"
    exact = 10 * 5

    assert read([line * 5 + b".\r\n"], exact).content == line[1:] * 5
    assert read([line * 5 + b".\r\n"], exact - 1).fault is Reason.MESSAGE_TOO_LARGE


def test_what_overflows_is_swallowed_to_its_end_in_bounded_memory():
    reader = DataReader(100_000)
    most = 0
    for _ in range(1000):
        assert reader.receive((b"z" * 76 + b"\r\n") * 200) is None
        most = max(most, reader.held)
    result = reader.receive(b".\r\nQUIT\r\n")

    assert most <= 100_000
    assert (result.fault, result.rest) == (Reason.MESSAGE_TOO_LARGE, b"QUIT\r\n")
    assert reader.keeper.content() == b""


def test_a_line_without_end_is_swallowed_in_bounded_memory():
    reader = DataReader(20_000_000)
    for _ in range(1000):
        reader.receive(b"z" * 10_000)
        assert reader.held <= 2

    assert reader.receive(b"\r\n.\r\n").fault is Reason.LINE_TOO_LONG


def test_discarded_data_is_refused_for_the_reason_given():
    reader = DataReader(1000)
    reader.receive(b"text\r\n")
    reader.discard(Reason.TRY_LATER)
    reader.receive(b"more\r\n")

    assert reader.held == 0
    assert reader.receive(b".\r\n").fault is Reason.TRY_LATER


def chunked(pieces, *, binary=False, max_size=LIMIT) -> Read:
    reader = ChunkReader(max_size, binary=binary)
    for piece in pieces:
        reader.receive(piece)
    result = reader.end()
    return Read(reader.keeper.content(), result.fault, result.rest)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECE, max_size=25))
def test_chunks_are_judged_by_the_same_rules_as_data_and_have_no_dots(pieces):
    content = b"".join(pieces) + b"\r\n"
    stuffed = b"".join(
        (b"." if line.startswith(b".") else b"") + line + b"\r\n"
        for line in content.split(b"\r\n")[:-1]
    )

    assert chunked(pieces + [b"\r\n"]) == chunked([content]) == reference(stuffed + b".\r\n")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no end of line", None),
        (b"line\r\nno end of line", None),
        (b"line\r\nbare\n", Reason.BARE_LINE_ENDING),
        (b"line\r", Reason.BARE_LINE_ENDING),
        (b"line\r\n\0", Reason.NUL_BYTE),
        (b"x" * 999, Reason.LINE_TOO_LONG),
        (b"x" * 1500, Reason.LINE_TOO_LONG),
        (b"\r\n.\r\nMAIL FROM:<x>\r\n", None),
    ],
)
def test_the_last_line_of_chunks_stays_as_it_came(content, fault):
    assert chunked([content]) == Read(b"" if fault else content, fault, b"")


def test_binary_chunks_have_no_lines():
    content = bytes(range(256)) * 10

    assert chunked([content[:100], content[100:]], binary=True) == Read(content, None, b"")
    assert chunked([content], binary=True, max_size=99).fault is Reason.MESSAGE_TOO_LARGE


even = st.tuples(st.sampled_from([0, 1, 2, 76, 997, 998, 999]), st.sampled_from([0, 49, 51, 200]))
odd = st.lists(st.sampled_from([0, 3, 50, 76]), max_size=5)


@given(
    odd,
    even,
    odd,
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([b"\r", b"\n", b"x", b"\n\r"])), max_size=3
    ),
)
@settings(max_examples=300, deadline=None)
def test_lines_of_one_length_are_judged_as_all_others(before, run, after, changes):
    lengths = [*before, *[run[0]] * run[1], *after]
    octets = bytearray(b"".join(b"x" * length + b"\r\n" for length in lengths))
    for place, change in changes:
        at = int(place * len(octets))
        octets[at : at + len(change)] = change
    stream = bytes(octets) + b"\r\n.\r\n"

    assert read([stream], 1 << 20) == reference(stream, 1 << 20)


@pytest.mark.parametrize("line", [0, 1, 99, 100, 101, 198, 199])
@pytest.mark.parametrize("odd", [b"\rx\n", b"\n\r\n", b"\r\r\n", b"x\n\r", b"x\n\n", b"xx\n"])
def test_one_bad_end_among_lines_of_one_length_is_found(line, odd):
    lines = [b"x" * 76 + b"\r\n"] * 200
    lines[line] = b"x" * 75 + odd
    stream = b"".join(lines) + b"\r\n.\r\n"

    assert read([stream], 1 << 20) == Read(b"", Reason.BARE_LINE_ENDING, b"")
