"""Whose certificates are believed, on either end, and how long a verdict is remembered."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.trust import peers
from mssante.trust.anchors import Trust, read_revocation_lists
from mssante.trust.peers import MAX_CHAIN, PeerJudge, PeerPolicy, Side, claimed_name
from mssante.trust.refusals import CertificateRefused
from tests.support.mail_pki import of_no_text, of_no_version
from tests.support.operator_pki import BOTH, DAY, SERVER, OperatorPki, name_in

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return OperatorPki(tmp_path_factory.mktemp("operators"), NOW)


def chain(*certificates):
    return tuple(each.public_bytes(Encoding.DER) for each in certificates)


def trust(pki, *lists, known=()):
    found = tuple(one for octets in lists for one in read_revocation_lists(octets))
    return Trust((pki.root.certificate,), known, found)


@pytest.fixture
def judge(pki):
    return PeerJudge(trust(pki), PeerPolicy())


def shown(pki, party):
    return chain(party.certificate, pki.issuing.certificate)


def refusal(judge, certificates, at=NOW, side=Side.CLIENT):
    with pytest.raises(CertificateRefused) as refused:
        judge.judge(certificates, at, side)
    return refused.value.reason


@pytest.mark.parametrize(
    ("usages", "as_client", "as_server"),
    [
        (BOTH, None, None),
        (SERVER, "eku-without-clientAuth", None),
        (CLIENT, None, "eku-without-serverAuth"),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), None, None),
        (
            (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
            "eku-without-clientAuth",
            "eku-without-serverAuth",
        ),
        ((), None, None),
    ],
)
def test_usages_are_those_of_the_peers_end(pki, judge, usages, as_client, as_server):
    party = pki.operator("usages", "mx.example", usages=usages)
    for side, why in ((Side.CLIENT, as_client), (Side.SERVER, as_server)):
        if why is None:
            assert judge.judge(shown(pki, party), NOW, side) == name_in(party)
        else:
            assert refusal(judge, shown(pki, party), side=side) == why


def test_a_weak_hash_is_refused_by_its_name(pki, judge):
    # The library signs with no weaker hash than SHA-224 any more.
    party = pki.operator("weak", "mx.example", digest=hashes.SHA224())

    assert refusal(judge, shown(pki, party)) == "weak-digest"


def test_certificates_come_in_any_order_and_strangers_do_no_harm(pki, judge):
    party = pki.operator("order", "mx.example")
    stranger = pki.operator("stranger", "mx2.example", issuer=pki.foreign)
    certificates = chain(
        party.certificate,
        stranger.certificate,
        pki.foreign.certificate,
        pki.issuing.certificate,
        pki.root.certificate,
    )

    assert judge.judge(certificates, NOW, Side.CLIENT) == name_in(party)


def test_the_first_certificate_is_the_peers_whatever_stands_behind_it(pki, judge):
    """The key of the first one is proven; a good one behind it proves nothing."""
    good = pki.operator("good", "mx.example")
    bad = pki.operator("bad", "mx.example", issuer=pki.foreign)
    certificates = chain(bad.certificate, good.certificate, pki.issuing.certificate)

    assert refusal(judge, certificates) == "path-incomplete"


def test_octets_that_are_no_certificate_and_endless_chains_are_refused(pki, judge):
    party = pki.operator("endless", "mx.example")

    assert refusal(judge, (b"nonsense",)) == "certificate-malformed"
    assert refusal(judge, (*shown(pki, party), b"nonsense")) == "certificate-malformed"
    own, issuing = shown(pki, party)
    for change in (of_no_version, of_no_text):
        assert refusal(judge, (change(own), issuing)) == "certificate-malformed"
        assert refusal(judge, (own, change(issuing))) == "certificate-malformed"
        assert claimed_name(change(own)) == ""
    assert refusal(judge, shown(pki, party) * MAX_CHAIN) == "chain-too-long"
    assert claimed_name(b"nonsense") == ""
    assert claimed_name(shown(pki, party)[0]).startswith("CN=mx.example,")


def test_a_peer_that_is_its_own_authority_is_not_believed(pki, judge):
    assert refusal(judge, chain(pki.foreign.certificate)) == "unknown-root"


def test_a_client_with_one_of_several_usages_passes_by_policy(pki):
    party = pki.operator("one", "mx.example", usages=SERVER)
    judge = PeerJudge(trust(pki), PeerPolicy(("clientAuth", "serverAuth")))

    assert judge.judge(shown(pki, party), NOW, Side.CLIENT)
    assert PeerJudge(trust(pki), PeerPolicy()).judge(shown(pki, party), NOW, Side.SERVER)


# --- what is remembered --------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """How many paths were built."""
    built = []
    build = peers.find_path

    def counting(*arguments):
        built.append(1)
        return build(*arguments)

    monkeypatch.setattr(peers, "find_path", counting)
    return built


def test_a_verdict_is_remembered_for_an_hour_and_each_end_has_its_own(pki, judge, counted):
    certificates = shown(pki, pki.operator("again", "mx.example"))
    for minutes, times in ((0, 1), (59, 1), (60, 2), (61, 2)):
        judge.judge(certificates, NOW + timedelta(minutes=minutes), Side.CLIENT)
        assert len(counted) == times
    judge.judge(certificates, NOW, Side.SERVER)
    assert len(counted) == 3
    judge.judge(certificates, NOW - timedelta(seconds=1), Side.SERVER)  # the clock was put back
    assert len(counted) == 4


def test_a_verdict_does_not_outlive_the_certificate(pki, judge):
    certificates = shown(pki, pki.operator("ends", "mx.example", until=timedelta(minutes=10)))
    judge.judge(certificates, NOW, Side.CLIENT)

    later = NOW + timedelta(minutes=10, seconds=1)

    assert refusal(judge, certificates, later) == "certificate-expired"


def test_a_verdict_does_not_outlive_the_grace_of_a_revocation_list(pki):
    certificates = shown(pki, pki.operator("grace", "mx.example"))
    until = NOW + timedelta(minutes=20)
    lists = (
        pki.revoke(this_update=NOW - 2 * DAY, next_update=until - DAY),
        pki.revoke(issuer=pki.root),
    )
    judge = PeerJudge(trust(pki, *lists), PeerPolicy(revocation_must_be_known=True))

    judge.judge(certificates, NOW, Side.CLIENT)  # stale, within the grace
    judge.judge(certificates, until, Side.CLIENT)
    assert refusal(judge, certificates, until + timedelta(seconds=1)) == "revocation-unknown"


def test_new_trust_forgets_every_verdict(pki, judge):
    party = pki.operator("new", "mx.example")
    judge.judge(shown(pki, party), NOW, Side.CLIENT)

    judge.renew(trust(pki, pki.revoke(party)))
    assert refusal(judge, shown(pki, party)) == "revoked-2026-11-24-unspecified"
    judge.renew(Trust((pki.foreign.certificate,)))
    assert refusal(judge, shown(pki, party)) == "path-incomplete"


def test_a_refusal_is_remembered_for_a_minute(pki, judge, counted):
    certificates = shown(pki, pki.operator("early", "mx.example", since=timedelta(seconds=30)))
    assert refusal(judge, certificates) == "certificate-not-yet-valid"
    assert refusal(judge, certificates, NOW + timedelta(seconds=59)) == "certificate-not-yet-valid"
    assert len(counted) == 1

    assert judge.judge(certificates, NOW + timedelta(seconds=60), Side.CLIENT)


def test_what_is_remembered_is_bounded(pki, judge, monkeypatch):
    monkeypatch.setattr(peers, "_REMEMBERED", 3)
    own = chain(pki.operator("bounded", "mx.example").certificate)[0]
    for number in range(10):
        refusal(judge, (own, bytes([number])))

    assert len(judge._verdicts) == 3


async def test_it_may_be_judged_aside(pki, judge):
    party = pki.operator("aside", "mx.example")
    for _ in range(2):
        assert await judge.judge_aside(shown(pki, party), NOW, Side.SERVER) == name_in(party)
    with pytest.raises(CertificateRefused, match="malformed"):
        await judge.judge_aside((b"x",), NOW, Side.SERVER)


def test_a_list_that_covers_authorities_alone_says_nothing_of_operators(pki):
    party = pki.operator("kind", "mx.example")
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki.issuing.certificate.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
        .add_extension(
            x509.IssuingDistributionPoint(None, None, False, True, None, False, False), True
        )
    )
    only = builder.sign(pki.issuing.key, hashes.SHA256()).public_bytes(Encoding.DER)
    hard = PeerPolicy(revocation_must_be_known=True)
    judge = PeerJudge(trust(pki, only, pki.revoke(issuer=pki.root)), hard)

    assert refusal(judge, shown(pki, party)) == "revocation-unknown"
