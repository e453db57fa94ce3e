"""Sealing a message: its fields stay outside, its content is signed as it stands."""

from mssante.trust.anchors import Trust
from mssante.trust.judgement import Verdict, judge
from mssante.wire.mime.builder import build_message
from mssante.wire.mime.scanner import scan
from mssante.wire.smime.signing import multipart_signed
from mssante.wire.smime.splitting import split_message
from tests.support.mail_pki import NOW, MailPki, detached, scheme_for_any

MESSAGE = (
    b"From: alice@nord.example\r\n"
    b"Subject: a folded\r\n subject\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed;\r\n boundary=b\r\n"
    b"Content-Language: fr\r\n"
    b"\r\n"
    b"--b\r\n\r\none\r\n--b--\r\n"
)


def split(message):
    return split_message(message, scan(message).body_start)


def test_content_fields_go_inside_and_the_others_stay_outside():
    parted = split(MESSAGE)

    assert parted.outer_fields == (b"From: alice@nord.example\r\nSubject: a folded\r\n subject\r\n")
    assert parted.entity == (
        b"Content-Type: multipart/mixed;\r\n boundary=b\r\n"
        b"Content-Language: fr\r\n\r\n--b\r\n\r\none\r\n--b--\r\n"
    )
    assert parted.is_seven_bit


def test_a_message_without_a_type_gets_the_implied_one():
    parted = split(b"From: a@b.example\r\n\r\nCaf\xc3\xa9\r\n")

    assert parted.entity == (b"Content-Type: text/plain; charset=us-ascii\r\n\r\nCaf\xc3\xa9\r\n")
    assert not parted.is_seven_bit


def test_a_sealed_message_is_valid_and_gives_the_entity_back():
    pki = MailPki()
    parted = split(MESSAGE)
    signature = detached(parted.entity, pki.alice, chain=[pki.issuing])
    sealed = multipart_signed(parted.entity, signature, scheme_for_any(), "b-seal")

    message = build_message([parted.outer_fields], sealed)
    judged = judge(message, Trust((pki.root.certificate,), (), pki.lists), at=NOW)

    assert judged.verdict is Verdict.VALID
    assert judged.plaintext == parted.entity
