"""The structure that goes with a message is that of what is kept, whatever became of its header."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.rules.completion import completed
from mssante.mail.rules.header import Header
from mssante.mail.rules.structure import check_structure, kept
from mssante.wire.mime.limits import DEFAULT_LIMITS
from mssante.wire.mime.scanner import scan
from tests.wire.mime.message_trees import trees, write

FIELDS = st.lists(
    st.sampled_from(
        [
            b"Date: x\r\n",
            b"Message-ID: <a@b>\r\n",
            b"Return-Path: <a@b>\r\n",
            b"Bcc: a@b,\r\n\tc@d\r\n",
            b"Received: from a\r\n",
            b"Received: from a\r\n by b\r\n",
            b"To: a@b\r\n",
            b"no field\r\n",
        ]
    ),
    max_size=5,
).map(b"".join)


def keep(content, *, private=frozenset(), limits=DEFAULT_LIMITS):
    root = check_structure(content, limits)
    header = Header.cut(content[: root.body_start])
    block = completed(
        header,
        now=datetime(2026, 11, 27, tzinfo=UTC),
        message_id="new@b",
        authserv_id="mx.b",
        private=private,
    )
    return kept(content, root, block, limits)


@given(FIELDS, trees(), st.sets(st.sampled_from([b"received", b"content-type"])))
def test_it_is_what_a_scan_of_the_kept_message_finds(before, tree, private):
    content = before + write(tree)

    admitted = keep(content, private=frozenset(private))

    assert admitted.root == scan(admitted.content)


@given(FIELDS, st.sampled_from([b"", b"\r\n", b"\r\nbody", b"\r\n\r\n--x\r\n"]))
def test_it_is_so_of_messages_that_are_hardly_any(header, rest):
    admitted = keep(header + rest)

    assert admitted.root == scan(admitted.content)


def test_a_header_that_is_too_long_with_what_we_add_is_refused_and_not_kept():
    limits = replace(DEFAULT_LIMITS, max_fields=3)
    keep(b"From: a@b\r\n\r\n", limits=limits)

    with pytest.raises(Refusal) as refused:
        keep(b"From: a@b\r\nTo: a@b\r\n\r\n", limits=limits)

    assert refused.value.reason is Reason.MESSAGE_TOO_COMPLEX
