"""Bad and hostile input against a running instance: a precise answer each, and the server stands.

One table for each door: SMTP, IMAP, documents. Memory, logs, spool and audit are looked at from
outside after each table.
"""

import base64
import contextlib
from dataclasses import replace

import make_samples
import pytest

from tests.journeys.hostile_world import (
    MARK,
    Documents,
    HostileWorld,
    ImapPeer,
    SmtpPeer,
    a_pdf,
    matricules,
    subject_of,
    wrong_key,
)
from tests.journeys.instance import Instance, a_message

pytestmark = pytest.mark.timeout(240)

GROWTH = 150
"""MB of resident memory that a worker may keep after a table, whatever came in."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    instance = Instance(tmp_path_factory.mktemp("hostile") / "instance").init()
    with instance.config.open("a") as config:
        config.write('\n[logging]\nlevel = "debug"\n')
    instance.start(workers=2)
    try:
        made = HostileWorld(instance)
        made.assert_ordinary_mail_passes()
        yield made
    finally:
        instance.stop()


@contextlib.contextmanager
def standing(world, at_most=GROWTH):
    """The server is the same after the block as before it."""
    before = world.resident()
    yield
    world.assert_stands(grown_from=before, at_most=at_most)


# -- SMTP ------------------------------------------------------------------------------------------


def mixed(body: bytes, boundary: str = "b") -> bytes:
    return (
        f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
        + body
    )


def nested(depth: int) -> bytes:
    levels = (
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1)
        for n in range(depth)
    )
    return mixed(b"".join(levels), "b0")


TEXT = b"Subject: " + MARK.encode() + b"\r\n\r\n"
LINE = b"x" * 76 + b"\r\n"

DATA = {
    # name: (what follows the From field, the start of the reply)
    "bare LF": (TEXT + b"one\ntwo\r\n", "554 5.6.11"),
    "bare CR": (TEXT + b"one\rtwo\r\n", "554 5.6.11"),
    "LF dot LF": (TEXT + b"one\n.\nMAIL FROM:<x@y.example>\r\n", "554 5.6.11"),
    "LF dot CRLF": (TEXT + b"one\n.\r\nMAIL FROM:<x@y.example>\r\n", "554 5.6.11"),
    "CR dot CR": (TEXT + b"one\r.\rRSET\r\n", "554 5.6.11"),
    "CRLF dot LF": (TEXT + b"one\r\n.\nRSET\r\n", "554 5.6.11"),
    "CR CRLF dot CR CRLF": (TEXT + b"one\r\r\n.\r\r\n", "554 5.6.11"),
    "NUL": (TEXT + b"one\0two\r\n", "554 5.6.0"),
    "NUL in the header": (b"Subject: a\0b\r\n\r\n", "554 5.6.0"),
    "NUL before the dot": (TEXT + b"one\r\n\0.\r\n", "554 5.6.0"),
    "a line of 999": (TEXT + b"x" * 999 + b"\r\n", "554 5.6.0"),
    "one line of 5 MB": (TEXT + b"x" * 5_000_000, "554 5.6.0"),
    "10 000 parts": (mixed(b"--b\r\n\r\nx\r\n" * 10_000), "554 5.6.0"),
    "1000 levels of multipart": (nested(1000), "554 5.6.0"),
    "1000 messages inside each other": (b"Content-Type: message/rfc822\r\n\r\n" * 1000, "554 5.6.0"),
    "100 000 boundary lines": (mixed(b"--bb\r\n" * 100_000), "554 5.6.0"),
    "10 000 fields": (b"X: y\r\n" * 10_000 + b"\r\n", "554 5.6.0"),
    "a field of 200 kB": (b"X: " + b" y\r\n" * 50_000 + b"\r\n", "554 5.6.0"),
    "a header of 2 MB": (b"X: " + LINE * 25_000 + b"\r\n", "554 5.6.0"),
    "10 000 parameters": (b"Content-Type: a/b" + b";\r\n p=q" * 10_000 + b"\r\n\r\n", "554 5.6.0"),
    "100 000 addresses": (b"To: a@b.example" + b",\r\n c@d.example" * 6_000 + b"\r\n" + b"Cc: a@b.example" + b",\r\n c@d.example" * 6_000 + b"\r\n\r\n", "554 5.6.0"),
    "two From": (b"From: other@elsewhere.example\r\n\r\n", "554 5.6.0"),
    "another's Sender": (b"Sender: other@elsewhere.example\r\n\r\n", "550 5.7.1"),
    "two Content-Type": (b"Content-Type: text/plain\r\ncontent-type: text/html\r\n\r\n", "554 5.6.0"),
    "60 hops": (b"Received: from a by b\r\n" * 60 + b"\r\n", "554 5.4.6"),
    "27 MB": (TEXT + LINE * 350_000, "552 5.3.4"),
}  # fmt: skip


def test_each_bad_message_has_its_reply_and_the_session_goes_on(world):
    sender = world.doctor["address"]
    found = {}
    with standing(world):
        for name, (content, _) in DATA.items():
            with SmtpPeer(world.instance, world.doctor) as client:
                start = f"From: <{sender}>\r\n".encode()
                found[name] = client.submit(sender, world.colleague["address"], start + content)
                assert client.say(b"NOOP").startswith("250"), name
        for start, name in ((b" \r\nX: y\r\n\r\n", "blank"), (b"Subject: x\r\n\r\n", "no From")):
            with SmtpPeer(world.instance, world.doctor) as client:
                reply = client.submit(sender, world.colleague["address"], start)
                assert reply.startswith("554 5.6.0"), (name, reply)
    wrong = {n: reply for n, reply in found.items() if not reply.startswith(DATA[n][1] + " ")}
    assert not wrong
    assert not matricules("".join(found.values()))
    assert MARK not in "".join(found.values())


STRANGE = {
    "no body": b"",
    "no blank line": b"Subject: x\r\n",
    "unknown charset": b"Subject: =?x-nil?B?////?=\r\nContent-Type: text/plain; charset=x-nil\r\n\r\n\xff\xfe\r\n",
    "broken encoded words": b"Subject: =?utf-8?Q?=FF=00?= =?utf-7?Q?+AAA-?= =?utf-8?B?!?=\r\n\r\nx\r\n",
    "a date that is none": b"Date: Thu, 99 Foo 9999 99:99:99 +9999\r\n\r\nx\r\n",
    "addresses that are none": b"To: <<>>, (((, \"\\, a@, @b; :;;, =?utf-8?Q?=00?= <x>\r\n\r\nx\r\n",
    "types that are none": b"Content-Type: ;;=\"\r\nContent-Transfer-Encoding: (\r\nContent-Disposition: ;;\r\n\r\nx\r\n",
    "an unknown transfer encoding": b"Content-Type: text/xml\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n<a/>\r\n",
    "a boundary that never ends": mixed(b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx"),
    "a multipart without boundary": b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n",
    "an empty boundary": b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx\r\n",
    "a parameter in a million pieces": b"Content-Type: a/b; n*0*=utf-8'fr'%E9; n*999999999=x; n*=%%%\r\n\r\nx\r\n",
    "900 parts": mixed(b"--b\r\n\r\nx\r\n" * 900 + b"--b--\r\n"),
    "dots": b"\r\n..\r\n...\r\n..x\r\n",
    "a file name with directories": b"Content-Type: text/xml; name=\"../../etc/x\"\r\nContent-Disposition: attachment; filename*=utf-8''..%2F%00%0A\r\n\r\n<x/>\r\n",
    "lone surrogates and controls": b"Subject: \x01\x02\xed\xa0\x80\r\n\r\n\x1b[2J\r\n",
    "xml that is no document": b"Content-Type: text/xml\r\n\r\n<a><![CDATA[" + b"x]]]]>\r\n" * 1000,
}  # fmt: skip


def test_strange_but_lawful_mail_is_carried_and_every_part_can_be_fetched(world):
    sender, reader = world.doctor["address"], world.colleague
    with standing(world):
        before = len(world.messages(reader, "(UID)"))
        for name, content in STRANGE.items():
            with SmtpPeer(world.instance, world.doctor) as client:
                start = f"From: <{sender}>\r\n".encode()
                reply = client.submit(sender, reader["address"], start + content)
                assert reply.startswith("250 2.0.0"), (name, reply)
        world.instance.wait_until_carried(30)
        items = "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[1] BODY.PEEK[TEXT])"
        with ImapPeer(world.instance, reader) as client:
            client.send(f"a SELECT INBOX\r\nb FETCH 1:* {items}\r\n".encode())
            assert client.answer("a").startswith("a OK")
            assert client.answer("b").startswith("b OK")
            client.send(
                b"c SEARCH CHARSET UTF-8 OR SUBJECT {3+}\r\n\xc3\xa9! HEADER Content-Type x\r\n"
            )
            assert client.answer("c").startswith("c OK")
        assert len(world.messages(reader, "(UID)")) - before == len(STRANGE)


COMMANDS = {
    b"MAIL FROM:<> SIZE=99999999999": "552 5.3.4",
    b"MAIL FROM:<x@y.example>": "550 5.7.1",
    b"MAIL FROM:<x@y.example\rRSET>": "500 5.5.2",
    b"MAIL FROM:<x@y.example>\nRSET": "500 5.5.2",
    b"MAIL FROM:<" + b"x" * 300 + b"@y.example>": "501 5.1.3",
    b"MAIL FROM:<x@y.example> BODY=9BIT": "501 5.5.4",
    b"RCPT TO:<x@y.example>": "503 5.5.1",
    b"DATA": "503 5.5.1",
    b"BDAT 0 LAST": "503 5.5.1",
    b"BDAT some": "501 5.5.4",
    b"STARTTLS": "503 5.5.1",
    b"NOOP\0": "500 5.5.2",
    b"\xff\xfe\xfd": "500 5.5.2",
    b"": "500 5.5.2",
    b"X" * 100_000: "500 5.5.2",
    b"VRFY root": "252 2.5.0",
    b"EXPN staff": "502 5.5.1",
}
RECIPIENTS = {
    "nobody@{domain}": "550 5.1.1",
    "x@elsewhere.example": "550 5.7.1",
    "{unknown}@{patients}": "550 5.1.1",
    "{wrong}@{patients}": "553 5.1.3",
    "{wrong}0@{patients}": "553 5.1.3",
    "@a,@b:x@{domain}": "553 5.1.3",
    '"a\\"b c"@{domain}': "553 5.1.3",
    "x@[127.0.0.1]": "553 5.1.3",
}


def test_bad_commands_have_their_reply(world):
    own = {
        "domain": world.instance.demo["domain"],
        "patients": world.instance.demo["patient_domain"],
        "unknown": make_samples.a_matricule(999_999),
        "wrong": wrong_key(world.patient["ins"]),
    }
    found = {}
    with standing(world):
        for command in COMMANDS:
            with SmtpPeer(world.instance, world.doctor) as client:
                found[command] = client.say(command)
        with SmtpPeer(world.instance, world.doctor) as client:
            client.say(f"MAIL FROM:<{world.doctor['address']}>".encode())
            for recipient in RECIPIENTS:
                found[recipient] = client.say(f"RCPT TO:<{recipient.format(**own)}>".encode())
            assert client.say(b"DATA").startswith("554 5.5.1")
        with SmtpPeer(world.instance, None) as client:
            assert client.say(b"MAIL FROM:<a@b.example>").startswith("530 5.7.0")
            assert client.say(b"AUTH PLAIN " + b"A" * 3000).startswith(("501 5.5.2", "535 5.7.8"))
            assert client.say(b"AUTH PLAIN !!!").startswith("501 5.5.2")
            assert client.say(b"AUTH PLAIN AAAA").startswith(("501 5.5.2", "535 5.7.8"))
    expected = COMMANDS | RECIPIENTS
    wrong = {n: reply for n, reply in found.items() if not reply.startswith(expected[n] + " ")}
    assert not wrong
    assert not matricules("".join(found.values()))


@pytest.mark.parametrize("sent", [b"", b"\r\n.", b"\r\n.\r", b"x" * 20_000_000])
def test_data_that_break_off_are_not_accepted(world, sent):
    sender = world.doctor["address"]
    before = len(world.messages(world.colleague, "(UID)"))
    with SmtpPeer(world.instance, world.doctor) as client:
        client.begin(sender, world.colleague["address"])
        client.send(f"From: <{sender}>\r\n\r\nhalf".encode() + sent)
    world.instance.wait_until_carried(30)

    assert len(world.messages(world.colleague, "(UID)")) == before


# -- IMAP ------------------------------------------------------------------------------------------

TOO_LARGE = "a NO [TOOBIG]"
IMAP = {
    # name: (octets, the start of the answer, whether the connection ends)
    "bare LF": (b"a NOOP\n", "a BAD", False),
    "NUL": (b"a NOOP\0\r\n", "a BAD", False),
    "octets": (b"\xff\xfe\xfd\r\n", "* BAD", False),
    "no command": (b"a\r\n", "* BAD", False),
    "a line of 1 MB": (b"a NOOP " + b"x" * 1_000_000, "a BAD", True),
    "10 000 parentheses": (b"a SEARCH " + b"(" * 10_000 + b"ALL" + b")" * 10_000 + b"\r\n", "a BAD", False),
    "10 000 NOT": (b"a SEARCH " + b"NOT " * 10_000 + b"ALL\r\n", "a BAD", False),
    "10 000 OR": (b"a SEARCH " + b"OR ALL " * 10_000 + b"ALL\r\n", "a BAD", False),
    "sections without end": (b"a FETCH 1 BODY[" + b"1." * 1000 + b"1]\r\n", "a BAD", False),
    "a number of 10 000 digits": (b"a FETCH " + b"9" * 10_000 + b" FLAGS\r\n", "a BAD", False),
    "a set of all numbers": (b"a UID FETCH 1:4294967295,1:4294967295,*:1 (FLAGS)\r\n", "a OK", False),
    "4 GB announced, waiting": (b"a APPEND INBOX {4294967296}\r\n", TOO_LARGE, False),
    "4 GB announced, not waiting": (b"a APPEND INBOX {4294967296+}\r\nx", TOO_LARGE, True),
    "a literal of 10 000 digits": (b"a APPEND INBOX {" + b"9" * 10_000 + b"}\r\n", TOO_LARGE, False),
    "27 MB waiting": (b"a APPEND INBOX {27000000}\r\n", TOO_LARGE, False),
    "27 MB not waiting": (b"a APPEND INBOX {27000000+}\r\n" + b"y" * 27_000_000 + b"\r\n", TOO_LARGE, False),
    "a literal where none belongs": (b"a SELECT {300000}\r\n", TOO_LARGE, False),
    "100 literals": (b"a LIST " + b"{2+}\r\nab" * 100 + b"\r\n", "a BAD", False),
    "a negative literal": (b"a APPEND INBOX {-1}\r\n", "a BAD", False),
    "NUL in a message": (b"a APPEND INBOX {5+}\r\na\0b\r\n\r\n", "a BAD", False),
    "an empty message": (b"a APPEND INBOX {0+}\r\n\r\n", "a ", False),
    "10 000 parts": (b"", "a NO", False),
    "NUL in a name": (b"a CREATE {3+}\r\na\0b\r\n", "a BAD", False),
    "a name of 100 kB": (b"a CREATE " + b"x" * 100_000 + b"\r\n", "a BAD", False),
    "a name that climbs": (b'a CREATE "../../x"\r\n', "a ", False),
    "a broken name": (b'a CREATE "&AAA-&-&ZZZ"\r\n', "a BAD", False),
    "1000 flags": (b"a STORE 1 +FLAGS (" + b"$k " * 1000 + b"x)\r\n", "a BAD", False),
    "a date that is none": (b"a SEARCH ON 31-Feb-2026\r\n", "a BAD", False),
    "a partial without end": (b"a FETCH 1 BODY.PEEK[]<0.99999999999999999999>\r\n", "a BAD", False),
    "a far partial": (b"a UID FETCH 1:* BODY.PEEK[]<4294967295.4294967295>\r\n", "a OK", False),
    "unknown charset": (b"a SEARCH CHARSET x-nil ALL\r\n", "a NO [BADCHARSET", False),
    "STARTTLS in TLS": (b"a STARTTLS\r\n", "a BAD", False),
}  # fmt: skip
_PARTS = mixed(b"--b\r\n\r\nx\r\n" * 10_000)
IMAP["10 000 parts"] = (b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(_PARTS), _PARTS), "a NO", False)

STRANGERS = {
    "SELECT": (b"a SELECT INBOX\r\n", "a BAD", False),
    "APPEND": (b"a APPEND INBOX {10+}\r\n0123456789\r\n", "a BAD", False),
    "a literal of 5 kB": (b"a LOGIN {5000}\r\n", TOO_LARGE, False),
    "a literal of 5 kB, not waiting": (b"a LOGIN {5000+}\r\n", TOO_LARGE, True),
    "a line of 20 kB": (b"a LOGIN " + b"x" * 20_000, "a BAD", True),
    "a wrong password": (b"a LOGIN x y\r\n", "a NO [AUTHENTICATIONFAILED]", False),
    "NUL in a password": (b"a LOGIN x {3+}\r\na\0b\r\n", "a BAD", False),
    "no base64": (b"a AUTHENTICATE PLAIN !!!\r\n", "a BAD", False),
    "SMTP": (b"EHLO client.example\r\n", "EHLO BAD", False),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET BAD", False),
}


def test_bad_imap_has_its_answer(world):
    found, goes_on = {}, {}
    with standing(world):
        for table, account in ((IMAP, world.doctor), (STRANGERS, None)):
            for name, (octets, start, _) in table.items():
                with ImapPeer(world.instance, account) as client:
                    if account is not None:
                        client.send(b"s SELECT INBOX\r\n")
                        assert client.answer("s").startswith("s OK")
                    client.send(octets)
                    found[name] = (client.answer("a", start.split()[0]), start)
                    client.send(b"z NOOP\r\n")
                    # What came behind a refused command may be answered as commands of its own.
                    while (answer := client.answer("z")).startswith(("* BAD", "+")):
                        pass
                    goes_on[name] = answer.startswith("z OK")
    wrong = {n: answer for n, (answer, start) in found.items() if not answer.startswith(start)}
    assert not wrong
    expected = {n: not ends for n, (_, _, ends) in (IMAP | STRANGERS).items()}
    assert goes_on == expected


def test_a_literal_that_breaks_off_leaves_nothing(world):
    before = len(world.messages(world.doctor, "(UID)"))
    with standing(world):
        for _ in range(5):
            with ImapPeer(world.instance, world.doctor) as client:
                client.send(b"a APPEND INBOX {20000000+}\r\n" + b"x" * 10_000_000)
    assert len(world.messages(world.doctor, "(UID)")) == before


def test_many_large_literals_at_once_keep_memory_bounded(world):
    """Forty connections of one member announce a message of the largest size and never end it."""
    with standing(world, at_most=350), contextlib.ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(ImapPeer(world.instance, world.doctor))
            client.send(b"a APPEND INBOX {26000000+}\r\n")
            client.socket.settimeout(0.5)
            client.send(b"x" * 25_000_000)
        assert max(world.resident().values()) < 900, world.resident()


# -- documents -------------------------------------------------------------------------------------

LAUGHS = b"".join(
    [b'<!DOCTYPE x [<!ENTITY a0 "ha">']
    + [b'<!ENTITY a%d "%b">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)]
    + [b"]>"]
)
EXTERNAL = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
PARAMETER = b'<!DOCTYPE x [<!ENTITY %% p SYSTEM "http://127.0.0.1:1/x.dtd"> %%p;]>'

UNREADABLE, UNSAFE, DIFFERS, MISSING = "unreadable", "body-unsafe", "trait-differs", "trait-missing"


def bad_documents(d: Documents, other_ins: str):
    """name → (document, code, public cause, detail, whether the patient receives the message)."""
    subject = d._subject
    unique = d.biology("1.2.250.1.999.6.1")
    return {
        "billion laughs": (d.with_prolog(LAUGHS, b"&a9;"), 906, UNREADABLE, "doctype", True),
        "external entity": (d.with_prolog(EXTERNAL, b"&e;"), 906, UNREADABLE, "doctype", True),
        "parameter entity": (d.with_prolog(PARAMETER), 906, UNREADABLE, "doctype", True),
        "doctype after a comment": (d.with_prolog(b"<!-- > -->\n<!DOCTYPE html>"), 906, UNREADABLE, "doctype", True),
        "undeclared entity": (d.with_narrative(b"&nbsp;"), 906, UNREADABLE, "malformed", True),
        "NUL reference": (d.with_narrative(b"&#0;"), 906, UNREADABLE, "malformed", True),
        "NUL": (d.with_narrative(b"a\0b"), 906, UNREADABLE, "malformed", True),
        "5000 levels": (d.with_narrative(b"<a>" * 5000 + b"</a>" * 5000), 906, UNREADABLE, "too-deep", True),
        "200 000 elements": (d.with_narrative(b"<a/>" * 200_000), 906, UNREADABLE, "too-many-nodes", True),
        "300 000 attributes": (d.with_narrative(b"<a" + b' b=""' * 300_000 + b"/>"), 906, UNREADABLE, "too-many-attributes", True),
        "cut off": (d.biology()[:-200], 906, UNREADABLE, "malformed", True),
        "two roots": (d.biology() + b"<a/>", 906, UNREADABLE, "malformed", True),
        "another namespace": (d.biology().replace(b"urn:hl7-org:v3", b"urn:hl7-org:v4"), 906, UNREADABLE, "namespace", True),
        "Latin-1 called UTF-8": (d.in_encoding("UTF-8", "latin-1"), 906, UNREADABLE, "encoding", True),
        "UTF-16": (d.in_encoding("UTF-16", "utf-16"), 906, UNREADABLE, "encoding", True),
        "UTF-8 called UTF-16": (d.in_encoding("UTF-16", "utf-8"), 906, UNREADABLE, "encoding", True),
        "UTF-8 called EBCDIC": (d.in_encoding("IBM037", "utf-8"), 906, UNREADABLE, "encoding", True),
        "300 authors": (_authors(d, 300), 906, UNREADABLE, "too-complex", True),
        "no identifier": (d.biology("1.2.250.1.999.6.2").replace(b'<id root="1.2.250.1.999.6.2"/>', b"<id/>", 1), 906, "id-missing", None, True),
        "wrong key": (d.biology(ins=wrong_key(subject.ins)), 904, "ins-wrong", None, False),
        "letters for an INS": (d.biology(ins="ABCDEFGHIJKLMNO"), 904, "ins-wrong", None, False),
        "an INS of 3000 digits": (d.biology(ins="1" * 3000), 904, "ins-wrong", None, False),
        "no INS": (d.biology(ins=None), 903, "ins-missing", None, True),
        "another authority": (d.biology(ins_oid="1.2.3.4"), 903, "ins-missing", None, True),
        "the NIA authority": (d.biology(ins_oid="1.2.250.1.213.1.4.9"), 904, "ins-differs", None, True),
        "another person": (d.biology(ins=other_ins), 904, "other-person", None, False),
        "an unknown person": (d.biology(ins=make_samples.a_matricule(777_777)), 904, "other-person", None, False),
        "two INS": (_second_ins(d, other_ins), 904, "ins-several", None, True),
        "birth name": (d.biology(birth_name="AUTRE"), 904, DIFFERS, "birth-name", True),
        "given names": (d.biology(given_names="AUTRE", first_given="AUTRE"), 904, DIFFERS, "given-names", True),
        "sex": (d.biology(sex="M"), 904, DIFFERS, "sex", True),
        "birth date": (d.biology(birth_date="19620818"), 904, DIFFERS, "birth-date", True),
        "birth place": (d.biology(birth_place="99999"), 904, DIFFERS, "birth-place", True),
        "no birth name": (d.biology(birth_name=None), 905, MISSING, "birth-name", True),
        "no given names": (d.biology(given_names=None, first_given=None), 905, MISSING, "given-names", True),
        "no sex": (d.biology(sex=None), 905, MISSING, "sex", True),
        "no birth date": (d.biology(birth_date=None), 905, MISSING, "birth-date", True),
        "no birth place": (d.biology(birth_place=None), 905, MISSING, "birth-place", True),
        "sex U": (d.biology(sex="U"), 906, "trait-imprecise", "sex", True),
        "a date that is none": (d.biology(birth_date="0" * 5000), 906, "trait-imprecise", "birth-date", True),
        "the same identifier, other content": (unique.replace(b"Glucose", b"Fructose"), 906, "XDSNonIdenticalHash", None, True),
        "a PDF that is none": (d.level1(b"MZ this is a program" * 100), 906, UNSAFE, "body-type", True),
        "a PDF with a script": (d.level1(b"%PDF-1.4\n<< /S /J#61vaScript >>"), 906, UNSAFE, "pdf-script", True),
        "a PDF that is encrypted": (d.level1(b"%PDF-1.4\ntrailer << /Encrypt 1 0 R >>"), 906, UNSAFE, "pdf-encrypted", True),
        "a PDF that starts a program": (d.level1(b"%PDF-1.4\n<< /S /Launch >>"), 906, UNSAFE, "pdf-launch", True),
        "no PDF": (d.level1(b""), 906, UNSAFE, "body-empty", True),
        "broken base64": (d.level1().replace(b'B64">\n', b'B64">\n!!!', 1), 906, UNSAFE, "body-unreadable", True),
        "an identifier that is an INS": (d.biology(f"1.2.{subject.ins}", sex="M"), 904, DIFFERS, "sex", True),
    }, unique  # fmt: skip


def _authors(d: Documents, count: int) -> bytes:
    content = d.biology()
    start, stop = content.index(b"<author>"), content.index(b"</author>") + len(b"</author>")
    return content[:start] + content[start:stop] * count + content[stop:]


def _second_ins(d: Documents, other: str) -> bytes:
    place = b"<addr><houseNumber>"
    second = f'<id root="1.2.250.1.213.1.4.10" extension="{other}"/>'.encode()
    return d.biology().replace(place, second + place, 1)


def large_documents(d: Documents) -> dict[str, bytes]:
    """What is large, odd and still good: it is filed."""
    odd = d.biology().replace(
        b'<versionNumber value="1"', b'<versionNumber value="' + b"9" * 5000 + b'"'
    )
    times = d.biology().replace(
        b'<effectiveTime value="20261123083000+0100"', b'<effectiveTime value="99999999999999+9999"'
    )
    return {
        "a text of 11 MB": d.level1(a_pdf(8_000_000)),
        "a text of 12 MB in Latin-1": d.in_encoding("ISO-8859-1", "latin-1", "é" * 6_000_000),
        "90 levels": d.with_narrative(b"<a>" * 90 + b"</a>" * 90),
        "a version of 5000 digits": odd,
        "times that are none": times,
        "the production authority": d.biology(ins_oid="1.2.250.1.213.1.4.8"),
        "UTF-8 with a mark": b"\xef\xbb\xbf" + d.biology(),
        "Windows-1252": d.in_encoding("windows-1252", "cp1252", "€ Œ"),
    }  # fmt: skip


def test_bad_documents_are_held_with_their_reason_and_the_sender_is_told(world):
    d = Documents(world.subject, "1.2.250.1.999.8")
    table, unique = bad_documents(d, world.patients[1]["ins"])
    with standing(world):
        world.send("first of its identifier", [unique])
        world.instance.wait_until_carried(30)
        sent = {name: world.send(name, [case[0]]) for name, case in table.items()}
        world.instance.wait_until_carried(60)
        held = world.instance.json("dmp", "held", "list", "--limit", "1000")
        reports = world.reports(world.doctor)
        received = world.message_ids(world.patient)
    by_message = {one["message"]: one for one in held}
    found, expected = {}, {}
    for name, (_, code, cause, detail, delivered) in table.items():
        sending = sent[name]
        expected[name] = (code, cause, detail, delivered, code)
        text, report = reports.get(sending.message_id, ("", {"documents": [{}]}))
        one = report["documents"][0]
        found[name] = (
            one.get("code"),
            one.get("cause"),
            one.get("detail"),
            sending.message_id in received,
            by_message.get(sending.spool_id, {}).get("code"),
        )
        assert MARK not in text, name
        assert not matricules(text), name
        assert world.subject.birth_name not in text, name
        assert f"Code {code} :" in text, name
        assert report["deliveryWithheld"] == (0 if delivered else 1), name
    wrong = {name: (found[name], expected[name]) for name in table if found[name] != expected[name]}
    assert not wrong


def test_large_and_odd_documents_are_filed(world):
    d = Documents(world.subject, "1.2.250.1.999.9")
    cases = large_documents(d)
    with standing(world, at_most=250):
        for name, content in cases.items():
            world.send(name, [content])
        world.instance.wait_until_carried(60)
        listed = world.instance.json("dmp", "list", "--patient", "-", stdin=world.patient["ins"])
        held = world.instance.json("dmp", "held", "list", "--limit", "1000")
    sizes = {one["size"] for one in listed}
    missing = [name for name, content in cases.items() if len(content) not in sizes]
    assert not missing, [one for one in held if one["size"] in map(len, cases.values())]


def test_documents_in_odd_messages(world):
    d = Documents(world.subject, "1.2.250.1.999.10")
    doctor, to = world.doctor, world.patient["address"]
    colleague = subject_of(world.patients[1])
    broken = a_message(doctor, to, "broken", ("d.xml", d.biology()))
    encoded = broken.get_payload()[1]
    encoded.set_payload(encoded.get_payload().rstrip()[:-5] + "!@#\n")
    feeds = "1.2.250.1.999.11"
    with standing(world):
        transfer = world.send("transfer", [], message=broken)
        mixed_up = world.send(
            "two persons",
            [d.biology(), make_samples.biology(colleague, version=d.version())],
        )
        crowd = world.send("60 documents", [d.biology() for _ in range(60)])
        not_qualified = next(p for p in world.patients if p["identityStatus"] == "PROV")
        provisional = world.send(
            "provisional",
            [make_samples.biology(subject_of(not_qualified), version=d.version())],
            to=not_qualified["address"],
        )
        office = _office(world)
        unknown = world.send(
            "unknown patient",
            [make_samples.biology(replace(world.subject, ins=make_samples.a_matricule(888_888)),
                                  version=make_samples.Version(unique_id=feeds, title=MARK))],
            sender=office, to=world.colleague["address"],
        )  # fmt: skip
        world.instance.wait_until_carried(60)
        reports = world.reports(doctor)
        received = world.message_ids(world.patient)
        office_report = world.reports(office)[unknown.message_id]

    def told(sending):
        documents = reports[sending.message_id][1]["documents"]
        return [(one["outcome"], one["code"], one["cause"], one["detail"]) for one in documents]

    assert told(transfer) == [("held", 906, "unreadable", "transfer")]
    assert {outcome[:3] for outcome in told(mixed_up)} == {
        ("held", 906, "mixed-persons"),
        ("held", 904, "other-person"),
    }
    assert mixed_up.message_id not in received
    assert [one[0] for one in told(crowd)].count("filed") == 50
    assert told(crowd)[50:] == [("held", 906, "unreadable", "too-many")] * 10
    assert told(provisional) == [("held", 906, "not-qualified", None)]
    [one] = office_report[1]["documents"]
    assert (one["code"], one["cause"]) == (902, "patient-unknown")
    assert unknown.message_id in world.message_ids(world.colleague)
    assert not matricules(office_report[0])


def _office(world) -> dict:
    """An organisation whose documents are filed whoever receives them."""
    domain = world.instance.demo["domain"]
    address = f"labo@{domain}"
    world.instance.run(
        "organisation", "create", "-c", str(world.instance.config), "--name", "Laboratoire",
        "--finess", make_samples.a_finess(77), "--address", address, "--feeds-dmp",
    )  # fmt: skip
    made = world.instance.json("account", "password", "labo", "--generate")
    return {
        "login": "labo",
        "password": made["password"],
        "address": address,
        "name": "Laboratoire",
    }


def test_a_slow_client_and_idle_ones_harm_nobody(world):
    """Fifty idle connections at each door and one that sends an octet at a time."""
    with standing(world), contextlib.ExitStack() as stack:
        for kind in (SmtpPeer, ImapPeer):
            for _ in range(50):
                stack.enter_context(kind(world.instance, None))
        slow = stack.enter_context(SmtpPeer(world.instance, world.doctor))
        slow.begin(world.doctor["address"], world.colleague["address"])
        for octet in b"From: <%b>\r\n\r\nslow" % world.doctor["address"].encode():
            slow.send(bytes([octet]))
        world.assert_ordinary_mail_passes()
        slow.send(b"\r\n.\r\n")
        assert slow.reply().startswith("250 2.0.0")


def test_base64_of_a_document_is_not_mistaken(world):
    """What looks like the end of data inside base64 is none."""
    with standing(world), SmtpPeer(world.instance, world.doctor) as client:
        sender = world.doctor["address"]
        lines = base64.encodebytes(b"\r\n.\r\n" * 5000).replace(b"\n", b"\r\n")
        start = f"From: <{sender}>\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        reply = client.submit(sender, world.colleague["address"], start + lines)
        assert reply.startswith("250 2.0.0")
