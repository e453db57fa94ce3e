import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.address import Address
from mssante.wire.smtp.commands import (
    CommandError,
    MailCommand,
    parse_chunk,
    parse_hello,
    parse_mail,
    RcptCommand,
    parse_rcpt,
    split_command,
)
from mssante.wire.smtp.notifications import DeliveryRequest, Notify, Return

A = Address("a", "b.fr")


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        ("FROM:<a@b.fr>", MailCommand(A, None, False)),
        ("from:<a@B.FR>", MailCommand(A, None, False)),
        ("FROM: <a@b.fr>", MailCommand(A, None, False)),
        ("FROM:a@b.fr", MailCommand(A, None, False)),
        ("FROM:<>", MailCommand(None, None, False)),
        ("FROM:<> SIZE=0", MailCommand(None, 0, False)),
        ("FROM:<a@b.fr> BODY=8BITMIME SIZE=123", MailCommand(A, 123, True)),
        ("FROM:<a@b.fr>  size=5 body=7bit AUTH=<>", MailCommand(A, 5, False)),
        ("FROM:<a@b.fr> AUTH=e+3Dmc2@example.com", MailCommand(A, None, False)),
    ],
)
def test_mail_as_clients_write_it(argument, command):
    assert parse_mail(argument) == command


@pytest.mark.parametrize(
    ("argument", "start"),
    [
        ("", "501 5.5.4"),
        ("TO:<a@b.fr>", "501 5.5.4"),
        ("FROM:", "501 5.5.4"),
        ("FROM:<a@b.fr", "501 5.5.4"),
        ("FROM:<a@b.fr>SIZE=1", "501 5.5.4"),
        ("FROM:<a@b.fr> SIZE=", "501 5.5.4"),
        ("FROM:<a@b.fr> SIZE=x", "501 5.5.4"),
        ("FROM:<a@b.fr> SIZE=123456789012345678901", "501 5.5.4"),
        ("FROM:<a@b.fr> SIZE=1 SIZE=2", "501 5.5.4"),
        ("FROM:<a@b.fr> BODY=EBCDIC", "501 5.5.4"),
        ("FROM:<a@b.fr> REQUIRETLS=yes", "501 5.5.4"),
        ("FROM:<a@é.fr>", "553 5.6.7"),
        ("FROM:<é@b.fr> SMTPUTF8", "553 5.6.7"),
        ("FROM:<a@b.fr> AUTH", "501 5.5.4"),
        ("FROM:<a@b.fr> RET=ALL", "501 5.5.4"),
        ("FROM:<a@b.fr> RET", "501 5.5.4"),
        ("FROM:<a@b.fr> ENVID", "501 5.5.4"),
        ("FROM:<a@b.fr> ENVID=" + "x" * 101, "501 5.5.4"),
        ("FROM:<a@b.fr> ENVID=x+zz", "501 5.5.4"),
        ("FROM:<a@b.fr> SMTPUTF8=1", "501 5.5.4"),
        ("FROM:<nobody>", "553 5.1.7"),
        ("FROM:<a@b@c.fr>", "553 5.1.7"),
        ("FROM:<a%b.fr@c>x", "501 5.5.4"),
        ("FROM:<@x,@y:a@b.fr>", "553 5.1.7"),
        ("FROM:<a b@c.fr>", "553 5.1.7"),
        ("FROM:<" + "a" * 300 + "@b.fr>", "501 5.1.3"),
    ],
)
def test_mail_that_is_not_well_formed(argument, start):
    with pytest.raises(CommandError) as caught:
        parse_mail(argument)

    assert caught.value.reply.startswith(start)


@pytest.mark.parametrize(
    ("argument", "start"),
    [
        ("TO:<>", "553 5.1.3"),
        ("TO:<a@b.fr> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("TO:<a@b.fr> NOTIFY=SUCCESS,SUCCESS", "501 5.5.4"),
        ("TO:<a@b.fr> NOTIFY=ALWAYS", "501 5.5.4"),
        ("TO:<a@b.fr> NOTIFY", "501 5.5.4"),
        ("TO:<a@b.fr> ORCPT=a@b.fr", "501 5.5.4"),
        ("TO:<a@b.fr> ORCPT=rfc822;", "501 5.5.4"),
        ("TO:<a@b.fr> ORCPT=rfc822;" + "x" * 500, "501 5.5.4"),
        ("TO:<a@b.fr> RRVS=1", "555 5.5.4"),
        ("TO:<a@b.fr> =x", "501 5.5.4"),
        ("FROM:<a@b.fr>", "501 5.5.4"),
        ('TO:<"a@b"@c.fr>', "553 5.1.3"),
        ("TO:<a@[127.0.0.1]>", "553 5.1.3"),
        ("TO:<postmaster>", "553 5.1.3"),
    ],
)
def test_rcpt_that_is_not_well_formed(argument, start):
    with pytest.raises(CommandError) as caught:
        parse_rcpt(argument)

    assert caught.value.reply.startswith(start)


def test_a_bare_postmaster_is_that_of_our_own_domain():
    for written in ("<Postmaster>", "<postmaster>"):
        assert parse_rcpt(f"TO:{written}", "b.fr").recipient.key == "postmaster@b.fr"
    with pytest.raises(CommandError):
        parse_rcpt("TO:<abuse>", "b.fr")


def test_rcpt_with_a_blank_after_the_colon():
    assert parse_rcpt("TO: <a@b.fr>") == RcptCommand(A)


def test_the_extensions_that_change_a_message_are_told_apart():
    mail = parse_mail("FROM:<a@hôpital.fr> BODY=binarymime SMTPUTF8 REQUIRETLS")

    assert (mail.body_8bit, mail.body_binary, mail.smtputf8, mail.require_tls) == (True,) * 4
    assert mail.sender == Address("a", "xn--hpital-ixa.fr")
    assert parse_rcpt("TO:<a@hôpital.fr>", utf8=True).recipient == mail.sender


@pytest.mark.parametrize(
    ("argument", "chunk"), [("0 LAST", (0, True)), ("100", (100, False)), ("7 last", (7, True))]
)
def test_a_chunk_says_how_many_octets_come(argument, chunk):
    assert parse_chunk(argument, most=100) == chunk


@pytest.mark.parametrize(
    ("argument", "start"),
    [
        ("", "501"),
        ("x", "501"),
        ("-1", "501"),
        ("5 LAST LAST", "501"),
        ("5LAST", "501"),
        ("101", "552"),
    ],
)
def test_a_chunk_that_is_not_well_formed(argument, start):
    with pytest.raises(CommandError) as caught:
        parse_chunk(argument, most=100)

    assert caught.value.reply.startswith(start)


def test_what_is_asked_about_notifications_is_kept_as_it_was_given():
    mail = parse_mail("FROM:<a@b.fr> RET=hdrs ENVID=QQ314+2B159")
    rcpt = parse_rcpt("TO:<a@b.fr> NOTIFY=success,DELAY ORCPT=rfc822;d+2Br@x.fr")

    assert (mail.returns, mail.envid) == (Return.HEADERS, "QQ314+2B159")
    assert rcpt.request == DeliveryRequest(
        frozenset({Notify.SUCCESS, Notify.DELAY}), "rfc822;d+2Br@x.fr"
    )
    assert rcpt.request.original_recipient == "rfc822; d+r@x.fr"
    assert rcpt.request.parameters() == " NOTIFY=DELAY,SUCCESS ORCPT=rfc822;d+2Br@x.fr"


@given(st.binary(max_size=300))
def test_any_line_is_a_command_or_an_error_of_ours(line):
    try:
        _, argument = split_command(line)
    except CommandError as error:
        assert error.reply.startswith("500 5.5.2")
        return
    for parse in (parse_mail, parse_rcpt, parse_hello):
        try:
            parse(argument)
        except CommandError as error:
            assert error.reply[:3] in ("501", "553", "555")


def test_a_command_line_is_verb_and_argument():
    assert split_command(b"mail FROM:<a@b>") == ("MAIL", "FROM:<a@b>")
    assert split_command(b"noop") == ("NOOP", "")


@pytest.mark.parametrize(
    "line", [b"", b"  ", b"NO\0OP", b"NOOP\r", b"NOOP\nQUIT", "EHLO é".encode()]
)
def test_a_line_that_is_no_command(line):
    with pytest.raises(CommandError):
        split_command(line)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("DESKTOP3507CDS", "DESKTOP3507CDS"),
        ("[IPV6:::1]", "[IPV6:::1]"),
        ("my_pc", "my_pc"),
        ("a b", "unknown"),
        ("x" * 300, "unknown"),
    ],
)
def test_clients_may_name_themselves_as_they_like(said, kept):
    assert parse_hello(said) == kept
