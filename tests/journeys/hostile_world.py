"""What the bad-input tests share: raw clients, a view of the workers from outside, bad documents."""

import base64
import json
import os
import re
import socket
import ssl
import time
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path

import make_samples

from mssante.kernel.ins import matricule_key_valid
from tests.journeys.instance import Instance, a_message

MARK = "MARQUECLINIQUE"
"""Stands in every title and every body: must appear in no log and no report."""
_MATRICULE = re.compile(r"(?=([1-478][0-9]{4}(?:[0-9]{2}|2[AB])[0-9]{8}))")


class Peer:
    """A raw connection: octets out, lines in."""

    def __init__(self, instance: Instance, listener: str) -> None:
        demo = instance.demo
        raw = socket.create_connection((demo["host"], demo["ports"][listener]), 20)
        self.socket: ssl.SSLSocket = instance.tls().wrap_socket(raw, server_hostname=demo["host"])
        self._reading = self.socket.makefile("rb")
        self.ended = False
        """The server has closed."""

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.close()
        self.socket.close()

    def send(self, octets: bytes) -> None:
        """Send; a server that has closed meanwhile is for the reader to notice."""
        try:
            self.socket.sendall(octets)
        except OSError:
            pass

    def line(self) -> str:
        """The next line, or an empty text when the server has closed."""
        try:
            octets = self._reading.readline()
        except OSError:
            octets = b""
        self.ended = not octets
        return octets.decode("latin-1").rstrip("\r\n")


class SmtpPeer(Peer):
    """An SMTP client that sends what it is told."""

    def __init__(self, instance: Instance, account: dict | None) -> None:
        super().__init__(instance, "submissions")
        self.reply()
        self.say(b"EHLO client.example")
        if account is not None:
            words = f"\0{account['login']}\0{account['password']}".encode()
            assert self.say(b"AUTH PLAIN " + base64.b64encode(words)).startswith("235")

    def reply(self) -> str:
        """The last line of the next reply."""
        while (line := self.line())[3:4] == "-":
            pass
        return line

    def say(self, command: bytes) -> str:
        self.send(command + b"\r\n")
        return self.reply()

    def begin(self, sender: str, recipient: str) -> None:
        assert self.say(f"MAIL FROM:<{sender}>".encode()).startswith("250")
        assert self.say(f"RCPT TO:<{recipient}>".encode()).startswith("250")
        assert self.say(b"DATA").startswith("354")

    def submit(self, sender: str, recipient: str, content: bytes) -> str:
        """Send octets as mail data and the end of data; gives the reply."""
        self.begin(sender, recipient)
        self.send(content + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.reply()


class ImapPeer(Peer):
    """An IMAP client that sends what it is told."""

    def __init__(self, instance: Instance, account: dict | None) -> None:
        super().__init__(instance, "imaps")
        self.line()
        if account is not None:
            self.send(f"in LOGIN {account['login']} {account['password']}\r\n".encode())
            assert self.answer("in").startswith("in OK")

    def answer(self, *tags: str) -> str:
        """The next line that is tagged with one of these, a continuation, or a BYE."""
        starts = tuple(f"{tag} " for tag in tags) + ("+ ", "* BYE", "* BAD")
        while not (line := self.line()).startswith(starts) and not self.ended:
            pass
        return line


@dataclass
class Sending:
    """One message with documents on its way."""

    name: str
    message_id: str
    spool_id: str
    recipient: str


class HostileWorld:
    """A running instance, its people, and what it looked like before the bad input came."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.doctor, self.colleague, *_ = instance.accounts("professional")
        self.patients = instance.accounts("patient")
        self.patient = self.patients[0]
        self.workers = sorted(instance.workers())
        self._ordinary = 0

    # -- the workers from outside -----------------------------------------------------------------

    def resident(self) -> dict[int, int]:
        """Resident memory of each worker, MB."""
        return {pid: _status(pid, "VmRSS") // 1024 for pid in self.workers}

    def peak(self) -> dict[int, int]:
        """The most resident memory that each worker has had, MB."""
        return {pid: _status(pid, "VmHWM") // 1024 for pid in self.workers}

    def assert_stands(self, *, grown_from: dict[int, int], at_most: int) -> None:
        """The same processes, little more memory, nothing left over, clean logs, whole audit."""
        assert sorted(self.instance.workers()) == self.workers
        self.assert_ordinary_mail_passes()
        self.instance.wait_until_carried(30)
        grown = {pid: mb - grown_from[pid] for pid, mb in self.resident().items()}
        assert max(grown.values()) <= at_most, grown
        log = self.instance.log.read_text()
        assert MARK not in log
        assert not matricules(log)
        assert "Traceback" not in log
        assert "could not be carried" not in log
        assert self.instance.json("audit", "verify")["intact"]
        assert sorted(self.instance.workers()) == self.workers

    def assert_ordinary_mail_passes(self) -> None:
        """A message with a good document is delivered and filed."""
        self._ordinary += 1
        unique_id = f"1.2.250.1.999.5.{self._ordinary}"
        version = make_samples.Version(unique_id=unique_id, set_id=f"{unique_id}.0", title=MARK)
        sent = self.send("ordinary", [make_samples.biology(self.subject, version=version)])
        self.instance.wait_until_carried(30)
        listed = self.instance.json("dmp", "list", "--patient", "-", stdin=self.patient["ins"])
        assert unique_id in {one["uniqueId"] for one in listed}
        assert sent.message_id in self.message_ids(self.patient)

    # -- sending and looking ----------------------------------------------------------------------

    @cached_property
    def subject(self) -> make_samples.Subject:
        return subject_of(self.patient)

    def send(
        self,
        name: str,
        documents: list[bytes],
        *,
        to: str = "",
        sender: dict | None = None,
        message: EmailMessage | None = None,
    ) -> Sending:
        """Mail documents as an ordinary client does."""
        account, recipient = sender or self.doctor, to or self.patient["address"]
        attached = [(f"d{n}.xml", one) for n, one in enumerate(documents)]
        message = message or a_message(account, recipient, f"Cas {name}", *attached)
        octets = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        with SmtpPeer(self.instance, account) as client:
            reply = client.submit(account["address"], recipient, octets)
        assert reply.startswith("250 2.0.0 Accepted as "), (name, reply)
        return Sending(name, message["Message-ID"], reply.rpartition(" ")[2], recipient)

    def messages(self, account: dict, items: str = "(BODY.PEEK[])") -> list[bytes]:
        """What an ordinary client fetches of each message of an INBOX."""
        import imaplib

        demo = self.instance.demo
        with imaplib.IMAP4_SSL(
            demo["host"], demo["ports"]["imaps"], ssl_context=self.instance.tls()
        ) as client:
            client.login(account["login"], account["password"])
            _, [count] = client.select("INBOX")
            if count == b"0":  # RFC 3501 section 9: * is no number of an empty mailbox
                return []
            state, fetched = client.fetch("1:*", items)
        assert state == "OK"
        return [one[1] if isinstance(one, tuple) else one for one in fetched if one != b")"]

    def message_ids(self, account: dict) -> set[str]:
        headers = self.messages(account, "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        return {message_from_bytes(one, policy=policy.default)["Message-ID"] for one in headers}

    def reports(self, account: dict) -> dict[str, tuple[str, dict]]:
        """Filing reports by the Message-ID that they are about: the whole text and the JSON."""
        found = {}
        for octets in self.messages(account):
            message = message_from_bytes(octets, policy=policy.default)
            if message["Auto-Submitted"] == "auto-replied":
                text, machine = message.iter_parts()
                whole = f"{message['Subject']}\n{text.get_content()}\n{machine.get_content()}"
                found[message["In-Reply-To"]] = (whole, json.loads(machine.get_content()))
        return found


def matricules(text: str) -> list[str]:
    """What looks like a social security number with a right key."""
    return [m[1] for m in _MATRICULE.finditer(text) if matricule_key_valid(m[1])]


def subject_of(account: dict) -> make_samples.Subject:
    """A demo patient as a document names them."""
    traits = account["traits"]
    return make_samples.Subject(
        ins=account["ins"],
        ins_oid=account["insOid"],
        birth_name=traits["birthName"],
        given_names=traits["given"],
        first_given=traits["given"].split()[0],
        sex=traits["sex"],
        birth_date=traits["birthDate"].replace("-", ""),
        birth_place=traits["birthPlace"],
    )


def wrong_key(matricule: str) -> str:
    return f"{matricule[:13]}{int(matricule[13:]) % 97 + 1:02d}"


class Documents:
    """Documents for one patient, each with an identifier of its own."""

    def __init__(self, subject: make_samples.Subject, arc: str) -> None:
        self._subject, self._arc, self._count = subject, arc, 0

    def version(self, unique_id: str = "") -> make_samples.Version:
        self._count += 1
        own = unique_id or f"{self._arc}.{self._count}"
        return make_samples.Version(
            unique_id=own, set_id=f"{self._arc}.{self._count}.0", title=MARK
        )

    def biology(self, unique_id: str = "", **changes: object) -> bytes:
        subject = replace(self._subject, **changes)
        return make_samples.biology(subject, version=self.version(unique_id))

    def level1(self, pdf: bytes | None = None) -> bytes:
        return make_samples.level1(self._subject, version=self.version(), pdf=pdf)

    def with_narrative(self, text: bytes) -> bytes:
        """A good document with more in its body."""
        return _put_before(self.biology(), b"</table></text>", b"", after=text)

    def with_prolog(self, prolog: bytes, text: bytes = b"") -> bytes:
        """A good document with something before its root element."""
        content = _put_before(self.biology(), b"<ClinicalDocument", prolog)
        return content.replace(MARK.encode(), MARK.encode() + text, 1)

    def in_encoding(self, declared: str, octets_in: str, text: str = "é") -> bytes:
        content = _put_before(self.biology(), b"</table></text>", b"", after=text.encode())
        content = content.replace(b'encoding="UTF-8"', f'encoding="{declared}"'.encode(), 1)
        return content.decode().encode(octets_in)


def _put_before(content: bytes, place: bytes, what: bytes, *, after: bytes = b"") -> bytes:
    assert content.count(place) == 1
    first, second = content.split(place)
    middle = place.replace(b"</text>", after + b"</text>") if after else place
    return first + what + middle + second


def a_pdf(size: int) -> bytes:
    """A PDF of about `size` octets whose stream does not compress."""
    stream = os.urandom(size)
    return b"%%PDF-1.4\n1 0 obj\n<< /Length %d >>stream\n%b\nendstream\nendobj\n%%%%EOF\n" % (
        size,
        stream,
    )


def _status(pid: int, name: str) -> int:
    """A figure of /proc/PID/status, kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(name)


def wait_for(seconds: float, condition) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)
