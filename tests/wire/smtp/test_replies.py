import re

import pytest

from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.smtp.replies import refusal_reply, reply_for, sign_in_reply, with_enhanced_code

ENHANCED = re.compile(r"[245][0-9]{2} ([245])\.[0-9]{1,3}\.[0-9]{1,3} [ -~]+\Z")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_reply_whose_codes_agree(reason):
    for reply in (str(reply_for(reason)), str(sign_in_reply(Refusal(reason)))):
        assert ENHANCED.match(reply)
        assert reply[0] == reply[4]


def test_the_detail_of_a_refusal_is_not_said_and_its_hint_is():
    reply = str(
        refusal_reply(Refusal(Reason.MESSAGE_TOO_COMPLEX, "secret detail", hint="too many parts"))
    )

    assert reply == "554 5.6.0 The message passes a limit of its structure: too many parts"


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("250 OK", "250 2.0.0 OK"),
        ("503 Error: need RCPT command", "503 5.5.1 Error: need RCPT command"),
        ("250 2.1.0 OK", "250 2.1.0 OK"),
        ("421 4.7.0 NOOP sent too many times", "421 4.7.0 NOOP sent too many times"),
        ("354 End data", "354 End data"),
        ("334 VXNlcm5hbWU6", "334 VXNlcm5hbWU6"),
        ("599 Strange", "599 5.0.0 Strange"),
    ],
)
def test_replies_without_enhanced_code_get_the_implied_one(said, sent):
    assert with_enhanced_code(said) == sent
