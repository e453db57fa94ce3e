import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from mssante.trust import pki

NOW = datetime.now(UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root():
    return pki.make_root("Test root", NOW)


@pytest.fixture
def server(root):
    return pki.issue_server(root, ["mail.example", "localhost", "127.0.0.1", "::1"], NOW)


def verifier(root, name, at=NOW):
    store = Store([root.certificate])
    return PolicyBuilder().store(store).time(at).build_server_verifier(name)


@pytest.mark.parametrize("name", ["mail.example", "localhost"])
def test_a_strict_verifier_accepts_the_server_under_each_of_its_names(root, server, name):
    chain = verifier(root, x509.DNSName(name)).verify(server.certificate, [])

    assert chain[-1] == root.certificate


def test_a_strict_verifier_refuses_another_name_another_root_and_another_time(root, server):
    other = pki.make_root("Other", NOW)
    for wrong in (
        verifier(root, x509.DNSName("evil.example")),
        verifier(other, x509.DNSName("mail.example")),
        verifier(root, x509.DNSName("mail.example"), NOW + timedelta(days=900)),
    ):
        with pytest.raises(x509.verification.VerificationError):
            wrong.verify(server.certificate, [])


def test_an_operators_certificate_serves_both_ways_and_a_servers_does_not(root, server):
    operator = pki.issue_operator(root, "Autre hopital", ["mx.autre.example"], NOW)
    client = PolicyBuilder().store(Store([root.certificate])).time(NOW).build_client_verifier()

    client.verify(operator.certificate, [])
    verifier(root, x509.DNSName("mx.autre.example")).verify(operator.certificate, [])
    with pytest.raises(x509.verification.VerificationError):
        client.verify(server.certificate, [])


def test_a_leaf_cannot_issue(root, server):
    forged = pki.issue_server(server, ["evil.example"], NOW)

    with pytest.raises(x509.verification.VerificationError):
        verifier(root, x509.DNSName("evil.example")).verify(
            forged.certificate, [server.certificate]
        )


def test_extensions_are_those_of_the_profile(root, server):
    ca, leaf = root.certificate.extensions, server.certificate.extensions

    assert ca.get_extension_for_class(x509.BasicConstraints).critical
    assert ca.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    assert ca.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert not leaf.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = leaf.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert (
        leaf.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        == ca.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )


def test_python_and_openssl_shake_hands_with_it_by_name_and_by_address(root, server, tmp_path):
    root.write(tmp_path / "ca.pem", tmp_path / "ca.key")
    server.write(tmp_path / "server.pem", tmp_path / "server.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT

    for name in ("localhost", "127.0.0.1"):
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def serve(connection=theirs):
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)

            thread = threading.Thread(target=serve)
            thread.start()
            with client.wrap_socket(ours, server_hostname=name) as tls:
                assert tls.version() == "TLSv1.3"
                tls.sendall(b"x")
            thread.join(5)


def test_files_are_private_and_never_overwritten(root, tmp_path):
    root.write(tmp_path / "ca.pem", tmp_path / "ca.key")

    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        root.write(tmp_path / "ca.pem", tmp_path / "ca.key")


def test_a_repr_does_not_show_the_key(root):
    assert "key" not in repr(root).replace("mssante", "").lower()


def test_the_shipped_certs_folder_holds_no_private_key():
    for file in (ROOT / "certs").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"PRIVATE KEY" not in content, file
            assert file.suffix not in {".key", ".p12", ".pfx"}, file
