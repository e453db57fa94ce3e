"""A whole mailbox kept in step by mbsync (Debian package isync), both ways."""

import asyncio
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from tests.servers.imap.imap_site import LOGIN, PASSWORD, a_mail

MESSAGES = 5_000


class Mbsync:
    """mbsync with a configuration and a Maildir of its own."""

    def __init__(self, program, folder: Path, ca_file: Path, port: int) -> None:
        self.program = program
        self.maildir = folder / "Maildir"
        self.maildir.mkdir()
        self.config = folder / "mbsyncrc"
        self.config.write_text(
            "IMAPAccount mssante\n"
            "Host localhost\n"
            f"Port {port}\n"
            f"User {LOGIN}\n"
            f'Pass "{PASSWORD}"\n'
            "SSLType IMAPS\n"
            f"CertificateFile {ca_file}\n"
            "AuthMechs PLAIN\n"
            "\nIMAPStore far\n"
            "Account mssante\n"
            "\nMaildirStore near\n"
            f"Path {self.maildir}/\n"
            f"Inbox {self.maildir}/INBOX\n"
            "SubFolders Verbatim\n"
            "\nChannel all\n"
            "Far :far:\n"
            "Near :near:\n"
            "Patterns *\n"
            "Create Both\n"
            "Remove None\n"
            "Expunge Both\n"
            "Sync All\n"
            f"SyncState {folder}/state/\n"
        )
        (folder / "state").mkdir()
        self.config.chmod(0o600)

    async def run(self) -> None:
        """Synchronise all mailboxes, without an error or warning."""
        process = await asyncio.create_subprocess_exec(
            self.program, "-c", str(self.config), "-V", "all",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LANG": "C.UTF-8"},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 100)
        text = output.decode("utf-8", "replace")
        assert process.returncode == 0, text[-2_000:]
        assert "rror" not in text and "arning" not in text, text[-2_000:]

    def messages(self, mailbox: str = "INBOX") -> dict[int, Path]:
        """The files of a mailbox by the number in their Message-ID."""
        found = {}
        for name in ("cur", "new"):
            for path in (self.maildir / mailbox / name).iterdir():
                number = int(re.search(rb"Message-ID: <(\d+)@", path.read_bytes())[1])
                assert number not in found, f"message {number} is there twice"
                found[number] = path
        return found

    def flags(self) -> dict[int, str]:
        """The Maildir flags of the messages in INBOX."""
        return {number: path.name.partition(":2,")[2] for number, path in self.messages().items()}


def with_flag(path: Path, flag: str) -> None:
    name, _, flags = path.name.partition(":2,")
    path.rename(path.parent.parent / "cur" / f"{name}:2,{''.join(sorted(set(flags + flag)))}")


async def server_flags(client) -> dict[int, str]:
    """The flags of the messages in INBOX as the server has them, written as Maildir does."""
    letters = {b"\\Draft": "D", b"\\Flagged": "F", b"\\Answered": "R", b"\\Seen": "S"}
    await client.ok("EXAMINE INBOX")
    found = {}
    for line in await client.ok("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"):
        flags = re.search(rb"FLAGS \(([^)]*)\)", line)[1].split()
        number = int(re.search(rb"<(\d+)@", line)[1])
        assert number not in found
        found[number] = "".join(sorted(letters[flag] for flag in flags))
    await client.ok("UNSELECT")
    return found


async def state_of_server(client) -> bytes:
    """Changes with everything that is done to any mailbox."""
    return b"\n".join(
        await client.ok('LIST "" "*" RETURN (STATUS (HIGHESTMODSEQ UIDNEXT UIDVALIDITY MESSAGES))')
    )


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_mbsync_keeps_five_thousand_messages_in_step_and_then_finds_nothing_to_do(
    site, process, connect, tmp_path
):
    program = shutil.which("mbsync")
    if program is None:
        pytest.skip("mbsync is not installed (Debian package isync): this client is NOT tested")
    (tmp_path / "client").mkdir()
    mbsync = Mbsync(program, tmp_path / "client", site.ca_file, process.imaps)
    for number in range(MESSAGES):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    client = await connect(process)

    started = time.monotonic()
    await mbsync.run()
    print(f"first synchronisation of {MESSAGES}: {time.monotonic() - started:.1f} s")
    assert mbsync.messages().keys() == set(range(MESSAGES))
    # The field that mbsync adds to find its own messages again is all that differs.
    kept = re.sub(rb"X-TUID: .*\n", b"", mbsync.messages()[7].read_bytes())
    assert kept == a_mail(number=7).replace(b"\r\n", b"\n")

    # Work on both sides at once: here flags, deletions, arrivals, moves, and a new mailbox …
    await client.ok("SELECT INBOX")
    await client.ok("STORE 1:300 +FLAGS.SILENT (\\Seen)")
    await client.ok("STORE 301:400 +FLAGS.SILENT (\\Deleted)")
    await client.ok("EXPUNGE")
    await client.ok("UID MOVE 401:500 Archives")
    await client.ok("CREATE Patients/2026")
    await client.append("Patients/2026", a_mail(number=20_000))
    await client.ok("UNSELECT")
    for number in range(MESSAGES, MESSAGES + 100):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    # … there flags, deletions and new messages.
    files = mbsync.messages()
    for number in range(600, 900):
        with_flag(files[number], "FS")
    for number in range(900, 1_000):
        with_flag(files[number], "T")
    for number in range(10_000, 10_200):
        content = a_mail(number=number).replace(b"\r\n", b"\n")
        (mbsync.maildir / "INBOX" / "cur" / f"1.{number}.here:2,S").write_bytes(content)

    started = time.monotonic()
    await mbsync.run()
    print(f"second synchronisation: {time.monotonic() - started:.1f} s")
    flags = dict.fromkeys([*range(500, 600), *range(1_000, MESSAGES + 100)], "")
    flags |= dict.fromkeys(range(300), "S")
    flags |= dict.fromkeys(range(600, 900), "FS")
    flags |= dict.fromkeys(range(10_000, 10_200), "S")
    assert mbsync.flags() == flags
    assert await server_flags(client) == flags
    assert mbsync.messages("Archives").keys() == set(range(400, 500))
    assert mbsync.messages("Patients/2026").keys() == {20_000}

    before = await state_of_server(client)
    tree = {path: path.stat().st_mtime_ns for path in mbsync.maildir.rglob("*:2,*")}
    started = time.monotonic()
    await mbsync.run()
    print(f"with nothing to do: {time.monotonic() - started:.2f} s")
    assert await state_of_server(client) == before
    assert {path: path.stat().st_mtime_ns for path in mbsync.maildir.rglob("*:2,*")} == tree
