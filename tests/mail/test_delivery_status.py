"""Notifications as a foreign reader sees them."""

import email.policy
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser

import pytest

from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.delivery_status import RecipientStatus, StatusReport, build_status_report
from mssante.mail.relay import Action

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HEADER = b"From: dr@ours.example\r\nMessage-ID: <one@ours.example>\r\nSubject: =?utf-8?Q?=C3=A9?=\r\n\r\n"
CONTENT = HEADER + b"Bonjour\r\n"


def a_report(*recipients, **more):
    values = {
        "key": new_id(),
        "spool_id": new_id(),
        "to": Address("dr", "ours.example"),
        "operator": Address("postmaster", "ours.example"),
        "operator_name": "Hôpital d'essai",
        "recipients": recipients,
        "header": HEADER,
        "arrived_at": NOW,
        "reported_at": NOW + timedelta(seconds=3),
    }
    return StatusReport(**(values | more))


def read(report):
    content = build_status_report(report)
    assert content.replace(b"\r\n", b"").count(b"\n") == 0
    message = BytesParser(policy=email.policy.default).parsebytes(content)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    text, status, original = message.iter_parts()
    groups = list(status.get_payload())
    return message, text.get_content(), groups, original


FAILED = RecipientStatus(
    Address("bob", "other.example"),
    Action.FAILED,
    "5.1.1",
    "rfc822; b@other.example",
    "550 5.1.1 no such mailbox",
    "mx.other.example",
    NOW,
)
LATE = RecipientStatus(
    Address("eve", "other.example"),
    Action.DELAYED,
    "4.4.1",
    diagnostic="cannot connect",
    until=NOW + timedelta(days=3),
)


def test_a_failure_says_for_machines_and_people_what_happened():
    message, text, (about, one), original = read(a_report(FAILED, envid="QQ+2B1"))

    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<one@ours.example>"
    assert about["Original-Envelope-Id"] == "QQ+1"
    assert about["Reporting-MTA"] == "dns; ours.example"
    assert one["Original-Recipient"] == "rfc822; b@other.example"
    assert one["Final-Recipient"] == "rfc822; bob@other.example"
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Remote-MTA"] == "dns; mx.other.example"
    assert one["Diagnostic-Code"] == "smtp; 550 5.1.1 no such mailbox"
    assert "n'a pas été remis" in text
    assert "was not delivered" in text
    assert original.get_content_type() == "text/rfc822-headers"
    assert b"<one@ours.example>" in original.get_payload(decode=True)


def test_each_recipient_has_its_group_and_the_gravest_names_the_report():
    message, _, (_, *groups), _ = read(a_report(LATE, FAILED))

    assert [one["Action"] for one in groups] == ["delayed", "failed"]
    assert groups[0]["Will-Retry-Until"] is not None
    assert message["Subject"].startswith("Message non remis")


@pytest.mark.parametrize(("recipient", "whole"), [(FAILED, True), (LATE, False)])
def test_the_whole_message_comes_back_only_when_it_failed(recipient, whole):
    _, _, _, original = read(a_report(recipient, content=CONTENT))

    assert (original.get_content_type() == "message/rfc822") == whole


def test_the_same_facts_give_the_same_bytes():
    report = a_report(FAILED)

    assert build_status_report(report) == build_status_report(report)
