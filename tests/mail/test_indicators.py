from datetime import UTC, datetime

import pytest

from mssante.access.audit import AuditEntry, AuditKind, leaf_bytes
from mssante.kernel.civil import civil_month
from mssante.kernel.clock import to_milliseconds
from mssante.kernel.opaque import new_id
from mssante.mail.exchange_facts import header_facts
from mssante.mail.indicators import Activity, CountedMailbox

NOVEMBER = civil_month(2026, 11)


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ("", {}),
        ("X-MSS-CODECDA: 34112-3,PRESC-BIO, 34112-3", {"codecda": "34112-3,PRESC-BIO"}),
        ("x-mss-ins:O", {"ins": "O"}),
        ("X-MSS-INS: o", {"ins": "invalid"}),
        ("X-MSS-NIL: EDIT-0001 / v2", {"nil": "EDIT-0001 / v2"}),
        ("X-MSS-MES: FIN", {"fin": 1}),
        ("X-MSS-MES: AUTRE", {}),
        # A sender's mistake must not bring a person into the audit.
        ("X-MSS-INS: 279035121518989", {"ins": "invalid"}),
        ("X-MSS-NIL: 279035121518989", {"nil": "invalid"}),
        ("X-MSS-CODECDA: 279035121518989,34112-3", {"codecda": "34112-3,invalid"}),
        ("X-MSS-NIL: Prénom NOM", {"nil": "invalid"}),
    ],
)
def test_only_codes_are_counted(fields, facts):
    assert header_facts(f"Subject: x\r\n{fields}\r\n\r\n".encode("latin-1")) == facts


def a_leaf(kind, mailbox, at, actor=None, **facts):
    import json

    entry = AuditEntry(kind, "x", "done", actor=actor, subject=mailbox, facts=facts)
    written = leaf_bytes(entry, sequence=1, at=to_milliseconds(at), personal_hash=bytes(32))
    return json.loads(written)


def test_a_month_is_civil_and_each_mailbox_counts_in_its_domain():
    box, other = new_id(), new_id()
    early, late = datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 22, 59, tzinfo=UTC)
    activity = Activity(
        {
            box.hex(): CountedMailbox("PER", "a.example", early, None),
            other.hex(): CountedMailbox("ORG", "b.example", datetime(2020, 1, 1, tzinfo=UTC), late),
        },
        *NOVEMBER,
    )
    sent = {"size": 10, "recipients": 3, "from": "pro", "pro_here": 2, "patient_elsewhere": 1}
    outside = datetime(2026, 10, 31, 22, 59, tzinfo=UTC)
    for at in (outside, early, late, NOVEMBER[1]):
        activity.add(a_leaf(AuditKind.ADMISSION, box, at, **sent, codecda="34112-3,X", ins="O"))
        activity.add(a_leaf(AuditKind.SIGN_IN, box, at, new_id(), service="imap"))
    activity.add(a_leaf(AuditKind.DELIVERY, other, early, size=10, way="in", **{"from": "patient"}))
    activity.add(a_leaf(AuditKind.DELIVERY, new_id(), early, size=10))

    assert {line[1:4]: line.value for line in activity.lines()} == {
        ("a.example", "accounts-signed-in", "2026-11-01 imap"): 1,
        ("a.example", "accounts-signed-in", "2026-11-30 imap"): 1,
        ("a.example", "exchanges-sent", "pro-patient out"): 2,
        ("a.example", "exchanges-sent", "pro-pro local"): 4,
        ("a.example", "mailboxes", "PER"): 1,
        ("a.example", "mailboxes-active", "PER"): 1,
        ("a.example", "mailboxes-created", "PER"): 1,
        ("a.example", "messages-by-document-code", "34112-3"): 2,
        ("a.example", "messages-by-document-code", "X"): 2,
        ("a.example", "messages-by-ins", "O"): 2,
        ("a.example", "messages-sent", ""): 2,
        ("a.example", "messages-with-documents", ""): 2,
        ("a.example", "octets-sent", ""): 20,
        ("b.example", "exchanges-received", "patient-pro in"): 1,
        ("b.example", "mailboxes-closed", "ORG"): 1,
        ("b.example", "octets-received", ""): 10,
    }
