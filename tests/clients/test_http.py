"""Fetching over HTTP: whom it believes, and how much it takes."""

from datetime import UTC, datetime

import pytest

from mssante.clients import http
from mssante.clients.http import FetchFailed, Request, fetch, fetch_aside
from tests.support.operator_pki import OperatorPki
from tests.support.web_server import Page, serving


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = OperatorPki(tmp_path_factory.mktemp("web"), datetime.now(UTC))
    made.operator("web", "localhost")
    made.operator("elsewhere", "elsewhere.example")
    return made


@pytest.fixture
def page():
    return Page(b"<list/>" * 1000, etag='"one"')


@pytest.fixture
def url(pki, page):
    with serving(page, pki.folder / "web.pem", pki.folder / "web.key") as url:
        yield url


@pytest.fixture
def ask(pki, url):
    def asking(**options):
        options.setdefault("authorities", [pki.folder / "ca.pem"])
        return fetch(Request(options.pop("url", url), **options))

    return asking


def failure(ask, **options):
    with pytest.raises(FetchFailed) as failed:
        ask(**options)
    return failed.value.word


def test_a_file_comes_with_what_the_next_request_needs(ask, page):
    answer = ask()

    assert (answer.content, answer.etag) == (page.content, '"one"')
    assert page.asked[0]["Accept-Encoding"] == "identity"


async def test_it_comes_aside_too(url, pki, page):
    answer = await fetch_aside(Request(url, [pki.folder / "ca.pem"]))

    assert answer.content == page.content


def test_what_has_not_changed_does_not_come_again(ask, page):
    answer = ask(etag='"one"', last_modified="Mon, 23 Nov 2026 03:00:00 GMT")

    assert answer.content is None
    assert page.asked[0]["If-Modified-Since"] == "Mon, 23 Nov 2026 03:00:00 GMT"


def test_nobody_is_believed_but_the_named_authorities(ask, pki, monkeypatch):
    assert failure(ask, authorities=()) == "tls"
    pki.write_pem("foreign.pem", pki.foreign.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.folder / "ca.pem"))
    assert failure(ask, authorities=[pki.folder / "foreign.pem"]) == "tls"


def test_the_servers_name_must_be_in_its_certificate(pki, page):
    page.asked.clear()
    made = pki.operator("other", "other.example")
    assert made
    with serving(page, pki.folder / "other.pem", pki.folder / "other.key") as url:
        with pytest.raises(FetchFailed, match="tls"):
            # localhost is in it, the address is not.
            fetch(Request(url.replace("localhost", "127.0.0.1"), [pki.folder / "ca.pem"]))
    assert page.asked == []


def test_more_than_allowed_is_refused_however_it_is_announced(ask, page):
    assert failure(ask, max_octets=1000) == "too-large"


def test_a_file_that_is_cut_off_is_refused(ask, page):
    page.announced = len(page.content) + 1

    assert failure(ask) == "truncated"


def test_a_redirection_elsewhere_is_not_followed(ask, page, url):
    for location in ("https://elsewhere.example/list.xml", url.replace("https", "http")):
        page.status, page.headers = 302, {"Location": location}
        assert failure(ask) == "redirected-elsewhere"
    page.headers = {"Location": "/list.xml"}
    assert failure(ask) == "redirected-elsewhere"  # round in a circle
    assert len(page.asked) == 1 + 1 + 4


@pytest.mark.parametrize("status", [404, 500, 204, 206])
def test_other_answers_are_refused_by_their_number(ask, page, status):
    page.status = status

    assert failure(ask) == f"status-{status}"


def test_silence_and_slowness_end(ask, page, monkeypatch):
    page.silent = True
    monkeypatch.setattr(http, "_SILENCE_SECONDS", 0.3)
    assert failure(ask) == "timed-out"
    page.silent = False
    assert failure(ask, seconds=0.0) == "timed-out"


def test_nobody_there_is_told(ask, pki):
    with serving(Page()) as gone:
        pass
    assert failure(ask, url=gone) == "unreachable"
