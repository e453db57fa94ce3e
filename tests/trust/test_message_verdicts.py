"""One message of each kind, and the verdict that it gets."""

import re
from dataclasses import replace
from functools import partial

import pytest
from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.trust.judgement import Policy, Verdict, judge
from mssante.trust.opening import Decryption
from mssante.wire.smime.cms import read_cms
from mssante.wire.smime.elements import element_of, encoded
from mssante.wire.smime.errors import SignatureInvalid
from mssante.wire.smime.signature import verify
from mssante.wire.smime.signing import RsaPadding, Signature, sign_attributes, signed_data
from tests.support.enveloping import (
    by_ecdh,
    by_oaep,
    by_rsa,
    compressed,
    enveloped_cbc,
    enveloped_gcm,
)
from tests.support.mail_pki import (
    ENTITY,
    NOW,
    authority,
    clear_signed,
    cms_entity,
    detached,
    message,
    of_no_text,
    of_no_version,
    opaque_signed,
    person,
    revocation_list,
    signature_by,
    utf8_mailbox,
    wrapped,
)

VALID = (Verdict.VALID, "")


def outcome(judged):
    return judged.verdict, judged.reason


@pytest.fixture
def verdict(pki):
    def look(content, keys=(), trust=None, policy=Policy(), at=NOW):
        keys = [one.decryption_key for one in keys]
        return judge(content, trust or pki.trust(), keys, at=at, policy=policy)

    return look


# --- signatures ---------------------------------------------------------------------


def test_a_clear_signed_message_is_valid_and_its_content_is_what_was_hashed(pki, verdict):
    judged = verdict(message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing])))

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY
    assert judged.signed
    assert not judged.encrypted
    (signer,) = judged.signers
    assert signer.address == "alice@nord.example"
    assert signer.path == (
        pki.alice.certificate,
        pki.issuing.certificate,
        pki.root.certificate,
    )
    assert judged.warnings == ("headers-not-protected",)


@pytest.mark.parametrize(
    ("key", "padding"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), RsaPadding.PKCS1),
        (lambda: rsa.generate_private_key(65537, 2048), RsaPadding.PSS),
        (lambda: ec.generate_private_key(ec.SECP384R1()), RsaPadding.PKCS1),
        (lambda: ec.generate_private_key(ec.SECP521R1()), RsaPadding.PKCS1),
        (ed25519.Ed25519PrivateKey.generate, RsaPadding.PKCS1),
    ],
    ids=["rsa-pkcs1", "rsa-pss", "p384-sha384", "p521-sha512", "ed25519"],
)
def test_each_kind_of_key_signs_and_is_verified(pki, verdict, key, padding):
    signer = person(pki.issuing, key=key())

    signed = clear_signed(ENTITY, signer, chain=[pki.issuing], padding=padding)

    assert outcome(verdict(message(signed))) == VALID


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_signatures_of_another_producer_are_verified(pki, verdict, digest):
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    der = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(ENTITY)
        .add_signer(pki.dave.certificate, pki.dave.key, digest)
        .add_certificate(pki.issuing.certificate)
        .sign(serialization.Encoding.DER, options)
    )

    assert outcome(verdict(message(wrapped(ENTITY, der), "dave@sud.example"))) == VALID


def other_producer(party, content, *chain, options=(pkcs7.PKCS7Options.NoAttributes,)):
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(party.certificate, party.key, hashes.SHA256())
    for one in chain:
        builder = builder.add_certificate(one.certificate)
    plain = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    return builder.sign(serialization.Encoding.DER, [*plain, *options])


def test_a_signature_without_attributes_is_valid_with_a_warning(pki, verdict):
    der = other_producer(pki.alice, ENTITY, pki.issuing)

    judged = verdict(message(wrapped(ENTITY, der)))

    assert outcome(judged) == VALID
    assert "no-signed-attributes" in judged.warnings


def test_a_changed_content_without_attributes_is_a_mismatch(pki, verdict):
    der = other_producer(pki.alice, ENTITY, pki.issuing)

    judged = verdict(message(wrapped(ENTITY.replace(b"one", b"two"), der)))

    assert outcome(judged) == (Verdict.INVALID, "signature-mismatch")


def test_signed_attributes_served_as_a_content_are_refused(pki, verdict):
    """Otherwise the signature over one message's attributes would be one on another message."""
    stolen = signature_by(pki.alice, ENTITY)
    naked = other_producer(pki.alice, stolen.attributes, pki.issuing)
    data = read_cms(naked)
    with pytest.raises(SignatureInvalid, match="attribute-confusion"):
        verify(data.signers[0], data.content_type, (stolen.attributes,), pki.alice.certificate)


def encoding(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def with_preference(signature, party):
    """The signature over one more attribute, as Thunderbird and Outlook sign it: a CHOICE (RFC 8551
    section 2.5.2), whose tag is of the context."""
    issuer, serial = party.certificate.issuer, party.certificate.serial_number
    identity = issuer.public_bytes() + core.Integer(serial).dump()
    preference = core.ObjectIdentifier("1.2.840.113549.1.9.16.2.11").dump()
    preference += encoded(0x31, encoded(0xA0, identity))
    own = [one.encoding() for one in element_of(signature.attributes).inside(0x31)]
    attributes = encoded(0x31, b"".join(sorted([*own, encoded(0x30, preference)])))
    value = sign_attributes(attributes, party.key, signature.scheme)
    return replace(signature, attributes=attributes, value=value)


def test_a_preference_for_an_encryption_key_is_passed_over(pki, verdict):
    signature = with_preference(signature_by(pki.alice, ENTITY), pki.alice)
    der = signed_data([signature], [pki.issuing.certificate])

    assert outcome(verdict(message(wrapped(ENTITY, der)))) == VALID


def test_signed_attributes_with_a_choice_served_as_a_content_are_refused_too(pki):
    stolen = with_preference(signature_by(pki.alice, ENTITY), pki.alice).attributes
    data = read_cms(other_producer(pki.alice, stolen, pki.issuing))

    with pytest.raises(SignatureInvalid, match="attribute-confusion"):
        verify(data.signers[0], data.content_type, (stolen,), pki.alice.certificate)


def test_a_certificate_with_a_name_of_an_odd_form_stops_nobody(pki, verdict):
    """An X.400 address, which the library of certificates does not read."""
    names = x509.UnrecognizedExtension(
        x509.OID_SUBJECT_ALTERNATIVE_NAME, encoded(0x30, b"\xa3\x00")
    )
    odd = person(pki.issuing, names=(), extra=[(names, False)])
    der = signed_data([signature_by(pki.alice, ENTITY)], [odd.certificate])
    by_key = cms.ContentInfo.load(der)
    by_key["content"]["certificates"] = [cms.CertificateChoices.load(encoding(odd.certificate))]
    by_key["content"]["signer_infos"][0]["sid"] = cms.SignerIdentifier(
        "subject_key_identifier", core.OctetString(b"k" * 20)
    )

    judged = verdict(message(wrapped(ENTITY, by_key.dump())))

    assert outcome(judged) == (Verdict.UNTRUSTED, "signer-certificate-unavailable")


def test_an_opaque_message_is_valid(pki, verdict):
    judged = verdict(message(opaque_signed(ENTITY, pki.alice, chain=[pki.issuing])))

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY


def test_an_opaque_message_that_lost_its_type_is_known_by_its_name(pki, verdict):
    signature = signature_by(pki.alice, ENTITY)
    der = signed_data([signature], [pki.issuing.certificate], ENTITY)
    entity = cms_entity(der, media="application/octet-stream", name="SMIME.P7M")

    assert outcome(verdict(message(entity))) == VALID


def test_two_signers_are_valid_when_one_is_the_author(pki, verdict):
    signed = clear_signed(ENTITY, pki.alice, pki.carol, chain=[pki.issuing])

    judged = verdict(message(signed))

    assert outcome(judged) == VALID
    assert [one.verdict for one in judged.signers] == [Verdict.VALID, Verdict.VALID]
    assert {one.address for one in judged.signers} == {"alice@nord.example", "carol@nord.example"}


def test_two_signers_of_whom_none_is_the_author_mismatch(pki, verdict):
    signed = clear_signed(ENTITY, pki.alice, pki.carol, chain=[pki.issuing])

    judged = verdict(message(signed, "dave@sud.example"))

    assert outcome(judged) == (Verdict.ADDRESS_MISMATCH, "from-not-in-certificate")
    assert {one.verdict for one in judged.signers} == {Verdict.ADDRESS_MISMATCH}


def test_of_two_signers_the_worse_counts(pki, verdict):
    stranger = person(authority("Nobody"), "carol@nord.example")

    judged = verdict(message(clear_signed(ENTITY, pki.alice, stranger, chain=[pki.issuing])))

    assert outcome(judged) == (Verdict.UNTRUSTED, "path-incomplete")


def test_a_changed_body_is_invalid(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))

    judged = verdict(content.replace(b"line one", b"line 0ne"))

    assert outcome(judged) == (Verdict.INVALID, "digest-mismatch")
    assert judged.signers[0].verdict is Verdict.INVALID


def test_a_changed_attribute_is_invalid(pki, verdict):
    signature = signature_by(pki.alice, ENTITY)
    # The signing time, one digit later.
    forged = signature.attributes.replace(b"260601090000Z", b"260601090001Z")
    assert forged != signature.attributes
    der = signed_data(
        [Signature(signature.certificate, signature.scheme, forged, signature.value)],
        [pki.issuing.certificate],
    )

    judged = verdict(message(wrapped(ENTITY, der)))

    assert outcome(judged) == (Verdict.INVALID, "signature-mismatch")


def test_another_certificate_for_the_same_key_does_not_replace_the_signers(pki, verdict):
    """signingCertificateV2 binds the certificate, and with it the rights that it gives."""
    other = person(pki.issuing, "alice@nord.example", key=pki.alice.key)
    signature = signature_by(pki.alice, ENTITY)
    swapped = Signature(other.certificate, signature.scheme, signature.attributes, signature.value)
    der = signed_data([swapped], [pki.issuing.certificate])

    judged = verdict(message(wrapped(ENTITY, der)))

    assert outcome(judged) == (Verdict.INVALID, "signing-certificate-mismatch")


def test_sha1_alone_is_invalid_by_policy(pki, verdict):
    from asn1crypto import cms

    good = cms.ContentInfo.load(detached(ENTITY, pki.alice, chain=[pki.issuing]))
    good["content"]["signer_infos"][0]["digest_algorithm"]["algorithm"] = "sha1"

    judged = verdict(message(wrapped(ENTITY, good.dump(force=True))))

    assert outcome(judged) == (Verdict.INVALID, "weak-digest")


def test_a_short_rsa_key_is_invalid(pki, verdict):
    weak = person(pki.issuing, key=rsa.generate_private_key(65537, 1024))
    strong = person(pki.issuing, key=rsa.generate_private_key(65537, 2048))
    scheme = signature_by(strong, ENTITY).scheme
    from mssante.wire.smime.signing import to_sign
    from tests.support.mail_pki import SIGNED_AT

    attributes = to_sign(ENTITY, weak.certificate, scheme, SIGNED_AT)
    value = sign_attributes(attributes, weak.key, scheme)
    der = signed_data(
        [Signature(weak.certificate, scheme, attributes, value)], [pki.issuing.certificate]
    )

    assert outcome(verdict(message(wrapped(ENTITY, der)))) == (Verdict.INVALID, "weak-key")


def test_a_detached_signature_that_carries_another_content_is_refused(pki, verdict):
    signature = signature_by(pki.alice, ENTITY)
    der = signed_data([signature], [pki.issuing.certificate], ENTITY.replace(b"one", b"1"))

    judged = verdict(message(wrapped(ENTITY, der)))

    assert outcome(judged) == (Verdict.INVALID, "econtent-in-detached")


# --- the way of the octets ------------------------------------------------------------


def test_bare_line_feeds_are_made_canonical_before_hashing(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))

    judged = verdict(content.replace(b"\r\n", b"\n"))

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY


def test_a_part_signed_with_bare_line_feeds_is_valid_with_a_warning(pki, verdict):
    entity = b"Content-Type: application/x-binary\r\n\r\nraw\nlines\n"

    judged = verdict(message(clear_signed(entity, pki.alice, chain=[pki.issuing])))

    assert outcome(judged) == VALID
    assert "line-endings" in judged.warnings
    assert judged.plaintext == entity


def test_trailing_blanks_belong_to_what_is_signed(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))

    judged = verdict(content.replace(b"one.  \r\n", b"one.\r\n"))

    assert outcome(judged) == (Verdict.INVALID, "digest-mismatch")


def test_a_signed_multipart_may_hold_multiparts_whose_boundaries_begin_alike(pki, verdict):
    nested = (
        b'Content-Type: multipart/mixed; boundary="b-signed-inner"\r\n\r\n'
        b"--b-signed-inner\r\nContent-Type: text/plain\r\n\r\none\r\n\r\n"
        b"--b-signed-inner\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n"
        b"--b-signed-inner--\r\n"
    )
    der = detached(nested, pki.alice, chain=[pki.issuing])
    outer = (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";'
        b' boundary="b-signed"\r\n\r\n--b-signed\r\n'
        + nested
        + b"\r\n--b-signed\r\n"
        + cms_entity(der, media="application/pkcs7-signature", name="smime.p7s")
        + b"--b-signed--\r\n"
    )

    judged = verdict(message(outer))
    assert outcome(judged) == VALID
    assert judged.plaintext == nested


def test_text_outside_the_signed_part_is_no_content(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))

    judged = verdict(content + b"An epilogue that nobody signed.\r\n")

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY


# --- certificates -------------------------------------------------------------------------


def test_a_missing_intermediate_leaves_the_path_incomplete_unless_it_is_known(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice))

    assert outcome(verdict(content)) == (Verdict.UNTRUSTED, "path-incomplete")
    known = pki.trust(certificates=[pki.issuing])
    assert outcome(verdict(content, trust=known)) == VALID


def no_certificates(pki):
    der = other_producer(pki.alice, ENTITY, options=[pkcs7.PKCS7Options.NoCerts])
    return message(wrapped(ENTITY, der))


def test_without_certificates_the_signer_is_unavailable_unless_known(pki, verdict):
    content = no_certificates(pki)

    assert outcome(verdict(content)) == (Verdict.UNTRUSTED, "signer-certificate-unavailable")
    known = pki.trust(certificates=[pki.issuing, pki.alice])
    assert outcome(verdict(content, trust=known)) == VALID


def test_a_changed_content_is_told_before_a_missing_certificate(pki, verdict):
    content = no_certificates(pki).replace(b"line one", b"line 0ne")

    assert outcome(verdict(content)) == (Verdict.INVALID, "digest-mismatch")


def test_an_embedded_root_is_never_an_anchor(pki, verdict):
    root = authority("Root")
    stranger = person(root)

    judged = verdict(message(clear_signed(ENTITY, stranger, chain=[root])))

    assert outcome(judged) == (Verdict.UNTRUSTED, "unknown-root")


def test_an_expired_certificate_is_judged_at_the_instant_asked(pki, verdict):
    from datetime import UTC, datetime

    signer = person(pki.issuing, not_after=datetime(2026, 1, 1, tzinfo=UTC))
    content = message(clear_signed(ENTITY, signer, chain=[pki.issuing]))

    assert outcome(verdict(content)) == (Verdict.EXPIRED, "certificate-expired")
    assert outcome(verdict(content, at=datetime(2025, 6, 1, tzinfo=UTC))) == VALID
    too_early = verdict(content, at=datetime(2024, 6, 1, tzinfo=UTC))
    assert outcome(too_early) == (Verdict.EXPIRED, "certificate-not-yet-valid")


def test_a_revoked_certificate_is_revoked_with_its_day_and_reason(pki, verdict):
    from datetime import UTC, datetime

    signer = person(pki.issuing)
    reason = [(x509.CRLReason(x509.ReasonFlags.key_compromise), False)]
    revoked = revocation_list(
        pki.issuing, (signer.certificate, datetime(2026, 1, 10, tzinfo=UTC), reason)
    )
    trust = pki.trust(pki.lists[0], revoked)

    judged = verdict(message(clear_signed(ENTITY, signer, chain=[pki.issuing])), trust=trust)

    assert outcome(judged) == (Verdict.REVOKED, "revoked-2026-01-10-keyCompromise")


def test_a_revocation_list_that_comes_with_the_signature_counts(pki, verdict):
    from datetime import UTC, datetime

    from asn1crypto import cms, crl

    signer = person(pki.issuing)
    revoked = revocation_list(pki.issuing, (signer.certificate, datetime(2026, 1, 10, tzinfo=UTC)))
    info = cms.ContentInfo.load(detached(ENTITY, signer, chain=[pki.issuing]))
    own = crl.CertificateList.load(revoked.public_bytes(serialization.Encoding.DER))
    info["content"]["crls"] = [cms.RevocationInfoChoice("crl", own)]

    judged = verdict(message(wrapped(ENTITY, info.dump(force=True))))

    assert outcome(judged) == (Verdict.REVOKED, "revoked-2026-01-10-unspecified")


def test_unknown_revocation_is_a_warning_or_by_policy_a_refusal(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))
    trust = pki.trust(revocation_list(pki.root))

    soft = verdict(content, trust=trust)
    hard = verdict(content, trust=trust, policy=Policy(revocation_must_be_known=True))

    assert outcome(soft) == VALID
    assert "revocation-unknown" in soft.warnings
    assert outcome(hard) == (Verdict.UNTRUSTED, "revocation-unknown")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "eku-without-emailProtection"),
        ({"usages": ("key_encipherment",)}, "ku-without-signature"),
    ],
)
def test_a_certificate_that_may_not_sign_mail_has_the_wrong_usage(pki, verdict, changes, reason):
    signer = person(pki.issuing, **changes)

    judged = verdict(message(clear_signed(ENTITY, signer, chain=[pki.issuing])))

    assert outcome(judged) == (Verdict.WRONG_USAGE, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"extended": None},
        {"extended": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"usages": None},
        {"usages": ("content_commitment",)},
    ],
)
def test_absent_or_general_usages_are_enough(pki, verdict, changes):
    signer = person(pki.issuing, **changes)

    assert outcome(verdict(message(clear_signed(ENTITY, signer, chain=[pki.issuing])))) == VALID


# --- the author ---------------------------------------------------------------------------


def test_another_from_is_an_address_mismatch(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]), "carol@nord.example")

    judged = verdict(content)

    assert outcome(judged) == (Verdict.ADDRESS_MISMATCH, "from-not-in-certificate")


def test_addresses_are_compared_without_case(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]), "Alice@NORD.example")

    assert outcome(verdict(content)) == VALID


def test_the_sender_counts_only_by_policy(pki, verdict):
    content = message(
        clear_signed(ENTITY, pki.alice, chain=[pki.issuing]),
        "carol@nord.example",
        b"Sender: alice@nord.example\r\n",
    )

    assert verdict(content).verdict is Verdict.ADDRESS_MISMATCH
    assert outcome(verdict(content, policy=Policy(sender_may_differ=True))) == VALID


def test_the_seal_of_a_domain_counts_only_for_domains_bound_by_policy(pki, verdict):
    seal = person(pki.issuing, names=[x509.DNSName("nord.example")])
    content = message(clear_signed(ENTITY, seal, chain=[pki.issuing]))

    assert outcome(verdict(content)) == (Verdict.ADDRESS_MISMATCH, "no-rfc822name")
    bound = Policy(sealed_domains=frozenset({"nord.example"}))
    assert outcome(verdict(content, policy=bound)) == VALID
    elsewhere = message(clear_signed(ENTITY, seal, chain=[pki.issuing]), "a@sud.example")
    assert verdict(elsewhere, policy=bound).verdict is Verdict.ADDRESS_MISMATCH


@pytest.mark.parametrize(
    "changes",
    [
        {"names": (), "email": "alice@nord.example"},
        {"names": [utf8_mailbox("alice@nord.example")]},
    ],
    ids=["emailAddress in the subject", "SmtpUTF8Mailbox"],
)
def test_the_other_places_of_an_address_are_read(pki, verdict, changes):
    signer = person(pki.issuing, **changes)

    assert outcome(verdict(message(clear_signed(ENTITY, signer, chain=[pki.issuing])))) == VALID


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (b"From: alice@nord.example\r\nFrom: eve@sud.example\r\n", "duplicate-from"),
        (b"From: alice@nord.example, eve@sud.example\r\n", "from-not-one-mailbox"),
        (b"Subject: no author\r\n", "from-not-one-mailbox"),
        (
            b"From: alice@nord.example\r\nContent-Type: text/plain\r\n",
            "duplicate-content-type",
        ),
    ],
)
def test_an_author_that_readers_would_see_differently_is_malformed(pki, verdict, fields, reason):
    judged = verdict(fields + clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))

    assert outcome(judged) == (Verdict.MALFORMED, reason)


# --- shapes ------------------------------------------------------------------------------


def test_a_message_without_smime_has_no_verdict_and_no_reason(pki, verdict):
    judged = verdict(message(ENTITY))

    assert outcome(judged) == (Verdict.NONE, "")
    assert judged.plaintext is None
    assert not judged.signed


def test_certificates_alone_are_no_signature(pki, verdict):
    from asn1crypto import cms

    info = cms.ContentInfo.load(detached(ENTITY, pki.alice, chain=[pki.issuing]))
    info["content"]["signer_infos"] = []

    judged = verdict(message(cms_entity(info.dump(force=True), "certs-only", name="smime.p7c")))

    assert outcome(judged) == (Verdict.NONE, "no-signer")
    assert not judged.signed


@pytest.mark.parametrize("with_content", [True, False])
def test_a_layer_without_signers_does_not_hide_who_signed_around_it(pki, verdict, with_content):
    from asn1crypto import cms

    info = cms.ContentInfo.load(
        signed_data([signature_by(pki.alice, ENTITY)], [], ENTITY if with_content else None)
    )
    info["content"]["signer_infos"] = []
    shield = cms_entity(info.dump(force=True))

    judged = verdict(message(clear_signed(shield, pki.carol, chain=[pki.issuing])))

    assert outcome(judged) == (Verdict.ADDRESS_MISMATCH, "from-not-in-certificate")


def mixed(*parts):
    body = b"".join(b"--b-mixed\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/mixed; boundary=b-mixed\r\n\r\n" + body + b"--b-mixed--\r\n"


def test_a_list_footer_leaves_a_partial_signature(pki, verdict):
    signed = clear_signed(ENTITY, pki.alice, chain=[pki.issuing])
    footer = b"Content-Type: text/plain\r\n\r\nUnsigned footer"

    judged = verdict(message(mixed(signed, footer)))

    assert outcome(judged) == (Verdict.NONE, "partial-signature")


def test_a_signed_message_with_three_parts_is_malformed(pki, verdict):
    content = message(clear_signed(ENTITY, pki.alice, chain=[pki.issuing]))
    extra = b"--b-signed\r\nContent-Type: text/plain\r\n\r\nthird\r\n--b-signed--"

    judged = verdict(content.replace(b"--b-signed--", extra))

    assert outcome(judged) == (Verdict.MALFORMED, "signed-not-two-parts")
    assert judged.signed


@pytest.mark.parametrize("change", [of_no_version, of_no_text])
def test_an_odd_certificate_beside_a_signature_proves_nothing(pki, verdict, change):
    other = person(pki.issuing)
    der = detached(ENTITY, pki.alice, chain=[pki.issuing, other])
    odd = other.certificate.public_bytes(serialization.Encoding.DER)

    judged = verdict(message(wrapped(ENTITY, der.replace(odd, change(odd)))))

    assert outcome(judged) == VALID


def test_a_truncated_signature_is_malformed(pki, verdict):
    der = detached(ENTITY, pki.alice, chain=[pki.issuing])

    judged = verdict(message(wrapped(ENTITY, der[:-40])))

    assert outcome(judged) == (Verdict.MALFORMED, "asn1-truncated")


def test_an_opaque_signature_without_content_is_malformed(pki, verdict):
    der = detached(ENTITY, pki.alice, chain=[pki.issuing])

    judged = verdict(message(cms_entity(der, "signed-data")))

    assert outcome(judged) == (Verdict.MALFORMED, "content-absent")


# --- encryption ---------------------------------------------------------------------------


def each_envelope(pki):
    return {
        "aes128-cbc rsa": (enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)], 16), pki.bob),
        "aes256-cbc rsa": (enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)]), pki.bob),
        "aes256-cbc oaep": (enveloped_cbc(ENTITY, [partial(by_oaep, pki.bob)]), pki.bob),
        "oaep two hashes": (
            enveloped_cbc(
                ENTITY, [partial(by_oaep, pki.bob, own=hashes.SHA512(), mask=hashes.SHA1())]
            ),
            pki.bob,
        ),
        "aes256-gcm rsa": (enveloped_gcm(ENTITY, [partial(by_rsa, pki.bob)]), pki.bob),
        "aes128-gcm ecdh": (enveloped_gcm(ENTITY, [partial(by_ecdh, pki.carol)], 16), pki.carol),
        "cbc ecdh sha1 ukm": (
            enveloped_cbc(
                ENTITY,
                [partial(by_ecdh, pki.carol, kdf="sha1", ukm=b"material", with_curve=False)],
            ),
            pki.carol,
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "aes128-cbc rsa",
        "aes256-cbc rsa",
        "aes256-cbc oaep",
        "oaep two hashes",
        "aes256-gcm rsa",
        "aes128-gcm ecdh",
        "cbc ecdh sha1 ukm",
    ],
)
def test_each_way_of_encrypting_is_opened(pki, verdict, name):
    der, reader = each_envelope(pki)[name]

    judged = verdict(message(cms_entity(der, "enveloped-data")), [reader])

    assert judged.plaintext == ENTITY
    assert judged.decryption is Decryption.OK
    assert outcome(judged) == (Verdict.NONE, "")
    assert ("no-integrity" in judged.warnings) == ("gcm" not in name)


def test_authenticated_attributes_are_part_of_what_the_tag_covers(pki, verdict):
    from asn1crypto import cms

    attributes = cms.CMSAttributes([{"type": "content_type", "values": ["data"]}])
    der = enveloped_gcm(ENTITY, [partial(by_rsa, pki.bob)], attributes=attributes)
    data = bytes.fromhex("06092a864886f70d010701")
    first, _, rest = der.rpartition(data)
    changed = first + data[:-1] + b"\x02" + rest

    assert verdict(message(cms_entity(der)), [pki.bob]).plaintext == ENTITY
    assert verdict(message(cms_entity(changed)), [pki.bob]).decryption is Decryption.FAIL


def test_another_producers_envelope_is_opened(pki, verdict):
    der = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(ENTITY)
        .add_recipient(pki.dave.certificate)
        .add_recipient(pki.bob.certificate)
        .encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )

    for reader in (pki.bob, pki.dave):
        assert verdict(message(cms_entity(der)), [reader]).plaintext == ENTITY


def test_any_of_several_recipients_opens(pki, verdict):
    recipients = [partial(by_rsa, pki.bob), partial(by_oaep, pki.dave), partial(by_ecdh, pki.carol)]
    content = message(cms_entity(enveloped_gcm(ENTITY, recipients), "authEnveloped-data"))

    for reader in (pki.bob, pki.dave, pki.carol):
        assert verdict(content, [pki.alice, reader]).plaintext == ENTITY


def test_without_the_recipients_key_nothing_is_opened(pki, verdict):
    content = message(cms_entity(enveloped_cbc(ENTITY, [partial(by_rsa, pki.dave)])))

    judged = verdict(content, [pki.bob])

    assert judged.decryption is Decryption.NO_RECIPIENT
    assert outcome(judged) == (Verdict.NONE, "no-recipient-key")
    assert judged.plaintext is None
    assert judged.encrypted


def wrong_key(party):
    """A recipient entry for `party` whose key was encrypted for somebody else's key."""
    from cryptography.hazmat.primitives.asymmetric import rsa as rsa_keys
    from tests.support.mail_pki import Party

    other = rsa_keys.generate_private_key(65537, 2048)

    def entry(content_key):
        good = by_rsa(Party(party.certificate, None), content_key)
        from cryptography.hazmat.primitives.asymmetric import padding

        good.chosen["encrypted_key"] = other.public_key().encrypt(content_key, padding.PKCS1v15())
        return good

    return entry


def flipped(der, octet):
    position = len(der) - octet
    return der[:position] + bytes([der[position] ^ 1]) + der[position + 1 :]


def test_every_failure_to_decrypt_reads_the_same(pki, verdict):
    rsa_cbc = enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)])
    broken = {
        "wrong key, cbc": (enveloped_cbc(ENTITY, [wrong_key(pki.bob)]), pki.bob),
        "wrong key, gcm": (enveloped_gcm(ENTITY, [wrong_key(pki.bob)]), pki.bob),
        "padding": (flipped(rsa_cbc, 20), pki.bob),
        "tag": (flipped(enveloped_gcm(ENTITY, [partial(by_rsa, pki.bob)]), 1), pki.bob),
        "key size": (enveloped_cbc(ENTITY, [lambda key: by_rsa(pki.bob, key[:16])]), pki.bob),
        "unwrapping": (
            enveloped_gcm(ENTITY, [lambda key: by_ecdh(pki.carol, b"0" * 32)]),
            pki.carol,
        ),
        "no MIME inside": (enveloped_cbc(b"\x80garbage", [partial(by_rsa, pki.bob)]), pki.bob),
    }

    for name, (der, reader) in broken.items():
        judged = verdict(message(cms_entity(der)), [reader])
        found = (judged.decryption, *outcome(judged), judged.plaintext, judged.warnings)
        assert found == (Decryption.FAIL, Verdict.NONE, "decryption-failed", None, ()), name


def test_a_cipher_with_authentication_is_not_read_without_its_tag(pki, verdict):
    """Relabelling GCM as CBC is how a ciphertext is made to open without its integrity."""
    gcm, cbc = bytes.fromhex("60864801650304012e"), bytes.fromhex("60864801650304012a")
    down = enveloped_gcm(ENTITY, [partial(by_rsa, pki.bob)]).replace(gcm, cbc)
    up = enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)]).replace(cbc, gcm)

    for der in (down, up):
        judged = verdict(message(cms_entity(der)), [pki.bob])
        assert outcome(judged) == (Verdict.MALFORMED, "cipher-structure-mismatch")


def test_an_old_cipher_is_unsupported(pki, verdict):
    der = enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)], cipher="tripledes_3key")

    judged = verdict(message(cms_entity(der)), [pki.bob])

    assert outcome(judged) == (Verdict.UNSUPPORTED, "content-cipher")


def test_an_encrypted_part_beside_others_stays_closed(pki, verdict):
    encrypted = cms_entity(enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)]), "enveloped-data")
    before = b'Content-Type: text/html\r\n\r\n<img src="http://attacker.example/'
    after = b'Content-Type: text/html\r\n\r\n">'

    judged = verdict(message(mixed(before, encrypted, after)), [pki.bob])

    assert outcome(judged) == (Verdict.MALFORMED, "encrypted-part-not-root")
    assert judged.decryption is Decryption.REFUSE
    assert judged.plaintext is None


def test_a_signature_around_the_mixture_does_not_open_it_either(pki, verdict):
    encrypted = cms_entity(enveloped_cbc(ENTITY, [partial(by_rsa, pki.bob)]))
    inner = mixed(b"Content-Type: text/html\r\n\r\n<img", encrypted)

    judged = verdict(message(clear_signed(inner, pki.alice, chain=[pki.issuing])), [pki.bob])

    assert outcome(judged) == (Verdict.MALFORMED, "encrypted-part-not-root")
    assert judged.plaintext is None


# --- layers in layers -----------------------------------------------------------------------


def encrypted_for(pki, entity):
    return cms_entity(enveloped_cbc(entity, [partial(by_rsa, pki.bob)]), "enveloped-data")


def test_signed_then_encrypted_is_valid(pki, verdict):
    signed = clear_signed(ENTITY, pki.alice, chain=[pki.issuing])

    judged = verdict(message(encrypted_for(pki, signed)), [pki.bob])

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY
    assert judged.encrypted
    assert "no-integrity" not in judged.warnings


def test_encrypted_then_signed_warns_that_the_signer_may_not_know_the_text(pki, verdict):
    signed = clear_signed(encrypted_for(pki, ENTITY), pki.alice, chain=[pki.issuing])

    judged = verdict(message(signed), [pki.bob])

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY
    assert "signature-outside-encryption" in judged.warnings


def test_a_triple_wrapped_message_is_valid(pki, verdict):
    inner = clear_signed(ENTITY, pki.alice, chain=[pki.issuing])
    outer = clear_signed(
        encrypted_for(pki, inner), pki.alice, chain=[pki.issuing], boundary="b-outer"
    )

    judged = verdict(message(outer), [pki.bob])

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY
    assert len(judged.signers) == 2
    assert "signature-outside-encryption" not in judged.warnings


def test_a_signed_message_re_encrypted_under_another_from_mismatches(pki, verdict):
    signed = clear_signed(ENTITY, pki.alice, chain=[pki.issuing])

    judged = verdict(message(encrypted_for(pki, signed), "carol@nord.example"), [pki.bob])

    assert outcome(judged) == (Verdict.ADDRESS_MISMATCH, "from-not-in-certificate")


def test_a_compressed_content_is_opened_inside_a_signature(pki, verdict):
    inner = cms_entity(compressed(ENTITY), "compressed-data", name="smime.p7z")

    judged = verdict(message(clear_signed(inner, pki.alice, chain=[pki.issuing])))

    assert outcome(judged) == VALID
    assert judged.plaintext == ENTITY


def test_a_decompression_bomb_is_stopped(pki, verdict):
    bomb = compressed(b"Content-Type: text/plain\r\n\r\n" + b"0" * 20_000_000)

    judged = verdict(message(cms_entity(bomb, "compressed-data")))

    assert outcome(judged) == (Verdict.MALFORMED, "decompression-limit")


def test_more_than_eight_layers_are_malformed(pki, verdict):
    entity = ENTITY
    for _ in range(9):
        entity = cms_entity(compressed(entity), "compressed-data")

    assert outcome(verdict(message(entity))) == (Verdict.MALFORMED, "nesting-limit")


def test_too_many_signers_are_malformed(pki, verdict):
    signature = signature_by(pki.alice, ENTITY)
    der = signed_data([signature] * 9, [pki.issuing.certificate])

    # A SET in DER keeps equal elements.
    assert outcome(verdict(message(wrapped(ENTITY, der)))) == (Verdict.MALFORMED, "too-many")


# --- protected headers ------------------------------------------------------------------------

PROTECTED = (
    b'Content-Type: text/plain; hp="%s"\r\n'
    b"From: Someone <alice@nord.example>\r\n"
    b"To: bob@sud.example\r\n"
    b"Subject: =?utf-8?q?Compte_rendu_prot=C3=A9g=C3=A9?=\r\n"
    b"\r\n"
    b"Text.\r\n"
)


def test_protected_headers_that_differ_are_given(pki, verdict):
    signed = clear_signed(PROTECTED % b"clear", pki.alice, chain=[pki.issuing])

    judged = verdict(message(signed))

    assert outcome(judged) == VALID
    assert judged.protected_headers == {"subject": "Compte rendu protégé"}
    assert "headers-not-protected" not in judged.warnings


def test_protected_headers_of_a_broken_signature_are_not_believed(pki, verdict):
    signed = clear_signed(PROTECTED % b"clear", pki.alice, chain=[pki.issuing])

    judged = verdict(message(signed.replace(b"Text.", b"Fext.")))

    assert judged.verdict is Verdict.INVALID
    assert judged.protected_headers is None


def test_headers_protected_by_encryption_are_given(pki, verdict):
    inner = PROTECTED % b"cipher"
    der = enveloped_gcm(inner, [partial(by_rsa, pki.bob)])

    judged = verdict(message(cms_entity(der)), [pki.bob])

    assert judged.protected_headers == {"subject": "Compte rendu protégé"}


def test_a_protected_from_does_not_hide_another_outer_one(pki, verdict):
    """Clients list the outer From: both must be the signer's."""
    signed = clear_signed(PROTECTED % b"clear", pki.alice, chain=[pki.issuing])

    judged = verdict(message(signed, "carol@nord.example"))

    assert judged.verdict is Verdict.ADDRESS_MISMATCH


# --- every bit counts --------------------------------------------------------------------------


def test_no_flipped_bit_in_signed_octets_or_signature_stays_valid(pki, verdict):
    der = detached(ENTITY, pki.alice, chain=[pki.issuing])
    signature = signature_by(pki.alice, ENTITY)
    assert outcome(verdict(message(wrapped(ENTITY, der)))) == VALID
    start = len(der) - len(signature.value)
    for position in range(0, len(ENTITY) - 1, 7):
        changed = ENTITY[:position] + bytes([ENTITY[position] ^ 4]) + ENTITY[position + 1 :]
        body = wrapped(ENTITY, der).replace(ENTITY, changed)
        assert verdict(message(body)).verdict is not Verdict.VALID, position
    for position in range(start, len(der), 5):
        changed = der[:position] + bytes([der[position] ^ 4]) + der[position + 1 :]
        assert verdict(message(wrapped(ENTITY, changed))).verdict is not Verdict.VALID, position


def test_nothing_that_a_message_holds_makes_the_judgement_raise(pki, verdict):
    """Octets damaged everywhere: some word comes out, and never `valid` for a changed signature."""
    import random

    chance = random.Random(20)
    samples = [
        detached(ENTITY, pki.alice, chain=[pki.issuing]),
        enveloped_gcm(ENTITY, [partial(by_ecdh, pki.carol)]),
        enveloped_cbc(ENTITY, [partial(by_oaep, pki.bob)]),
        compressed(ENTITY),
    ]
    for round_ in range(400):
        der = bytearray(samples[round_ % len(samples)])
        for _ in range(chance.randrange(1, 4)):
            der[chance.randrange(len(der))] = chance.randrange(256)
        for entity in (wrapped(ENTITY, bytes(der)), cms_entity(bytes(der))):
            judged = verdict(message(entity), [pki.bob, pki.carol])
            assert re.fullmatch(r"[A-Za-z0-9-]*", judged.reason)
