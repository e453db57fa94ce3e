"""Commands about who may write to whom, limits and indicators."""

import json

import pytest


@pytest.fixture
def patient(demo):
    accounts = json.loads((demo / "demo.json").read_text())["accounts"]
    return next(one for one in accounts if one["role"] == "patient")


def test_an_address_is_blocked_once_and_listed_and_unblocked(mssante, patient):
    ins = patient["ins"]
    for _ in range(2):
        done = mssante("patient", "contact", "block", "x@h.example", "--ins", "-", stdin=ins)
        assert done.code == 0

    [line] = mssante("patient", "contact", "list", "--ins", "-", "--json", stdin=ins).json
    assert (line["address"], line["open"]) == ("x@h.example", False)
    assert line["blockedAt"].endswith("+00:00")
    for code in (0, 1):
        done = mssante("patient", "contact", "unblock", "x@h.example", "--ins", "-", stdin=ins)
        assert done.code == code
    assert mssante("patient", "contact", "list", "--ins", "-", "--json", stdin=ins).json == []


def test_a_wrong_address_is_refused_without_repeating_it(mssante, patient):
    done = mssante("patient", "contact", "block", "é@h", "--ins", "-", stdin=patient["ins"])

    assert done.code == 1
    assert "é@h" not in done.err


def test_only_an_organisations_mailbox_opens_to_patients(mssante, patient):
    address = "secretariat@tests.example"
    opened = mssante(
        "mailbox", "set", address, "--open-to-patients", "--patients", "known", "--json"
    )
    assert opened.json["openToPatients"] == "known"
    closed = mssante("mailbox", "set", address, "--no-open-to-patients", "--json")
    assert closed.json["openToPatients"] is None

    for other in ("claire.morel@tests.example", "resultats@tests.example"):
        assert mssante("mailbox", "set", other, "--open-to-patients").code == 1
    done = mssante("mailbox", "set", "-", "--state", "closed", stdin=patient["address"])
    assert done.code == 1
    assert patient["ins"] not in done.err + done.out


def test_a_members_mailbox_is_suspended_and_opened_again(mssante):
    for state in ("suspended", "active"):
        line = mssante(
            "mailbox", "set", "claire.morel@tests.example", "--state", state, "--json"
        ).json
        assert line["state"] == state
    done = mssante("mailbox", "set", "claire.morel@tests.example", "--state", "objected")
    assert done.code == 1


def test_the_limits_are_shown_and_nothing_is_used_yet(mssante):
    lines = {line["who"]: line for line in mssante("limits", "show", "--json").json}

    assert lines["account"]["messages"] == 5000
    assert lines["network"]["messages"] is None
    assert mssante("limits", "show", "--used", "--json").json == []


def test_indicators_want_a_month_and_known_columns(mssante):
    assert mssante("indicators", "--month", "2026-13").code == 1
    assert mssante("indicators", "--month", "novembre").code == 1
    done = mssante("indicators", "--month", "2026-11", "--csv", "--columns", "nom")
    assert (done.code, "no column 'nom'" in done.err) == (1, True)
    assert mssante("indicators", "--month", "2026-11", "--csv", "--json").code == 2
