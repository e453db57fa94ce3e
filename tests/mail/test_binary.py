"""A message that came as binary MIME, in lines."""

import tracemalloc

from mssante.mail.rules.binary import in_lines


def test_many_short_lines_do_not_take_many_times_their_octets():
    content = b"From: a@b\r\n\r\n" + b"ab\r\n" * 250_000

    tracemalloc.start()
    try:
        assert in_lines(content) == content
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 8 * len(content)
