import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mssante.wire.whitelist.reader import WhiteListRefused, a_label, read_white_list
from mssante.wire.whitelist.writer import write_white_list
from mssante.wire.x500 import DistinguishedName
from tests.support.white_lists import ENTRIES, ONE, OTHER_OF_ONE, SIGNATURE, TWO, entry, white_list

SHARED = Path(os.environ.get("MSSANTE_SHARED", Path(__file__).parents[4] / "shared"))


def test_a_list_is_read_with_its_date_domains_and_operators():
    found = read_white_list(white_list())

    assert found.generated == datetime(2026, 11, 23, 3, tzinfo=UTC)
    assert [(each.domain, str(each.operator)) for each in found.listings] == [
        ("cabinet.un.mssante.fr", ONE),
        ("cabinet.un.mssante.fr", OTHER_OF_ONE),
        ("x.y.un.mssante.fr", ONE),
        ("labo.deux.mssante.fr", TWO),
    ]
    assert not found.signed
    assert found.domains == {"cabinet.un.mssante.fr", "x.y.un.mssante.fr", "labo.deux.mssante.fr"}


def test_a_signature_is_reported():
    assert read_white_list(white_list(signature=SIGNATURE)).signed


def test_a_pair_that_stands_twice_counts_once():
    assert len(read_white_list(white_list((*ENTRIES, ENTRIES[0]))).listings) == len(ENTRIES)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("hôpital.mssante.fr", "xn--hpital-ixa.mssante.fr"),
        ("Ho\N{COMBINING CIRCUMFLEX ACCENT}pital.mssante.fr", "xn--hpital-ixa.mssante.fr"),
        (" Cabinet.MSSante.fr. ", "cabinet.mssante.fr"),
    ],
)
def test_domains_are_compared_as_a_labels(written, name):
    assert a_label(written) == name
    [listing] = read_white_list(white_list([(written, ONE)])).listings
    assert listing.domain == name


@pytest.mark.parametrize("text", ["", ".", "a..b", "a b.fr", "-a.fr", "a_b.fr", "a" * 64 + ".fr", "x." * 127 + "fr", "xn--a.fr", "a@b.fr"])  # fmt: skip
def test_what_is_no_domain_is_refused(text):
    with pytest.raises(ValueError, match="not a domain"):
        a_label(text)


WHOLE = white_list()


@pytest.mark.parametrize("length", range(0, len(WHOLE) - 2, 7))
def test_a_list_that_was_cut_off_anywhere_is_refused(length):
    with pytest.raises(WhiteListRefused, match="malformed"):
        read_white_list(WHOLE[:length])


def test_a_list_whose_root_is_not_closed_is_refused():
    with pytest.raises(WhiteListRefused, match="malformed"):
        read_white_list(WHOLE.replace(b"</ListeBlancheMSSante>", b""))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"https://listeblanche.mssante.fr/schema", b"https://elsewhere.example/schema"),
        (b"ListeBlancheMSSante", b"ListeNoire"),
        (b"2026-11-23T03:00:00Z", b"2026-11-23T03:00:00"),
        (b"2026-11-23T03:00:00Z", b"2026-13-23T03:00:00Z"),
        (b"2026-11-23T03:00:00Z", b"yesterday"),
        (b"2026-11-25T09:00:00Z", b"soon"),
        (b"<Nom>LABO", b"<Nom>LA BO"),
        (b"CN=mx.deux.example", b"mx.deux.example"),
        (b"            <Description>Domaine invent\xc3\xa9</Description>\n", b""),
        (b"<Nom>", b"<Nom><b/>"),
        (b"</ListeDomaines>", b"</ListeDomaines><Autre/>"),
        (b"<ListeDomaines>", b"<ListeDomaines><Autre/>"),
        (b'<?xml version="1.0" encoding="UTF-8"?>', b"<!DOCTYPE a [<!ENTITY e 'x'>]>"),
    ],
)
def test_a_list_with_something_wrong_in_it_is_refused_whole(old, new):
    assert old in WHOLE
    with pytest.raises(WhiteListRefused, match="malformed"):
        read_white_list(WHOLE.replace(old, new))


def test_something_after_the_signature_is_refused():
    with pytest.raises(WhiteListRefused, match="malformed"):
        read_white_list(white_list(signature=SIGNATURE * 2))


def test_an_empty_list_is_refused():
    with pytest.raises(WhiteListRefused, match="empty"):
        read_white_list(white_list(()))


def test_a_huge_list_is_refused_before_a_tree_is_built():
    with pytest.raises(WhiteListRefused, match="too-large"):
        read_white_list(white_list((), signature="<a/>" * 2_000_001))


def test_what_is_written_is_read_back():
    present = read_white_list(white_list())

    again = read_white_list(write_white_list(present.generated, present.listings))

    assert again == present


def test_a_list_as_large_as_the_real_one_is_read():
    entries = [(f"d{n}.mssante.fr", ONE) for n in range(9_000)]

    assert len(read_white_list(white_list(entries)).domains) == 9_000


def test_the_sample_files_are_read_and_refused():
    whole = SHARED / "data" / "annuaire" / "listeblanchemssante_exemple.xml"
    if not whole.exists():
        pytest.skip(f"no sample white lists in {SHARED}")

    found = read_white_list(whole.read_bytes())

    assert len(found.listings) == 8
    assert found.generated == datetime(2026, 11, 23, 3, tzinfo=UTC)
    with pytest.raises(WhiteListRefused):
        read_white_list(whole.with_name("listeblanchemssante_tronquee.xml").read_bytes())
