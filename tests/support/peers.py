"""Other operators' servers, as good and as bad as tests want them: real sockets, real TLS."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mssante.trust import pki
from mssante.trust.names import name_of

NOW = datetime.now(UTC)


class Authority:
    """A root and the operators that it certifies, as files."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder, self.name = folder, name
        self.root = pki.make_root(f"Root {name}", NOW)
        self.root.write(folder / f"{name}.pem", folder / f"{name}.key")

    @property
    def ca_file(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def operator(self, name: str, at: datetime = NOW):
        """Certify an operator; gives its distinguished name."""
        credential = pki.issue_operator(self.root, name, [f"mx.{name}"], at)
        credential.write(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return name_of(credential.certificate.subject)

    def context(self, name: str) -> ssl.SSLContext:
        pair = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        return peer_context(*pair, self.ca_file)


def peer_context(certificate: Path, key: Path, ca_file: Path) -> ssl.SSLContext:
    """TLS of an operator's server, which wants the client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass
class Peer:
    """One server. `answers` replaces the answer to a command (by its verb, ``end`` for the end of
    data, ``greeting`` for the greeting, ``body`` for data under way, ``after`` for what follows the
    answer to the end): a text, a list of texts for one time each, or ``CLOSE``.
    """

    tls: ssl.SSLContext
    extensions: list[str] = field(
        default_factory=lambda: ["PIPELINING", "SIZE 1000000", "8BITMIME", "DSN"]
    )
    answers: dict[str, str | list[str]] = field(default_factory=dict)
    starttls: bool = True
    after_starttls: bytes = b""
    """Said in clear behind the answer to STARTTLS."""
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    """Whatever came to its end of data, taken or not."""
    taken: int = 0
    """Messages of which it was said that they are taken."""
    connections: int = 0
    certificates: list[dict] = field(default_factory=list)
    seconds: float = 0
    """Before each answer."""
    octet_seconds: float = 0
    """Between the octets of each answer, or of those to the commands `trickled`."""
    trickled: set[str] = field(default_factory=set)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    """An answer to a command (see `answers`) is held until its gate is set or the client is gone."""
    held: list[str] = field(default_factory=list)
    """Commands whose answers were held."""

    async def start(self, port: int = 0) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        writer.lost = lambda: reader._eof or writer.is_closing()
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, EOFError):
            pass
        except asyncio.CancelledError:  # at a test's end; 3.11's streams would make a noise of it
            writer.transport.abort()
        finally:
            writer.close()

    async def _talk(self, reader, writer) -> None:
        if not await self._say(writer, "greeting", "220 mx.other.example ESMTP"):
            return
        secure, sender, recipients = False, False, 0
        while line := await reader.readline():
            text = line.decode().rstrip("\r\n")
            self.commands.append(text)
            verb = text.split(" ")[0].upper()
            if verb == "STARTTLS":
                if not await self._say(writer, verb, "220 go", self.after_starttls):
                    return
                await writer.start_tls(self.tls)
                self.certificates.append(writer.get_extra_info("peercert"))
                secure = True
            elif verb == "EHLO":
                words = ["mx.other.example"]
                words += ["STARTTLS"] if self.starttls and not secure else []
                words += self.extensions if secure else []
                lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
                if not await self._say(writer, verb, "\r\n".join(lines)):
                    return
            elif verb == "MAIL":
                said = await self._say(writer, verb, "250 2.1.0 fine")
                if not said:
                    return
                sender, recipients = said.startswith("2"), 0
            elif verb == "RCPT":
                usual = "250 2.1.5 fine" if sender else "503 5.5.1 MAIL first"
                said = await self._say(writer, verb, usual)
                if not said:
                    return
                recipients += said.startswith("2")
            elif verb == "DATA":
                said = await self._say(
                    writer, verb, "354 send" if recipients else "554 5.5.1 no valid recipients"
                )
                recipients = 0
                if not said:
                    return
                if said.startswith("354"):
                    first = await reader.readline()
                    if not await self._say(writer, "body", ""):
                        return
                    self.messages.append(await self._data(first, reader))
                    said = await self._say(writer, "end", "250 2.0.0 taken")
                    if not said:
                        return
                    self.taken += said.startswith("2")
                    if not await self._say(writer, "after", ""):
                        return
            elif verb == "QUIT":
                await self._say(writer, verb, "221 bye")
                return
            elif not await self._say(writer, verb, "250 2.0.0 fine"):
                return

    async def _data(self, line, reader) -> bytes:
        lines = []
        while line != b".\r\n":
            if not line.endswith(b"\n"):
                raise EOFError
            lines.append(line[1:] if line.startswith(b".") else line)
            line = await reader.readline()
        return b"".join(lines)

    async def _say(self, writer, verb: str, usual: str, more: bytes = b"") -> str:
        """Answer; gives what was said, and nothing where the connection is to end."""
        answer = self.answers.get(verb, usual)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else usual
        gate = self.gates.get(verb)
        if gate is not None and not gate.is_set():
            self.held.append(verb)
            while not gate.is_set() and not writer.lost():
                await asyncio.sleep(0.01)
        if answer == "CLOSE":
            return ""
        if not answer:
            return "silence"
        await asyncio.sleep(self.seconds)
        octets = f"{answer}\r\n".encode() + more
        pause = self.octet_seconds if not self.trickled or verb in self.trickled else 0
        step = 1 if pause else len(octets)
        for at in range(0, len(octets), step):
            await asyncio.sleep(pause)  # never behind the last one: then TLS may begin
            writer.write(octets[at : at + step])
            await writer.drain()
        return "" if answer.startswith("421") else answer


class PeerThread:
    """A peer that serves while the test itself waits: its event loop runs in a thread."""

    def __init__(self, peer: Peer, port: int) -> None:
        self.peer, self._port = peer, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Peer:
        self._thread.start()
        self._do(self.peer.start(self._port))
        return self.peer

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        await self.peer.stop()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0.01)  # their connections end in the loop's next rounds

    def _do(self, work: Coroutine[object, object, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
