"""The first stage: where commands end, however the bytes are cut, and what is too much."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.imap.errors import GrammarError
from mssante.wire.imap.grammar import parse_command
from mssante.wire.imap.reader import (
    BEFORE_LOGIN,
    CommandReader,
    CommandReceived,
    CommandRefused,
    ContinuationNeeded,
    LineReceived,
    ReaderLimits,
    RefusedFor,
    limits_after_login,
)

LIMITS = ReaderLimits(max_line=300, max_literal=50, max_append=200, max_literals=4, max_drain=1000)
SESSION = (
    b"a1 CAPABILITY\r\n"
    b"a2 LOGIN {5}\r\nclara {3+}\r\npw\n\r\n"
    b"a3 APPEND INBOX (\\Seen) {20+}\r\nSubject: x\r\n\r\nbody\r\n\r\n"
    b"a4 SEARCH SUBJECT {0+}\r\n\r\n"
    b"a5 NOOP\n"
    b"a6 APPEND INBOX {900+}\r\n" + b"x\r\ny" * 225 + b"\r\n"
    b"a7 SEARCH TEXT {60}\r\n"
    b"a8 SEARCH {1+}\r\na {1+}\r\nb {1+}\r\nc {1+}\r\nd {1+}\r\ne\r\n"
    b"a9 NOOP\r\n"
    b"a10 APPEND INBOX {5000+}\r\n"
    b"a11 NOOP\r\n"
)


def events(chunks, limits=LIMITS):
    reader = CommandReader(limits)
    found = []
    for chunk in chunks:
        reader.feed(chunk)
        while (event := reader.next_event()) is not None:
            found.append(event)
    return found


def test_commands_literals_and_refusals_come_out_in_order():
    assert events([SESSION]) == [
        CommandReceived((b"a1 CAPABILITY",)),
        ContinuationNeeded(5),
        CommandReceived((b"a2 LOGIN ", b"clara", b" ", b"pw\n", b"")),
        CommandReceived((b"a3 APPEND INBOX (\\Seen) ", b"Subject: x\r\n\r\nbody\r\n", b"")),
        CommandReceived((b"a4 SEARCH SUBJECT ", b"", b"")),
        CommandRefused(b"a5 NOOP", RefusedFor.BARE_LINE_FEED, fatal=False),
        CommandRefused(b"a6 APPEND INBOX ", RefusedFor.LITERAL_TOO_LARGE, fatal=False),
        CommandRefused(b"a7 SEARCH TEXT ", RefusedFor.LITERAL_TOO_LARGE, fatal=False),
        CommandRefused(b"a8 SEARCH ", RefusedFor.TOO_MANY_LITERALS, fatal=False),
        CommandReceived((b"a9 NOOP",)),
        CommandRefused(b"a10 APPEND INBOX ", RefusedFor.LITERAL_TOO_LARGE, fatal=True),
    ]


@given(st.sets(st.integers(1, len(SESSION) - 1)))
def test_how_bytes_are_cut_does_not_matter(cuts):
    edges = [0, *sorted(cuts), len(SESSION)]

    assert events([SESSION[a:b] for a, b in pairwise(edges)]) == events([SESSION])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b"a SEARCH ",
                    b"{3}\r\n",
                    b"{3+}\r\n",
                    b"\r\n",
                    b"(",
                    b")",
                    b'"',
                    b"FETCH 1 ",
                    b"BODY[",
                    b"UID ",
                    b"a APPEND INBOX ",
                    b"{999999999999999999999999}\r\n",
                    b"\\",
                    b"1:*",
                    b" ",
                ]
            ),
        ),
        max_size=60,
    )
)
def test_arbitrary_bytes_end_in_events_and_commands_or_grammar_errors(chunks):
    found = events(chunks)
    assert found == events([b"".join(chunks)])
    for event in found:
        if isinstance(event, CommandReceived):
            try:
                parse_command(event.fragments)
            except GrammarError as error:
                assert str(error).isascii()
                assert str(error).isprintable()


def test_a_number_of_ten_thousand_digits_is_only_too_large():
    [event] = events([b"a LOGIN {" + b"9" * 7000 + b"}\r\n"], BEFORE_LOGIN)

    assert event == CommandRefused(b"a LOGIN ", RefusedFor.LITERAL_TOO_LARGE, fatal=False)


def test_a_line_without_end_is_fatal_as_soon_as_it_is_too_long():
    reader = CommandReader(LIMITS)
    reader.feed(b"tag " + b"x" * 297)
    event = reader.next_event()

    assert event == CommandRefused(b"tag " + b"x" * 252, RefusedFor.LINE_TOO_LONG, fatal=True)
    reader.feed(b"\r\na NOOP\r\n")
    assert reader.next_event() is None


def test_the_text_of_a_command_counts_as_a_whole():
    piece = b"x" * 90 + b"{1+}\r\ny"

    [*_, last] = events([b"a SEARCH " + piece * 4 + b"\r\n"])
    assert last.reason is RefusedFor.LINE_TOO_LONG


def test_a_line_outside_commands_stands_as_it_is():
    reader = CommandReader(LIMITS)
    reader.feed(b"DONE\r\na NOOP {3}\r\n")

    assert reader.next_line() == LineReceived(b"DONE")
    assert reader.buffered == len(b"a NOOP {3}\r\n")
    assert reader.next_event() == ContinuationNeeded(3)


def test_an_announced_literal_reserves_no_memory():
    reader = CommandReader(limits_after_login())
    tracemalloc.start()
    reader.feed(b"a APPEND INBOX {26000000}\r\n")
    assert reader.next_event() == ContinuationNeeded(26_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 100_000


def test_reading_can_pause_behind_a_command_but_not_inside_a_literal():
    reader = CommandReader(limits_after_login())
    reader.feed(b"a APPEND INBOX {1000000+}\r\n")
    assert reader.next_event() is None
    reader.feed(b"x" * 900_000)
    assert not reader.has_enough
    reader.feed(b"x" * 100_000 + b"\r\n" + b"a NOOP\r\n" * 100_000)
    assert reader.has_enough


@pytest.mark.parametrize("size", [1_000_000])
def test_feeding_a_literal_in_small_pieces_takes_linear_time(size):
    import time

    reader = CommandReader(limits_after_login())
    reader.feed(b"a APPEND INBOX {%d+}\r\n" % size)
    started = time.process_time()
    for _ in range(size // 100):
        reader.feed(b"x" * 100)
        assert reader.next_event() is None

    assert time.process_time() - started < 1


def test_it_is_inside_a_command_from_the_announcement_of_a_literal_to_the_end_of_the_line():
    reader = CommandReader(limits_after_login())
    inside = []
    for piece in (b"a1 NOO", b"P\r\n", b"a2 APPEND INBOX {4}\r\n", b"bod", b"y", b"\r\n"):
        reader.feed(piece)
        while reader.next_event() is not None:
            pass
        inside.append(reader.is_inside_command)

    assert inside == [False, False, True, True, True, False]
