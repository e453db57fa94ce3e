"""What is renewed while the server runs: the white list, revocation lists, certificates."""

import json
import logging
import os
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from mssante.clients.http import FetchFailed
from mssante.directory.ports import Act
from mssante.renewal import Fetcher, FileWatch, Renewable, fetch_revocation_list, refresh_white_list
from mssante.settings import load
from mssante.storage import migrate, trust_files
from mssante.storage.schema.directory import AUDIT
from mssante.storage.sqlite import SqliteDatabase
from mssante.storage.versions import DIRECTORY
from mssante.storage.whitelist import StoredWhiteList
from mssante.trust.anchors import Unreadable
from mssante.trust.whitelist import Difference
from mssante.wire.whitelist.reader import WhiteListRefused
from tests.support.operator_pki import DAY, OperatorPki
from tests.support.signing import SigningPki
from tests.support.web_server import Page, serving
from tests.support.white_lists import ENTRIES, TWO, white_list

ACT = Act("trust refresh", "tester")
NOTHING = Difference((), (), ())
LATER = "2026-11-23T04:00:00Z"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = OperatorPki(tmp_path_factory.mktemp("web"), datetime.now(UTC))
    made.operator("web", "localhost")
    return made


@pytest.fixture
def page():
    return Page(white_list(), etag='"one"')


@pytest.fixture
def url(pki, page):
    with serving(page, pki.folder / "web.pem", pki.folder / "web.key") as url:
        yield url


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "directory.sqlite"
    migrate.upgrade_sqlite(path, DIRECTORY)
    database = SqliteDatabase(path, DIRECTORY.audit)
    yield database
    await database.close()


@pytest.fixture
def store(database, clock):
    return StoredWhiteList(database, clock)


@pytest.fixture
def settings(tmp_path, pki):
    """Makes settings with the lines given under ``[trust]``; files are those of `pki`."""
    (tmp_path / "data").mkdir()

    def make(**trust):
        lines = ["[operator]", 'domain = "a.example"', "[tls]"]
        for key, name in (
            ("certificate", "web.pem"),
            ("key", "web.key"),
            ("operator_certificate", "web.pem"),
            ("operator_key", "web.key"),
            ("peer_ca", "ca.pem"),
        ):
            lines.append(f'{key} = "{pki.folder / name}"')
        lines.append("[trust]")
        trust.setdefault("white_list_ca", [str(pki.folder / "ca.pem")])
        lines += [f"{key} = {json.dumps(value)}" for key, value in trust.items()]
        file = tmp_path / "mssante.toml"
        file.write_text("\n".join(lines))
        return load(file)

    return make


async def audited(database):
    rows = await database.read(lambda conn: list(conn.scalars(select(AUDIT.entries.c.leaf))))
    return [json.loads(leaf) for leaf in rows]


# --- the white list ------------------------------------------------------------------------------


async def test_a_list_is_fetched_once_and_confirmed_afterwards(
    settings, url, page, store, clock, database
):
    chosen = settings(white_list_url=url)

    first = await refresh_white_list(chosen, store, ACT)
    clock.advance(hours=1)
    second = await refresh_white_list(chosen, store, ACT)

    assert len(first.added) == 3
    assert second is None  # 304
    assert page.asked[1]["If-None-Match"] == '"one"'
    standing = await store.standing()
    assert (standing.source, standing.confirmed) == (url, clock.now())
    assert await store.known_until() == clock.now()
    [entry] = await audited(database)
    assert (entry["action"], entry["facts"]["source"]) == ("trust refresh", url)


async def test_the_same_list_without_a_304_is_a_confirmation_too(
    settings, url, page, store, clock, database
):
    page.etag = ""
    chosen = settings(white_list_url=url)
    await refresh_white_list(chosen, store, ACT)
    clock.advance(hours=1)

    assert await refresh_white_list(chosen, store, ACT) == NOTHING

    assert await store.known_until() == clock.now()
    assert len(await audited(database)) == 1


async def test_a_new_list_is_in_force_after_one_refresh(settings, url, page, store):
    chosen = settings(white_list_url=url)
    await refresh_white_list(chosen, store, ACT)
    page.content, page.etag = white_list([*ENTRIES, ("neuf.fr", TWO)], LATER), '"two"'

    changed = await refresh_white_list(chosen, store, ACT)

    assert changed.added == ("neuf.fr",)
    assert await store.operators_of("neuf.fr")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (white_list(generated="2026-11-23T02:00:00Z"), "older"),
        (white_list([ENTRIES[0]], LATER), "halved"),
        (white_list(generated=LATER)[:-30], "malformed"),
        (b"<html>Maintenance</html>", "malformed"),
        (b"", "malformed"),
    ],
)
async def test_a_bad_list_is_refused_audited_and_the_last_good_one_stays(
    settings, url, page, store, database, content, word
):
    chosen = settings(white_list_url=url)
    await refresh_white_list(chosen, store, ACT)
    before = await store.white_list(), await store.standing()
    page.content, page.etag = content, '"two"'

    with pytest.raises(WhiteListRefused) as refused:
        await refresh_white_list(chosen, store, ACT)

    assert refused.value.word == word
    assert (await store.white_list(), await store.standing()) == before
    assert [each["outcome"] for each in await audited(database)] == ["done", word]


async def test_a_list_that_cannot_be_had_changes_nothing(settings, url, page, store, pki):
    chosen = settings(white_list_url=url)
    await refresh_white_list(chosen, store, ACT)
    before = await store.standing()
    for change, word in (
        ({"announced": 1_000_000}, "truncated"),
        ({"status": 302, "headers": {"Location": "https://x.example/"}}, "redirected-elsewhere"),
        ({"status": 503}, "status-503"),
    ):
        page.etag = '"two"'
        for name, value in change.items():
            setattr(page, name, value)
        with pytest.raises(FetchFailed, match=word):
            await refresh_white_list(chosen, store, ACT)
        page.announced = None
    assert await store.standing() == before


async def test_a_signed_list_is_verified_when_it_is_fetched(
    settings, url, page, store, tmp_path, clock
):
    signers = SigningPki()
    (tmp_path / "ans.pem").write_bytes(signers.anchor_pem)
    chosen = settings(
        white_list_url=url,
        white_list_anchors=[str(tmp_path / "ans.pem")],
        require_signature=True,
    )
    with pytest.raises(WhiteListRefused, match="not signed"):
        await refresh_white_list(chosen, store, ACT)
    page.content = signers.signed(white_list())

    await refresh_white_list(chosen, store, ACT)

    assert (await store.standing()).signer == "CN=Liste blanche,O=ANS"


async def test_a_list_taken_unsigned_is_fetched_again_when_a_signature_is_asked_for(
    settings, url, page, store, tmp_path
):
    await refresh_white_list(settings(white_list_url=url), store, ACT)
    strict = settings(white_list_url=url, require_signature=True)

    with pytest.raises(WhiteListRefused, match="not signed"):
        await refresh_white_list(strict, store, ACT)

    assert "If-None-Match" not in page.asked[1]


async def test_the_background_refresh_survives_everything_and_warns_of_age(
    settings, url, page, store, clock, caplog
):
    fetcher = Fetcher(settings(white_list_url=url), store, clock)
    await fetcher.refresh_once()
    assert await store.standing() is not None
    page.status, page.etag = 500, '"two"'

    clock.advance(hours=47)
    await fetcher.refresh_once()
    assert "the white list is old" not in caplog.text
    clock.advance(hours=2)
    await fetcher.refresh_once()

    assert "the white list could not be refreshed" in caplog.text
    [old] = [each for each in caplog.records if each.message == "the white list is old"]
    assert old.hours == 49


# --- revocation lists ----------------------------------------------------------------------------


async def test_a_revocation_list_is_fetched_kept_and_read(settings, pki):
    revoked = pki.operator("gone", "gone.example")
    page = Page(pki.revoke(revoked))
    with serving(page) as url:
        chosen = settings(
            revocation_urls=[url], peer_intermediates=[str(pki.folder / "issuing.pem")]
        )
        await fetch_revocation_list(chosen, url)

        [one] = trust_files.peer_trust(chosen).revocation_lists
        assert one.get_revoked_certificate_by_serial_number(revoked.certificate.serial_number)

        # What is older, signed by a stranger, or nothing at all never takes its place.
        kept = trust_files.fetched_list(chosen, url).read_bytes()
        page.content = pki.revoke(this_update=pki.now - 2 * DAY)
        with pytest.raises(Unreadable, match="older"):
            await fetch_revocation_list(chosen, url)
        page.content = pki.revoke(issuer=pki.foreign)
        with pytest.raises(Unreadable, match="signed"):
            await fetch_revocation_list(chosen, url)
        page.content = b"Not found"
        with pytest.raises(Unreadable):
            await fetch_revocation_list(chosen, url)
        assert trust_files.fetched_list(chosen, url).read_bytes() == kept


async def test_a_revocation_list_is_fetched_at_half_of_its_life(settings, pki, store, clock):
    clock.instant = pki.now
    page = Page(pki.revoke(this_update=pki.now, next_update=pki.now + 10 * DAY))
    with serving(page) as url:
        chosen = settings(
            revocation_urls=[url], peer_intermediates=[str(pki.folder / "issuing.pem")]
        )
        fetcher = Fetcher(chosen, store, clock)
        for days, times in ((0, 1), (4, 1), (5, 2)):
            clock.instant = pki.now + days * DAY + timedelta(hours=2)
            await fetcher.fetch_if_due(url)
            assert len(page.asked) == times


async def test_a_revocation_list_that_cannot_be_had_is_told(settings, store, clock, caplog):
    with serving(Page(status=404)) as url:
        await Fetcher(settings(revocation_urls=[url]), store, clock).fetch_if_due(url)

    [told] = [each for each in caplog.records if "revocation" in each.message]
    assert (told.url, told.why) == (url, "status-404")


# --- files ---------------------------------------------------------------------------------------


async def test_a_changed_file_is_loaded_again_and_a_broken_one_is_not(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    file = tmp_path / "number"
    file.write_text("1")
    loaded = []

    def load_number():
        try:
            number = int(file.read_text())
        except ValueError:
            raise Unreadable(f"{file}: no number") from None
        return lambda: loaded.append(number)

    watch = FileWatch([Renewable("the number", lambda: (file,), load_number)])
    await watch.look()
    await watch.look()
    assert loaded == [1]
    file.write_text("two")
    await watch.look()
    await watch.look()
    assert loaded == [1]
    [told] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert (told.what, told.why) == ("the number", f"{file}: no number")
    (tmp_path / "next").write_text("3")
    (tmp_path / "next").replace(file)
    await watch.look()
    await watch.look(everything=True)
    assert loaded == [1, 3, 3]


async def test_files_that_are_broken_in_an_unforeseen_way_do_not_end_the_watch(tmp_path, caplog):
    file = tmp_path / "number"
    file.write_text("0")
    loaded, looks = [], []

    def divide():
        quotient = 1 // int(file.read_text())
        return lambda: loaded.append(quotient)

    watch = FileWatch([Renewable("the quotient", lambda: (file,), divide)], looks.append)
    await watch.look()
    file.write_text("1 ")
    await watch.look()

    assert loaded == [1]
    assert len(looks) == 2
    [told] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert told.what == "the quotient"


async def test_the_end_of_a_certificate_is_told_once_for_each_step(settings, store, pki, caplog):
    class Days:
        """A clock so many days before the end."""

        left = 40

        def now(self):
            return pki.now + 30 * DAY - timedelta(days=self.left)

    clock = Days()
    fetcher = Fetcher(settings(), store, clock)
    told = []
    for left in (40, 30, 29, 14, 7, 6, 1, 0.5, -1, -2):
        clock.left = left
        caplog.clear()
        await fetcher.warn_of_ends_once()
        told.append([each.message for each in caplog.records if each.use == "operators"])
    soon, gone = ["a certificate expires soon"], ["a certificate has expired"]
    assert told == [[], soon, [], soon, soon, [], soon, [], gone, []]


def test_what_cannot_be_read_names_its_file(settings, pki, tmp_path):
    for key in ("peer_intermediates", "revocation_lists", "white_list_anchors"):
        (tmp_path / "broken.pem").write_text("nonsense")
        with pytest.raises(Unreadable, match=r"broken\.pem"):
            trust_files.check_files(settings(**{key: [str(tmp_path / "broken.pem")]}))
    os.unlink(tmp_path / "broken.pem")
    with pytest.raises(Unreadable, match="No such file"):
        trust_files.check_files(settings(revocation_lists=[str(tmp_path / "broken.pem")]))
    with pytest.raises(Unreadable, match="white_list_signer"):
        trust_files.check_files(settings(white_list_signer="ANS"))
    trust_files.check_files(settings())
