"""Who becomes a patient's contact and until when: headers read, marks judged against a simple model."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.civil import a_year_before, civil_month
from mssante.kernel.opaque import OpaqueId
from mssante.mail.contacts import (
    Ending,
    KeptMarks,
    MarkKind,
    Moment,
    read_correspondence,
    standing,
)
from mssante.mail.rules.who_may_write import TABLE, Party, Rule


def read(*lines: str):
    return read_correspondence("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")


def contacts(*lines: str) -> list[str]:
    return [str(one) for one in read(*lines).contacts]


def test_from_is_the_contact_where_there_is_no_reply_to():
    assert contacts("From: Dr A <a@h.example>", "Subject: x") == ["a@h.example"]


def test_reply_to_is_the_contact_and_from_is_not():
    found = read("From: app@h.example", "Reply-To: Secr <s@h.example>, t@h.example")

    assert [str(one) for one in found.contacts] == ["s@h.example", "t@h.example"]
    assert str(found.author) == "app@h.example"


@pytest.mark.parametrize("empty", ["", "nobody", "group:;", "é@h.example"])
def test_a_reply_to_that_names_nobody_leaves_from(empty):
    assert contacts("From: a@h.example", f"Reply-To: {empty}") == ["a@h.example"]


def test_each_author_and_each_contact_may_have_been_blocked():
    found = read("From: a@h.example, b@h.example", "Reply-To: c@h.example")

    assert found.addresses == {"a@h.example", "b@h.example", "c@h.example"}
    assert str(found.author) == "a@h.example"


def test_a_message_opens_ten_contacts_at_most():
    many = ", ".join(f"a{n}@h.example" for n in range(50))

    assert len(contacts("From: a@h.example", f"Reply-To: {many}")) == 10


def test_a_header_without_an_author_says_nothing():
    assert read("Subject: [FIN]") is None


@pytest.mark.parametrize(
    ("lines", "ending"),
    [
        (["X-MSS-MES: FIN"], Ending.HEADER),
        (["x-mss-mes:FIN"], Ending.HEADER),
        (["X-MSS-MES:\r\n FIN"], Ending.HEADER),
        (["X-MSS-MES: fin"], None),
        (["X-MSS-MES: FINI"], None),
        (["Subject: [FIN]"], Ending.SUBJECT),
        (["Subject:  [FIN] "], Ending.SUBJECT),
        (["Subject: =?utf-8?b?W0ZJTl0=?="], Ending.SUBJECT),
        (["Subject: [FIN]", "X-MSS-MES: FIN"], Ending.SUBJECT),
        (["Subject: [fin]"], None),
        (["Subject: Re: [FIN]"], None),
        (["Subject: [FIN] merci"], None),
    ],
)
def test_two_forms_close_and_their_case_counts(lines, ending):
    assert read("From: a@h.example", *lines).ending is ending


@given(st.binary(max_size=300))
def test_any_header_is_read_without_a_fault(block):
    read_correspondence(block)
    read_correspondence(b"From: a@b.fr\r\nReply-To: " + block + b"\r\n\r\n")


# --- the marks against a model that replays messages in their order ----------------------------

PEOPLE = ("app", "doctor", "secretary")
MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 5),  # the instant: equal ones are wanted
        st.sampled_from(PEOPLE),  # From
        st.sampled_from((None, *PEOPLE)),  # Reply-To
        st.sampled_from((None, *Ending)),
    ),
    max_size=12,
)


def token(name: str) -> OpaqueId:
    return OpaqueId(name.encode().ljust(16, b"."))


def as_header(author, reply_to, ending):
    lines = [f"From: {author}@h.example"]
    lines += [f"Reply-To: {reply_to}@h.example"] if reply_to else []
    lines += ["X-MSS-MES: FIN"] if ending is Ending.HEADER else []
    lines += ["Subject: [FIN]"] if ending is Ending.SUBJECT else []
    return read(*lines)


class Store:
    """The latest mark of each kind, as the tables keep it."""

    def __init__(self):
        self.rows = {}

    def apply(self, moment, correspondence):
        for mark in correspondence.marks():
            key = tuple(one and one.local for one in (mark.contact, mark.author))
            row = self.rows.setdefault(key, {})
            row[mark.kind] = max(row.get(mark.kind, moment), moment)

    def standing(self, name):
        kept = [
            KeptMarks(
                contact and token(contact),
                author and token(author),
                row.get(MarkKind.OPENED),
                row.get(MarkKind.CLOSED),
            )
            for (contact, author), row in self.rows.items()
        ]
        return standing(token(name), kept)


def replayed(messages):
    """The rules said in order: who opened whom, one message after the other."""
    opened = set()
    for _, author, reply_to, ending in messages:
        contact = reply_to or author
        if ending is None:
            opened.add((contact, author))
        elif ending is Ending.HEADER:
            opened -= {(c, a) for c, a in opened if c == contact and author in (a, contact)}
        else:
            opened -= {(c, a) for c, a in opened if author in (a, c)}
    return {contact for contact, _ in opened}


@given(MESSAGES, st.randoms(use_true_random=False))
def test_the_outcome_is_that_of_the_order_of_acceptance_however_they_are_delivered(
    messages, chance
):
    accepted = [(at, n, *rest) for n, (at, *rest) in enumerate(messages)]
    ordered = sorted(accepted)
    deliveries = [*accepted, *chance.sample(accepted, len(accepted) // 2)]  # some of them twice
    chance.shuffle(deliveries)
    store = Store()
    for at, number, *rest in deliveries:
        store.apply(Moment(at, number.to_bytes(16, "big")), as_header(*rest))

    expected = replayed([(at, *rest) for at, _, *rest in ordered])
    assert {name for name in PEOPLE if store.standing(name).is_open} == expected


def test_who_is_not_the_contact_ends_only_what_it_opened_itself():
    store = Store()
    store.apply(Moment(1, b"1"), as_header("secretary", None, None))
    store.apply(Moment(2, b"2"), as_header("app", "secretary", None))
    store.apply(Moment(3, b"3"), as_header("app", None, Ending.SUBJECT))

    assert store.standing("secretary").is_open


# --- the table -----------------------------------------------------------------------------------


def test_the_table_has_a_rule_for_every_sender_and_recipient():
    assert set(TABLE) == set(Party) - {Party.POSTMASTER}
    assert all(set(row) == set(Party) for row in TABLE.values())


def test_patients_never_write_to_each_other():
    patients = [party for party in Party if party.is_patient]
    rules = {TABLE[one][other] for one in patients for other in patients}

    assert rules == {Rule.NEVER}


def test_nothing_passes_through_from_one_operator_to_another():
    elsewhere = (Party.PROFESSIONAL_ELSEWHERE, Party.PATIENT_ELSEWHERE)

    assert {TABLE[one][other] for one in elsewhere for other in elsewhere} == {Rule.NEVER}


def test_everybody_may_write_to_a_postmaster():
    assert {row[Party.POSTMASTER] for row in TABLE.values()} == {Rule.FREELY}


def test_months_and_years_are_civil():
    begin, end = civil_month(2026, 10)

    assert (begin, end) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC),
    )  # fmt: skip
    assert civil_month(2026, 12)[1] == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert a_year_before(datetime(2024, 2, 29, 12, tzinfo=UTC)) == datetime(
        2023, 2, 27, 23, tzinfo=UTC
    )
