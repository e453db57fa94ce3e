"""What S/MIME makes of a message on its way: who gets which form, and how far its documents go."""

import json

import pytest

from mssante.directory.model import Mailbox, MailboxState, MailboxType
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import Seal
from mssante.mail.smime import UNPROTECTED, Reach
from mssante.mail.trace_fields import smime_results, smime_verdict, trace_fields
from mssante.trust.judgement import Verdict
from mssante.trust.opening import Decryption
from mssante.wire.mime.scanner import scan
from tests.support.enveloping import by_ecdh, by_rsa, enveloped_cbc, enveloped_gcm
from tests.support.mail_pki import (
    ENTITY,
    MailPki,
    clear_signed,
    cms_entity,
    message,
    opaque_signed,
    person,
)
from tests.support.smime_world import an_entry, examined, secure_mail

OTHER = b"Content-Type: text/plain\r\n\r\nAnother text.\r\n"
FAILURES = ("damaged", "unsigned CBC", "signature inside broken", "signed outside only", "garbage")


@pytest.fixture(scope="module")
def pki():
    return MailPki()


@pytest.fixture(scope="module")
def mail(pki):
    return secure_mail(pki)


def signed(pki, entity=ENTITY, **more):
    return clear_signed(entity, pki.alice, chain=[pki.issuing], **more)


def for_bob(pki, entity, make=enveloped_gcm):
    return cms_entity(make(entity, [lambda key: by_rsa(pki.bob, key)]))


def test_an_ordinary_message_is_not_touched(mail):
    passage, _ = examined(mail, message(ENTITY))

    assert passage.finding == UNPROTECTED
    assert (passage.variants, passage.inner, passage.reach) == ((), None, Reach.OPEN)
    assert passage.finding.evidence(an_entry().accepted_at, None) is None


def test_what_we_sealed_a_moment_ago_is_known_and_not_verified(mail):
    entry = an_entry(seal=Seal("alice@nord.example", "0A", "CN=Ours"))
    content = message(ENTITY)  # not even signed: nothing looks
    passage = mail.examine(entry, content, scan(content), {})

    assert (passage.finding.verdict, passage.finding.sealed) == (Verdict.VALID, True)
    assert passage.finding.serial == "0A"


def test_a_clear_signature_is_judged_and_the_message_kept(mail, pki):
    passage, _ = examined(mail, message(signed(pki)))

    assert passage.finding.verdict is Verdict.VALID
    assert passage.finding.address == "alice@nord.example"
    assert passage.inner is None  # it stands open in the message
    assert (passage.variants, passage.reach) == ((), Reach.OPEN)


def test_what_is_inside_an_opaque_signature_is_looked_into_and_not_delivered(mail, pki):
    passage, _ = examined(mail, message(opaque_signed(ENTITY, pki.alice, chain=[pki.issuing])))

    assert passage.inner == ENTITY
    assert passage.variants == ()
    assert passage.reach is Reach.OPEN


def test_a_signature_that_is_not_good_bars_the_documents(mail, pki):
    changed = message(signed(pki).replace(b"line one", b"line 0ne"))
    stranger = message(signed(pki), sender="carol@nord.example")

    for content, verdict in ((changed, Verdict.INVALID), (stranger, Verdict.ADDRESS_MISMATCH)):
        passage, _ = examined(mail, content)
        assert passage.finding.verdict is verdict
        assert passage.reach is Reach.SIGNATURE_BAD
        assert passage.inner is None


def test_each_mailbox_gets_what_its_own_key_opens(mail, pki):
    content = message(for_bob(pki, signed(pki)))
    passage, ids = examined(mail, content, bob=[pki.bob], dave=[pki.dave])

    [variant] = passage.variants
    assert variant.mailbox_ids == {ids["bob"]}
    assert variant.content.endswith(ENTITY.partition(b"\r\n\r\n")[2])
    assert variant.content.startswith(b"From: Someone <alice@nord.example>")
    assert b"pkcs7" not in variant.content
    assert (variant.finding.verdict, variant.finding.decryption) == (
        Verdict.VALID, Decryption.OK,
    )  # fmt: skip
    assert passage.finding.decryption is Decryption.NO_RECIPIENT
    assert passage.reach is Reach.OPEN


def test_mailboxes_that_read_the_same_share_one_message(mail, pki):
    both = cms_entity(
        enveloped_gcm(
            signed(pki),
            [lambda key: by_rsa(pki.bob, key), lambda key: by_rsa(pki.dave, key)],
        )
    )
    passage, ids = examined(mail, message(both), bob=[pki.bob], dave=[pki.dave])

    [variant] = passage.variants
    assert variant.mailbox_ids == set(ids.values())


def test_an_old_key_of_the_mailbox_still_opens(mail, pki):
    new = person(pki.issuing, "bob@sud.example")
    passage, ids = examined(mail, message(for_bob(pki, signed(pki))), bob=[new, pki.bob])

    assert passage.variants[0].mailbox_ids == {ids["bob"]}


def test_a_key_on_a_curve_opens_what_was_agreed_for_it(mail, pki):
    reader = person(pki.issuing, "bob@sud.example", usages=("key_agreement",))
    content = message(cms_entity(enveloped_gcm(signed(pki), [lambda k: by_ecdh(reader, k)])))
    passage, _ = examined(mail, content, bob=[reader])

    assert passage.variants[0].finding.decryption is Decryption.OK


def test_encrypted_for_others_is_delivered_as_it_is(mail, pki):
    content = message(for_bob(pki, signed(pki)))
    for keys in ({}, {"dave": [pki.dave]}):
        passage, _ = examined(mail, content, **keys)

        assert (passage.variants, passage.inner) == ((), None)
        assert passage.reach is Reach.NO_KEY
        assert passage.finding.decryption is Decryption.NO_RECIPIENT


def test_encrypted_with_integrity_and_unsigned_is_filed_without_telling(mail, pki):
    passage, _ = examined(mail, message(for_bob(pki, ENTITY)), bob=[pki.bob])

    assert passage.reach is Reach.UNVOUCHED
    assert passage.inner == ENTITY


def broken(pki, how):
    if how == "damaged":
        der = bytearray(enveloped_gcm(signed(pki), [lambda key: by_rsa(pki.bob, key)]))
        der[-1] ^= 1
        return message(cms_entity(bytes(der)))
    if how == "unsigned CBC":
        return message(for_bob(pki, ENTITY, enveloped_cbc))
    if how == "signature inside broken":
        return message(for_bob(pki, signed(pki).replace(b"line one", b"line 0ne"), enveloped_cbc))
    if how == "signed outside only":
        return message(clear_signed(for_bob(pki, ENTITY), pki.alice, chain=[pki.issuing]))
    return message(for_bob(pki, b"\xff\xfe garbage", enveloped_cbc))


@pytest.mark.parametrize("how", FAILURES)
def test_whatever_goes_wrong_with_an_encrypted_content_its_documents_go_nowhere(mail, pki, how):
    passage, _ = examined(mail, broken(pki, how), bob=[pki.bob])

    assert passage.reach is Reach.UNUSABLE


def test_different_texts_for_different_recipients_are_no_source_of_documents(mail, pki):
    """Two content keys over one CBC ciphertext read differently; which one would be filed?"""
    one = enveloped_cbc(signed(pki), [lambda key: by_rsa(pki.bob, key)])
    from asn1crypto import cms

    info = cms.ContentInfo.load(one)
    recipients = info["content"]["recipient_infos"]
    recipients.append(by_rsa(pki.dave, b"k" * 32))
    content = message(cms_entity(info.dump(force=True)))
    passage, ids = examined(mail, content, bob=[pki.bob], dave=[pki.dave])

    assert passage.reach is Reach.UNUSABLE
    by_content = {variant.content is None: variant.mailbox_ids for variant in passage.variants}
    assert by_content == {False: {ids["bob"]}, True: {ids["dave"]}}


def test_a_malformed_signature_object_is_unusable(mail):
    passage, _ = examined(mail, message(cms_entity(b"\x30\x03nothing", "signed-data")))

    assert passage.finding.verdict is Verdict.MALFORMED
    assert passage.reach is Reach.UNUSABLE


def test_protected_fields_come_in_place_of_the_outer_ones(mail, pki):
    inner = (
        b'Content-Type: text/plain; hp="cipher"\r\nSubject: inside\r\n'
        b"From: Someone <alice@nord.example>\r\nX-MSS-Smime: valid; by=signed\r\n"
        b"Bcc: hidden@nord.example\r\nHP-Outer: Subject: [...]\r\n\r\nThe text.\r\n"
    )
    content = message(for_bob(pki, signed(pki, inner)))
    passage, _ = examined(mail, content, bob=[pki.bob])

    read = passage.variants[0].content
    assert b"Subject: inside\r\n" in read
    for gone in (b"outside", b"X-MSS-Smime", b"Bcc", b"HP-Outer"):
        assert gone not in read
    assert read.count(b"From:") == 1


def test_another_author_inside_is_not_shown_without_a_signature(mail, pki):
    inner = (
        b'Content-Type: text/plain; hp="cipher"\r\nSubject: inside\r\n'
        b"From: Director <boss@nord.example>\r\n\r\nThe text.\r\n"
    )
    passage, _ = examined(mail, message(for_bob(pki, inner)), bob=[pki.bob])

    read = passage.variants[0].content
    assert b"boss@" not in read
    assert b"Subject: inside\r\n" in read


def test_bare_line_ends_inside_become_lines_of_mail_and_nul_keeps_the_original(mail, pki):
    loose = b"Content-Type: text/plain\n\none\ntwo\n"
    opened, _ = examined(mail, message(for_bob(pki, loose)), bob=[pki.bob])
    closed, _ = examined(
        mail, message(for_bob(pki, b"Content-Type: text/plain\r\n\r\n\0")), bob=[pki.bob]
    )

    assert opened.variants[0].content.endswith(b"\r\n\r\none\r\ntwo\r\n")
    assert closed.variants[0].content is None


def test_fields_of_what_was_inside_do_not_become_the_messages(mail, pki):
    inner = b"Content-Type: text/plain\r\nReply-To: evil@x.example\r\n\r\nText.\r\n"
    passage, _ = examined(mail, message(for_bob(pki, inner)), bob=[pki.bob])

    assert b"evil" not in passage.variants[0].content


# --- what is written -----------------------------------------------------------------------------


def test_the_fields_say_verdict_signer_and_certificate(mail, pki):
    passage, _ = examined(mail, message(signed(pki)))
    written = trace_fields(an_entry(), "mx.example", "mx.example", passage.finding).decode()

    assert (
        "Authentication-Results: mx.example; smime=pass\r\n"
        "\tbody.smime-identifier=alice@nord.example\r\n"
        f"\tbody.smime-serial={passage.finding.serial}\r\n"
        '\tbody.smime-issuer="CN=Issuing"\r\n' in written
    )
    assert "X-MSS-Smime: valid;\r\n\tby=signed;\r\n\taddress=alice@nord.example;" in written


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        (Verdict.VALID, "pass"), (Verdict.INVALID, "fail"), (Verdict.REVOKED, "fail"),
        (Verdict.ADDRESS_MISMATCH, "fail"), (Verdict.UNTRUSTED, "policy"),
        (Verdict.EXPIRED, "policy"), (Verdict.WRONG_USAGE, "policy"),
        (Verdict.MALFORMED, "permerror"), (Verdict.UNSUPPORTED, "permerror"),
        (Verdict.NONE, "none"),
    ],
)  # fmt: skip
def test_each_verdict_has_its_result(verdict, result):
    from mssante.mail.smime import Finding

    assert smime_results(Finding(verdict, "why"), "mx").endswith(f"smime={result}")


def test_a_certificates_text_stays_inside_its_quotes(pki, mail):
    from cryptography import x509

    evil = 'x\r\nX-Injected: yes\r\n\r\n"; smime=pass (\u2028é\\'
    names = [x509.RFC822Name('"a b; x=y"@nord.example')]
    signer = person(pki.issuing, names=names, email=evil)
    passage, _ = examined(mail, message(clear_signed(ENTITY, signer, chain=[pki.issuing])))
    finding = passage.finding
    from dataclasses import replace

    from mssante.mail.smime import Finding

    hostile = replace(finding, address=evil, serial="0A", issuer=evil, reason=evil)
    for written in (smime_results(hostile, "mx"), smime_verdict(hostile)):
        assert written.isascii()
        lines = written.split("\r\n")
        assert all(line.startswith("\t") for line in lines[1:])
        assert "\r" not in written.replace("\r\n\t", "")
        assert "\n" not in written.replace("\r\n\t", "")
    assert isinstance(hostile, Finding)


def test_evidence_holds_the_signer_and_never_the_content(mail, pki):
    passage, _ = examined(mail, message(for_bob(pki, signed(pki))), bob=[pki.bob])
    entry = an_entry()
    evidence = passage.variants[0].finding.evidence(entry.accepted_at, entry.blob)

    assert (evidence.verdict, evidence.decryption) == ("valid", "ok")
    assert evidence.original == entry.blob
    details = json.loads(evidence.details)
    assert details["address"] == "alice@nord.example"
    assert details["by"] == "signed"
    assert "alice" not in repr(evidence)
    assert "line one" not in repr(passage)


async def test_keys_are_fetched_only_where_something_may_be_encrypted(pki):
    class Asked:
        """Stands at the door of the keys and notes who asks."""

        def __init__(self):
            self.ids = []

        async def opening(self, mailbox_id):
            self.ids.append(mailbox_id)
            return (pki.bob.decryption_key,)

    inner = signed(pki, for_bob(pki, ENTITY))
    mailbox = Mailbox(
        new_id(), MailboxType.PERSONAL, Address("bob", "sud.example"), MailboxState.ACTIVE, "Bob"
    )
    for content, needed in (
        (message(ENTITY), False),
        (message(signed(pki)), False),
        (message(signed(pki, signed(pki), boundary="b-outer")), False),
        (message(for_bob(pki, ENTITY)), True),
        (message(inner), True),
        (message(signed(pki, inner, boundary="b-outer")), True),
        (message(opaque_signed(ENTITY, pki.alice, chain=[pki.issuing])), True),
    ):
        asked = Asked()
        keys = await secure_mail(pki, asked).keys_for(an_entry(), scan(content), [mailbox])

        assert asked.ids == ([mailbox.id] if needed else [])
        assert list(keys) == asked.ids


def test_a_recipient_whose_issuer_cannot_be_read_is_nobody(mail, pki):
    name = pki.bob.certificate.issuer.public_bytes()
    damaged = name.replace(b"\x0c\x07Issuing", b"\x0c\x07\xffssuing")
    octets = enveloped_gcm(signed(pki), [lambda key: by_rsa(pki.bob, key)])
    assert octets.count(name) == 1
    passage, _ = examined(mail, message(cms_entity(octets.replace(name, damaged))), bob=[pki.bob])

    assert passage.reach is Reach.NO_KEY
    assert passage.variants == ()
