"""ClamAV by its daemon: the `Scanner` port over clamd's INSTREAM (clamd(8)).

A connection for each message: clamd closes it after the verdict. What it says is bounded, and only its
verdict is believed: OK, or a name.
"""

import asyncio
import re
from typing import Final

from mssante.mail.screening import ScannerUnavailable

_PIECE: Final = 256 * 1024
_MOST_ANSWER: Final = 4096
_FOUND: Final = re.compile(rb"stream: ([!-~]{1,200}) FOUND\0?\Z")
_CLEAN: Final = re.compile(rb"stream: OK\0?\Z")


class Clamd:
    """One daemon."""

    def __init__(self, address: str, seconds: float) -> None:
        """Args:
        address: ``unix:/path`` or ``host:port``.
        seconds: for one message.
        """
        self._address = address
        self._seconds = seconds

    async def scan(self, content: bytes) -> str | None:
        """See the port."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._asked(content)
        except TimeoutError:
            raise ScannerUnavailable("clamd takes too long") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ScannerUnavailable(f"clamd: {type(error).__name__}") from None
        if _CLEAN.match(answer):
            return None
        found = _FOUND.match(answer)
        if found is None:
            raise ScannerUnavailable("clamd gives no verdict: see its log (StreamMaxLength?)")
        return found[1].decode("ascii")

    async def _asked(self, content: bytes) -> bytes:
        reader, writer = await self._connected()
        try:
            writer.write(b"zINSTREAM\0")
            view = memoryview(content)
            for start in range(0, len(content), _PIECE):
                piece = view[start : start + _PIECE]
                writer.write(len(piece).to_bytes(4, "big"))
                writer.write(piece)
                await writer.drain()
            writer.write(bytes(4))
            await writer.drain()
            return await reader.read(_MOST_ANSWER)
        finally:
            writer.transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._address.startswith("unix:"):
            return await asyncio.open_unix_connection(self._address.removeprefix("unix:"))
        host, _, port = self._address.rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port))
