"""Header blocks are cut to the octet."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.wire.mime.headers import collect, fields, first, select_fields, unfold
from mssante.wire.mime.limits import MimeError, MimeFault, MimeLimits

BLOCK = (
    b"Received: from a\r\n by b;\r\n\tdate\r\n"
    b"From: Anne <a@b.example>\r\n"
    b"SUBJECT : folded\r\n  twice\r\n"
    b"not a field\r\n"
    b"From-Other: x\r\n"
    b"to: c@d.example\r\n"
    b"\r\n"
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([b"from"], b"From: Anne <a@b.example>\r\n\r\n"),
        ([b"Subject"], b"SUBJECT : folded\r\n  twice\r\n\r\n"),
        ([b"To", b"FROM"], b"From: Anne <a@b.example>\r\nto: c@d.example\r\n\r\n"),
        ([b"received"], b"Received: from a\r\n by b;\r\n\tdate\r\n\r\n"),
        ([b"x-none"], b"\r\n"),
        ([b"F.om", b"fro"], b"\r\n"),
        ([], b"\r\n"),
    ],
)
def test_named_fields_come_whole_in_the_order_of_the_message_with_the_empty_line(names, expected):
    assert select_fields(BLOCK, names) == expected


def test_the_fields_that_are_not_named_are_all_the_rest():
    assert select_fields(BLOCK, [b"received", b"subject", b"from"], negate=True) == (
        b"not a field\r\nFrom-Other: x\r\nto: c@d.example\r\n\r\n"
    )
    assert select_fields(BLOCK, [], negate=True) == BLOCK


def test_a_header_without_empty_line_gets_none():
    assert select_fields(b"From: a\r\nTo: b", [b"to"]) == b"To: b"
    assert select_fields(b"From: a\r\nTo: b", [b"to"], negate=True) == b"From: a\r\n"
    assert select_fields(b"From: a\r\nTo: b\r\n", [b"from"]) == b"From: a\r\n"
    assert select_fields(b"", [b"from"]) == b""
    assert select_fields(b"\r\n", [b"from"]) == b"\r\n"
    assert select_fields(b"From: a\nTo: b\n\n", [b"to"]) == b"To: b\n\n"
    assert select_fields(b"\n", [b"to"]) == b"\n"


names = st.sampled_from([b"From", b"to", b"SUBJECT", b"X-A", b"X-Ab", b"Received"])
field_lines = st.builds(
    lambda name, blank, value: name + blank + b":" + value + b"\r\n",
    names,
    st.sampled_from([b"", b" ", b"\t"]),
    st.sampled_from([b"", b" x", b" x\r\n y", b"\r\n\tz", b" \r\n ", b" \xe9 from: to:"]),
)


@settings(deadline=None)
@given(st.lists(field_lines, max_size=12), st.sets(names, max_size=4), st.booleans())
def test_named_and_not_named_fields_share_the_header_between_them(some, wanted, ended):
    block = b"".join(some) + (b"\r\n" if ended else b"")

    def is_wanted(line):
        return line.partition(b":")[0].strip().lower() in {name.lower() for name in wanted}

    tail = b"\r\n" if ended else b""
    assert select_fields(block, wanted) == b"".join(filter(is_wanted, some)) + tail
    rest = b"".join(line for line in some if not is_wanted(line))
    assert select_fields(block, wanted, negate=True) == rest + tail


@settings(deadline=None)
@given(st.lists(field_lines, max_size=12))
def test_the_fields_of_a_header_lie_one_after_the_other(some):
    block = b"".join(some) + b"\r\n"

    found = list(fields(block))

    assert [block[field.start : field.stop] for field in found] == some
    assert all(block[field.value_start - 1 : field.value_start] == b":" for field in found)
    assert [field.name for field in found] == [line.partition(b":")[0].strip() for line in some]


def test_unfolding_removes_line_ends_and_keeps_the_blanks():
    assert unfold(b" a\r\n b\r\n\tc \r") == b"a b\tc"
    assert unfold(b"a\n b") == b"a b"
    assert unfold(b"a\rb") == b"a b"
    assert unfold(b"\r\n x") == b"x"


def test_the_first_field_of_a_name_is_found_in_any_case():
    assert first(BLOCK, b"Subject") == b"folded  twice"
    assert first(BLOCK, b"x-none") is None
    assert first(b"A: 1\r\nA: 2\r\n\r\n", b"a") == b"1"


def test_repeated_address_fields_are_one_list_and_others_count_once():
    values = collect(b"To: a@b\r\nSubject: 1\r\nto: c@d\r\nsubject: 2\r\nTO: e@f\r\n\r\n")

    assert re.sub(rb"\s", b"", values[b"to"]) == b"a@b,c@d,e@f"
    assert values[b"subject"].strip() == b"1"


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (b"A: b\r\n" * 11, MimeFault.TOO_MANY_FIELDS),
        (b"A: " + b"b" * 200 + b"\r\n", MimeFault.FIELD_TOO_LONG),
        (b"A: " + b"b\r\n " * 60 + b"\r\n", MimeFault.FIELD_TOO_LONG),
        (b"junk\r\n" * 100, MimeFault.HEADER_TOO_LARGE),
    ],
)
def test_a_header_over_a_limit_is_refused_with_its_word(block, fault):
    with pytest.raises(MimeError) as caught:
        collect(block, MimeLimits(max_header_bytes=500, max_fields=10, max_field_bytes=100))

    assert caught.value.fault is fault
    assert str(caught.value) == fault.value
