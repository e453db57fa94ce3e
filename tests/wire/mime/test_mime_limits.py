"""Hostile messages: each is read in linear time, or refused with its word."""

import time

import pytest

from mssante.wire.mime.address_lists import read_addresses
from mssante.wire.mime.bodystructure import body_structures
from mssante.wire.mime.encoded_words import decode_encoded_words
from mssante.wire.mime.headers import collect, select_fields, unfold
from mssante.wire.mime.limits import MimeError, MimeFault, MimeLimits
from mssante.wire.mime.parameters import content_type, strip_comments, text_parameter
from mssante.wire.mime.scanner import scan
from mssante.wire.mime.summary import summarise
from mssante.wire.mime.transfer import decode_body

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def nested_multiparts(depth: int) -> bytes:
    content = b""
    for level in range(depth):
        content += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    return content + b"\r\ntext"


def nested_messages(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: x\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (MIXED + b"--b\r\n\r\nx\r\n" * 10_000, MimeFault.TOO_MANY_PARTS),
        (MIXED + b"--b\r\n" * 10_000, MimeFault.TOO_MANY_PARTS),
        (MIXED + b"--bb\r\n" * 20_000, MimeFault.TOO_MANY_BOUNDARIES),
        (nested_multiparts(1_000), MimeFault.TOO_DEEP),
        (nested_multiparts(40), MimeFault.TOO_DEEP),
        (nested_messages(1_000), MimeFault.TOO_MANY_NESTED_MESSAGES),
        (b"A: b\r\n" * 2_000 + b"\r\n", MimeFault.TOO_MANY_FIELDS),
        (b"To: " + b"a@b.example,\r\n " * 100_000, MimeFault.HEADER_TOO_LARGE),
        (b"To: " + b"a@b.example,\r\n " * 10_000, MimeFault.FIELD_TOO_LONG),
        (MIXED + (b"--b\r\nX: " + b"y" * 99_000 + b"\r\n") * 11, MimeFault.HEADER_TOO_LARGE),
        (MIXED + b"--b\r\nX: " + b"y" * 300_000, MimeFault.HEADER_TOO_LARGE),
        (b"From: " + b"<" * 20_000 + b"\r\n\r\n", MimeFault.TOO_MANY_ADDRESSES),
        (b"To: a:;\r\n" * 900 + b"Cc: " + b"a," * 9_000, MimeFault.TOO_MANY_ADDRESSES),
        (
            b"Content-Type: a/b" + b"".join(b"; n*%d=x" % n for n in range(5_000)),
            MimeFault.TOO_MANY_PARAMETERS,
        ),
        (b"Content-Disposition: a" + b"; n=x" * 5_000, MimeFault.TOO_MANY_PARAMETERS),
    ],
)
def test_a_message_over_a_limit_is_refused_with_its_word(content, fault):
    with pytest.raises(MimeError) as caught:
        summarise(content)

    assert caught.value.fault is fault


def test_parts_are_counted_over_the_whole_tree():
    inner = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n" + b"--c\r\n\r\nx\r\n" * 30
    content = MIXED + (b"--b\r\n" + inner) * 30

    assert len(scan(content).children) == 30
    with pytest.raises(MimeError) as caught:
        scan(content, MimeLimits(max_parts=900))
    assert caught.value.fault is MimeFault.TOO_MANY_PARTS


def test_what_stays_just_within_the_limits_is_read():
    assert len(summarise(MIXED + b"--b\r\n\r\nx\r\n" * 999).parts) == 999
    assert summarise(nested_multiparts(30)).parts[-1].section == ".".join(["1"] * 30)
    assert summarise(nested_messages(10)).parts[-1].section == ".".join(["1"] * 11)


def test_names_of_any_length_are_stored():
    name = b"x" * 100_000
    content = b"Content-Type: a/" + name + b"\r\nContent-Transfer-Encoding: " + name + b"\r\n\r\n"

    (part,) = summarise(content).parts

    assert part.media_type == "a/" + "x" * 127
    assert part.encoding == "x" * 127
    assert summarise(b"Content-Type: " + name + b"/a\r\n\r\n").parts[0].media_type == "text/plain"


def test_a_summary_is_not_much_larger_than_the_headers_that_it_shows():
    inner = b"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: " + b"<" * 20 + b"\r\n\r\n\r\n"
    content = MIXED + inner * 490

    assert len(summarise(content).encode()) < 2_000_000


def test_two_thousand_recipients_are_read():
    names = b",\r\n ".join(b'"Martin, Anne %d" <a%d@b.example>' % (n, n) for n in range(2_000))

    assert summarise(b"To: " + names + b"\r\n\r\n").envelope.count(b'"b.example"') == 2_000


def test_a_deeply_nested_message_writes_its_structure():
    wide = MimeLimits(max_depth=60, max_nested_messages=60)
    content = nested_messages(60)

    short, long = body_structures(scan(content, wide), content)

    assert short.count(b'"MESSAGE" "RFC822"') == long.count(b'"MESSAGE" "RFC822"') == 60


def seconds(work, argument) -> float:
    best = 10.0
    for _ in range(3):
        start = time.process_time()
        work(argument)
        best = min(best, time.process_time() - start)
    return best


UNBOUNDED = MimeLimits(
    max_header_bytes=1 << 30,
    max_total_header_bytes=1 << 30,
    max_fields=1 << 30,
    max_field_bytes=1 << 30,
    max_address_separators=1 << 30,
    max_parameters=1 << 30,
    max_parts=1 << 30,
    max_boundary_lines=1 << 30,
)


def scan_unbounded(content: bytes) -> None:
    scan(content, UNBOUNDED)


def collect_unbounded(block: bytes) -> None:
    collect(block, UNBOUNDED)


def parameters_unbounded(value: bytes) -> None:
    parsed = content_type(value, UNBOUNDED)
    assert parsed is not None
    text_parameter(parsed[2], b"n")


@pytest.mark.parametrize(
    ("work", "piece", "start"),
    [
        (scan_unbounded, b"--b\r\n\r\n", MIXED),
        (scan_unbounded, b"--bb\r\n", MIXED),
        (scan_unbounded, b"\n--b" + b" " * 50, MIXED),
        (scan_unbounded, b"--b ", MIXED + b"--b"),
        (scan_unbounded, b"\r\n\r", b"A: b"),
        (scan_unbounded, b" \r\n", b"A: b\r\n"),
        (scan_unbounded, b"To: a\r\n", b""),
        (collect_unbounded, b"a", b""),
        (collect_unbounded, b"To: a\r\n", b""),
        (unfold, b"\r\n ", b"a"),
        (unfold, b"\r \n", b"a"),
        (read_addresses, b"a@b.example,\r\n ", b""),
        (read_addresses, b"(", b""),
        (read_addresses, b"()", b"a@b"),
        (read_addresses, b'"', b""),
        (read_addresses, b'\\"', b'"'),
        (read_addresses, b"<", b""),
        (read_addresses, b"@", b""),
        (read_addresses, b"a:", b""),
        (read_addresses, b";", b"a:"),
        (read_addresses, b" ", b"a"),
        (read_addresses, b"a ", b""),
        (read_addresses, b"[", b""),
        (read_addresses, b"a b <", b""),
        (parameters_unbounded, b";", b"a/b"),
        (parameters_unbounded, b"; n", b"a/b"),
        (parameters_unbounded, b" ", b"a/b;"),
        (parameters_unbounded, b'; n="', b"a/b"),
        (parameters_unbounded, b"a", b"a/b; n="),
        (parameters_unbounded, b"\\", b'a/b; n="'),
        (parameters_unbounded, b"%41", b"a/b; n*=utf-8''"),
        (strip_comments, b"(", b""),
        (strip_comments, b")", b"("),
        (strip_comments, b'"', b"("),
        (strip_comments, b'\\"(', b'"'),
        (decode_encoded_words, b"=?", b""),
        (decode_encoded_words, b"=?a?Q?", b""),
        (decode_encoded_words, b"=?a?Q?b?= ", b""),
        (decode_encoded_words, b"=?utf-8?B?w6k=?=", b""),
        (decode_encoded_words, b" ", b"=?a?Q?b?="),
    ],
)
def test_reading_is_linear_in_the_length(work, piece, start):
    size = 50_000 // len(piece)
    ratios = []
    for _ in range(5):  # a machine with other work is slow by chance, quadratic work always
        once = seconds(work, start + piece * size)
        four_times = seconds(work, start + piece * (4 * size))
        # Quadratic work would take sixteen times as long; a floor keeps the clock's grain out.
        ratios.append(four_times / max(once, 0.005))
        if ratios[-1] < 10:
            return
    raise AssertionError(f"not linear: {ratios}")


def test_continued_parameters_are_put_together_in_linear_time():
    def value(count):
        return b"a/b" + b"".join(b"; n*%d*=%%41" % n for n in reversed(range(count)))

    once = seconds(parameters_unbounded, value(10_000))

    assert seconds(parameters_unbounded, value(40_000)) < 10 * max(once, 0.005)


def test_quoted_printable_blanks_are_stripped_in_linear_time():
    def decode(encoded):
        decode_body(encoded, "quoted-printable", max_bytes=1 << 30)

    once = seconds(decode, b" " * 50_000 + b"x")

    assert seconds(decode, b" " * 200_000 + b"x") < 10 * max(once, 0.005)


def test_selecting_fields_is_linear():
    def select(block):
        select_fields(block, [b"x", b"to"])
        select_fields(block, [b"x", b"to"], negate=True)

    once = seconds(select, b"To: a\r\n b\r\n" * 20_000 + b"\r\n")

    assert seconds(select, b"To: a\r\n b\r\n" * 80_000 + b"\r\n") < 10 * max(once, 0.005)
