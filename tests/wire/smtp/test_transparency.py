"""Mail data on its way out, read back by the reader of mail data that comes in."""

from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.smtp.data import DataReader
from mssante.wire.smtp.transparency import Stuffing

LINES = st.lists(
    st.sampled_from([b"", b".", b"..", b".x", b"x.", b"text", b"\xe9.", b". ."]), max_size=12
)


def sent(pieces):
    stuffing = Stuffing()
    return b"".join(stuffing.take(piece) for piece in pieces) + stuffing.end()


@given(LINES, st.lists(st.integers(0, 80), max_size=6))
def test_what_goes_out_comes_in_the_same_however_it_is_cut(lines, cuts):
    content = b"".join(line + b"\r\n" for line in lines)
    places = sorted({min(cut, len(content)) for cut in cuts} | {0, len(content)})
    pieces = [content[a:b] for a, b in zip(places, places[1:], strict=False)]

    result = DataReader(10_000).receive(sent(pieces))

    assert result.fault is None
    assert result.content == content
    assert result.rest == b""


def test_a_message_without_a_last_end_of_line_gets_one():
    assert sent([b"a", b".b"]) == b"a.b\r\n.\r\n"
    assert sent([]) == b".\r\n"
