"""Clients that are slow, huge, ambiguous or no HTTP at all."""

import concurrent.futures
import socket
import time

import pytest

from tests.servers.web.conftest import everything

PATH = "/mail/config-v1.1.xml"
POX = "/autodiscover/autodiscover.xml"
HEAD = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n"
SECURITY = (
    "strict-transport-security", "content-security-policy", "x-content-type-options",
    "referrer-policy",
)  # fmt: skip


def first_line(answer: bytes) -> str:
    return answer.partition(b"\r\n")[0].decode()


def still_serves(site) -> bool:
    return site.ask(PATH).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PATH), ("GET", "/nowhere"), ("POST", PATH), ("OPTIONS", PATH)]
)
def test_every_answer_has_the_headers_of_security_and_no_banner(site, method, path):
    answer = site.ask(path, method)

    assert all(name in answer.headers for name in SECURITY)
    assert "server" not in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_head_is_get_without_the_body(site):
    head, get = site.ask(PATH, "HEAD"), site.ask(PATH)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))


def test_options_and_a_wrong_method_name_what_is_allowed(site):
    options, wrong, odd = (site.ask(PATH, m) for m in ("OPTIONS", "DELETE", "BREW"))

    assert (options.status, options.body) == (204, b"")
    assert options.headers["allow"] == wrong.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (wrong.status, odd.status) == (405, 405)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01 no http\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\nContent-Length: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 8_000 + b"\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(site, octets):
    answer = site.say(octets)

    assert first_line(answer).split()[1:2] in ([], ["400"], ["404"], ["501"]), answer[:200]
    assert b"Traceback" not in answer
    assert still_serves(site)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused_and_what_follows_it_not_run(site, fields):
    smuggled = b"0\r\n\r\n" + HEAD.encode() + b"\r\n"
    answer = site.say(
        b"POST " + POX.encode() + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + smuggled
    )

    assert first_line(answer).startswith("HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//evil.example/", "/mail//config-v1.1.xml",
     "/mail/config-v1.1.xml/", "/mail/config-v1.1.xml%00", "/mail/config-v1.1.xml%0d%0aX:y", "*",
     "http://evil.example/mail/", "/autodiscover/../healthz", "/mail/config-v1.1.xml;a=b"],
)  # fmt: skip
def test_odd_paths_lead_nowhere(site, path):
    answer = site.say(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )

    assert first_line(answer) == "HTTP/1.1 404 Not Found"
    assert b"location" not in answer.lower()


def test_http_1_0_is_answered_and_the_connection_closed(site):
    answer = site.say(f"GET {PATH} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())

    assert first_line(answer) == "HTTP/1.1 200 OK"


def test_several_requests_on_one_connection_are_answered_in_order(site):
    last = f"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = site.say((HEAD + "\r\n" + HEAD + "\r\n" + last).encode())

    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"HTTP/1.1 404 Not Found") == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(site, announced):
    field = b"Content-Length: 999999999" if announced else b"Transfer-Encoding: chunked"
    with site.connect() as connection:
        connection.sendall(
            b"POST " + POX.encode() + b" HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n"
        )
        try:
            for _ in range(200):
                piece = b"x" * 4096
                connection.sendall(piece if announced else b"1000\r\n" + piece + b"\r\n")
        except OSError:
            pass
        answer = everything(connection)

    # The client may be cut off while it still sends; then it sees no answer at all.
    assert first_line(answer)[:12] in ("HTTP/1.1 413", ""), answer[:100]
    assert still_serves(site)


def test_a_body_of_a_forbidden_size_is_refused_by_its_announcement_alone(site):
    answer = site.say(
        b"POST " + POX.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 20001\r\n\r\n"
    )

    assert first_line(answer).startswith("HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HT",
        HEAD.encode() + b"X: ",
        b"POST " + POX.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
    ],
)
def test_a_client_that_trickles_is_cut_off(site, beginning):
    with site.connect() as connection:
        connection.sendall(beginning)
        began = time.monotonic()
        while time.monotonic() - began < 12:
            try:
                connection.sendall(b"a")
                connection.settimeout(0.3)
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("the server waits for ever")
    assert still_serves(site)


def test_a_trickle_after_an_answer_is_cut_off_too(site):
    with site.connect() as connection:
        connection.sendall((HEAD + "\r\n").encode())
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET / HT")
        rest = everything(connection)

    assert b"HTTP/1.1 200" not in rest


def test_an_idle_connection_is_closed(site):
    with site.connect() as connection:
        connection.sendall((HEAD + "\r\n").encode())
        answer = everything(connection)

    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_that_never_begins_tls_hurts_nobody(site):
    with socket.create_connection(("localhost", site.port)):
        assert still_serves(site)


def test_plain_http_is_not_understood(site):
    with socket.create_connection(("localhost", site.port), timeout=15) as plain:
        plain.sendall((HEAD + "\r\n").encode())
        try:
            answer = plain.recv(1000)
        except ConnectionError:
            answer = b""

    assert b"HTTP" not in answer


def test_many_clients_at_once_are_all_answered(site):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: site.ask(PATH).status, range(100)))

    assert statuses == [200] * 100


def test_nothing_of_all_this_left_a_trace_of_a_fault_in_the_log(site):
    log = site.log()

    assert "a request failed" not in log
    assert "exception" not in log
