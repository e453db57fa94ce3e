"""Clients that nobody here wrote: aioimaplib and the standard library's imaplib, over TLS."""

import asyncio
import imaplib
import re

from aioimaplib import aioimaplib
from tests.servers.imap.imap_site import LOGIN, PASSWORD, a_mail


async def an_aioimaplib(site, process):
    client = aioimaplib.IMAP4_SSL(
        "localhost", process.imaps, ssl_context=site.client_tls, timeout=10
    )
    await client.wait_hello_from_server()
    assert (await client.login(LOGIN, PASSWORD)).result == "OK"
    return client


async def test_aioimaplib_reads_a_mailbox(site, process):
    for number in range(3):
        await process.deliver(site.mailbox.id, a_mail(number=number), b"X-Prefix: yes\r\n")
    client = await an_aioimaplib(site, process)

    assert client.has_capability("IDLE")
    assert client.has_capability("UIDPLUS")
    assert (await client.select("INBOX")).lines[1:2] != []
    found = await client.uid_search("UNSEEN")
    assert found.lines[0].split() == [b"1", b"2", b"3"]
    fetched = await client.uid("fetch", "1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[])")
    bodies = [bytes(line) for line in fetched.lines if isinstance(line, bytearray)]
    assert bodies == [b"X-Prefix: yes\r\n" + a_mail(number=number) for number in range(3)]
    assert (await client.uid("store", "2", "+FLAGS", "(\\Deleted)")).result == "OK"
    assert (await client.expunge()).lines[0] == b"2 EXPUNGE"
    assert (await client.append(a_mail(), "INBOX", "\\Seen")).result == "OK"
    assert (await client.list('""', "*")).result == "OK"
    assert (await client.namespace()).result == "OK"
    assert (await client.logout()).result == "OK"


async def test_aioimaplib_is_told_of_a_delivery_while_it_idles(site, process):
    client = await an_aioimaplib(site, process)
    await client.select("INBOX")
    idle = await client.idle_start(timeout=60)
    await process.deliver(site.mailbox.id, a_mail())

    assert await asyncio.wait_for(client.wait_server_push(), 5) == [b"1 EXISTS", b"1 RECENT"]
    client.idle_done()
    await asyncio.wait_for(idle, 5)
    assert (await client.logout()).result == "OK"


async def test_aioimaplib_upgrades_with_a_wrong_password_refused(site, process):
    client = aioimaplib.IMAP4_SSL(
        "localhost", process.imaps, ssl_context=site.client_tls, timeout=10
    )
    await client.wait_hello_from_server()

    assert (await client.login(LOGIN, "wrong")).result == "NO"
    assert (await client.login(LOGIN, PASSWORD)).result == "OK"
    await client.logout()


async def test_imaplib_reads_writes_and_searches(site, process):
    content = a_mail("Compte rendu", "Sévère")

    def work():
        client = imaplib.IMAP4_SSL(
            "localhost", process.imaps, ssl_context=site.client_tls, timeout=10
        )
        assert client.login(LOGIN, PASSWORD)[0] == "OK"
        assert (
            client.append("INBOX", "(\\Flagged $work)", '"23-Nov-2026 10:00:00 +0100"', content)[0]
            == "OK"
        )
        assert client.create('"Patients/2026"')[0] == "OK"
        assert client.select("INBOX") == ("OK", [b"1"])
        client.literal = "sévère".encode()
        assert client.uid("SEARCH", "CHARSET", "UTF-8", "BODY") == ("OK", [b"1"])
        status, [(head, body), tail] = client.fetch("1", "(FLAGS INTERNALDATE BODY[])")
        assert status == "OK"
        assert body == content
        assert b'"23-Nov-2026 09:00:00 +0000"' in head
        assert imaplib.ParseFlags(tail) == (b"\\Seen",) or b"\\Seen" in head + tail
        assert client.copy("1", '"Patients/2026"')[0] == "OK"
        assert client.store("1", "+FLAGS.SILENT", "(\\Deleted)")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
        assert client.status('"Patients/2026"', "(MESSAGES UIDNEXT)")[1] == [
            b'"Patients/2026" (MESSAGES 1 UIDNEXT 2)'
        ]
        assert client.close()[0] == "OK"
        assert client.logout()[0] == "BYE"

    await asyncio.to_thread(work)


async def test_imaplib_starts_tls_on_the_plain_port(site, process):
    def work():
        client = imaplib.IMAP4("localhost", process.imap, timeout=10)
        assert "LOGINDISABLED" in client.capabilities
        assert client.starttls(site.client_tls)[0] == "OK"
        assert client.authenticate("PLAIN", lambda _: f"\0{LOGIN}\0{PASSWORD}".encode())[0] == "OK"
        status, lines = client.list()
        assert status == "OK"
        assert any(re.search(rb"\\Trash", line) for line in lines)
        client.logout()

    await asyncio.to_thread(work)


async def test_aioimaplib_enables_and_moves(site, process):
    for number in range(3):
        await process.deliver(site.mailbox.id, a_mail(number=number))
    client = await an_aioimaplib(site, process)

    assert (await client.enable("CONDSTORE")).lines[0] == b"ENABLED CONDSTORE"
    assert (await client.select("INBOX")).result == "OK"
    moved = await client.uid("move", "1:2", "Archives")
    assert moved.result == "OK"
    assert [line for line in moved.lines if b"EXPUNGE" in line] == [b"2 EXPUNGE", b"1 EXPUNGE"]
    assert (await client.select("Archives")).result == "OK"
    assert (await client.uid_search("ALL")).lines[0].split() == [b"1", b"2"]
    await client.logout()


async def test_imaplib_enables_moves_and_searches_extended(site, process):
    for number in range(3):
        await process.deliver(site.mailbox.id, a_mail(number=number))

    def work():
        client = imaplib.IMAP4_SSL(
            "localhost", process.imaps, ssl_context=site.client_tls, timeout=10
        )
        client.login(LOGIN, PASSWORD)
        assert client.enable("CONDSTORE")[0] == "OK"
        assert client.response("ENABLED")[1] == [b"CONDSTORE"]
        assert client.select("INBOX") == ("OK", [b"3"])
        [highest] = client.response("HIGHESTMODSEQ")[1]
        assert client.uid("MOVE", "2", "Archives")[0] == "OK"
        assert client.response("COPYUID")[1][0].split()[1:] == [b"2", b"1"]
        assert client.response("EXPUNGE")[1] == [b"2"]
        assert client.uid("STORE", "3", f"(UNCHANGEDSINCE {highest.decode()})", "FLAGS", "()")
        assert client.uid("SEARCH", "RETURN", "(MIN COUNT)", "ALL")[0] == "OK"
        assert client.response("ESEARCH")[1][0].endswith(b"UID MIN 1 COUNT 2")
        assert client.status("INBOX", "(HIGHESTMODSEQ SIZE MAILBOXID)")[0] == "OK"
        assert client.unselect()[0] == "OK"
        assert client.list('""', '"*" RETURN (SUBSCRIBED STATUS (MESSAGES))')[0] == "OK"
        assert len(client.response("STATUS")[1]) == 6
        client.logout()

    await asyncio.to_thread(work)
