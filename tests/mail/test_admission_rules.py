from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.access.identity import Identity
from mssante.directory.model import AccountRole, Mailbox, MailboxState, MailboxType
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.rules.authorship import check_authorship
from mssante.mail.rules.completion import completed
from mssante.mail.rules.header import Header, check_header_form

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OURS = "mx.medecins.example"
WHOLE = "Date: x\r\nMessage-ID: <y>\r\n"


def complete(block: str) -> str:
    return completed(
        Header.cut(block.encode()), now=NOW, message_id="new@medecins.example", authserv_id=OURS
    ).decode()


def an_identity(*addresses: str) -> Identity:
    box = Mailbox(
        new_id(), MailboxType.PERSONAL, Address.split(addresses[0]), MailboxState.ACTIVE, "x"
    )
    return Identity(new_id(), AccountRole.PROFESSIONAL, box, frozenset(addresses), None)


def test_a_complete_header_keeps_its_bytes():
    block = f"{WHOLE}From: a@b\r\nX:  odd \r\n\tfolding\r\nAuthentication-Results: other.example; none\r\n\r\n"

    assert complete(block) == block


def test_the_same_message_time_and_id_give_the_same_bytes():
    assert (
        complete("From: a@b\r\n\r\n")
        == complete("From: a@b\r\n\r\n")
        == (
            "From: a@b\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <new@medecins.example>\r\n\r\n"
        )
    )


def test_a_message_without_body_is_completed_too():
    assert complete("From: a@b\r\nDate: x\r\n") == (
        "From: a@b\r\nDate: x\r\nMessage-ID: <new@medecins.example>\r\n"
    )


@pytest.mark.parametrize("removed", ["", "Bcc: c@d\r\n"])
def test_what_is_added_does_not_become_part_of_a_last_field_without_line_end(removed):
    assert complete(f"Date: x\r\n{removed}From: a@b") == (
        "Date: x\r\nFrom: a@b\r\nMessage-ID: <new@medecins.example>\r\n"
    )


@pytest.mark.parametrize(
    "field",
    [
        "Bcc: a@b, c@d\r\n",
        "BCC :\r\n a@b,\r\n\tc@d\r\n",
        "Resent-Bcc: a@b\r\n",
        "Return-Path: <a@b>\r\n",
        f"Authentication-Results: {OURS}; auth=pass\r\n",
        f"Authentication-Results: (a (nested) comment) {OURS.upper()} 1; auth=pass\r\n",
        f'authentication-results:\r\n "{OURS}"; none\r\n',
        "Authentication-Results: " + "(" * 1000 + OURS + ")" * 1000 + "; none\r\n",
        "Authentication-Results:\r\n",
    ],
)
def test_fields_that_do_not_belong_there_are_removed(field):
    assert complete(f"{WHOLE}{field}From: a@b\r\n\r\n") == f"{WHOLE}From: a@b\r\n\r\n"


def test_nested_comments_cost_linear_time():
    complete(f"{WHOLE}Authentication-Results: {'(' * 60_000}{')' * 60_000} x; none\r\n\r\n")


NAMES = st.sampled_from(["From", "To", "Bcc", "X-Data", "Received", "Return-Path", "Subject"])
LINES = st.lists(
    st.tuples(NAMES, st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)),
    max_size=12,
)


@given(LINES)
def test_all_other_fields_stay_in_their_order(lines):
    block = WHOLE + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
    kept = [f"{name}: {value}\r\n" for name, value in lines if name not in ("Bcc", "Return-Path")]

    assert complete(block) == WHOLE + "".join(kept) + "\r\n"


@given(st.binary(max_size=300))
def test_any_header_is_judged_and_completed_without_a_fault(block):
    header = Header.cut(block)
    for check in (
        check_header_form,
        lambda h: check_authorship(an_identity("a@b.fr").may_send_as, h),
    ):
        try:
            check(header)
        except Refusal as refusal:
            assert refusal.reason in (Reason.MESSAGE_MALFORMED, Reason.FROM_NOT_OWNED)
    completed(header, now=NOW, message_id="m@x", authserv_id=OURS)


@pytest.mark.parametrize(
    "fields",
    [
        "From: Alice <a@b.fr>\r\n",
        'From: "Martin, Alice" <A@B.fr>\r\n',
        "From: =?utf-8?q?Alice?= <a@b.fr>\r\nSender: cardio@b.fr\r\n",
        "From: a@b.fr (Alice), cardio@b.fr\r\nSender: a@b.fr\r\n",
        "From:\r\n a@b.fr\r\n",
    ],
)
def test_own_addresses_may_be_written_in_any_form(fields):
    check_authorship(an_identity("a@b.fr", "cardio@b.fr").may_send_as, Header.cut(fields.encode()))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("From: other@b.fr\r\n", Reason.FROM_NOT_OWNED),
        ('From: "a@b.fr" <other@b.fr>\r\n', Reason.FROM_NOT_OWNED),
        ("From: a@b.fr <other@b.fr>\r\n", Reason.FROM_NOT_OWNED),
        ("From: a@b.fr, other@b.fr\r\n", Reason.FROM_NOT_OWNED),
        ("From: a@b.fr\r\nSender: other@b.fr\r\n", Reason.FROM_NOT_OWNED),
        ("From: Alice\r\n", Reason.FROM_NOT_OWNED),
        ("From: é@b.fr\r\n", Reason.FROM_NOT_OWNED),
        ("From: us: a@b.fr;\r\n", Reason.FROM_NOT_OWNED),
        ("From: a@b.fr\r\nFrom: a@b.fr\r\n", Reason.MESSAGE_MALFORMED),
        ("From: a@b.fr\r\nFrom : other@b.fr\r\n", Reason.MESSAGE_MALFORMED),
        ("To: a@b.fr\r\n", Reason.MESSAGE_MALFORMED),
        ("From: \r\n", Reason.MESSAGE_MALFORMED),
        ("From: a@b.fr\r\nSender: a@b.fr, a@b.fr\r\n", Reason.MESSAGE_MALFORMED),
    ],
)
def test_other_authors_are_refused(fields, reason):
    with pytest.raises(Refusal) as caught:
        check_authorship(an_identity("a@b.fr").may_send_as, Header.cut(fields.encode()))

    assert caught.value.reason is reason
    assert "other" not in caught.value.detail + caught.value.hint
