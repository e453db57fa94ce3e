"""Reports of others, in the forms that they are written in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.address import Address
from mssante.wire.mime.reports import ReportKind, read_report
from mssante.wire.mime.scanner import scan

HEAD = 'From: b@x.fr\r\nIn-Reply-To: <answered@x.fr>\r\nContent-Type: multipart/report; report-type={kind}; boundary="b"\r\n\r\n'


def a_report(kind, status, returned="Message-ID: <original@ours.fr>\r\nSubject: x\r\n\r\n"):
    return (
        HEAD.format(kind=kind)
        + "--b\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n"
        + f"--b\r\nContent-Type: message/{kind}\r\n\r\n{status}\r\n"
        + (f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}" if returned else "")
        + "--b--\r\n"
    ).encode()


def read(content):
    return read_report(content, scan(content))


@pytest.mark.parametrize(
    ("disposition", "outcome"),
    [
        ("manual-action/MDN-sent-manually; displayed", "displayed"),
        ("automatic-action/MDN-sent-automatically; processed", "processed"),
        ("automatic-action/MDN-sent-automatically;processed/error", "error"),
        (
            "automatic-action/MDN-sent-automatically; processed/Error: 902^Identifiant inconnu",
            "error",
        ),
        ("manual-action/MDN-sent-manually; deleted", "deleted"),
    ],
)
def test_a_receipt_of_a_reader(disposition, outcome):
    report = read(
        a_report(
            "disposition-notification",
            "Final-Recipient: rfc822;bob@x.fr\r\nOriginal-Message-ID: <original@ours.fr>\r\n"
            f"Disposition: {disposition}\r\n",
        )
    )

    assert (report.kind, report.original) == (ReportKind.DISPOSITION, "<original@ours.fr>")
    assert [(one.recipient, one.outcome) for one in report.recipients] == [
        (Address("bob", "x.fr"), outcome)
    ]


STATUS = (
    "Reporting-MTA: dns; x.fr\r\n\r\n"
    "Original-Recipient: rfc822; Bob@x.fr\r\nFinal-Recipient: rfc822; robert@y.fr\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n"
    "Final-Recipient: rfc822; eve@x.fr\r\nAction: Failed\r\nStatus: 5.1.1 (unknown)\r\n"
)


def test_a_delivery_status_names_each_recipient_as_we_wrote_it():
    report = read(a_report("delivery-status", STATUS))

    assert report.original == "<original@ours.fr>"
    assert [(str(one.recipient), one.outcome, one.status) for one in report.recipients] == [
        ("Bob@x.fr", "delivered", "2.0.0"),
        ("eve@x.fr", "failed", "5.1.1"),
    ]


def test_a_report_that_returns_nothing_is_about_what_it_answers():
    assert read(a_report("delivery-status", STATUS, returned="")).original == "<answered@x.fr>"


@pytest.mark.parametrize(
    "content",
    [
        b"From: a@b.fr\r\n\r\nBonjour\r\n",
        a_report("delivery-status", "Reporting-MTA: dns; x.fr\r\n"),
        a_report("delivery-status", "A: b\r\n\r\nAction: eaten\r\n"),
        a_report("disposition-notification", "Disposition: nothing\r\n"),
        a_report("disposition-notification", "Disposition: x; burnt\r\n"),
        a_report("partial", "Action: failed\r\n"),
    ],
)
def test_what_says_nothing_is_no_report(content):
    assert read(content) is None


@given(st.text(max_size=300))
def test_any_status_is_read_or_passed_over(text):
    status = text.encode("utf-8", "replace").decode("latin-1").replace("--b", "")
    for kind in ("delivery-status", "disposition-notification"):
        report = read(a_report(kind, f"A: b\r\n\r\nAction: failed\r\nFinal-Recipient: {status}"))
        assert report is None or report.recipients
