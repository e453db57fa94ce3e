from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.kernel.reasons import Reason, Refusal
from mssante.trust import pki
from mssante.trust.names import name_of, subject_in, subject_of
from mssante.trust.whitelist import AgeLimit, Difference, check_replacement
from mssante.wire.smtp.replies import reply_for
from mssante.wire.whitelist.reader import WhiteListRefused, read_white_list
from mssante.wire.x500 import DistinguishedName
from tests.support.white_lists import ENTRIES, ONE, OTHER_OF_ONE, TWO, white_list

PRESENT = read_white_list(white_list())
LATER = "2026-11-24T03:00:00Z"


def refusal(new: bytes, present=PRESENT, **options) -> str:
    with pytest.raises(WhiteListRefused) as caught:
        check_replacement(present, read_white_list(new), **options)
    return caught.value.word


def test_a_newer_list_and_the_same_one_again_are_taken():
    for generated in (LATER, "2026-11-23T03:00:00Z"):
        new = read_white_list(white_list(generated=generated))
        check_replacement(PRESENT, new)


def test_the_first_list_is_taken():
    check_replacement(None, PRESENT)


def test_an_older_list_is_refused_even_by_force():
    assert refusal(white_list(generated="2026-11-23T02:59:59Z"), force=True) == "older"


def test_a_list_that_loses_more_than_half_of_the_domains_needs_force():
    new = white_list([ENTRIES[2]], LATER)

    assert refusal(new) == "halved"
    check_replacement(PRESENT, read_white_list(new), force=True)
    check_replacement(PRESENT, read_white_list(white_list(ENTRIES[1:3], LATER)))


def test_other_domains_do_not_make_up_for_those_that_went():
    assert refusal(white_list([(f"new{n}.fr", ONE) for n in range(9)], LATER)) == "halved"


class Space:
    def __init__(self, known):
        self.known = known

    async def known_until(self):
        return self.known


async def test_a_list_that_is_too_old_makes_both_doors_say_later(clock):
    limit = AgeLimit(Space(clock.now()), clock, timedelta(hours=48))

    clock.advance(hours=48)
    await limit.check()
    clock.advance(seconds=1)
    with pytest.raises(Refusal) as refused:
        await limit.check()

    assert refused.value.reason is Reason.WHITE_LIST_OUTDATED
    assert str(reply_for(refused.value.reason)).startswith("451 4.7.1")
    await AgeLimit(Space(clock.now()), clock, None).check()
    await AgeLimit(Space(None), clock, timedelta(hours=1)).check()


def test_the_difference_names_added_removed_and_changed_domains():
    new = read_white_list(
        white_list([("cabinet.un.mssante.fr", ONE), ENTRIES[2], ("neuf.mssante.fr", TWO)])
    )

    assert Difference.between(PRESENT, new) == Difference(
        ("neuf.mssante.fr",), ("labo.deux.mssante.fr",), ("cabinet.un.mssante.fr",)
    )
    assert Difference.between(None, PRESENT).added == tuple(sorted(PRESENT.domains))


def test_the_name_in_a_certificate_is_compared_with_that_of_the_list():
    now = datetime.now(UTC)
    root = pki.make_root("Test root", now)
    certificate = pki.issue_operator(root, "Hôpital d'ailleurs", ["mx.ailleurs.example"], now)
    listed = "CN=mx.ailleurs.example,OU=1750000000,O=Hôpital d'ailleurs,ST=Paris (75),C=FR"

    der = certificate.certificate.public_bytes(Encoding.DER)

    assert subject_of(der) == DistinguishedName.parse(listed)
    assert str(name_of(certificate.certificate.subject)) == listed
    assert str(subject_in(certificate.certificate.public_bytes(Encoding.PEM))) == listed
    assert subject_of(der) != DistinguishedName.parse(OTHER_OF_ONE)
