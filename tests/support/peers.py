"""Other operators' servers, as good and as bad as tests want them: real sockets, real TLS."""

import asyncio
import ssl
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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        context.load_verify_locations(self.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass
class Peer:
    """One server. `answers` replaces the answer to a command (by its verb, ``end`` for the end of
    data, ``greeting`` for the greeting): a text, a list of texts for one time each, or ``CLOSE``.
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
    connections: int = 0
    certificates: list[dict] = field(default_factory=list)

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, EOFError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader, writer) -> None:
        if not await self._say(writer, "greeting", "220 mx.other.example ESMTP"):
            return
        secure = False
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
            elif verb == "DATA":
                said = await self._say(writer, verb, "354 send")
                if not said:
                    return
                if said.startswith("354"):
                    data = await self._data(reader)
                    self.messages.append(data)
                    if not await self._say(writer, "end", "250 2.0.0 taken"):
                        return
            elif verb == "QUIT":
                await self._say(writer, verb, "221 bye")
                return
            elif not await self._say(writer, verb, "250 2.1.0 fine"):
                return

    async def _data(self, reader) -> bytes:
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise EOFError
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    async def _say(self, writer, verb: str, usual: str, more: bytes = b"") -> str:
        answer = self.answers.get(verb, usual)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else usual
        if answer == "CLOSE":
            return ""
        writer.write(f"{answer}\r\n".encode() + more)
        await writer.drain()
        return answer
