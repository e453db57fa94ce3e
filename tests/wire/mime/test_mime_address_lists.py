"""Address lists of RFC 5322 appendix A, of clients, and of nobody's grammar."""

import email.utils

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.wire.mime.address_lists import MailboxEntry, read_addresses

END = (None, None, None, None)


def a(name, mailbox, host):
    return (name, None, mailbox, host)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b" , ,", []),
        (b"jdoe@machine.example", [a(None, b"jdoe", b"machine.example")]),
        (b"<boss@nil.test>", [a(None, b"boss", b"nil.test")]),
        (
            b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            [
                a(b"Mary Smith", b"mary", b"x.test"),
                a(None, b"jdoe", b"example.org"),
                a(b"Who?", b"one", b"y.test"),
            ],
        ),
        (
            b'"Joe Q. Public" <john.q.public@example.com>',
            [a(b"Joe Q. Public", b"john.q.public", b"example.com")],
        ),
        (
            b'"Giant; \\"Big\\" Box" <sysservices@example.net>',
            [a(b'Giant; "Big" Box', b"sysservices", b"example.net")],
        ),
        (
            b"A Group:Ed Jones <joe@where.test>,John <jdoe@one.test>;",
            [
                a(None, b"A Group", None),
                a(b"Ed Jones", b"joe", b"where.test"),
                a(b"John", b"jdoe", b"one.test"),
                END,
            ],
        ),
        (b"Undisclosed recipients:;", [a(None, b"Undisclosed recipients", None), END]),
        (
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            [a(b"Pete", b"pete", b"silly.test")],
        ),
        (
            b"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n"
            b"     joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
            [
                a(None, b"A Group", None),
                a(b"Chris Jones", b"c", b"public.example"),
                a(None, b"joe", b"example.org"),
                a(b"John", b"jdoe", b"one.test"),
                END,
            ],
        ),
        (
            b"Joe Q. Public <john.q.public@example.com>",
            [a(b"Joe Q. Public", b"john.q.public", b"example.com")],
        ),
        (
            b"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
            [a(b"Mary Smith", b"mary", b"example.net"), a(None, b"jdoe", b"test.example")],
        ),
        (b"<@a.test,@b.test:c@d.test>", [a(None, b"c", b"d.test")]),
        (b"anne@x.test (Anne (Dr) Martin)", [a(b"Anne Dr Martin", b"anne", b"x.test")]),
        (b'"a b"@x.test', [a(None, b"a b", b"x.test")]),
        (b'"@"@x.test', [a(None, b"@", b"x.test")]),
        (b'"a@b"@x.test', [a(None, b"a@b", b"x.test")]),
        (b"a@[192.0.2.1]", [a(None, b"a", b"[192.0.2.1]")]),
        (
            b"=?utf-8?Q?Andr=C3=A9?= Martin <a@b.test>",
            [a(b"=?utf-8?Q?Andr=C3=A9?= Martin", b"a", b"b.test")],
        ),
        ("André <a@b.test>".encode(), [a("André".encode(), b"a", b"b.test")]),
        (b'"" <a@b.test>', [a(None, b"a", b"b.test")]),
        (b'"one" "two" <a@b.test>', [a(b"one two", b"a", b"b.test")]),
        # What no grammar allows.
        (b"nobody", [a(None, b"nobody", b"")]),
        (b"<>", [a(None, b"", b"")]),
        (b"<@x.test>", [a(None, b"", b"x.test")]),
        (b"Anne @ home <a@b.test>", [a(b"Anne @ home", b"a", b"b.test")]),
        (b"<a@b.test> <c@d.test>", [a(None, b"a", b"b.test"), a(None, b"c", b"d.test")]),
        (b"a@b.test; c@d.test", [a(None, b"a", b"b.test"), a(None, b"c", b"d.test")]),
        (b"<a@b.test, c@d.test", [a(None, b"a", b"b.test"), a(None, b"c", b"d.test")]),
        (b"<mailto:a@b.test>", [a(None, b"a", b"b.test")]),
        (b"a@b@c.test", [a(None, b"a@b", b"c.test")]),
        (b'"open <a@b.test>', [a(None, b"open <a@b.test>", b"")]),
        (b"(open <a@b.test>", []),
        (b"g: a@b.test", [a(None, b"g", None), a(None, b"a", b"b.test"), END]),
        (
            b"g: h: a@b.test;",
            [a(None, b"g", None), a(None, b"h", b""), a(None, b"a", b"b.test"), END],
        ),
        (b"a\\b@c.test", [a(None, b"a\\b", b"c.test")]),
    ],
)
def test_an_address_list_is_read_as_it_was_meant(value, expected):
    assert read_addresses(value) == [MailboxEntry(*entry) for entry in expected]


soup = st.lists(
    st.sampled_from(list('()<>@,:;"\\[] a.') + ["ab", "=?utf-8?Q?x?=", "\r\n "]), max_size=40
).map(lambda some: "".join(some).encode())


@settings(deadline=None)
@given(soup)
def test_groups_open_and_close_in_any_soup(value):
    open_groups = 0
    for entry in read_addresses(value):
        if entry.host is None:
            open_groups += -1 if entry.mailbox is None else 1
        else:
            assert entry.mailbox is not None
        assert open_groups in {0, 1}
    assert open_groups == 0


words = st.text(st.sampled_from('abcDEF .,;:@<>()"\\'), max_size=12).map(
    lambda name: " ".join(name.split())
)
addresses = st.from_regex(r"\A[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,8}@[a-z0-9.-]{1,9}\Z")


@settings(deadline=None)
@given(st.lists(st.tuples(words, addresses), max_size=5))
def test_what_the_standard_library_writes_is_read_back(pairs):
    value = ", ".join(email.utils.formataddr(pair) for pair in pairs).encode()

    assert read_addresses(value) == [
        MailboxEntry(name.encode() or None, None, *address.encode().split(b"@"))
        for name, address in pairs
    ]


def test_the_repr_hides_names_and_addresses():
    (entry,) = read_addresses(b"Anne Martin <anne@x.test>")

    assert "nne" not in repr(entry)
