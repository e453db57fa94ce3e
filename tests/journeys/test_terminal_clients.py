"""mutt and swaks (Debian packages) on a whole instance: what people send and read from a terminal."""

import asyncio
import imaplib
import os
import pty
import re
import shutil
import ssl
import subprocess

import make_samples
import pytest

from tests.journeys.instance import Instance
from tests.journeys.people import documents_of, inbox, subject_of
from tests.support.terminal import run_at_a_terminal

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    made = Instance(tmp_path_factory.mktemp("terminal") / "instance").init()
    made.start(workers=2)
    yield made
    assert made.stop() == 0


def needed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (Debian package): this client is NOT tested")
    return path


def a_document(instance, patient: dict, folder, unique_id: str):
    path = folder / "lettre.xml"
    version = make_samples.Version(unique_id=unique_id, set_id=f"{unique_id}.9")
    path.write_bytes(make_samples.level1(subject_of(patient), version=version))
    return path


def server_view(instance, account) -> imaplib.IMAP4_SSL:
    demo = instance.demo
    client = imaplib.IMAP4_SSL("localhost", demo["ports"]["imaps"], ssl_context=instance.tls())
    client.login(account["login"], account["password"])
    return client


# -- swaks --------------------------------------------------------------------------------------


def run_swaks(program, instance, account, *options: str) -> subprocess.CompletedProcess[str]:
    ca_file = instance.directory / instance.demo["ca_file"]
    return subprocess.run(
        [
            program, "--server", "localhost", "--tls-verify", "--tls-ca-path", str(ca_file),
            "--auth-user", account["login"], "--auth-password", account["password"],
            "--from", account["address"], *options,
        ],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    ("port", "tls"), [("submissions", "--tlsc"), ("submission", "--tls")], ids=["465", "587"]
)
def test_swaks_submits_a_document_that_is_filed(instance, tmp_path, port, tls, mechanism):
    program = needed("swaks")
    doctor, patient = instance.accounts("professional")[0], instance.accounts("patient")[0]
    unique_id = f"1.2.250.1.999.60.{len(port)}.{int(mechanism == 'PLAIN')}"
    document = a_document(instance, patient, tmp_path, unique_id)

    done = run_swaks(
        program, instance, doctor, tls, "--port", str(instance.demo["ports"][port]),
        "--auth", mechanism, "--to", patient["address"],
        "--header", f"Subject: Compte rendu {unique_id}", "--body", "Bonjour",
        "--attach-type", "text/xml", "--attach-name", "lettre.xml", "--attach", f"@{document}",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    instance.wait_until_carried()
    assert inbox(instance, patient)[-1]["Subject"] == f"Compte rendu {unique_id}"
    assert unique_id in documents_of(instance, patient)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (("--tlsc", "--auth", "PLAIN", "--from", "other@tilleuls.mssante.example"), "550 5.7.1"),
        (("--tlsc", "--auth", "PLAIN", "--auth-password", "wrong"), "535 5.7.8"),
        (("--tlsc", "--auth", "PLAIN", "--to", "nobody@tilleuls.mssante.example"), "550 5.1.1"),
    ],
    ids=["another's address", "a wrong password", "an unknown recipient"],
)
def test_swaks_is_told_precisely_what_is_refused(instance, options, answer):
    program = needed("swaks")
    doctor, patient = instance.accounts("professional")[:1], instance.accounts("patient")[0]
    port = str(instance.demo["ports"]["submissions"])

    done = run_swaks(
        program, instance, doctor[0], "--port", port, "--to", patient["address"], *options
    )

    assert done.returncode != 0
    assert answer in done.stdout, done.stdout


def test_swaks_is_offered_no_sign_in_without_tls(instance):
    program = needed("swaks")
    doctor = instance.accounts("professional")[0]
    port = str(instance.demo["ports"]["submission"])

    done = run_swaks(
        program, instance, doctor, "--port", port, "--quit-after", "AUTH", "--auth", "PLAIN"
    )

    assert done.returncode != 0
    assert "250-STARTTLS" in done.stdout or "250 STARTTLS" in done.stdout
    assert not re.search(r"250[- ]AUTH", done.stdout)


# -- mutt ---------------------------------------------------------------------------------------


class Mutt:
    """mutt with a configuration and a terminal of its own."""

    def __init__(self, program: str, instance, account: dict, folder) -> None:
        self.program = program
        self.folder = folder
        ports, login = instance.demo["ports"], account["login"]
        self.config = folder / "muttrc"
        (folder / "cache").mkdir()
        self.config.write_text(
            "set ssl_force_tls=yes\n"
            f"set certificate_file='{instance.directory / instance.demo['ca_file']}'\n"
            f"set folder='imaps://localhost:{ports['imaps']}/'\n"
            f"set imap_user='{login}' imap_pass='{account['password']}'\n"
            "set spoolfile='+INBOX' record='+Envoyés' postponed='+Brouillons' trash='+Corbeille'\n"
            f"set smtp_url='smtps://{login}@localhost:{ports['submissions']}/'\n"
            f"set smtp_pass='{account['password']}'\n"
            f"set from='{account['address']}' use_from=yes use_envelope_from=yes\n"
            "set realname='Dr Claire MOREL' imap_idle=no delete=yes move=no confirmappend=no\n"
            "set confirmcreate=no wait_key=no quit=yes mark_old=no timeout=1 mail_check=1\n"
            f"set header_cache='{folder}/cache' message_cachedir='{folder}/cache'\n"
            f"set tmpdir='{folder}' sleep_time=0 pager=builtin copy=yes fcc_attach=yes\n"
        )
        self.config.chmod(0o600)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "TERM": "xterm", "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def send(self, to: str, subject: str, body: str, *attached) -> None:
        options = [part for path in attached for part in ("-a", str(path))]
        done = subprocess.run(
            [self.program, "-n", "-F", str(self.config), "-s", subject, *options, "--", to],
            input=body, capture_output=True, text=True, timeout=60, env=self.environment(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    async def press(self, keys: str) -> None:
        """Open INBOX, press keys, and leave."""
        await run_at_a_terminal(
            self.program, "-n", "-F", str(self.config), "-e", f'push "{keys}"',
            env=self.environment(),
        )  # fmt: skip


def subjects(view, folder: str) -> dict[str, str]:
    r"""What is in a folder: subjects to flags, without ``\Recent``."""
    assert view.select(folder, readonly=True)[0] == "OK"
    _, answers = view.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    view.unselect()
    found = {}
    for answer in answers:
        if isinstance(answer, tuple):
            subject = answer[1].split(b":", 1)[1].strip().decode()
            flags = re.search(r"FLAGS \(([^)]*)\)", answer[0].decode())[1].split()
            found[subject] = " ".join(flag for flag in flags if flag != "\\Recent")
    return found


async def test_mutt_sends_reads_searches_flags_moves_deletes_and_keeps_folders(instance, tmp_path):
    program = needed("mutt")
    doctor, patient = instance.accounts("professional")[1], instance.accounts("patient")[1]
    mutt = Mutt(program, instance, doctor, tmp_path)
    view = server_view(instance, doctor)
    for number in range(20):
        letter = (
            f"From: Laboratoire <labo@ailleurs.example>\r\nSubject: Patient {number}\r\n"
            f"Message-ID: <{number}@ailleurs.example>\r\n"
            "Date: Mon, 23 Nov 2026 09:00:00 +0100\r\n\r\n"
            f"Prelevement {number}\r\n"
        )
        view.append("INBOX", None, None, letter.encode())

    # Sends a document, which is filed, and keeps a copy in the folder for what was sent.
    document = a_document(instance, patient, tmp_path, "1.2.250.1.999.61.1")
    mutt.send(patient["address"], "Compte rendu d’été", "Bonjour\n", document)
    instance.wait_until_carried()
    assert inbox(instance, patient)[-1]["Subject"] == "Compte rendu d’été"
    assert "1.2.250.1.999.61.1" in documents_of(instance, patient)
    assert list(subjects(view, '"Envoy&AOk-s"').values()) == ["\\Seen"]

    # Reads, flags, deletes (to the bin), saves elsewhere, and searches on the server for a text.
    await mutt.press(
        f"<first-entry><display-message><exit><pipe-message>cat > {tmp_path}/read<enter>"
        "2<enter><flag-message>3<enter><delete-message>"
        "5<enter><save-message>=Archives<enter>"
        "<tag-pattern>=b 'Prelevement 17'<enter><tag-prefix><save-message>=Patients/2026<enter>"
        "<sync-mailbox><quit>"
    )
    # Not what is on the screen: between two keys it is not always drawn.
    assert "Prelevement 0" in (tmp_path / "read").read_text()
    there = subjects(view, "INBOX")
    assert there["Patient 0"] == "\\Seen" and there["Patient 1"] == "\\Flagged"
    assert not there.keys() & {"Patient 2", "Patient 4", "Patient 17"}
    assert subjects(view, "Corbeille").keys() == {"Patient 2"}
    assert subjects(view, "Archives").keys() == {"Patient 4"}
    assert subjects(view, "Patients/2026").keys() == {"Patient 17"}

    # Again, from its cache, after another client changed something.
    view.select("INBOX")
    view.store("4", "+FLAGS", "(\\Flagged)")
    view.unselect()
    before = subjects(view, "INBOX")
    await mutt.press(
        f"<limit>~F<enter><last-entry><pipe-message>cat > {tmp_path}/flagged<enter><quit>"
    )
    assert "Prelevement 5" in (tmp_path / "flagged").read_text()
    assert subjects(view, "INBOX") == before
    view.logout()
