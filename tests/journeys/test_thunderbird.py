"""Thunderbird (Debian package) on a whole instance: daily use, and a large mailbox kept in step."""

import imaplib
import re
import time

import make_samples
import pytest

from tests.journeys.instance import Instance
from tests.journeys.people import documents_of, inbox, subject_of
from tests.journeys.thunderbird import Thunderbird

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

MANY = 5_000


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    made = Instance(tmp_path_factory.mktemp("thunderbird") / "instance").init()
    made.start(workers=2)
    yield made
    assert made.stop() == 0


@pytest.fixture
def thunderbird(tmp_path):
    if Thunderbird.program() is None:
        pytest.skip("thunderbird is not installed (Debian package): this client is NOT tested")
    client = Thunderbird(tmp_path / "thunderbird")
    client.start()
    yield client
    client.stop()


@pytest.fixture
def logged_in(instance):
    """Opens a second view of a mailbox, by which the test sees what came of it."""
    clients = []

    def log_in(account) -> imaplib.IMAP4_SSL:
        demo = instance.demo
        client = imaplib.IMAP4_SSL("localhost", demo["ports"]["imaps"], ssl_context=instance.tls())
        clients.append(client)
        client.login(account["login"], account["password"])
        return client

    yield log_in
    for client in clients:
        client.logout()


def set_up(thunderbird, instance, account, *, start_tls: bool = False) -> None:
    authority = (instance.directory / instance.demo["ca_file"]).read_text()
    base64 = "".join(line for line in authority.splitlines() if "-----" not in line)
    ports = instance.demo["ports"]
    login, password = account["login"], account["password"]
    thunderbird.do("setUp", base64, account["address"], login, password, ports, start_tls)


def a_letter(number: int) -> bytes:
    return (
        "From: Laboratoire <labo@ailleurs.example>\r\n"
        f"Subject: Patient {number}\r\n"
        f"Message-ID: <{number}@ailleurs.example>\r\n"
        "Date: Mon, 23 Nov 2026 09:00:00 +0100\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        "\r\n"
        f"Glycémie du prélèvement numéro {number}\r\n"
    ).encode()


def fill(view, numbers: range) -> None:
    """Append letters to INBOX, a hundred at a time without waiting in between."""
    for start in range(numbers.start, numbers.stop, 100):
        some = range(start, min(numbers.stop, start + 100))
        letters = [a_letter(number) for number in some]
        view.send(
            b"".join(
                b"FILL APPEND INBOX {%d+}\r\n%s\r\n" % (len(letter), letter) for letter in letters
            )
        )
        for _ in some:
            answer = view.readline()
            assert answer.startswith(b"FILL OK"), answer


def flags_by_subject(view, folder: str) -> dict[str, set[str]]:
    r"""What the server has, as anyone sees it: without ``\Recent``."""
    found = {}
    assert view.select(folder, readonly=True)[0] == "OK"
    status, answers = view.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert status == "OK"
    for answer in answers:
        if isinstance(answer, tuple):
            subject = answer[1].split(b":", 1)[1].strip().decode()
            assert subject not in found, f"{subject} is there twice"
            flags = re.search(rb"FLAGS \(([^)]*)\)", answer[0])[1].decode().split()
            found[subject] = {*flags} - {"\\Recent"}
    view.unselect()
    return found


def eventually(holds) -> None:
    """Thunderbird shows what was done before it has told the server."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "the server was not told"
        time.sleep(0.1)


def state_of(view) -> list[bytes]:
    """Changes with everything that is done to any folder."""
    view.send(b'STATE LIST "" "*" RETURN (STATUS (HIGHESTMODSEQ UIDNEXT UIDVALIDITY MESSAGES))\r\n')
    lines = [view.readline()]
    while not lines[-1].startswith(b"STATE "):
        lines.append(view.readline())
    assert lines[-1].startswith(b"STATE OK")
    return lines


@pytest.mark.parametrize("start_tls", [False, True], ids=["implicit TLS", "STARTTLS"])
def test_thunderbird_sends_reads_searches_flags_moves_and_deletes(
    instance, thunderbird, logged_in, tmp_path, start_tls
):
    doctor = instance.accounts("professional")[int(start_tls)]
    patient = instance.accounts("patient")[int(start_tls)]
    view = logged_in(doctor)
    fill(view, range(30))
    # A name that stays subscribed without a folder must not show as one.
    view.create("Ancien")
    view.delete("Ancien")
    set_up(thunderbird, instance, doctor, start_tls=start_tls)

    # Lists: the folders with the purposes that the server gives them, and what is in them.
    folders = dict(thunderbird.do("folders"))
    assert folders == {
        "INBOX": "Inbox",
        "Brouillons": "Drafts",
        "Envoyés": "SentMail",
        "Corbeille": "Trash",
        "Indésirables": "Junk",
        "Archives": "Archive",
    }
    thunderbird.do("count", "INBOX", 30)

    # Sends a document, which is filed; its own copy is stored on the server.
    unique_id = f"1.2.250.1.999.50.{start_tls:d}"
    version = make_samples.Version(unique_id=unique_id, set_id=f"{unique_id}.9")
    letter = tmp_path / "lettre.xml"
    letter.write_bytes(make_samples.level1(subject_of(patient), version=version))
    subject = "Compte rendu d’été"
    thunderbird.do("send", patient["address"], subject, "Bonjour,\r\nVoilà.\r\n", str(letter))
    instance.wait_until_carried()
    assert [one["Subject"] for one in inbox(instance, patient)][-1] == subject
    assert version.unique_id in documents_of(instance, patient)
    thunderbird.do("count", "Envoyés", 1)
    assert len(flags_by_subject(view, '"Envoy&AOk-s"')) == 1

    # Reads, in its window.
    assert "numéro 3" in thunderbird.do("read", "INBOX", "Patient 3")
    eventually(lambda: flags_by_subject(view, "INBOX")["Patient 3"] == {"\\Seen"})

    # Searches on the server, also beyond ASCII.
    assert thunderbird.do("search", "INBOX", "Subject", "patient 29") == ["Patient 29"]
    assert thunderbird.do("search", "INBOX", "Body", "prélèvement numéro 12") == ["Patient 12"]
    assert len(thunderbird.do("search", "INBOX", "Sender", "labo@")) == 30

    # Flags and tags.
    thunderbird.do("mark", "INBOX", ["Patient 0", "Patient 1"], ["read", "star"])
    thunderbird.do("mark", "INBOX", ["Patient 1"], ["answered", "forwarded", "$label1"])
    thunderbird.do("mark", "INBOX", ["Patient 2"], ["read"])
    thunderbird.do("mark", "INBOX", ["Patient 2"], ["unread"])

    # Folders of its own, moving and copying.
    thunderbird.do("createFolder", "", "Dossiers d’été & Cie")
    thunderbird.do("createFolder", "Dossiers d’été & Cie", "Mars")
    moved = [f"Patient {number}" for number in (5, 6, 7)]
    thunderbird.do("transfer", "INBOX", moved, "Dossiers d’été & Cie/Mars", True)
    thunderbird.do("transfer", "INBOX", ["Patient 1"], "Archives", False)
    thunderbird.do("renameFolder", "Dossiers d’été & Cie", "Dossiers 2026")
    thunderbird.do("count", "Dossiers 2026/Mars", 3)
    thunderbird.do("count", "INBOX", 27)

    # Deletes: to the bin, for good, and the bin itself.
    thunderbird.do("remove", "INBOX", ["Patient 8", "Patient 9"], False)
    thunderbird.do("count", "Corbeille", 2)
    thunderbird.do("remove", "INBOX", ["Patient 10"], True)
    thunderbird.do("compact", "INBOX")
    thunderbird.do("emptyBin")
    thunderbird.do("count", "Corbeille", 0)
    thunderbird.do("deleteFolder", "Dossiers 2026")
    thunderbird.accept()
    thunderbird.do("isGone", "Dossiers 2026")

    kept = {f"Patient {number}" for number in (*range(5), *range(11, 30))}
    eventually(lambda: flags_by_subject(view, "INBOX").keys() == kept)
    flags = flags_by_subject(view, "INBOX")
    assert flags["Patient 0"] == {"\\Seen", "\\Flagged"}
    both = {"\\Seen", "\\Flagged", "\\Answered", "$Forwarded", "$label1"}
    assert flags["Patient 1"] == both
    assert flags["Patient 2"] == set()
    assert flags_by_subject(view, "Archives") == {"Patient 1": both}
    assert flags_by_subject(view, '"Corbeille/Dossiers 2026/Mars"').keys() == set(moved)

    # Hears of new mail by IDLE: it would ask only every ten minutes.
    thunderbird.do("idle", "INBOX")
    fill(view, range(100, 101))
    thunderbird.do("arrival", "INBOX", "Patient 100")

    # It goes on asking for the STATUS of a name that it has itself renamed; nothing else is refused.
    assert [line for line in thunderbird.refusals() if "[NONEXISTENT]" not in line] == []
    for verb in ("move", "copy", "store", "search", "idle", "append", "select", "create", "rename"):
        assert thunderbird.commands(verb), f"Thunderbird never said {verb}"


def test_thunderbird_keeps_five_thousand_messages_in_step_and_then_finds_nothing_to_do(
    instance, thunderbird, logged_in
):
    doctor = instance.accounts("professional")[2]
    view = logged_in(doctor)
    fill(view, range(MANY))
    set_up(thunderbird, instance, doctor)
    thunderbird.do("folders")

    started = time.monotonic()
    thunderbird.do("count", "INBOX", MANY)
    print(f"headers of {MANY}: {time.monotonic() - started:.1f} s")
    started = time.monotonic()
    assert thunderbird.do("download", "INBOX") == MANY
    print(f"bodies of {MANY}: {time.monotonic() - started:.1f} s")

    # Work on both sides: here …
    view.select("INBOX")
    view.store("1:300", "+FLAGS.SILENT", "(\\Seen)")
    view.store("301:400", "+FLAGS.SILENT", "(\\Deleted)")
    view.expunge()
    view._command_complete("UID", view._command("UID", "MOVE", "401:500", "Archives"))
    view.unselect()
    fill(view, range(MANY, MANY + 100))
    # … and there.
    thunderbird.do("mark", "INBOX", [f"Patient {n}" for n in range(600, 900)], ["read", "star"])
    gone = [f"Patient {number}" for number in range(900, 1_000)]
    thunderbird.do("remove", "INBOX", gone, False)
    moved = [f"Patient {number}" for number in range(1_000, 1_200)]
    thunderbird.do("transfer", "INBOX", moved, "Archives", True)

    started = time.monotonic()
    left = MANY - 100 - 100 + 100 - 100 - 200
    thunderbird.do("count", "INBOX", left)
    thunderbird.do("count", "Archives", 300)
    thunderbird.do("download", "INBOX")
    thunderbird.do("idle", "INBOX")
    print(f"both sides' changes: {time.monotonic() - started:.1f} s")
    there = {
        subject: ({"\\Seen"} if read else set()) | ({"\\Flagged"} if star else set())
        for subject, read, star, _ in thunderbird.do("flags", "INBOX")
    }
    eventually(lambda: flags_by_subject(view, "INBOX") == there)
    assert len(there) == left
    assert all(there[f"Patient {n}"] == {"\\Seen", "\\Flagged"} for n in range(600, 900))
    assert all(there[f"Patient {n}"] == {"\\Seen"} for n in range(300))
    assert thunderbird.refusals() == []

    # Started again, it asks what there is, fetches nothing and changes nothing.
    thunderbird.stop()
    before = state_of(view)
    thunderbird.start()
    thunderbird.do("logIn", doctor["password"])
    started = time.monotonic()
    thunderbird.do("folders")
    thunderbird.do("count", "INBOX", left)
    thunderbird.do("count", "Archives", 300)
    thunderbird.do("idle", "INBOX")
    print(f"with nothing to do: {time.monotonic() - started:.1f} s")
    assert thunderbird.commands("fetch")
    assert [line for line in thunderbird.commands("fetch") if "(FLAGS)" not in line] == []
    assert thunderbird.commands("store") == thunderbird.commands("move") == []
    assert state_of(view) == before
    assert thunderbird.refusals() == []
