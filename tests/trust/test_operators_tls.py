"""The TLS of other operators against peers of another library, good ones and hostile ones."""

import asyncio
import base64
import re
import socket
import ssl
from datetime import UTC, datetime

import pytest
from OpenSSL import SSL

from mssante.trust.anchors import Unreadable
from mssante.trust.peer_tls import PeerTls, TlsFailed, check_pair_in
from mssante.trust.tls_filter import start_tls
from tests.support.operator_pki import OperatorPki


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = OperatorPki(tmp_path_factory.mktemp("operators"), datetime.now(UTC))
    made.operator("own", "localhost")
    made.operator("peer", "localhost")
    return made


def files(pki, name):
    return (pki.folder / f"{name}.pem").read_bytes(), (pki.folder / f"{name}.key").read_bytes()


@pytest.fixture(scope="module")
def own(pki):
    return PeerTls(*files(pki, "own"))


def client_context(pki, name="peer", **limits):
    context = ssl.create_default_context(cafile=str(pki.folder / "ca.pem"))
    if name is not None:
        context.load_cert_chain(pki.folder / f"{name}.pem", pki.folder / f"{name}.key")
    for key, value in limits.items():
        setattr(context, key, value)
    return context


class Above(asyncio.Protocol):
    """Gives back what it gets, and keeps it."""

    def __init__(self):
        self.got = bytearray()
        self.ended = asyncio.Event()
        self.echo = True
        self.transport = None

    def data_received(self, data):
        self.got += data
        if self.echo:
            self.transport.write(data)

    def eof_received(self):
        self.ended.set()

    def connection_lost(self, error):
        self.ended.set()


class Door:
    """Accepts one connection after another, greets with one octet and starts TLS."""

    def __init__(self, own, seconds=5.0):
        self.own = own
        self.seconds = seconds
        self.outcomes = asyncio.Queue()
        self.tasks = set()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Plain(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            await task

    async def upgrade(self, plain):
        above = Above()
        plain.write(b"g")
        try:
            above.transport = await start_tls(
                plain, self.own.accept(), above, handshake_seconds=self.seconds, shutdown_seconds=1
            )
        except TlsFailed as failed:
            await self.outcomes.put(failed)
        else:
            await self.outcomes.put(above)

    async def outcome(self):
        return await asyncio.wait_for(self.outcomes.get(), 10)

    async def raw(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert await reader.readexactly(1) == b"g"
        return reader, writer

    async def client(self, context):
        reader, writer = await self.raw()
        await writer.start_tls(context, server_hostname="localhost")
        return reader, writer

    async def in_thread(self, work):
        """A blocking client, after the greeting."""

        def connect():
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
                assert sock.recv(1) == b"g"
                return work(sock)

        return await asyncio.to_thread(connect)


class Plain(asyncio.Protocol):
    def __init__(self, door):
        self.door = door

    def connection_made(self, transport):
        task = asyncio.get_running_loop().create_task(self.door.upgrade(transport))
        self.door.tasks.add(task)
        task.add_done_callback(self.door.tasks.discard)


@pytest.mark.parametrize(
    ("limits", "version"),
    [({}, "TLSv1.3"), ({"maximum_version": ssl.TLSVersion.TLSv1_2}, "TLSv1.2")],
)
async def test_a_megabyte_comes_and_goes(own, pki, limits, version):
    content = bytes(range(256)) * 4096
    async with Door(own) as door:
        reader, writer = await door.client(client_context(pki, **limits))
        above = await door.outcome()
        writer.write(content)
        assert await asyncio.wait_for(reader.readexactly(len(content)), 20) == content
        name, told, bits = above.transport.get_extra_info("ssl_object").cipher()
        assert (told, bits >= 128) == (version, True)
        assert "GCM" in name or "CHACHA20" in name
        writer.close()
        await asyncio.wait_for(above.ended.wait(), 5)


async def test_the_chain_that_the_peer_showed_is_known_its_own_first(own, pki):
    async with Door(own) as door:
        _, writer = await door.client(client_context(pki))
        chain = (await door.outcome()).transport.engine.peer_chain()
        assert len(chain) == 2
        assert chain[0] == ssl.PEM_cert_to_DER_cert(files(pki, "peer")[0].decode().split("\n\n")[0].split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----")  # fmt: skip
        _, nobody = await door.client(client_context(pki, None))
        assert (await door.outcome()).transport.engine.peer_chain() == ()
        for each in (writer, nobody):
            each.transport.abort()


async def test_both_ends_of_it_speak_with_each_other(own, pki):
    """The relay's end: the server's certificate is judged afterwards, too."""
    async with Door(own) as door:
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        class Greeted(asyncio.Protocol):
            def data_received(self, data):
                arrived.set_result(data)

        plain, _ = await loop.create_connection(Greeted, "127.0.0.1", door.port)
        assert await asyncio.wait_for(arrived, 5) == b"g"
        above = Above()
        above.echo = False
        peer = PeerTls(*files(pki, "peer"))
        above.transport = await start_tls(
            plain, peer.connect("localhost"), above, handshake_seconds=5, shutdown_seconds=1
        )
        server_side = await door.outcome()
        assert len(above.transport.engine.peer_chain()) == 2
        assert len(server_side.transport.engine.peer_chain()) == 2
        above.transport.write(b"hello")
        while bytes(above.got) != b"hello":
            await asyncio.sleep(0.01)
        above.transport.close()
        await asyncio.wait_for(server_side.ended.wait(), 5)


async def test_no_session_is_resumed(own, pki):
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = client_context(pki, maximum_version=version)

        def connect(sock, session=None, context=context):
            with context.wrap_socket(sock, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"x")
                tls.recv(1)
                return tls.session, tls.session_reused

        async with Door(own) as door:
            session, _ = await door.in_thread(connect)
            for _ in range(2):
                _, reused = await door.in_thread(lambda sock: connect(sock, session))
                assert not reused


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_versions_and_weak_suites_are_refused_with_a_reason(own, pki):
    old = client_context(pki, minimum_version=ssl.TLSVersion.TLSv1)
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    weak = client_context(pki, maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256")
    async with Door(own) as door:
        for context, reason in ((old, "unsupported protocol"), (weak, "no shared cipher")):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await door.client(context)
            assert (await door.outcome()).reason == reason


async def test_how_each_handshake_ended_is_told_on_either_end(pki):
    accepted, begun = [], []
    own = PeerTls(*files(pki, "own"), accepted.append)
    peer = PeerTls(*files(pki, "peer"), begun.append)
    async with Door(own) as door:
        for limits in ({}, {"maximum_version": ssl.TLSVersion.TLSv1_2}):
            _, writer = await door.client(client_context(pki, **limits))
            await door.outcome()
            writer.transport.abort()
        _, writer = await door.raw()
        writer.write(b"EHLO mx.example\r\n" * 3)
        await door.outcome()
        writer.transport.abort()
    assert accepted == ["TLSv1.3", "TLSv1.2", None]

    client, server = peer.connect("localhost"), own.accept()
    while not (client.established and server.established):
        client.handshake()
        server.receive(client.outgoing())
        server.handshake()
        client.receive(server.outgoing())
    assert begun == ["TLSv1.3"]


async def test_who_does_not_speak_tls_is_cut_off(own):
    async with Door(own) as door:
        reader, writer = await door.raw()
        writer.write(b"EHLO mx.example\r\n" * 3)
        failed = await door.outcome()
        assert isinstance(failed, TlsFailed)
        assert failed.reason
        await asyncio.wait_for(reader.read(), 5)
        writer.transport.abort()


async def test_half_a_handshake_is_not_waited_for(own):
    async with Door(own, seconds=0.3) as door:
        reader, writer = await door.raw()
        writer.write(bytes.fromhex("1603010200010001fc0303"))
        assert (await door.outcome()).reason == "handshake timed out"
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.transport.abort()


async def test_a_peer_that_leaves_in_the_handshake_is_told_apart(own):
    async with Door(own) as door:
        _, writer = await door.raw()
        writer.write(bytes.fromhex("1603010200010001fc0303"))
        writer.close()
        assert (await door.outcome()).reason == "connection ended"


async def test_octets_may_come_one_by_one(own, pki):
    """The same as ever so slow a network, with the whole handshake and some text."""
    context = client_context(pki)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

    async with Door(own) as door:
        reader, writer = await door.raw()

        async def step(action):
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    result = None
                for octet in outgoing.read():
                    writer.write(bytes([octet]))
                    await asyncio.sleep(0)
                if result is not None:
                    return result
                incoming.write(await asyncio.wait_for(reader.read(4096), 10))

        await step(lambda: tls.do_handshake() or True)
        above = await door.outcome()
        await step(lambda: tls.write(b"hello"))
        assert await step(lambda: tls.read(5)) == b"hello"
        assert above.got == b"hello"
        writer.transport.abort()


async def test_a_record_larger_than_allowed_ends_the_connection(own, pki):
    async with Door(own) as door:

        def work(sock):
            tls = client_context(pki).wrap_socket(sock, server_hostname="localhost")
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"
            raw = socket.socket(fileno=tls.detach())
            with raw:
                raw.settimeout(10)
                raw.sendall(b"\x17\x03\x03\xff\xff" + b"x" * 65_535)
                try:
                    while raw.recv(4096):
                        pass
                except ConnectionError:
                    pass
            return True

        assert await door.in_thread(work)
        above = await door.outcome()
        await asyncio.wait_for(above.ended.wait(), 5)
        assert above.got == b"x"


async def test_renegotiation_is_refused(own, pki):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)

    async with Door(own) as door:

        def work(sock):
            sock.settimeout(None)
            tls = SSL.Connection(context, sock)
            tls.set_connect_state()
            tls.do_handshake()
            assert tls.renegotiate()
            with pytest.raises(SSL.Error):
                tls.do_handshake()
                for _ in range(3):
                    tls.send(b"x")
                    tls.recv(1)
            return True

        assert await door.in_thread(work)


async def test_an_end_without_close_notify_is_an_end(own, pki):
    async with Door(own) as door:

        def work(sock):
            tls = client_context(pki).wrap_socket(sock, server_hostname="localhost")
            tls.sendall(b"half a li")
            assert tls.recv(9) == b"half a li"
            with socket.socket(fileno=tls.detach()) as raw:
                raw.settimeout(10)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
            return True

        assert await door.in_thread(work)
        above = await door.outcome()
        await asyncio.wait_for(above.ended.wait(), 5)
        assert above.got == b"half a li"


async def test_a_peer_that_does_not_answer_our_goodbye_is_cut_off(own, pki):
    async with Door(own) as door:

        def work(sock):
            tls = client_context(pki).wrap_socket(sock, server_hostname="localhost")
            tls.sendall(b"x")
            tls.recv(1)
            raw = socket.socket(fileno=tls.detach())
            with raw:
                raw.settimeout(10)
                try:
                    while raw.recv(4096):
                        pass
                except ConnectionError:
                    pass
            return True

        waiting = asyncio.create_task(door.in_thread(work))
        above = await door.outcome()
        while not above.got:
            await asyncio.sleep(0.01)
        above.transport.close()
        assert await asyncio.wait_for(waiting, 10)


async def test_who_does_not_read_is_not_read_either(own, pki):
    """Answers gather in the network's buffers, then nothing more is taken."""
    async with Door(own) as door:
        _, writer = await door.client(client_context(pki))
        above = await door.outcome()
        writer.transport.pause_reading()
        sent = 0
        piece = b"x" * 65_536
        while sent < 64 << 20:
            writer.write(piece)
            sent += len(piece)
            try:
                await asyncio.wait_for(writer.drain(), 1)
            except TimeoutError:
                break
        assert sent < 64 << 20
        assert above.transport.get_write_buffer_size() < 4 << 20
        writer.transport.abort()
        await asyncio.wait_for(above.ended.wait(), 5)


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        (bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030177")),
        (b"localhost", b"\xffocalhost"),
    ],
    ids=["curve", "octets that are no text"],
)
def test_a_pair_that_the_libraries_do_not_know_is_refused(pki, known, unknown):
    certificate, key = files(pki, "own")
    refused = 0
    for broken in (0, 1):
        pair = [certificate, key]
        label, octets, end = re.match(rb"(-.*?-\n)(.*?)(\n-.*?-\n)", pair[broken], re.S).groups()
        der = base64.b64decode(octets)
        if known in der:
            refused += 1
            pair[broken] = label + base64.encodebytes(der.replace(known, unknown)).rstrip() + end
            with pytest.raises(Unreadable):
                PeerTls(*pair)
    assert refused


def test_a_key_that_is_not_the_certificates_is_refused(pki):
    certificate, _ = files(pki, "own")
    _, key = files(pki, "peer")

    for check in (PeerTls, check_pair_in):
        with pytest.raises(Unreadable, match="not that of the certificate"):
            check(certificate, key)
        with pytest.raises(Unreadable, match="private key"):
            check(certificate, b"nonsense")
        with pytest.raises(Unreadable, match="certificate"):
            check(b"nonsense", key)
