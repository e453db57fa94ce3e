"""The second stage: what a command says."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.imap import commands as c
from mssante.wire.imap import mutf7
from mssante.wire.imap.errors import GrammarError
from mssante.wire.imap.fetch import Attribute, BodySection, Section, SectionText
from mssante.wire.imap.grammar import parse_command
from mssante.wire.imap.list_pattern import ListPattern
from mssante.wire.imap.responses import internal_date, literal, mailbox, quoted, string
from mssante.wire.imap.search import (
    AllOf,
    AnyOf,
    DateKey,
    DateRelation,
    Everything,
    FlagKey,
    HeaderKey,
    NoneOf,
)
from mssante.wire.imap.search import ModseqKey, SequenceKey, SizeKey, TextKey
from mssante.wire.imap.sequence_set import SequenceSet, format_numbers, parse_sequence_set

ONE = SequenceSet(((1, 1),))
CASES = [
    ([b"1.1 capability"], "CAPABILITY", c.Capability()),
    ([b"a Noop"], "NOOP", c.Noop()),
    ([b'a ID ("name" "x" "y" NIL)'], "ID", c.Id()),
    ([b"a id nil"], "ID", c.Id()),
    ([b"a ENABLE utf8=accept"], "ENABLE", c.Enable(("UTF8=ACCEPT",))),
    ([b"a AUTHENTICATE plain"], "AUTHENTICATE", c.Authenticate("PLAIN", None)),
    ([b"a AUTHENTICATE PLAIN ="], "AUTHENTICATE", c.Authenticate("PLAIN", b"=")),
    ([b"a AUTHENTICATE PLAIN AGEAYg=="], "AUTHENTICATE", c.Authenticate("PLAIN", b"AGEAYg==")),
    ([b'a LOGIN u@x.fr "p\\"\\\\"'], "LOGIN", c.Login(b"u@x.fr", b'p"\\')),
    ([b"a LOGIN ", b"u", b" ", b'p"', b""], "LOGIN", c.Login(b"u", b'p"')),
    ([b"a SELECT inBox"], "SELECT", c.Select("INBOX", read_only=False)),
    ([b'a EXAMINE "Envoy&AOk-s"'], "EXAMINE", c.Select("Envoyés", read_only=True)),
    ([b"a CREATE inbox/x/"], "CREATE", c.Create("INBOX/x")),
    ([b'a RENAME a "b c"'], "RENAME", c.Rename("a", "b c")),
    ([b'a LIST "" %'], "LIST", c.ListMailboxes("", ("%",))),
    (
        [b'a LIST (special-use Subscribed) "" ("%" x) return (children status (size) subscribed)'],
        "LIST",
        c.ListMailboxes(
            "",
            ("%", "x"),
            extended=True,
            selection=frozenset({c.ListSelection.SPECIAL_USE, c.ListSelection.SUBSCRIBED}),
            returned=frozenset({c.ListReturn.CHILDREN, c.ListReturn.SUBSCRIBED}),
            status=(c.StatusItem.SIZE,),
        ),
    ),
    ([b'a LIST "" % RETURN ()'], "LIST", c.ListMailboxes("", ("%",), extended=True)),
    ([b"a CREATE x (use (\\Sent \\all))"], "CREATE", c.Create("x", ("\\Sent", "\\all"))),
    ([b'a LSUB "x/" "*"'], "LSUB", c.ListSubscribed("x/", "*")),
    (
        [b"a STATUS x (messages UNSEEN messages)"],
        "STATUS",
        c.Status("x", (c.StatusItem.MESSAGES, c.StatusItem.UNSEEN)),
    ),
    ([b"a APPEND x ", b"abc", b""], "APPEND", c.Append("x", (), None, b"abc")),
    (
        [b'a APPEND x (\\seen $A \\Recent $a) " 1-Feb-2026 00:30:00 +0100" ', b"abc", b""],
        "APPEND",
        c.Append("x", ("\\Seen", "$A"), datetime(2026, 1, 31, 23, 30, tzinfo=UTC), b"abc"),
    ),
    ([b"a EXPUNGE"], "EXPUNGE", c.Expunge(None)),
    ([b"a uid expunge 1"], "UID EXPUNGE", c.Expunge(ONE)),
    ([b"a COPY 1 x"], "COPY", c.Copy(ONE, "x", uid=False)),
    (
        [b"a UID STORE 1 -flags.silent (\\Deleted)"],
        "UID STORE",
        c.Store(ONE, c.StoreOperation.REMOVE, silent=True, flags=("\\Deleted",), uid=True),
    ),
    (
        [b"a STORE 1 FLAGS \\Seen k"],
        "STORE",
        c.Store(ONE, c.StoreOperation.REPLACE, silent=False, flags=("\\Seen", "k"), uid=False),
    ),
    (
        [b"a STORE 1 (unchangedsince 0) +FLAGS (k)"],
        "STORE",
        c.Store(ONE, c.StoreOperation.ADD, False, ("k",), uid=False, unchanged_since=0),
    ),
    ([b"a SELECT x (condstore)"], "SELECT", c.Select("x", read_only=False, condstore=True)),
    (
        [b"a UID FETCH 1 (modseq uid) (changedsince 9223372036854775807)"],
        "UID FETCH",
        c.Fetch(ONE, (Attribute.UID, Attribute.MODSEQ), uid=True, changed_since=(1 << 63) - 1),
    ),
    (
        [b"a FETCH 1 fast (CHANGEDSINCE 7)"],
        "FETCH",
        c.Fetch(
            ONE,
            (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.MODSEQ),
            uid=False,
            changed_since=7,
        ),
    ),
    (
        [b"a UID SEARCH RETURN (min Max) MODSEQ 9"],
        "UID SEARCH",
        c.Search(
            ModseqKey(9), uid=True, results=frozenset({c.SearchResult.MIN, c.SearchResult.MAX})
        ),
    ),
    (
        [b'a SEARCH return () MODSEQ "/flags/\\\\seen" priv 0'],
        "SEARCH",
        c.Search(ModseqKey(0), uid=False, results=frozenset({c.SearchResult.ALL})),
    ),
    ([b"a FETCH 1 uid"], "FETCH", c.Fetch(ONE, (Attribute.UID,), uid=False)),
    (
        [b"a UID FETCH 1 (FLAGS uid)"],
        "UID FETCH",
        c.Fetch(ONE, (Attribute.UID, Attribute.FLAGS), uid=True),
    ),
    (
        [b"a FETCH 1 fast"],
        "FETCH",
        c.Fetch(ONE, (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE), uid=False),
    ),
    (
        [b"a FETCH 1 body.peek[1.2.header.fields (Date ", b"x y", b")]<10.20>"],
        "FETCH",
        c.Fetch(
            ONE,
            (
                BodySection(
                    b'BODY[1.2.HEADER.FIELDS (Date "x y")]<10>',
                    Section((1, 2), SectionText.HEADER_FIELDS, (b"Date", b"x y")),
                    True,
                    10,
                    20,
                ),
            ),
            uid=False,
        ),
    ),
    (
        [b"a FETCH 1 (BODY BODY[] BODY[TEXT] BODY[3] BODY[3.MIME])"],
        "FETCH",
        c.Fetch(
            ONE,
            (
                Attribute.BODY,
                BodySection(b"BODY[]", Section(), False),
                BodySection(b"BODY[TEXT]", Section((), SectionText.TEXT), False),
                BodySection(b"BODY[3]", Section((3,)), False),
                BodySection(b"BODY[3.MIME]", Section((3,), SectionText.MIME), False),
            ),
            uid=False,
        ),
    ),
]


@pytest.mark.parametrize(("fragments", "name", "expected"), CASES)
def test_commands(fragments, name, expected):
    tagged = parse_command(tuple(fragments))

    assert tagged.name == name
    assert tagged.command == expected
    assert tagged.tag in ("a", "1.1")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"ALL", Everything()),
        (b"UNSEEN", NoneOf(FlagKey("\\Seen"))),
        (b"KEYWORD \\seen", None),
        (b"KEYWORD $x", FlagKey("$x")),
        (
            b"1:3 5",
            AllOf(
                (
                    SequenceKey(SequenceSet(((1, 3),)), False),
                    SequenceKey(SequenceSet(((5, 5),)), False),
                )
            ),
        ),
        (b"UID *", SequenceKey(SequenceSet(((0, 0),)), True)),
        (
            b"OR (SEEN DRAFT) NOT ALL",
            AnyOf(AllOf((FlagKey("\\Seen"), FlagKey("\\Draft"))), NoneOf(Everything())),
        ),
        (b"SENTON 3-feb-2026", DateKey(DateRelation.ON, date(2026, 2, 3), True)),
        (b"LARGER 12", SizeKey(12, True)),
        (b"FROM x", HeaderKey("From", "x")),
        (b'HEADER X-a ""', HeaderKey("X-a", "")),
        (b"TEXT x", TextKey("x", True)),
        (b"(ALL)", Everything()),
        (b"", None),
        (b"ALL ", None),
        (b"(ALL", None),
        (b"OR ALL", None),
        (b"BEFORE 1-Foo-2026", None),
    ],
)
def test_search_keys(raw, expected):
    command = b"a SEARCH " + raw
    if expected is None:
        with pytest.raises(GrammarError):
            parse_command((command,))
    else:
        assert parse_command((command,)).command == c.Search(expected, uid=False)


def test_a_grammar_error_knows_its_tag():
    with pytest.raises(GrammarError) as caught:
        parse_command((b"x9 FETCH",))
    assert caught.value.tag == "x9"


def test_secrets_and_messages_do_not_show():
    for fragments in (
        (b"a LOGIN secretuser secretpw",),
        (b"a APPEND x ", b"secret", b""),
        (b"a AUTHENTICATE PLAIN c2VjcmV0",),
        (b"a SEARCH TEXT secret",),
    ):
        assert "ecret" not in repr(parse_command(fragments))
        assert "c2Vj" not in repr(parse_command(fragments))


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("INBOX", b"INBOX"),
        ("Envoyés", b"Envoy&AOk-s"),
        ("Reçus & envoyés", b"Re&AOc-us &- envoy&AOk-s"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("😀", b"&2D3eAA-"),
    ],
)
def test_modified_utf7(name, raw):
    assert mutf7.encode(name) == raw
    assert mutf7.decode(raw) == name


@pytest.mark.parametrize(
    "raw",
    [
        b"&",
        b"&AOk",
        b"&AOk=-",
        b"a\xe9",
        b"&AGE-",
        b"&2D0-",
        b"&AOl-",
        b"&AOkA6Q-x&",
        b"&AOk-&AOk-",
        b"&A-",
    ],
)
def test_what_is_not_canonical_modified_utf7_is_refused(raw):
    with pytest.raises(ValueError):
        mutf7.decode(raw)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_every_name_survives_modified_utf7(name):
    assert mutf7.decode(mutf7.encode(name)) == name


@pytest.mark.parametrize(
    ("raw", "largest", "ranges"),
    [
        (b"1", 5, [(1, 1)]),
        (b"4:2", 5, [(2, 4)]),
        (b"*", 5, [(5, 5)]),
        (b"7:*", 5, [(5, 7)]),
        (b"*:7", 5, [(5, 7)]),
        (b"3:*,1", 5, [(1, 1), (3, 5)]),
        (b"1:3,2:5,6", 9, [(1, 6)]),
        (b"*", 0, []),
        (b"1:*", 0, []),
    ],
)
def test_sequence_sets(raw, largest, ranges):
    assert parse_sequence_set(raw).ranges(largest) == ranges


@pytest.mark.parametrize(
    "raw", [b"0", b"1:", b":1", b"1,,2", b"1:2:3", b"4294967296", b"-1", b"01", b"a"]
)
def test_what_is_no_sequence_set(raw):
    with pytest.raises(GrammarError):
        parse_sequence_set(raw)


@given(st.sets(st.integers(1, 300)))
def test_numbers_are_written_as_the_set_that_reads_back(numbers):
    text = format_numbers(sorted(numbers))
    read = parse_sequence_set(text.encode()).ranges(1000) if text else []

    assert {n for low, high in read for n in range(low, high + 1)} == numbers


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a/b", True),
        ("%", "a/b", False),
        ("%", "a", True),
        ("%/%", "a/b", True),
        ("a*", "a", True),
        ("*b", "a/b", True),
        ("a/%", "a/", True),
        ("%%*", "x/y", True),
        ("", "", True),
        ("INBOX", "INBOX/x", False),
        ("a%c*e", "abc/d/e", True),
        ("a%c*e", "ab/c/d/e", False),
    ],
)
def test_list_patterns(pattern, name, matches):
    assert ListPattern(pattern).matches(name) is matches


@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=8))
def test_list_patterns_agree_with_a_regular_expression(pattern, name):
    import re

    expression = "".join(
        {"*": ".*", "%": "[^/]*"}.get(letter, re.escape(letter)) for letter in pattern
    )

    assert ListPattern(pattern).matches(name) is (re.fullmatch(expression, name) is not None)


def test_a_pattern_of_stars_takes_no_time():
    assert not ListPattern("*a" * 400).matches("a" * 399)


def test_strings_are_written_so_that_clients_read_them():
    assert quoted(b'a"b\\c') == b'"a\\"b\\\\c"'
    assert string("é".encode()) == b"{2}\r\n\xc3\xa9"
    assert string(b"") == literal(b"") == b'""'
    assert literal(b"ab") == b"{2}\r\nab"
    assert mailbox('Reçu "x"') == b'"Re&AOc-u \\"x\\""'


def test_internal_dates_are_written_in_utc():
    assert internal_date(1_770_076_800_000) == '" 3-Feb-2026 00:00:00 +0000"'
    assert internal_date(0) == '" 1-Jan-1970 00:00:00 +0000"'
    assert internal_date(1_764_547_199_999) == '"30-Nov-2025 23:59:59 +0000"'
