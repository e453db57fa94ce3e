"""Dialogues with one client (RFC 3501), over the wire, on real storage."""

import base64
import re

import pytest
from tests.servers.imap.imap_site import LOGIN, PASSWORD, a_mail

PREFIX = b"Return-Path: <renee@medecins.example>\r\nX-Ours: one\r\n"
TWO_PARTS = (
    b"From: a@medecins.example\r\nTo: b@medecins.example\r\nSubject: two parts\r\n"
    b"Content-Type: multipart/mixed; boundary=xx\r\n\r\n"
    b"--xx\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode("Une angine, sévère".encode())
    + b"\r\n"
    b"--xx\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\nFrom: c@medecins.example\r\n\r\ninner text\r\n"
    b"--xx--\r\n"
)


def number(lines, name):
    return int(re.search(rb"\[%b (\d+)\]" % name, b"\n".join(lines))[1])


async def test_capabilities_stand_in_the_greeting_and_grow_with_login(process, connect):
    client = await connect(process, login=None)

    assert client.greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 ")
    assert b"AUTH=PLAIN" in client.greeting
    assert b"IDLE" not in client.greeting
    lines = await client.run(f'LOGIN {LOGIN} "{PASSWORD}"')
    assert b"[CAPABILITY IMAP4rev1 LITERAL+" in lines[-1]
    assert b"UIDPLUS" in lines[-1]
    assert b"AUTH=" not in lines[-1]


async def test_login_is_not_possible_before_tls(process, connect):
    client = await connect(process, tls=False)

    assert b"STARTTLS LOGINDISABLED" in client.greeting
    for command in (f'LOGIN {LOGIN} "{PASSWORD}"', "AUTHENTICATE PLAIN AGEAYg=="):
        assert (await client.run(command))[-1].startswith(b"NO [PRIVACYREQUIRED]")


async def test_starttls_leads_to_a_login(site, process, connect):
    client = await connect(process, tls=False)
    await client.ok("STARTTLS")
    await client.writer.start_tls(site.client_tls, server_hostname="localhost")

    assert b"AUTH=PLAIN" in (await client.ok("CAPABILITY"))[0]
    await client.ok(f'LOGIN {LOGIN} "{PASSWORD}"')
    await client.ok("SELECT INBOX")
    assert (await client.run("STARTTLS"))[-1].startswith(b"BAD")


async def test_plaintext_behind_starttls_is_never_run(process, connect):
    client = await connect(process, tls=False)
    client.send(b"a STARTTLS\r\nb NOOP\r\n")

    assert (await client.line()).startswith(b"* BYE")
    assert await client.closed_by_server()


@pytest.mark.parametrize("initial", [True, False])
async def test_authenticate_plain_with_and_without_initial_response(process, connect, initial):
    client = await connect(process, login=None)
    response = base64.b64encode(f"\0{LOGIN}\0{PASSWORD}".encode())
    if initial:
        await client.ok(b"AUTHENTICATE PLAIN " + response)
        return
    client.send(b"a AUTHENTICATE PLAIN\r\n")
    assert await client.line() == b"+ "
    client.send(response + b"\r\n")
    assert (await client.line()).startswith(b"a OK [CAPABILITY ")


async def test_authenticate_login_prompts_as_clients_know_it(process, connect):
    client = await connect(process, login=None)
    client.send(b"a AUTHENTICATE LOGIN\r\n")
    assert await client.line() == b"+ VXNlcm5hbWU6"
    client.send(base64.b64encode(LOGIN.encode()) + b"\r\n")
    assert await client.line() == b"+ UGFzc3dvcmQ6"
    client.send(base64.b64encode(PASSWORD.encode()) + b"\r\n")
    assert (await client.line()).startswith(b"a OK")


async def test_a_wrong_password_is_told_and_the_connection_kept(process, connect):
    client = await connect(process, login=None)

    assert (await client.run(f"LOGIN {LOGIN} wrong"))[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    client.send(b"a AUTHENTICATE PLAIN\r\n*\r\n")
    assert await client.line() == b"+ "
    assert (await client.line()).startswith(b"a BAD")
    await client.ok(f'LOGIN {LOGIN} "{PASSWORD}"')


async def test_after_too_many_failed_logins_the_connection_ends(process, connect):
    client = await connect(process, login=None)
    for _ in range(5):
        assert (await client.run("LOGIN nobody x"))[-1].startswith(b"NO")

    assert (await client.line()).startswith(b"* BYE")
    assert await client.closed_by_server()


async def test_id_is_answered_before_and_after_login(process, connect):
    client = await connect(process, login=None)
    for _ in range(2):
        assert await client.ok('ID ("name" "Microsoft Office 365" "version" NIL)') == [
            b'* ID ("name" "mssante")'
        ]
        if _ == 0:
            await client.ok(f'LOGIN {LOGIN} "{PASSWORD}"')
    await client.ok("ID NIL")


async def test_commands_are_refused_in_the_wrong_state(process, connect):
    client = await connect(process, login=None)

    assert (await client.run("SELECT INBOX"))[-1].startswith(b"BAD")
    assert (await client.run("FETCH 1 FLAGS"))[-1].startswith(b"BAD")
    await client.ok(f'LOGIN {LOGIN} "{PASSWORD}"')
    assert (await client.run("FETCH 1 FLAGS"))[-1].startswith(b"BAD")
    assert (await client.run("LOGIN a b"))[-1].startswith(b"BAD")


async def test_select_says_all_that_clients_need(site, process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail(), "(\\Seen)")
    await client.append("INBOX", a_mail())
    lines = await client.run("SELECT inbox")

    assert b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)" in lines
    assert b"* 2 EXISTS" in lines
    assert number(lines, b"UNSEEN") == 2
    assert number(lines, b"UIDNEXT") == 3
    assert number(lines, b"UIDVALIDITY") > 0
    assert any(b"[PERMANENTFLAGS (" in line and b"\\*)] " in line for line in lines)
    assert lines[-1].startswith(b"OK [READ-WRITE]")
    lines = await client.run("EXAMINE INBOX")
    assert lines[-1].startswith(b"OK [READ-ONLY]")
    assert any(b"[PERMANENTFLAGS ()]" in line for line in lines)
    assert (await client.run("SELECT Nowhere"))[-1].startswith(b"NO [NONEXISTENT]")
    assert (await client.run("FETCH 1 FLAGS"))[-1].startswith(b"BAD")


async def test_list_shows_special_folders_in_modified_utf7(process, connect):
    client = await connect(process)

    assert await client.ok('LIST "" ""') == [b'* LIST (\\Noselect) "/" ""']
    lines = await client.ok('LIST "" *')
    assert lines[0] == b'* LIST (\\HasNoChildren) "/" "INBOX"'
    assert b'* LIST (\\HasNoChildren \\Sent) "/" "Envoy&AOk-s"' in lines
    assert await client.ok('list "" "*" return (special-use)') == lines
    assert await client.ok('LSUB "" "*"') == [line.replace(b"LIST", b"LSUB") for line in lines]
    assert await client.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) NIL NIL']


async def test_folders_are_created_listed_renamed_and_deleted(process, connect):
    client = await connect(process)
    await client.ok('CREATE "Patients/Analyses/2026/"')
    await client.append('"Patients/Analyses/2026"', a_mail())

    assert await client.ok('LIST "" "%"') != []
    assert b'* LIST (\\Noselect \\HasChildren) "/" "Patients"' in await client.ok('LIST "" "%"')
    assert await client.ok('LIST "Patients/" "%"') == [
        b'* LIST (\\Noselect \\HasChildren) "/" "Patients/Analyses"'
    ]
    assert await client.ok('LIST "" "Pat*2026"') == [
        b'* LIST (\\HasNoChildren) "/" "Patients/Analyses/2026"'
    ]
    await client.ok('RENAME "Patients/Analyses/2026" "Re&AOc-us & &AOk-mis"'.replace(" & ", " &- "))
    assert b"MESSAGES 1" in (await client.ok('STATUS "Re&AOc-us &- &AOk-mis" (MESSAGES)'))[0]
    assert (await client.run('CREATE "Re&AOc-us &- &AOk-mis"'))[-1].startswith(
        b"NO [ALREADYEXISTS]"
    )
    await client.ok('DELETE "Re&AOc-us &- &AOk-mis"')
    assert (await client.run('DELETE "Re&AOc-us &- &AOk-mis"'))[-1].startswith(b"NO [NONEXISTENT]")
    assert (await client.run("DELETE INBOX"))[-1].startswith(b"NO [NOPERM]")
    for name in ('"a//b"', '"/a"', '"a%"', '""'):
        assert (await client.run(f"CREATE {name}"))[-1].startswith(b"NO [CANNOT]"), name
    assert (await client.run('SELECT "Envoy\xc3\xa9s"'.encode("latin-1")))[-1].startswith(b"BAD")


async def test_renaming_inbox_moves_its_messages_and_leaves_it_empty(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail(), "(\\Flagged)")
    await client.ok("RENAME INBOX Old")

    assert b"MESSAGES 0" in (await client.ok("STATUS INBOX (MESSAGES)"))[0]
    await client.ok("SELECT Old")
    assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS (\\Flagged))"]


async def test_subscriptions(process, connect):
    client = await connect(process)
    await client.ok("CREATE a/b")
    await client.ok("UNSUBSCRIBE a/b")
    assert await client.ok('LSUB "" "a*"') == []
    await client.ok("SUBSCRIBE a/b")
    assert await client.ok('LSUB "" "%"') != []
    assert b'* LSUB (\\Noselect \\HasChildren) "/" "a"' in await client.ok('LSUB "" "%"')
    await client.ok("SUBSCRIBE a")
    await client.ok("UNSUBSCRIBE nowhere")
    assert (await client.run("SUBSCRIBE nowhere"))[-1].startswith(b"NO [NONEXISTENT]")


async def test_status_counts(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail(), "(\\Seen)")
    await client.append("INBOX", a_mail())
    [line] = await client.ok(
        "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT APPENDLIMIT)"
    )

    assert re.fullmatch(
        rb'\* STATUS "INBOX" \(MESSAGES 2 UNSEEN 1 UIDNEXT 3 UIDVALIDITY \d+ RECENT 2 APPENDLIMIT 26214400\)',
        line,
    )


async def test_a_delivered_message_is_served_with_its_prefix(site, process, connect):
    await process.deliver(site.mailbox.id, a_mail(), PREFIX)
    client = await connect(process)
    await client.ok("SELECT INBOX")
    whole = PREFIX + a_mail()
    header, text = whole.split(b"\r\n\r\n", 1)
    header += b"\r\n\r\n"

    [line] = await client.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])")
    assert line == b"* 1 FETCH (RFC822.SIZE %d BODY[] {%d}\r\n%b)" % (len(whole), len(whole), whole)
    [line] = await client.ok("FETCH 1 BODY.PEEK[HEADER]")
    assert line == b"* 1 FETCH (BODY[HEADER] {%d}\r\n%b)" % (len(header), header)
    [line] = await client.ok("FETCH 1 BODY.PEEK[TEXT]")
    assert line == b"* 1 FETCH (BODY[TEXT] {%d}\r\n%b)" % (len(text), text)
    [line] = await client.ok("FETCH 1 BODY.PEEK[1]")
    assert line == b"* 1 FETCH (BODY[1] {%d}\r\n%b)" % (len(text), text)
    [line] = await client.ok("FETCH 1 BODY.PEEK[2]")
    assert line == b"* 1 FETCH (BODY[2] NIL)"
    wanted = b"X-Ours: one\r\nMIME-Version: 1.0\r\n\r\n"
    [line] = await client.ok('FETCH 1 BODY.PEEK[HEADER.FIELDS (mime-version "x-ours" x-none)]')
    assert line == (
        b"* 1 FETCH (BODY[HEADER.FIELDS (mime-version x-ours x-none)] {%d}\r\n%b)"
        % (len(wanted), wanted)
    )
    [line] = await client.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (x-ours from to date)]")
    assert b"X-Ours" not in line
    assert b"Subject" in line


async def test_every_cut_of_a_partial_fetch_gives_the_same_octets(site, process, connect):
    await process.deliver(site.mailbox.id, a_mail(), PREFIX)
    client = await connect(process)
    await client.ok("SELECT INBOX")
    whole = PREFIX + a_mail()
    for size in (1, 7, len(PREFIX), len(PREFIX) + 1, 200, len(whole), len(whole) + 5):
        got = b""
        for offset in range(0, len(whole), size):
            [line] = await client.ok(f"FETCH 1 BODY.PEEK[]<{offset}.{size}>")
            head, _, data = line.partition(b"}\r\n")
            assert head.startswith(b"* 1 FETCH (BODY[]<%d> {" % offset)
            got += data[:-1]
        assert got == whole
    [line] = await client.ok(f"FETCH 1 BODY.PEEK[]<{len(whole)}.10>")
    assert line == b'* 1 FETCH (BODY[]<%d> "")' % len(whole)


async def test_sections_of_a_multipart(process, connect):
    client = await connect(process)
    await client.append("INBOX", TWO_PARTS)
    await client.ok("SELECT INBOX")

    async def section(name):
        [line] = await client.ok(f"FETCH 1 BODY.PEEK[{name}]")
        return line.partition(b"}\r\n")[2][:-1]

    assert await section("") == TWO_PARTS
    assert base64.b64decode(await section("1")).decode() == "Une angine, sévère"
    assert await section("1.MIME") == (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    assert await section("2.HEADER") == b"Subject: inner\r\nFrom: c@medecins.example\r\n\r\n"
    assert await section("2.TEXT") == b"inner text"
    assert await section("2.1") == b"inner text"
    assert await section("2.HEADER.FIELDS (SUBJECT)") == b"Subject: inner\r\n\r\n"
    assert await client.ok("FETCH 1 BODY.PEEK[1.HEADER]") == [b"* 1 FETCH (BODY[1.HEADER] NIL)"]


async def test_envelope_and_structure(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail("Ça va"))
    await client.ok("SELECT INBOX")
    [line] = await client.ok("FETCH 1 (ENVELOPE)")

    assert line == (
        b'* 1 FETCH (ENVELOPE ("Mon, 23 Nov 2026 09:00:00 +0100" "=?utf-8?b?w4dhIHZh?=" '
        b'(("=?utf-8?q?Ren=C3=A9e?=" NIL "renee" "medecins.example")) '
        b'(("=?utf-8?q?Ren=C3=A9e?=" NIL "renee" "medecins.example")) '
        b'(("=?utf-8?q?Ren=C3=A9e?=" NIL "renee" "medecins.example")) '
        b'((NIL NIL "claire.martin" "medecins.example")) NIL NIL NIL "<1@medecins.example>"))'
    )
    [line] = await client.ok("FETCH 1 BODY")
    assert (
        line.upper() == b'* 1 FETCH (BODY ("TEXT" "PLAIN" ("CHARSET" "UTF-8") NIL NIL "8BIT" 9 1))'
    )
    [full] = await client.ok("FETCH 1 FULL")
    assert re.match(
        rb'\* 1 FETCH \(FLAGS \(\) INTERNALDATE "[^"]+" RFC822.SIZE \d+ ENVELOPE \(.*\) BODY \(',
        full,
    )
    [fast] = await client.ok("FETCH 1 FAST")
    assert re.fullmatch(
        rb'\* 1 FETCH \(FLAGS \(\) INTERNALDATE " 1-Mar-2026 12:00:00 \+0000" RFC822.SIZE \d+\)',
        fast,
    )


async def test_reading_sets_seen_unless_peeking_or_examining(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("EXAMINE INBOX")
    await client.ok("FETCH 1 BODY[]")
    await client.ok("SELECT INBOX")
    await client.ok("FETCH 1 (RFC822.HEADER BODY.PEEK[])")
    assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]

    [line] = await client.ok("FETCH 1 BODY[TEXT]")
    assert line.endswith(b" FLAGS (\\Seen))")
    [line] = await client.ok("UID FETCH 1 (RFC822)")
    assert line.startswith(b"* 1 FETCH (UID 1 RFC822 {")
    assert not line.endswith(b"FLAGS (\\Seen))")


async def test_flags_of_a_fetch_that_sets_seen_are_the_new_ones(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")
    [line] = await client.ok("FETCH 1 (FLAGS BODY[HEADER])")

    assert line.startswith(b"* 1 FETCH (FLAGS (\\Seen) BODY[HEADER] {")
    assert line.count(b"FLAGS") == 1


async def test_outlooks_rfc822_peek_and_a_bare_item(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")

    [line] = await client.ok("UID fetch 1 (UID RFC822.SIZE RFC822.peek)")
    assert re.match(rb"\* 1 FETCH \(UID 1 RFC822.SIZE \d+ RFC822 \{\d+\}\r\n", line)
    [line] = await client.ok("UID FETCH 1:* rfc822.header")
    assert line.startswith(b"* 1 FETCH (UID 1 RFC822.HEADER {")
    assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]


async def test_message_numbers_that_do_not_exist(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")

    assert (await client.run("FETCH 2 FLAGS"))[-1].startswith(b"BAD")
    assert await client.ok("UID FETCH 2 FLAGS") == []
    assert await client.ok("UID FETCH 120:* (FLAGS)") == [b"* 1 FETCH (UID 1 FLAGS ())"]
    assert await client.ok("UID FETCH 7:1000000000 (FLAGS)") == []
    assert await client.ok("UID FETCH 5:1 (UID)") == [b"* 1 FETCH (UID 1)"]


async def test_store_changes_and_reports_flags(process, connect):
    client = await connect(process)
    for _ in range(3):
        await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")

    assert await client.ok("STORE 1:2 +FLAGS (\\Flagged \\SEEN)") == [
        b"* 1 FETCH (FLAGS (\\Flagged \\Seen))",
        b"* 2 FETCH (FLAGS (\\Flagged \\Seen))",
    ]
    assert await client.ok("UID STORE 2 -FLAGS \\Seen") == [b"* 2 FETCH (UID 2 FLAGS (\\Flagged))"]
    assert await client.ok("STORE 2,3 FLAGS.SILENT (\\Draft)") == []
    assert await client.ok("STORE 3 FLAGS ()") == [b"* 3 FETCH (FLAGS ())"]
    assert await client.ok("FETCH 1:* FLAGS") == [
        b"* 1 FETCH (FLAGS (\\Flagged \\Seen))",
        b"* 2 FETCH (FLAGS (\\Draft))",
        b"* 3 FETCH (FLAGS ())",
    ]
    assert (await client.run("STORE 1 +FLAGS (\\Nonsense)"))[-1].startswith(b"BAD")
    await client.ok("EXAMINE INBOX")
    assert (await client.run("STORE 1 +FLAGS (\\Seen)"))[-1].startswith(b"NO")


async def test_keywords_are_kept_and_announced(process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail(), "($Forwarded)")
    await client.ok("SELECT INBOX")

    lines = await client.ok("STORE 1 +FLAGS ($label1)")
    assert b"* 1 FETCH (FLAGS ($Forwarded $label1))" in lines
    assert b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded $label1)" in lines
    assert await client.ok("SEARCH KEYWORD $LABEL1") == [b"* SEARCH 1"]
    assert await client.ok("SEARCH UNKEYWORD $Forwarded") == [b"* SEARCH"]
    assert await client.ok("SEARCH KEYWORD never") == [b"* SEARCH"]
    assert await client.ok("STORE 1 -FLAGS ($label1 never)") == [b"* 1 FETCH (FLAGS ($Forwarded))"]


async def test_expunge_close_and_uid_expunge(process, connect):
    client = await connect(process)
    for _ in range(6):
        await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")
    await client.ok("STORE 2,4,5 +FLAGS.SILENT (\\Deleted)")

    assert await client.ok("UID EXPUNGE 4,1") == [b"* 4 EXPUNGE"]
    assert await client.ok("EXPUNGE") == [b"* 4 EXPUNGE", b"* 2 EXPUNGE"]
    assert await client.ok("FETCH 1:* UID") == [
        b"* 1 FETCH (UID 1)",
        b"* 2 FETCH (UID 3)",
        b"* 3 FETCH (UID 6)",
    ]
    await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await client.ok("UNSELECT")
    await client.ok("SELECT INBOX")
    await client.ok("CLOSE")
    lines = await client.ok("EXAMINE INBOX")
    assert b"* 2 EXISTS" in lines
    assert (await client.run("EXPUNGE"))[-1].startswith(b"NO")
    await client.ok("CLOSE")


async def test_append_keeps_flags_date_and_octets_and_answers_the_uid(process, connect):
    client = await connect(process)
    content = a_mail("brouillon")
    lines = await client.run(
        b'APPEND "Brouillons" (\\Draft \\Seen $x) " 3-Feb-2025 04:05:06 +0100" {%d+}\r\n%b'
        % (len(content), content)
    )
    code = re.match(rb"OK \[APPENDUID (\d+) 1\]", lines[-1])
    selected = await client.ok("SELECT Brouillons")

    assert number(selected, b"UIDVALIDITY") == int(code[1])
    [line] = await client.ok("FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])")
    assert line.startswith(
        b'* 1 FETCH (FLAGS (\\Seen \\Draft $x) INTERNALDATE " 3-Feb-2025 03:05:06 +0000" BODY[] {'
    )
    assert line.endswith(b"}\r\n" + content + b")")


async def test_append_to_nowhere_says_trycreate_and_to_the_selected_says_exists(process, connect):
    client = await connect(process)
    await client.ok("SELECT INBOX")
    lines = await client.run(b"APPEND Nowhere {3+}\r\nabc")
    assert lines[-1].startswith(b"NO [TRYCREATE]")

    content = a_mail()
    lines = await client.run(b"APPEND INBOX {%d+}\r\n%b" % (len(content), content))
    assert lines[0] == b"* 1 EXISTS"


async def test_copy_takes_flags_and_answers_copyuid(process, connect):
    client = await connect(process)
    for flags in ("(\\Flagged $k)", "", "(\\Seen)"):
        await client.append("INBOX", a_mail(), flags)
    await client.ok("SELECT INBOX")
    lines = await client.run("COPY 1,3 Archives")

    assert re.match(rb"OK \[COPYUID \d+ 1,3 1:2\]", lines[-1])
    assert (await client.run("UID COPY 99 Archives"))[-1].startswith(b"OK UID COPY")
    assert (await client.run("COPY 1 Nowhere"))[-1].startswith(b"NO [TRYCREATE]")
    await client.ok("SELECT Archives")
    assert await client.ok("FETCH 1:* FLAGS") == [
        b"* 1 FETCH (FLAGS (\\Flagged $k))",
        b"* 2 FETCH (FLAGS (\\Seen))",
    ]


async def test_search(site, process, connect):
    client = await connect(process)
    await client.append("INBOX", a_mail("Résultats", "Angine sévère"), "(\\Seen)")
    content = TWO_PARTS
    await client.run(
        b'APPEND INBOX (\\Flagged) "11-Jan-2025 00:30:00 +0000" {%d+}\r\n%b'
        % (len(content), content)
    )
    await client.append("INBOX", a_mail("Autre", "x" * 3000), "(\\Answered)")
    await client.ok("SELECT INBOX")

    async def found(keys):
        [line] = await client.ok(b"SEARCH " + keys)
        return [int(each) for each in line.split()[2:]]

    for keys, expected in [
        (b"ALL", [1, 2, 3]),
        (b"OLD", []),
        (b"NEW", [2, 3]),
        (b"RECENT", [1, 2, 3]),
        (b"SEEN", [1]),
        (b"UNSEEN", [2, 3]),
        (b"NOT SEEN", [2, 3]),
        (b"KEYWORD nobody-set-it", []),
        (b"UNKEYWORD nobody-set-it", [1, 2, 3]),
        (b"NOT UNKEYWORD nobody-set-it", []),
        (b"OR SEEN FLAGGED", [1, 2]),
        (b"OR SEEN (FLAGGED ANSWERED)", [1]),
        (b"(UNSEEN NOT ANSWERED)", [2]),
        (b"2:*", [2, 3]),
        (b"2:900 NOT DELETED", [2, 3]),
        (b"UID 1,3", [1, 3]),
        (b"LARGER 2000", [3]),
        (b"SMALLER 2000", [1, 2]),
        (b"ON 11-Jan-2025", [2]),
        (b"SINCE 12-Jan-2025", [1, 3]),
        (b'BEFORE "12-Jan-2025"', [2]),
        (b"SENTON 23-Nov-2026", [1, 3]),
        (b"SENTSINCE 24-Nov-2026", []),
        (b"SENTBEFORE 24-Nov-2026", [1, 3]),
        (b"FROM ren\xc3\xa9e", None),
        (b'CHARSET UTF-8 FROM "REN\xc3\x89E"', [1, 3]),
        (b"CHARSET UTF-8 SUBJECT {10+}\r\nr\xc3\xa9sultats", [1]),
        (b"TO claire", [1, 3]),
        (b"CC claire", []),
        (b'HEADER Message-ID ""', [1, 3]),
        (b"HEADER message-id medecins.example", [1, 3]),
        (b'CHARSET UTF-8 BODY "s\xc3\xa9v\xc3\xa8re"', [1, 2]),
        (b"BODY inner", [2]),
        (b"BODY Autre", []),
        (b"TEXT autre", [3]),
        (b'TEXT "two parts"', [2]),
    ]:
        if expected is None:
            assert (await client.run(b"SEARCH " + keys))[-1].startswith(b"BAD"), keys
        else:
            assert await found(keys) == expected, keys
    assert (await client.run("SEARCH CHARSET KOI8-R TEXT x"))[-1] == (
        b"NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset"
    )
    await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await client.ok("EXPUNGE")
    assert await client.ok("UID SEARCH ALL") == [b"* SEARCH 2 3"]
    assert await client.ok("SEARCH UID 3") == [b"* SEARCH 2"]


async def test_search_in_an_empty_mailbox(process, connect):
    client = await connect(process)
    await client.ok("SELECT Archives")

    assert await client.ok("UID SEARCH *:*") == [b"* SEARCH"]
    assert await client.ok("SEARCH 1:* TEXT x") == [b"* SEARCH"]
    assert (await client.run("FETCH 1:* FLAGS"))[-1].startswith(b"BAD")
    assert await client.ok("UID FETCH 1:* FLAGS") == []


async def test_pipelined_commands_are_answered_in_order(process, connect):
    client = await connect(process)
    content = a_mail()
    client.send(
        b'A3 NAMESPACE\r\nA4 LIST "" "*" RETURN (SPECIAL-USE)\r\nA5 SELECT INBOX\r\n'
        b"A6 APPEND INBOX {%d+}\r\n%b\r\nA7 UID FETCH 1:* (FLAGS)\r\nA8 LOGOUT\r\n"
        % (len(content), content)
    )
    lines = await client.until(b"A8")

    tagged = [line.split()[:2] for line in lines if line.startswith(b"A")]
    assert tagged == [[b"A%d" % n, b"OK"] for n in (3, 4, 5, 6, 7, 8)]
    assert b"* 1 FETCH (UID 1 FLAGS ())" in lines
    assert lines[-2].startswith(b"* BYE")
    assert await client.closed_by_server()


async def test_a_synchronising_literal_is_asked_for(process, connect):
    client = await connect(process, login=None)
    client.send(b"a LOGIN {%d}\r\n" % len(LOGIN))
    assert (await client.line()).startswith(b"+ ")
    client.send(LOGIN.encode() + b' "' + PASSWORD.encode() + b'"\r\n')

    assert (await client.line()).startswith(b"a OK")


async def test_enable_is_always_answered(process, connect):
    client = await connect(process)

    assert await client.ok("ENABLE UTF8=ACCEPT X-OTHER") == [b"* ENABLED"]


async def test_a_consultation_is_recorded_with_its_range(site, process, connect):
    import asyncio

    client = await connect(process)
    for _ in range(4):
        await client.append("INBOX", a_mail())
    await client.ok("SELECT INBOX")
    await client.ok("FETCH 1:4 (ENVELOPE BODY.PEEK[HEADER])")
    await asyncio.sleep(0.1)
    assert not [e for e in site.audit.entries if e.kind.value == "consultation"]

    await client.ok("FETCH 1:2 BODY.PEEK[]")
    await client.ok("FETCH 4 BODY[1]")
    await asyncio.sleep(0.15)
    [entry] = [e for e in site.audit.entries if e.kind.value == "consultation"]
    assert entry.subject == site.mailbox.id
    assert entry.facts["uids"] == "1:2,4"
    assert not entry.personal


async def test_selecting_another_mailbox_says_that_the_first_one_is_closed(process, connect):
    client = await connect(process)
    assert b"CLOSED" not in b"".join(await client.ok("SELECT INBOX"))
    [closed, *rest] = await client.ok("EXAMINE Archives")
    assert closed == b"* OK [CLOSED] Previous mailbox closed"
    assert not any(b"CLOSED" in line for line in rest)
    lines = await client.run("SELECT nowhere")
    assert lines[0] == b"* OK [CLOSED] Previous mailbox closed"
    assert lines[-1].startswith(b"NO [NONEXISTENT]")
    assert b"CLOSED" not in b"".join(await client.ok("SELECT INBOX"))
    await client.ok("UNSELECT")
    assert b"CLOSED" not in b"".join(await client.ok("SELECT INBOX"))


async def test_a_new_keyword_is_announced_before_a_message_shows_it(process, connect):
    one, two = await connect(process), await connect(process)
    await one.append("INBOX", a_mail())
    await one.ok("SELECT INBOX")
    await two.ok("SELECT INBOX")

    lines = await one.ok("STORE 1 +FLAGS (premier)")
    assert [line.split(b" ")[1] for line in lines] == [b"FLAGS", b"OK", b"1"]
    lines = await two.ok("FETCH 1 (FLAGS)")
    assert [line.split(b" ")[1] for line in lines][:3] == [b"FLAGS", b"OK", b"1"]
    assert b"premier" in lines[0] and b"premier" in lines[2]


async def test_an_unknown_search_key_is_called_so(process, connect):
    client = await connect(process)
    await client.ok("SELECT INBOX")

    assert await client.run("SEARCH FOO") == [b"BAD Unknown search key"]
    assert await client.run("SEARCH SUBJECT") == [b"BAD Missing argument"]
