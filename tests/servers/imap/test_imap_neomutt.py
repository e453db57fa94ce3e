"""NeoMutt at a terminal of its own: reads, searches, flags, moves and deletes (package neomutt)."""

import asyncio
import os
import pty
import re
import shutil

import pytest
from tests.servers.imap.imap_site import LOGIN, PASSWORD, a_mail
from tests.support.terminal import run_at_a_terminal


async def run_neomutt(program, site, process, folder, keys: str) -> None:
    """Open INBOX, press keys, leave."""
    config = folder / "neomuttrc"
    config.write_text(
        f"set imap_user='{LOGIN}'\nset imap_pass='{PASSWORD}'\n"
        f"set folder='imaps://localhost:{process.imaps}/'\nset spoolfile='+INBOX'\n"
        f"set ssl_ca_certificates_file='{site.ca_file}'\nset ssl_use_system_certs=no\n"
        f"set certificate_file='{folder}/certificates'\nset ssl_force_tls=yes\n"
        "set imap_condstore=yes\nset imap_qresync=no\nset imap_idle=no\n"
        "set delete=yes\nset move=no\nset confirmappend=no\nset wait_key=no\n"
        "set pager='builtin'\nset quit=yes\nset mark_old=no\nset timeout=1\n"
        f"set header_cache='{folder}/cache'\nset message_cachedir='{folder}/cache'\n"
        f"set tmpdir='{folder}'\nset mail_check=1\nset sleep_time=0\n"
        f'push "{keys}"\n'
    )
    (folder / "cache").mkdir(exist_ok=True)
    await run_at_a_terminal(
        program, "-n", "-F", str(config), seconds=30,
        env={**os.environ, "TERM": "xterm", "HOME": str(folder), "LANG": "C.UTF-8"},
    )  # fmt: skip


@pytest.mark.long
async def test_neomutt_reads_flags_moves_and_deletes(site, process, connect, tmp_path):
    program = shutil.which("neomutt")
    if program is None:
        pytest.skip("neomutt is not installed (Debian package): this client is NOT tested")
    for number in range(20):
        await process.deliver(site.mailbox.id, a_mail(f"Patient {number}", number=number))
    client = await connect(process)

    await run_neomutt(
        program, site, process, tmp_path,
        f"<first-entry><display-message><exit><pipe-message>cat > {tmp_path}/read<enter>"
        "2<enter><flag-message>"
        "3<enter><delete-message>"
        "5<enter><save-message>=Archives<enter>"
        "<tag-pattern>~s\\\"Patient 1[0-9]\\\"<enter><tag-prefix><copy-message>=Corbeille<enter>"
        "<sync-mailbox><quit>",
    )  # fmt: skip
    # Not what is on the screen: between two keys it is not always drawn.
    assert b"<0@medecins.example>" in (tmp_path / "read").read_bytes()
    await client.ok("SELECT INBOX")
    lines = b"\n".join(await client.ok("UID FETCH 1:* (FLAGS)"))
    assert b"UID 1 FLAGS (\\Seen)" in lines
    assert b"UID 2 FLAGS (\\Flagged)" in lines
    assert not re.search(rb"UID [35] ", lines)
    assert b"EXISTS" in b"\n".join(await client.ok("SELECT Archives"))
    [line] = await client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
    assert b"<4@medecins.example>" in line
    assert b"MESSAGES 10)" in (await client.ok("STATUS Corbeille (MESSAGES)"))[0]

    # Again, from its cache, after another client changed something: CONDSTORE at work.
    await client.ok("SELECT INBOX")
    await client.ok("UID STORE 7 +FLAGS.SILENT (\\Flagged)")
    await client.ok("UID MOVE 8 Archives")
    await run_neomutt(
        program, site, process, tmp_path,
        "<limit>~F<enter><tag-pattern>.<enter><tag-prefix><clear-flag>!<sync-mailbox><quit>",
    )  # fmt: skip
    # Both flags are gone: it had seen the one that was new.
    assert await client.ok("SEARCH FLAGGED") == [
        b"* SEARCH",
        b"* 2 FETCH (UID 2 FLAGS ())",
        b"* 5 FETCH (UID 7 FLAGS ())",
    ]
