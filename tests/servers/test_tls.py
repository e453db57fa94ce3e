import contextlib
import socket
import ssl
import threading

import pytest

from mssante.servers.tls import server_context
from tests.support.certificates import throw_away_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return throw_away_certificate(tmp_path_factory.mktemp("tls"))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str, str]:
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            with server.wrap_socket(ours, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            ours.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname="localhost") as tls:
            tls.send(b"x")
            return tls.version(), tls.cipher()[0]
    finally:
        theirs.close()
        thread.join()


def client_for(certificate, **limits) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    for name, value in limits.items():
        setattr(context, name, value)
    return context


def test_modern_clients_get_tls_1_3(certificate):
    server = server_context(certificate.certificate, certificate.key)

    assert handshake(server, client_for(certificate))[0] == "TLSv1.3"


def test_tls_1_2_has_forward_secrecy_and_authenticated_encryption(certificate):
    server = server_context(certificate.certificate, certificate.key)
    version, cipher = handshake(
        server, client_for(certificate, maximum_version=ssl.TLSVersion.TLSv1_2)
    )

    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-") and ("GCM" in cipher or "CHACHA20" in cipher)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused(certificate):
    server = server_context(certificate.certificate, certificate.key)
    old = client_for(certificate, minimum_version=ssl.TLSVersion.TLSv1)
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(OSError):
        handshake(server, old)


def test_weak_suites_are_refused(certificate):
    server = server_context(certificate.certificate, certificate.key)
    weak = client_for(certificate, maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256")

    with pytest.raises(OSError):
        handshake(server, weak)


@pytest.mark.parametrize(
    ("returning", "version", "resumed"),
    [
        (True, ssl.TLSVersion.TLSv1_3, True),
        (False, ssl.TLSVersion.TLSv1_3, False),
        (False, ssl.TLSVersion.TLSv1_2, True),
    ],
)
def test_a_client_that_comes_back_shows_the_ticket_of_its_last_visit(
    certificate, returning, version, resumed
):
    server = server_context(certificate.certificate, certificate.key, returning=returning)
    client = client_for(certificate, maximum_version=version)

    def visit(before: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession]:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = server.wrap_bio(to_server, to_client, server_side=True)
        theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=before)
        for side in (theirs, ours, theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        with pytest.raises(ssl.SSLWantReadError):
            theirs.read(1)  # the ticket is on its way with the first data
        return theirs.session_reused, theirs.session

    first, session = visit(None)
    second, newer = visit(session)
    third, _ = visit(newer)

    assert (first, second, third) == (False, resumed, resumed)
