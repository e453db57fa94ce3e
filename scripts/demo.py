"""One message through a real server, watched from outside at each step; called by `scripts/demo`.

The sender is the standard library's smtplib, the reader is aioimaplib, both with verified TLS: two
clients that know nothing of this project. The seal on the delivered message is read where any client
would look for the server's verdict, and then verified again: by OpenSSL where it is there, else by
`mssante smime check`. Only the moment of filing is watched from inside, since
starting a command for each look would take longer than the filing; the result is then read by
`mssante dmp list`.
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import formatdate, make_msgid
from pathlib import Path

import aioimaplib
import make_samples

from mssante.composition.stores import open_stores
from mssante.settings import load

MSSANTE = Path(sys.executable).with_name("mssante")
START_SECONDS = 30
STEP_SECONDS = 30
POLL_SECONDS = 0.005
STANDARD_PORTS = (587, 465, 143, 993)


class DemoFailed(Exception):
    """A step was not observed."""


@dataclass
class World:
    """What `demo.json` says."""

    directory: Path
    content: dict

    @property
    def config(self) -> Path:
        return self.directory / "mssante.toml"

    @property
    def host(self) -> str:
        return self.content["host"]

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.content["ca_file"])

    def account(self, role: str) -> dict:
        return next(each for each in self.content["accounts"] if each["role"] == role)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="A whole operator in one command."
    )
    parser.add_argument(
        "--once", action="store_true", help="one message, JSON as last line, then end"
    )
    parser.add_argument("--dir", type=Path, help="where the instance lives (by default temporary)")
    parser.add_argument("--port-base", type=int, help="ports are this plus the standard ports")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = options.dir
        if directory is None:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="mssante-demo-"))
            directory = Path(temporary) / "instance"
        try:
            world = instance(directory, options.port_base)
            server = stack.enter_context(serving(world))
            summary = asyncio.run(one_message(world))
        except (DemoFailed, OSError, smtplib.SMTPException, aioimaplib.AioImapException) as failure:
            say(f"demo: {failure}")
            return 1
        if options.once:
            print(json.dumps(summary), flush=True)
            return 0
        where_to_log_in(world)
        with contextlib.suppress(KeyboardInterrupt):
            return server.wait()
    return 0


def instance(directory: Path, port_base: int | None) -> World:
    """Create a demo instance, or take the one that is there."""
    if not (directory / "mssante.toml").exists():
        base = port_base if port_base is not None else free_port_base()
        say(f"creating a demo operator in {directory} (ports {base} + standard)")
        command = [MSSANTE, "init", directory, "--demo", "--port-base", str(base)]
        if subprocess.run(command, check=False).returncode:
            raise DemoFailed("the instance could not be created")
    return World(directory, json.loads((directory / "demo.json").read_text(encoding="utf-8")))


def free_port_base() -> int:
    """The usual base, or the next one whose ports are free."""
    for base in range(20_000, 60_000, 1_000):
        with contextlib.ExitStack() as stack:
            try:
                for port in STANDARD_PORTS:
                    listener = stack.enter_context(socket.socket())
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind(("127.0.0.1", base + port))
            except OSError:
                continue
            return base
    raise DemoFailed("no free ports found: name a base with --port-base")


@contextlib.contextmanager
def serving(world: World) -> Iterator[subprocess.Popen]:
    """`mssante serve`, ready; stopped cleanly at the end."""
    say("starting the server")
    server = subprocess.Popen(
        [MSSANTE, "serve", "-c", world.config], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_ready(server)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


def wait_ready(server: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    for line in server.stdout:
        if line.startswith("ready"):
            say(line.strip())
            return
        if time.monotonic() > deadline:
            break
    raise DemoFailed("the server did not become ready")


async def one_message(world: World) -> dict:
    """Send a document to a patient and watch it arrive and be filed.

    Returns the summary: milliseconds, `accepted_ms` from the end of DATA, the others from the 250.
    """
    doctor, patient = world.account("professional"), world.account("patient")
    document, unique_id = a_document(patient, doctor)
    message, marker = a_message(doctor, patient, document)
    reader = await idling(world, patient)
    say(f"{doctor['name']} sends a laboratory report to {patient['name']}")
    arrival = asyncio.create_task(arrived(reader, marker))
    filing = asyncio.create_task(filed(world, patient["ins"], unique_id))
    accepted_ms, at_250 = await asyncio.to_thread(submit, world, doctor, patient, message)
    say(f"  accepted: 250 after {accepted_ms:.1f} ms")
    seen_at, filed_at = await asyncio.wait_for(asyncio.gather(arrival, filing), STEP_SECONDS)
    signature = verified(world, await arrived_message(reader))
    summary = {
        "accepted_ms": round(accepted_ms, 1),
        "imap_seen_ms": milliseconds(seen_at, at_250),
        "filed_ms": milliseconds(filed_at, at_250),
        "signature": signature,
        "document": listed(world, patient["ins"], unique_id),
    }
    say(f"  in the patient's mailbox (IDLE) after {summary['imap_seen_ms']} ms")
    say(f"  sealed by the server for the sender's mailbox; the signature is {signature}")
    say(f"  in the DMP after {summary['filed_ms']} ms: {summary['document']['typeCode']}")
    return summary


def milliseconds(at: float, since: float) -> float:
    """The effect may be seen before the sender's thread has read the 250."""
    return round(max(0.0, at - since) * 1000, 1)


def a_document(patient: dict, doctor: dict) -> tuple[bytes, str]:
    traits = patient["traits"]
    subject = make_samples.Subject(
        ins=patient["ins"],
        ins_oid=patient["insOid"],
        birth_name=traits["birthName"],
        given_names=traits["given"],
        first_given=traits["given"].split()[0],
        sex=traits["sex"],
        birth_date=traits["birthDate"].replace("-", ""),
        birth_place=traits["birthPlace"],
    )
    given, family = doctor["name"].removeprefix("Dr ").split(" ", 1)
    author = make_samples.Writer(rpps=doctor["rpps"], family=family, given=given)
    version = make_samples.Version(number=secrets.randbelow(10**12))
    return make_samples.biology(subject, author, version), version.id


def a_message(doctor: dict, patient: dict, document: bytes) -> tuple[bytes, str]:
    message = EmailMessage()
    message["From"] = f"{doctor['name']} <{doctor['address']}>"
    message["To"] = patient["address"]
    message["Subject"] = "Vos résultats d'analyses"
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = marker = make_msgid(domain=doctor["address"].partition("@")[2])
    message.set_content("Bonjour,\n\nvous trouverez ci-joint vos résultats.\n\nCordialement\n")
    message.add_attachment(document, maintype="text", subtype="xml", filename="resultats.xml")
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n")), marker


def submit(world: World, doctor: dict, patient: dict, message: bytes) -> tuple[float, float]:
    """Send by SMTP over TLS; milliseconds from the end of DATA to the 250, and the moment of it."""
    port = world.content["ports"]["submissions"]
    with smtplib.SMTP_SSL(world.host, port, context=world.tls, timeout=STEP_SECONDS) as client:
        client.login(doctor["login"], doctor["password"])
        for code, answer in (client.mail(doctor["address"]), client.rcpt(patient["address"])):
            if code != 250:
                raise DemoFailed(f"the envelope was refused: {code} {answer.decode()}")
        code, answer = client.docmd("DATA")
        if code != 354:
            raise DemoFailed(f"DATA was refused: {code} {answer.decode()}")
        client.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        sent = time.perf_counter()
        code, answer = client.getreply()
        answered = time.perf_counter()
        if code != 250:
            raise DemoFailed(f"the message was refused: {code} {answer.decode()}")
    return (answered - sent) * 1000, answered


async def idling(world: World, patient: dict) -> aioimaplib.IMAP4_SSL:
    """The patient's mail client, waiting in IDLE."""
    port = world.content["ports"]["imaps"]
    client = aioimaplib.IMAP4_SSL(world.host, port, ssl_context=world.tls, timeout=STEP_SECONDS)
    await client.wait_hello_from_server()
    for answer in (
        await client.login(patient["login"], patient["password"]),
        await client.select("INBOX"),
    ):
        if answer.result != "OK":
            raise DemoFailed(f"the reader was refused: {answer.result}")
    await client.idle_start(timeout=STEP_SECONDS)
    return client


async def arrived(client: aioimaplib.IMAP4_SSL, marker: str) -> float:
    """Wait for EXISTS, then look at the newest message: it must be ours. The moment of EXISTS."""
    while True:
        pushed = await client.wait_server_push(timeout=STEP_SECONDS)
        now = time.perf_counter()
        if any(line.endswith(b"EXISTS") for line in pushed):
            break
    client.idle_done()
    fetched = await client.fetch("*", "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]")
    if fetched.result != "OK" or marker.encode() not in b"".join(map(bytes, fetched.lines)):
        raise DemoFailed("the newest message of the mailbox is not the one that was sent")
    return now


async def arrived_message(client: aioimaplib.IMAP4_SSL) -> bytes:
    """The newest message, whole, as it was delivered."""
    fetched = await client.fetch("*", "BODY.PEEK[]")
    await client.logout()
    if fetched.result != "OK":
        raise DemoFailed("the message cannot be fetched")
    return bytes(fetched.lines[1])


def verified(world: World, delivered: bytes) -> str:
    """The verdict on the signature: what the server wrote, once another look agrees with it."""
    header = BytesParser(policy=policy.default).parsebytes(delivered, headersonly=True)
    results = " ".join(header.get_all("Authentication-Results", []))
    verdict = (header["X-MSS-Smime"] or "").partition(";")[0].strip()
    if "smime=pass" not in results or verdict != "valid":
        raise DemoFailed(f"the server does not call the signature valid: {verdict or 'no verdict'}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "delivered.eml"
        file.write_bytes(delivered)
        anchors = world.content["ca_file"]
        if openssl := shutil.which("openssl"):
            command = [openssl, "cms", "-verify", "-in", file, "-CAfile", anchors]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                raise DemoFailed(f"openssl: {done.stderr.decode(errors='replace').strip()}")
            return verdict
        command = [MSSANTE, "smime", "check", file, "--anchor", anchors, "--json"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode or json.loads(done.stdout)["verdict"] != "valid":
            raise DemoFailed("a second look does not call the signature valid")
    return verdict


async def filed(world: World, ins: str, unique_id: str) -> float:
    """Wait until the document stands in the patient's DMP; the moment it was seen."""
    async with open_stores(load(world.config), owner="demo") as stores:
        (patient,) = await stores.directory.patients_by_ins(ins)
        while True:
            entries = await stores.documents.entries_of(patient.id)
            if any(entry.metadata.unique_id == unique_id for entry in entries):
                return time.perf_counter()
            await asyncio.sleep(POLL_SECONDS)


def listed(world: World, ins: str, unique_id: str) -> dict:
    """What `mssante dmp list` says of the document."""
    command = [MSSANTE, "-c", world.config, "dmp", "list", "--patient", "-", "--json"]
    done = subprocess.run(command, input=ins, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"mssante dmp list failed: {done.stderr.strip()}")
    found = [line for line in json.loads(done.stdout) if line["uniqueId"] == unique_id]
    if len(found) != 1:
        raise DemoFailed(f"the DMP lists the document {len(found)} times")
    return {name: found[0][name] for name in ("uniqueId", "typeCode", "patient")}


def where_to_log_in(world: World) -> None:
    ports, content = world.content["ports"], world.content
    say("")
    say(f"Serving. Trust {content['ca_file']} in your mail client, then, on host {world.host}:")
    say(f"  IMAP {ports['imaps']} (TLS) or {ports['imap']} (STARTTLS)")
    say(f"  SMTP {ports['submissions']} (TLS) or {ports['submission']} (STARTTLS)")
    for role in ("professional", "patient"):
        account = world.account(role)
        say(f"  {role}: login {account['login']}  password {account['password']}")
    say(f"Everybody else is in {world.directory / 'demo.json'}. Ctrl-C ends it.")


if __name__ == "__main__":
    sys.exit(main())
