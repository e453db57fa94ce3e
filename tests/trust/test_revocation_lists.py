"""Which revocation lists are believed, about which certificates, at which instants."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from mssante.trust.refusals import Revoked
from mssante.trust.revocation import Freshness, check_revocation
from tests.support.mail_pki import NOW, authority, person, revocation_list

SINCE = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def status(pki):
    def look(end, *lists, at=NOW):
        path = (end.certificate, pki.issuing.certificate, pki.root.certificate)
        return check_revocation(path, [pki.lists[0], *lists], at)

    return look


def test_a_certificate_that_no_list_names_is_good(pki, status):
    assert status(pki.alice, revocation_list(pki.issuing)) is Freshness.GOOD


def test_without_a_list_of_its_issuer_nothing_is_known(pki, status):
    assert status(pki.alice) is Freshness.UNKNOWN
    assert status(pki.alice, revocation_list(authority("Other"))) is Freshness.UNKNOWN


def test_a_revocation_counts_from_its_date(pki, status):
    revoked = revocation_list(pki.issuing, (pki.alice.certificate, SINCE))

    with pytest.raises(Revoked, match="^revoked-2026-09-01-unspecified$"):
        status(pki.alice, revoked, at=SINCE)
    assert status(pki.alice, revoked, at=SINCE - timedelta(seconds=1)) is Freshness.GOOD


def test_a_key_counts_as_lost_from_the_date_of_its_invalidity(pki, status):
    before = SINCE - timedelta(days=30)
    entry = [(x509.InvalidityDate(before.replace(tzinfo=None)), False)]
    revoked = revocation_list(pki.issuing, (pki.alice.certificate, SINCE, entry))

    with pytest.raises(Revoked, match="2026-08-02"):
        status(pki.alice, revoked, at=SINCE - timedelta(days=1))


def test_a_list_signed_by_another_key_is_not_believed(pki, status):
    forged = revocation_list(
        pki.issuing, (pki.alice.certificate, SINCE), signer=authority("Issuing")
    )

    assert status(pki.alice, forged) is Freshness.UNKNOWN


def test_a_list_is_stale_for_a_day_after_its_next_update_and_then_unknown(pki, status):
    until = NOW - timedelta(hours=1)
    one = revocation_list(pki.issuing, next_update=until)

    assert status(pki.alice, one) is Freshness.STALE
    assert status(pki.alice, one, at=NOW + timedelta(days=2)) is Freshness.UNKNOWN


def test_a_stale_list_still_revokes(pki, status):
    old = revocation_list(
        pki.issuing, (pki.alice.certificate, SINCE), next_update=SINCE + timedelta(days=1)
    )

    with pytest.raises(Revoked):
        status(pki.alice, old)


def test_a_revoked_authority_revokes_what_it_issued(pki):
    lists = [revocation_list(pki.root, (pki.issuing.certificate, SINCE)), pki.lists[1]]
    path = (pki.alice.certificate, pki.issuing.certificate, pki.root.certificate)

    with pytest.raises(Revoked, match="^issuer-revoked-2026-09-01"):
        check_revocation(path, lists, NOW)


def point(**changes):
    values = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"only_contains_user_certs": True}, Freshness.GOOD),
        ({"only_contains_ca_certs": True}, Freshness.UNKNOWN),
        ({"only_contains_attribute_certs": True}, Freshness.UNKNOWN),
        ({"indirect_crl": True}, Freshness.UNKNOWN),
        (
            {"only_some_reasons": frozenset([x509.ReasonFlags.key_compromise])},
            Freshness.UNKNOWN,
        ),
        (
            {"full_name": [x509.UniformResourceIdentifier("http://crl.example/other.crl")]},
            Freshness.UNKNOWN,
        ),
    ],
)
def test_a_partial_list_covers_what_it_says(pki, status, changes, expected):
    one = revocation_list(pki.issuing, extensions=[(point(**changes), True)])

    assert status(pki.alice, one) is expected


def test_a_partial_list_covers_certificates_that_name_its_place(pki, status):
    place = [x509.UniformResourceIdentifier("http://crl.example/part.crl")]
    named = x509.CRLDistributionPoints([x509.DistributionPoint(place, None, None, None)])
    end = person(pki.issuing, extra=[(named, False)])
    one = revocation_list(pki.issuing, extensions=[(point(full_name=place), True)])

    assert status(end, one) is Freshness.GOOD


def test_a_delta_list_alone_calls_nothing_good(pki, status):
    delta = revocation_list(pki.issuing, extensions=[(x509.DeltaCRLIndicator(7), True)])

    assert status(pki.alice, delta) is Freshness.UNKNOWN
