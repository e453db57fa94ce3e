"""ClamAV's daemon: the real one where it is installed, and every way in which it can fail."""

import asyncio
import shutil
import subprocess
import time

import pytest

from mssante.clients.clamd import Clamd
from mssante.mail.screening import ScannerUnavailable

MARK = b"X5-MSSANTE-TEST-SIGNATURE"
"""A signature of our own database: nothing is downloaded."""


async def answering(answer: bytes, *, read_first=True):
    received = bytearray()

    async def serve(reader, writer):
        if read_first:
            assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
            while size := int.from_bytes(await reader.readexactly(4), "big"):
                received.extend(await reader.readexactly(size))
        if answer:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}", received


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(b"stream: OK\0", None), (b"stream: Eicar-Test FOUND\0", "Eicar-Test"), (b"stream: OK", None)],
)
async def test_the_daemons_verdict_counts(answer, verdict):
    server, address, received = await answering(answer)
    content = b"x" * 700_000

    assert await Clamd(address, 10).scan(content) == verdict
    assert received == content
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"INSTREAM size limit exceeded. ERROR\0",
        b"stream: OK, more or less",
        b"garbage",
        b"x" * 9000,
    ],
)
async def test_anything_else_is_no_verdict(answer):
    server, address, _ = await answering(answer)

    with pytest.raises(ScannerUnavailable):
        await Clamd(address, 10).scan(b"x")
    server.close()


async def test_nobody_answers(tmp_path):
    server, address, _ = await answering(b"", read_first=False)
    server.close()
    await server.wait_closed()

    for unreachable in (address, f"unix:{tmp_path}/nothing.ctl"):
        with pytest.raises(ScannerUnavailable):
            await Clamd(unreachable, 10).scan(b"x")


async def test_a_daemon_that_hangs_is_not_waited_for():
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    with pytest.raises(ScannerUnavailable, match="too long"):
        await Clamd(address, 0.2).scan(b"x")
    server.close()
    await server.wait_closed()


@pytest.fixture
def daemon(tmp_path):
    """The real clamd with a database of one signature."""
    if shutil.which("clamd") is None:
        pytest.skip("NO CLAMAV TEST: install the Debian package clamav-daemon")
    database = tmp_path / "db"
    database.mkdir()
    (database / "test.ndb").write_text(f"Mssante.Test:0:*:{MARK.hex()}\n")
    tmp_path.chmod(0o755)
    socket = tmp_path / "clamd.ctl"
    config = tmp_path / "clamd.conf"
    config.write_text(
        f"DatabaseDirectory {database}\nLocalSocket {socket}\nForeground yes\nUser root\n"
        "StreamMaxLength 30M\n"
    )
    process = subprocess.Popen(
        ["clamd", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(300):
        if socket.exists():
            break
        time.sleep(0.1)
    yield f"unix:{socket}"
    process.terminate()
    process.wait(30)


@pytest.mark.long
async def test_the_real_daemon_finds_what_is_encoded_in_an_attachment(daemon):
    from tests.mail.test_screening import a_message

    clamd = Clamd(daemon, 60)

    assert await clamd.scan(a_message("lettre.txt", b"Bonjour " + MARK + b" !")) is not None
    assert await clamd.scan(a_message("lettre.txt", b"Bonjour")) is None
    with pytest.raises(ScannerUnavailable):
        await clamd.scan(b"x" * (31 << 20))
