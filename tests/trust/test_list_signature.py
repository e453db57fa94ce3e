"""The signature of the white list: what is taken, and every way to forge it."""

from datetime import UTC, datetime, timedelta

import pytest
import signxml
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import SignatureConstructionMethod

from mssante.trust.anchors import Trust
from mssante.trust.list_signature import ListPolicy, checked_white_list
from mssante.wire.whitelist.reader import WhiteListRefused, read_white_list
from mssante.wire.x500 import DistinguishedName
from tests.support.mail_pki import authority, revocation_list
from tests.support.signing import DS, RSA_KEY, SigningPki, Weak, signer
from tests.support.white_lists import ENTRIES, SIGNATURE, TWO, entry, white_list

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LIST = white_list()
NAMESPACE = "{https://listeblanche.mssante.fr/schema}"


@pytest.fixture(scope="module")
def pki():
    return SigningPki()


@pytest.fixture(scope="module")
def signed(pki):
    return pki.signed(LIST)


def refusal(content, policy, at=NOW):
    with pytest.raises(WhiteListRefused) as refused:
        checked_white_list(content, policy, at)
    assert refused.value.word == "signature", refused.value
    return refused.value.detail


def changed(content, change):
    root = etree.fromstring(content)
    change(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def test_a_good_signature_names_its_signer(pki, signed):
    found = checked_white_list(signed, pki.policy, NOW)

    assert found.listings == read_white_list(LIST).listings
    assert found.signed
    assert found.signer == "CN=Liste blanche,O=ANS"


@pytest.mark.parametrize("algorithm", ["RSA_SHA256", "SHA512_RSA_MGF1"])
def test_rsa_signatures_are_taken(pki, algorithm):
    by = signer(pki.issuing, key=RSA_KEY)
    maker = signxml.XMLSigner(
        SignatureConstructionMethod.enveloped,
        signature_algorithm=signxml.SignatureMethod[algorithm],
    )

    assert checked_white_list(pki.signed(LIST, by, maker=maker), pki.policy, NOW).signer


def test_a_list_without_signature_passes_only_where_none_is_asked_for(pki):
    policy = ListPolicy(pki.policy.trust)

    assert checked_white_list(LIST, policy, NOW).signer == ""
    assert "not signed" in refusal(LIST, pki.policy)


def test_a_signature_is_verified_even_where_none_is_asked_for(signed):
    assert "white_list_anchors" in refusal(signed, ListPolicy())
    assert refusal(white_list(signature=SIGNATURE), ListPolicy())


def test_one_changed_letter_is_found(pki, signed):
    tampered = signed.replace(b"cabinet.un.mssante.fr", b"cabinet.xn.mssante.fr", 1)

    assert "does not verify" in refusal(tampered, pki.policy)


def test_an_added_entry_is_found(pki, signed):
    def add(root):
        new = etree.fromstring(f'<x xmlns="{NAMESPACE[1:-1]}">{entry("intrus.fr", TWO)}</x>')
        root.find(f"{NAMESPACE}ListeDomaines").append(new[0])

    assert "does not verify" in refusal(changed(signed, add), pki.policy)


def test_a_signature_of_another_list_does_not_fit(pki, signed):
    other = pki.signed(white_list(ENTRIES[:2]))
    signature = etree.fromstring(other).find(f"{DS}Signature")

    def swap(root):
        root.replace(root.find(f"{DS}Signature"), signature)

    assert "does not verify" in refusal(changed(signed, swap), pki.policy)


def test_a_signed_list_wrapped_into_another_is_refused(pki, signed):
    """Signature wrapping: what was signed is there, somewhere else."""
    inner = etree.fromstring(signed)
    signature = inner.find(f"{DS}Signature")

    def wrap(root):
        root.append(signature)
        kept = etree.SubElement(signature, f"{DS}Object")
        kept.append(inner)

    forged = changed(white_list([("intrus.fr", TWO)]), wrap)
    assert refusal(forged, pki.policy)


@pytest.mark.parametrize("uri", ["#a", "http://127.0.0.1:9/list.xml", "file:///etc/passwd", None])
def test_a_signature_about_something_else_is_refused_and_nothing_is_fetched(pki, signed, uri):
    def point(root):
        reference = root.find(f".//{DS}Reference")
        if uri is None:
            del reference.attrib["URI"]
        else:
            reference.set("URI", uri)

    assert "whole document" in refusal(changed(signed, point), pki.policy)


def test_a_part_that_is_signed_by_its_name_is_refused(pki):
    root = etree.fromstring(LIST)
    root.set("Id", "all")
    content = pki.signed(etree.tostring(root), reference_uri="all")

    assert "whole document" in refusal(content, pki.policy)


@pytest.mark.parametrize(
    "algorithm",
    [
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2000/09/xmldsig#base64",
    ],
)
def test_transforms_that_compute_are_refused(pki, signed, algorithm):
    def add(root):
        transforms = root.find(f".//{DS}Transforms")
        etree.SubElement(transforms, f"{DS}Transform", Algorithm=algorithm)

    assert "not accepted" in refusal(changed(signed, add), pki.policy)


def test_weak_algorithms_are_refused(pki):
    by = signer(pki.issuing, key=RSA_KEY)
    weak = Weak(
        SignatureConstructionMethod.enveloped,
        signature_algorithm=signxml.SignatureMethod.RSA_SHA1,
        digest_algorithm=signxml.DigestAlgorithm.SHA1,
    )

    assert "does not verify" in refusal(pki.signed(LIST, by, maker=weak), pki.policy)


def test_a_secret_in_place_of_a_certificate_is_refused(pki, signed):
    """HMAC, whose key a forger could choose."""

    def swap(root):
        root.find(f".//{DS}SignatureMethod").set(
            "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
        )

    assert "does not verify" in refusal(changed(signed, swap), pki.policy)


def test_a_signature_without_certificate_is_refused(pki, signed):
    def drop(root):
        root.find(f"{DS}Signature").remove(root.find(f".//{DS}KeyInfo"))

    assert "no certificate" in refusal(changed(signed, drop), pki.policy)


def test_the_signer_must_chain_to_the_anchors_and_have_the_name(pki):
    foreign = signer(authority("Signers' issuing"))
    other = signer(pki.issuing, "Somebody")

    assert "not believed" in refusal(pki.signed(LIST, foreign, chain=False), pki.policy)
    assert "another than" in refusal(pki.signed(LIST, other), pki.policy)
    policy = ListPolicy(pki.policy.trust, DistinguishedName.parse("CN=Liste blanche,O=Somebody"))
    assert checked_white_list(pki.signed(LIST, other), policy, NOW).signer


def test_a_signer_that_is_expired_revoked_or_made_for_something_else_is_refused(pki):
    early = signer(pki.issuing, not_after=NOW - timedelta(seconds=1))
    cipher = signer(pki.issuing, usages=("key_agreement",))
    listed = revocation_list(pki.issuing, (pki.ans.certificate, NOW - timedelta(days=1)))
    trust = Trust(pki.policy.trust.anchors, (), (listed,))

    assert "certificate-expired" in refusal(pki.signed(LIST, early), pki.policy)
    assert "ku-without-signature" in refusal(pki.signed(LIST, cipher), pki.policy)
    assert "revoked" in refusal(pki.signed(LIST), ListPolicy(trust))


def test_another_key_than_the_named_certificates_does_not_sign(pki, signed):
    """The certificate is swapped for one that is believed as well."""
    second = signer(pki.issuing)

    def swap(root):
        import base64

        der = second.certificate.public_bytes(Encoding.DER)
        root.find(f".//{DS}X509Certificate").text = base64.b64encode(der).decode()

    assert "does not verify" in refusal(changed(signed, swap), pki.policy)


def test_entities_are_refused_before_anything_is_verified(pki, signed):
    declared = signed.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', 1)

    with pytest.raises(WhiteListRefused, match="doctype"):
        checked_white_list(declared, pki.policy, NOW)


def test_comments_do_not_cut_a_name_in_two(pki, signed):
    """Canonicalisation drops them, so the signature stands: the whole name must be read."""
    commented = signed.replace(b"cabinet.un.mssante.fr", b"cabinet.un<!-- -->.mssante.fr", 1)

    found = checked_white_list(commented, pki.policy, NOW)

    assert found.listings == read_white_list(LIST).listings
