"""What other servers answer, from any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.smtp.answers import AnswerError, AnswerReader, extensions_of


def read(octets, cut=None):
    reader = AnswerReader()
    for piece in (octets[:cut], octets[cut:]) if cut else (octets,):
        reader.receive(piece)
    found = []
    while (answer := reader.next()) is not None:
        found.append(answer)
    return found, reader


@pytest.mark.parametrize("cut", range(1, 60))
def test_answers_are_read_however_they_are_cut(cut):
    octets = b"250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n550 5.1.1 No such mailbox\r\n"

    (hello, refusal), reader = read(octets, cut)

    assert extensions_of(hello) == {"SIZE": "1000", "DSN": ""}
    assert (refusal.code, refusal.enhanced) == (550, "5.1.1")
    assert refusal.is_permanent
    assert not refusal.is_positive
    assert reader.is_empty


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"250 2.1.5 fine", "2.1.5"),
        (b"250 fine", "2.0.0"),
        (b"451 5.7.1 the classes contradict each other", "4.0.0"),
        (b"550", "5.0.0"),
        (b"421 4.7.0", "4.7.0"),
    ],
)
def test_the_status_is_of_the_class_of_the_reply_code(line, enhanced):
    ([answer], _) = read(line + b"\r\n")

    assert answer.enhanced == enhanced


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"99 x\r\n",
        b"650 x\r\n",
        b"250_x\r\n",
        b"250-a\r\n251 b\r\n",
        b"2" * 3000,
        b"250 " + b"x" * 3000 + b"\r\n",
        b"250-x\r\n" * 300,
    ],
)
def test_what_is_no_answer_or_has_no_end_is_refused(octets):
    with pytest.raises(AnswerError):
        read(octets)


def test_the_words_of_a_peer_are_printable_ascii_on_one_line():
    ([answer], _) = read("250 d\x1b[31mégalité\x00\r\n".encode())

    assert answer.text == "250 d?[31m?galit?"
    assert answer.text.isprintable()


@given(st.binary(max_size=400))
def test_any_bytes_are_answers_or_an_error_of_ours(octets):
    try:
        found, _ = read(octets)
    except AnswerError:
        return
    for answer in found:
        assert 200 <= answer.code < 600
        assert answer.text.isascii()
        assert answer.enhanced.count(".") == 2
