"""Paths through small PKIs, each with one thing wrong."""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.trust.anchors import Trust
from mssante.trust.path import Purpose, find_path
from mssante.trust.refusals import OutsideValidity, Untrusted, WrongUsage
from mssante.wire.smime.errors import SignatureInvalid
from tests.support.mail_pki import (
    NOW,
    authority,
    issue,
    person,
    subject,
    usage,
    utf8_mailbox,
)


def path_of(end, anchors, embedded=(), purpose=Purpose.SIGN, at=NOW):
    trust = Trust(tuple(one.certificate for one in anchors))
    return find_path(end.certificate, trust, [one.certificate for one in embedded], purpose, at)


def refused(kind, reason, *arguments, **options):
    with pytest.raises(kind) as caught:
        path_of(*arguments, **options)
    assert str(caught.value) == reason


def test_the_path_runs_from_the_end_entity_to_the_anchor(pki):
    path = path_of(pki.alice, [pki.root], [pki.carol, pki.issuing])

    assert path == (pki.alice.certificate, pki.issuing.certificate, pki.root.certificate)


def test_an_intermediate_may_be_an_anchor(pki):
    assert path_of(pki.alice, [pki.issuing]) == (pki.alice.certificate, pki.issuing.certificate)


def test_a_certificate_of_a_person_issues_nothing(pki):
    below = person(pki.alice)

    refused(Untrusted, "issuer-not-ca", below, [pki.root], [pki.alice, pki.issuing])


def test_a_person_named_as_anchor_vouches_for_that_person_only(pki):
    below = person(pki.alice)

    assert path_of(pki.alice, [pki.alice]) == (pki.alice.certificate,)
    refused(Untrusted, "issuer-not-ca", below, [pki.alice])


def test_the_length_of_a_path_is_bounded_by_the_authority(pki):
    too_low = authority("Too low", pki.issuing)

    refused(Untrusted, "path-length", person(too_low), [pki.root], [pki.issuing, too_low])


def test_an_authority_that_may_not_sign_certificates_signs_none(pki):
    extensions = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (usage("crl_sign"), True),
    ]
    lists_only = issue("Lists only", pki.root, ec.generate_private_key(ec.SECP256R1()), extensions)

    refused(Untrusted, "issuer-key-usage", person(lists_only), [pki.root], [lists_only])


def test_an_unknown_critical_extension_is_refused_and_an_uncritical_one_is_not(pki):
    oid = x509.ObjectIdentifier("1.2.3.4.5")

    def with_it(critical):
        return person(pki.issuing, extra=[(x509.UnrecognizedExtension(oid, b"\x05\x00"), critical)])

    path_of(with_it(False), [pki.root], [pki.issuing])
    reason = "unknown-critical-extension"
    refused(Untrusted, reason, with_it(True), [pki.root], [pki.issuing])


def test_a_required_policy_is_refused_because_it_is_not_evaluated(pki):
    required = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    strict = authority("Strict", pki.root, extra=[(required, True)])

    refused(Untrusted, "policy-constraints", person(strict), [pki.root], [strict])


def test_sha1_in_a_certificate_below_the_anchor_is_weak(pki):
    """The library signs no certificate with SHA-1 any more, so an old signature is put together."""
    from asn1crypto import x509 as asn1_x509
    from cryptography.hazmat.primitives.asymmetric import padding

    old = authority("Old", key=rsa.generate_private_key(65537, 2048))
    template = asn1_x509.Certificate.load(person(old).certificate.public_bytes(_der()))
    tbs = template["tbs_certificate"]
    tbs["signature"]["algorithm"] = "sha1_rsa"
    template["signature_algorithm"]["algorithm"] = "sha1_rsa"
    octets = tbs.dump(force=True)
    template["signature_value"] = old.key.sign(octets, padding.PKCS1v15(), hashes.SHA1())
    end = x509.load_der_x509_certificate(template.dump(force=True))

    with pytest.raises((SignatureInvalid, Untrusted)) as caught:
        find_path(end, Trust((old.certificate,)), [], Purpose.SIGN, NOW)
    assert str(caught.value) == "weak-digest"


def _der():
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


def test_a_weak_key_of_an_intermediate_is_weak(pki):
    weak = authority("Weak", pki.root, key=rsa.generate_private_key(65537, 1024))

    refused(SignatureInvalid, "weak-key", person(weak), [pki.root], [weak])


def test_an_expired_intermediate_is_told_apart_from_an_expired_end(pki):
    over = authority("Over", pki.root, not_after=datetime(2026, 1, 1, tzinfo=UTC))

    refused(OutsideValidity, "issuer-outside-validity", person(over), [pki.root], [over])


def test_of_two_paths_the_valid_one_is_found(pki):
    """A renewed authority: same name and key, one certificate expired."""
    old = authority("Renewed", pki.root, not_after=datetime(2026, 1, 1, tzinfo=UTC))
    new = authority("Renewed", pki.root, key=old.key)
    end = person(old)

    for embedded in ([old, new], [new, old]):
        assert path_of(end, [pki.root], embedded)[1] == new.certificate


def test_an_authority_of_the_same_name_and_another_key_does_not_count(pki):
    impostor = authority("Issuing", pki.root)

    refused(Untrusted, "path-incomplete", pki.alice, [pki.root], [impostor])


def test_an_authority_for_tls_only_vouches_for_no_mail(pki):
    tls = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    web = authority("Web", pki.root, extra=[(tls, False)])

    reason = "issuer-eku-without-emailProtection"
    refused(WrongUsage, reason, person(web), [pki.root], [web])


def test_encryption_asks_for_another_usage(pki):
    end = person(pki.issuing, usages=("digital_signature",))

    path_of(end, [pki.root], [pki.issuing])
    with pytest.raises(WrongUsage, match="ku-without-encryption"):
        path_of(end, [pki.root], [pki.issuing], Purpose.ENCRYPT)


def test_crossed_authorities_cost_a_bounded_number_of_signatures():
    """Authorities that all certify each other under one name and key make paths without number."""
    key = ec.generate_private_key(ec.SECP256R1())
    crossed = [authority("Crossed", None, key=key) for _ in range(20)]
    unrelated = authority("Unrelated")

    with pytest.raises(Untrusted) as caught:
        path_of(person(crossed[0]), [unrelated], crossed)
    assert str(caught.value) in ("too-many-paths", "path-too-long")


# --- names ----------------------------------------------------------------------------


def constrained(pki, permitted=None, excluded=None):
    constraints = x509.NameConstraints(permitted, excluded)
    return authority("Constrained", pki.root, extra=[(constraints, True)])


MAIL = [
    ("sud.example", "bob@sud.example", True),
    ("sud.example", "Bob@SUD.example", True),
    ("sud.example", "bob@a.sud.example", False),
    ("sud.example", "bob@nord.example", False),
    (".sud.example", "bob@a.sud.example", True),
    (".sud.example", "bob@sud.example", False),
    ("bob@sud.example", "bob@sud.example", True),
    ("bob@sud.example", "eve@sud.example", False),
]


@pytest.mark.parametrize(("tree", "address", "good"), MAIL)
def test_permitted_mail_names_bound_the_address(pki, tree, address, good):
    above = constrained(pki, permitted=[x509.RFC822Name(tree)])
    end = person(above, address)

    if good:
        path_of(end, [pki.root], [above])
    else:
        refused(Untrusted, "name-constraints", end, [pki.root], [above])


@pytest.mark.parametrize(
    "changes",
    [
        {"names": (), "email": "eve@nord.example"},
        {"names": [utf8_mailbox("ève@nord.example")]},
        {"names": [x509.RFC822Name("bob@sud.example")], "email": "eve@nord.example"},
    ],
)
def test_an_address_does_not_escape_its_constraint_in_another_place(pki, changes):
    above = constrained(pki, permitted=[x509.RFC822Name("sud.example")])

    refused(Untrusted, "name-constraints", person(above, **changes), [pki.root], [above])


def test_excluded_names_are_refused(pki):
    above = constrained(pki, excluded=[x509.RFC822Name("nord.example")])

    path_of(person(above, "bob@sud.example"), [pki.root], [above])
    end = person(above, "alice@nord.example")
    refused(Untrusted, "name-constraints", end, [pki.root], [above])


def test_a_constraint_on_one_form_leaves_the_others_free(pki):
    above = constrained(pki, permitted=[x509.DNSName("sud.example")])

    path_of(person(above, "alice@nord.example"), [pki.root], [above])


@pytest.mark.parametrize(
    ("tree", "inside", "outside"),
    [
        (
            x509.DNSName("sud.example"),
            x509.DNSName("a.sud.example"),
            x509.DNSName("badsud.example"),
        ),
        (
            x509.IPAddress(ip_network("192.0.2.0/24")),
            x509.IPAddress(ip_address("192.0.2.7")),
            x509.IPAddress(ip_address("198.51.100.7")),
        ),
        (
            x509.UniformResourceIdentifier(".sud.example"),
            x509.UniformResourceIdentifier("https://a.sud.example/x"),
            x509.UniformResourceIdentifier("https://nord.example/.sud.example"),
        ),
        (
            x509.DirectoryName(subject("A person")),
            x509.DirectoryName(subject("A person", "x@sud.example")),
            x509.DirectoryName(subject("Another")),
        ),
    ],
    ids=["dns", "ip", "uri", "directory"],
)
def test_other_forms_of_names_are_bounded_too(pki, tree, inside, outside):
    above = constrained(pki, permitted=[tree])
    mail = x509.RFC822Name("bob@sud.example")

    path_of(person(above, names=[mail, inside]), [pki.root], [above])
    end = person(above, names=[mail, outside])
    refused(Untrusted, "name-constraints", end, [pki.root], [above])
