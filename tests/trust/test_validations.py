"""What is remembered about certificates is never believed longer than it holds."""

from datetime import timedelta

import pytest

from mssante.trust import validation
from mssante.trust.anchors import Trust
from mssante.trust.refusals import CertificateRefused, Revoked
from mssante.trust.revocation import Freshness
from mssante.trust.validation import Validations
from tests.support.mail_pki import NOW, MailPki, person, revocation_list


@pytest.fixture
def pki():
    return MailPki()


@pytest.fixture
def counted(monkeypatch):
    calls, real = [], validation.find_path

    def find(*arguments):
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(validation, "find_path", find)
    return calls


def test_the_second_message_of_a_signer_needs_no_path(pki, counted):
    validated, trust = Validations(), pki.trust()
    chain = [pki.issuing.certificate]

    first = validated(pki.alice.certificate, trust, chain, (), NOW)
    second = validated(pki.alice.certificate, trust, chain, (), NOW + timedelta(minutes=4))
    validated(pki.carol.certificate, trust, chain, (), NOW)

    assert first == second
    assert first[1] is Freshness.GOOD
    assert len(counted) == 2


@pytest.mark.parametrize("minutes", [-1, 6])
def test_an_earlier_instant_and_one_minutes_later_are_judged_anew(pki, counted, minutes):
    validated, trust = Validations(), pki.trust()
    chain = [pki.issuing.certificate]
    validated(pki.alice.certificate, trust, chain, (), NOW)
    validated(pki.alice.certificate, trust, chain, (), NOW + timedelta(minutes=minutes))

    assert len(counted) == 2


def test_a_certificate_is_not_good_past_its_end_however_lately_it_was_good(pki):
    end = NOW + timedelta(seconds=30)
    short = person(pki.issuing, "short@nord.example", not_after=end)
    validated, trust, chain = Validations(), pki.trust(), [pki.issuing.certificate]
    validated(short.certificate, trust, chain, (), NOW)

    with pytest.raises(CertificateRefused, match="certificate-expired"):
        validated(short.certificate, trust, chain, (), end + timedelta(seconds=1))


def test_a_list_that_comes_new_counts_at_once(pki):
    validated, chain = Validations(), [pki.issuing.certificate]
    validated(pki.alice.certificate, pki.trust(), chain, (), NOW)
    revoking = revocation_list(pki.issuing, (pki.alice.certificate, NOW - timedelta(days=1)))

    with pytest.raises(Revoked):
        validated(pki.alice.certificate, pki.trust(pki.lists[0], revoking), chain, (), NOW)
    with pytest.raises(Revoked):  # also one that the message itself brings
        validated(pki.alice.certificate, pki.trust(pki.lists[0]), chain, (revoking,), NOW)


def test_what_was_refused_is_refused_again(pki):
    validated = Validations()
    for _ in range(2):
        with pytest.raises(CertificateRefused, match="path-incomplete"):
            validated(pki.alice.certificate, Trust((pki.root.certificate,)), (), (), NOW)
