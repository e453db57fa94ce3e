import json

import pytest
from sqlalchemy import select

from mssante.directory.ports import Act
from mssante.storage.schema.directory import AUDIT
from mssante.storage.versions import DIRECTORY
from mssante.storage.whitelist import Origin, StoredWhiteList
from mssante.trust.list_signature import ListPolicy
from mssante.wire.whitelist.reader import WhiteListRefused, read_white_list
from mssante.wire.x500 import DistinguishedName
from tests.support.white_lists import ENTRIES, ONE, OTHER_OF_ONE, SIGNATURE, TWO, white_list

ACT = Act("trust import", "tester")
NEW = white_list([*ENTRIES[1:], ("neuf.mssante.fr", TWO)], "2026-11-24T03:00:00Z")
name = DistinguishedName.parse


@pytest.fixture
async def database(open_database):
    return await open_database(DIRECTORY)


@pytest.fixture
def store(database, clock):
    return StoredWhiteList(database, clock)


async def replace(store, content, **options):
    return await store.replace(content, ACT, options.pop("policy", ListPolicy()), **options)


async def audited(database):
    leaves = await database.read(lambda conn: list(conn.scalars(select(AUDIT.entries.c.leaf))))
    return [json.loads(leaf) for leaf in leaves]


async def test_without_a_list_nobody_is_trusted(store):
    assert await store.operators_of("cabinet.un.mssante.fr") == frozenset()
    assert await store.domains_of(name(ONE)) == frozenset()
    assert await store.standing() is None
    assert await store.white_list() is None


async def test_who_may_speak_for_which_domain(store):
    await replace(store, white_list())

    assert await store.operators_of("Cabinet.un.mssante.fr") == {name(ONE), name(OTHER_OF_ONE)}
    assert await store.operators_of("labo.deux.mssante.fr") == {name(TWO)}
    assert await store.operators_of("un.mssante.fr") == frozenset()
    assert await store.domains_of(name(ONE)) == {"cabinet.un.mssante.fr", "x.y.un.mssante.fr"}
    assert await store.domains_of(name("CN=mx1.un.example,C=FR")) == frozenset()


async def test_a_new_list_takes_the_place_of_the_whole_former_one(store, clock):
    await replace(store, white_list())

    difference = await replace(store, NEW)

    assert difference.added == ("neuf.mssante.fr",)
    assert difference.changed == ("cabinet.un.mssante.fr",)
    assert await store.white_list() == read_white_list(NEW)
    standing = await store.standing()
    assert (standing.domains, standing.listings, standing.signed) == (4, 4, False)
    assert standing.imported == clock.now()
    assert await store.operators_of("cabinet.un.mssante.fr") == {name(OTHER_OF_ONE)}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (white_list()[:-30], "malformed"),
        (white_list(()), "empty"),
        (white_list(generated="2020-01-01T00:00:00Z"), "older"),
        (white_list(ENTRIES[:1], "2026-12-01T00:00:00Z"), "halved"),
        (white_list(generated="2026-12-01T00:00:00Z", signature=SIGNATURE), "signature"),
    ],
)
async def test_a_list_that_is_refused_changes_nothing_and_is_audited(
    store, database, content, word
):
    await replace(store, white_list())
    before = await store.white_list(), await store.standing()

    with pytest.raises(WhiteListRefused) as refused:
        await replace(store, content)

    assert refused.value.word == word
    assert (await store.white_list(), await store.standing()) == before
    entries = await audited(database)
    assert [entry["outcome"] for entry in entries] == ["done", word]
    assert entries[0]["facts"]["listings"] == 4


async def test_a_lists_age_counts_from_its_date_but_never_from_the_future(store, clock):
    assert await store.known_until() is None
    await replace(store, white_list())
    assert (await store.known_until()).isoformat() == "2026-11-23T03:00:00+00:00"

    await replace(store, white_list(generated="2126-01-01T00:00:00Z"))
    imported = clock.now()
    clock.advance(hours=1)

    assert await store.known_until() == imported
    assert (await store.standing()).known_until == imported
    await store.confirm(Origin("https://a.example/", "tag"))
    assert await store.known_until() == clock.now()
    assert (await store.standing()).etag == "tag"
