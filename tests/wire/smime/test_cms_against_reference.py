"""CMS objects as we read them and as a general decoder does: the same values, or the same word.

Whole objects are broken in every way that a hostile sender has: octets changed, ends cut off, fields
left out and doubled, lengths made indefinite, strings cut in pieces.
"""

import warnings
from functools import partial

import pytest
from asn1crypto import cms, core, crl, tsp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.smime.cms import SignedData, attributes_of, read_cms
from mssante.wire.smime.elements import encoded
from mssante.wire.smime.errors import Malformed, SmimeError
from mssante.wire.smime.signature import (
    ALGORITHM_PROTECTION,
    SIGNING_CERTIFICATE,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    verify,
)
from mssante.wire.smime.signing import RsaPadding, signed_data
from tests.support import reference_cms
from tests.support.enveloping import (
    by_ecdh,
    by_rsa,
    compressed,
    enveloped_cbc,
    enveloped_gcm,
)
from tests.support.mail_pki import ENTITY, MailPki, detached, revocation_list, signature_by

CERTIFICATES = 0xA0
DATA = core.ObjectIdentifier("1.2.840.113549.1.7.1").dump()
ENCRYPTION_PREFERENCE = "1.2.840.113549.1.9.16.2.11"
SIGNED = core.ObjectIdentifier("1.2.840.113549.1.7.2").dump()


def plain(party):
    """Whether no length of a certificate ends in an octet that the reference takes for indefinite:
    it then writes the certificate anew."""
    der = party.certificate.public_bytes(Encoding.DER)
    return all(der[content - 1] != 0x80 for _, content, _ in places(der))


def mail_pki():
    while True:
        pki = MailPki()
        if all(plain(one) for one in (pki.issuing, pki.alice, pki.dave)):
            return pki


def changed(der, change):
    info = cms.ContentInfo.load(der)
    change(info["content"])
    return info.dump(force=True)


def with_lists(pki, data):
    own = revocation_list(pki.issuing).public_bytes(Encoding.DER)
    data["crls"] = [cms.RevocationInfoChoice("crl", crl.CertificateList.load(own))]


def with_key_id(data):
    signer = data["signer_infos"][0]
    signer["sid"] = cms.SignerIdentifier("subject_key_identifier", core.OctetString(b"k" * 20))


def with_content(kind, content, version):
    """signed-data of no signer around a content of some type."""
    inside = encoded(0x30, core.ObjectIdentifier(kind).dump() + encoded(0xA0, content))
    data = core.Integer(version).dump() + b"\x31\x00" + inside + b"\x31\x00"
    return encoded(0x30, SIGNED + encoded(0xA0, encoded(0x30, data)))


def with_choices(*choices):
    """signed-data of no signer with some of the other forms of certificate."""
    data = core.Integer(1).dump() + b"\x31\x00" + encoded(0x30, DATA)
    data += encoded(CERTIFICATES, b"".join(choices)) + b"\x31\x00"
    return encoded(0x30, SIGNED + encoded(0xA0, encoded(0x30, data)))


def signed_by_another_producer(party):
    builder = pkcs7.PKCS7SignatureBuilder().set_data(ENTITY)
    builder = builder.add_signer(party.certificate, party.key, hashes.SHA256())
    return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


@pytest.fixture(scope="module")
def pki():
    return mail_pki()


@pytest.fixture(scope="module")
def signed(pki):
    one = detached(ENTITY, pki.alice, chain=[pki.issuing])
    return [
        one,
        detached(ENTITY, pki.alice, pki.dave, chain=[pki.issuing]),
        signed_data([signature_by(pki.alice, ENTITY)], [pki.issuing.certificate], ENTITY),
        signed_by_another_producer(pki.dave),
        changed(one, partial(with_lists, pki)),
        changed(one, with_key_id),
        # The bytes of PKCS #7, and those of CMS, around what is no data.
        with_content("1.2.840.113549.1.7.2", encoded(0x04, one), 3),
        with_content("1.2.840.113549.1.7.2", encoded(0x30, b""), 1),
        with_content("1.2.840.113549.1.9.16.1.4", encoded(0x04, encoded(0x30, b"")), 3),
        with_content("1.2.3", encoded(0x0C, b"text"), 1),
        with_choices(encoded(0xA0, b""), encoded(0xA2, b""), encoded(0xA3, b"")),
        with_choices(encoded(0xA1, encoded(0x30, core.Integer(1).dump()))),
        with_choices(encoded(0xA1, encoded(0x30, b"\xa0\x00"))),
    ]


@pytest.fixture(scope="module")
def with_parameters(pki):
    """Objects whose algorithms have parameters that the reference writes anew."""
    return [detached(ENTITY, pki.dave, chain=[pki.issuing], padding=RsaPadding.PSS)]


@pytest.fixture(scope="module")
def others(pki):
    rsa, agreed = partial(by_rsa, pki.bob), partial(by_ecdh, pki.alice)
    return [
        enveloped_cbc(ENTITY, [rsa]),
        enveloped_gcm(ENTITY, [rsa, partial(agreed, ukm=b"material")]),
        enveloped_gcm(ENTITY, [partial(agreed, with_curve=False)], attributes=cms_attributes()),
        compressed(ENTITY),
    ]


def cms_attributes():
    return cms.CMSAttributes([{"type": "content_type", "values": ["data"]}])


# --- breaking -------------------------------------------------------------------------


def places(der, start=0, stop=None):
    """Of each element in DER: where it begins, where its contents do, and where they end."""
    stop = len(der) if stop is None else stop
    found = []
    while start < stop:
        content, length = start + 2, der[start + 1]
        if length & 0x80:
            content += length & 0x7F
            length = int.from_bytes(der[start + 2 : content], "big")
        found.append((start, content, content + length))
        if der[start] & 0x20:
            found += places(der, content, content + length)
        start = content + length
    return found


def rewritten(der, change, start=0, stop=None):
    """DER whose elements went through `change`, the innermost first, with what lengths follow."""
    stop = len(der) if stop is None else stop
    out = b""
    while start < stop:
        (_, content, end), *_ = places(der, start, stop)
        contents = der[content:end]
        if der[start] & 0x20:
            contents = rewritten(der, change, content, end)
        out += change(start, der[start], contents)
        start = end
    return out


@st.composite
def broken(draw, objects):
    """A way to break one of some objects."""
    der = draw(st.sampled_from(objects))
    kind = draw(st.sampled_from(("octets", "headers", "cut", "left out", "doubled")))
    if kind == "cut":
        return der[: draw(st.integers(0, len(der) - 1))]
    found = places(der)
    if kind in ("octets", "headers"):
        octets = bytearray(der)
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(der) - 1))
            if kind == "headers":
                start, content, _ = draw(st.sampled_from(found))
                at = draw(st.integers(start, min(content, len(der) - 1)))
            likely = st.sampled_from((0x30, 0x31, 0x04, 0x24, 0x06, 0x02, 0xA0, 0x80, 0))
            octets[at] = draw(likely | st.integers(0, 255))
        return bytes(octets)
    outside = [place for place in found if not in_certificate(der, place, found)]
    target, _, _ = draw(st.sampled_from(outside))
    times = 0 if kind == "left out" else 2

    def change(start, tag, contents):
        return encoded(tag, contents) * (times if start == target else 1)

    return rewritten(der, change)


def in_certificate(der, place, found):
    """Whether an element is inside a certificate or a list, which the reference may write anew."""
    start, _, end = place
    return any(
        der[outer] in (0xA0, 0xA1) and der[content] == 0x30 and content < start and end <= stop
        for outer, content, stop in found
        # Not the whole content, and not the attributes.
        if outer > 20 and stop - content > {0xA0: 300, 0xA1: 100}.get(der[outer], 0)
    )


@st.composite
def in_pieces(draw, objects):
    """One of some objects with lengths made indefinite and strings constructed."""
    der = draw(st.sampled_from(objects))
    often = draw(st.sampled_from((1, 5, 20)))

    def change(start, tag, contents):
        if draw(st.integers(0, 20)) > often:
            return encoded(tag, contents)
        if tag & 0x20:
            return bytes((tag, 0x80)) + contents + b"\0\0"
        if tag != 0x04:
            return encoded(tag, contents)
        at = draw(st.integers(0, len(contents)))
        pieces = encoded(0x04, contents[:at]) + encoded(0x04, contents[at:])
        return b"\x24\x80" + pieces + b"\0\0"

    return rewritten(der, change)


# --- comparing ------------------------------------------------------------------------


def outcome(read, *arguments):
    with warnings.catch_warnings():
        # Of the library that reads certificates, about their names and numbers.
        warnings.simplefilter("ignore")
        try:
            return "read", read(*arguments)
        except SmimeError as error:
            return type(error).__name__, error.word


def verdicts(data, pki, check):
    return [
        outcome(check, signer, data.content_type, ENTITY, certificate)
        for signer in data.signers
        if signer.signed_octets is not None
        for certificate in (*data.certificates[:2], pki.alice.certificate)
    ]


def ours(signer, content_type, content, certificate):
    return verify(signer, content_type, (content,), certificate)


def compare(octets, pki):
    found = outcome(read_cms, octets)
    assert found == outcome(reference_cms.read_cms, octets)
    if isinstance(found[1], SignedData):
        assert verdicts(found[1], pki, ours) == verdicts(found[1], pki, reference_cms.verify)
    return found


def test_whole_objects_are_read_alike(pki, signed, with_parameters, others):
    read = [compare(octets, pki)[0] for octets in (*signed, *with_parameters, *others)]

    assert read.count("read") == len(read) - 3
    assert read.count("Unsupported") == 2
    assert read.count("Malformed") == 1


def test_odd_objects_are_refused_with_the_same_word(pki):
    structure = ("Malformed", "asn1-structure")
    own = read_cms(detached(ENTITY, pki.alice)).signers[0]
    signing_time = own.attributes[SIGNING_TIME][0]
    text = encoded(0x04, b"text")

    for octets, word in [
        (with_content("1.2.840.113549.1.7.2", text, 3), structure),
        (with_content("1.2.840.113549.1.9.16.1.4", text, 3), structure),
        (with_content("1.2.840.113549.1.7.2", text, 1), structure),
        (with_content("1.2.840.113549.1.7.1", encoded(0x30, b""), 1), structure),
        (with_content("1.2.840.113549.1.9.16.1.4", text, 1), ("Unsupported", "inner-content-type")),
        (encoded(0x30, DATA + encoded(0xA0, text)), ("Unsupported", "content-type")),
        (encoded(0x30, DATA + encoded(0xA0, encoded(0x30, b""))), structure),
        (encoded(0x30, DATA), ("Unsupported", "content-type")),
        (encoded(0x30, SIGNED), structure),
        (with_choices(*[encoded(0xA2, b"")] * 33), ("Malformed", "too-many")),
        (
            attributed(pki, SIGNING_TIME, signing_time, times=2),
            ("Malformed", "duplicate-attribute"),
        ),
    ]:
        assert compare(octets, pki) == word


@given(st.data())
def test_broken_signatures_are_read_alike_or_refused_with_the_same_word(
    pki, signed, with_parameters, data
):
    compare(data.draw(broken([*signed, *with_parameters])), pki)


@given(st.data())
def test_signatures_in_indefinite_lengths_are_read_alike(pki, signed, data):
    compare(data.draw(in_pieces(signed)), pki)


@given(st.data())
def test_parameters_in_indefinite_lengths_are_worth_the_same(pki, with_parameters, data):
    octets = data.draw(in_pieces(with_parameters))
    found, theirs = outcome(read_cms, octets), outcome(reference_cms.read_cms, octets)

    assert found[0] == theirs[0]
    if found[0] == "read":
        assert verdicts(found[1], pki, ours) == verdicts(theirs[1], pki, reference_cms.verify)


@given(st.data())
def test_nothing_else_is_read_that_the_reference_refuses(others, data):
    octets = data.draw(broken(others))
    found = outcome(read_cms, octets)

    if found[0] == "read":
        assert found == outcome(reference_cms.read_cms, octets)
    else:
        # Less is taken for the algorithm of an originator's key, and words may differ.
        assert found[0] in ("Malformed", "Unsupported")


@given(st.data())
def test_everything_else_in_indefinite_lengths_is_read_alike(others, data):
    octets = data.draw(in_pieces(others))

    assert outcome(read_cms, octets) == outcome(reference_cms.read_cms, octets)


# --- attributes -----------------------------------------------------------------------


def named(certificate_hash, **changes):
    return tsp.SigningCertificateV2({"certs": [{"cert_hash": certificate_hash, **changes}]})


@pytest.fixture(scope="module")
def attribute_values(pki):
    """Values of the attributes that a signature is judged by, right and wrong, by their types."""
    own = pki.alice.certificate
    protection = cms.CMSAlgorithmProtection(
        {
            "digest_algorithm": {"algorithm": "sha256"},
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
        }
    )
    mac_protection = cms.CMSAlgorithmProtection(
        {"digest_algorithm": {"algorithm": "sha256"}, "mac_algorithm": {"algorithm": "sha256"}}
    )
    v1 = tsp.SigningCertificate({"certs": [{"cert_hash": own.fingerprint(hashes.SHA1())}]})
    long = {"hash_algorithm": {"algorithm": "sha512"}}
    own_name = own.issuer.public_bytes() + core.Integer(own.serial_number).dump()
    return {
        ENCRYPTION_PREFERENCE: [
            encoded(0xA0, own_name),
            encoded(0xA1, encoded(0x04, b"key")),
            encoded(0x82, b"key"),
        ],
        SIGNING_CERTIFICATE: [v1.dump()],
        SIGNING_CERTIFICATE_V2: [
            named(own.fingerprint(hashes.SHA256())).dump(),
            named(own.fingerprint(hashes.SHA512()), **long).dump(),
            named(own.fingerprint(hashes.SHA512())).dump(),
            named(b"", hash_algorithm={"algorithm": "sha1"}).dump(),
        ],
        ALGORITHM_PROTECTION: [protection.dump(), mac_protection.dump()],
        SIGNING_TIME: [
            b"\x17\x0d260601090000Z",
            b"\x17\x0b2606010900Z",
            b"\x17\x112606010900" + b"00+0200",
            b"\x18\x0f20260601090000Z",
            b"\x18\x0e20260601090000",
            b"\x18\x0f99999999999999Z",
        ],
    }


def attributed(pki, oid, value, times=1):
    """signed-data over the usual attributes and one more, well signed."""
    own = read_cms(detached(ENTITY, pki.alice)).signers[0]
    values = {kind: b"".join(found) for kind, found in own.attributes.items()} | {oid: value}
    if oid == SIGNING_CERTIFICATE:
        # The newer one would count in its place.
        del values[SIGNING_CERTIFICATE_V2]
    attributes = b"".join(
        sorted(
            encoded(0x30, core.ObjectIdentifier(kind).dump() + encoded(0x31, found))
            * (times if kind == oid else 1)
            for kind, found in values.items()
        )
    )
    signature = pki.alice.key.sign(encoded(0x31, attributes), ec.ECDSA(hashes.SHA256()))
    number = core.Integer(own.identity.serial).dump()
    digest, algorithm = (
        encoded(0x30, core.ObjectIdentifier(one.oid).dump()) for one in (own.digest, own.algorithm)
    )
    signer = (
        core.Integer(1).dump()
        + encoded(0x30, own.identity.issuer + number)
        + digest
        + encoded(0xA0, attributes)
        + algorithm
        + encoded(0x04, signature)
    )
    data = core.Integer(1).dump() + b"\x31\x00" + encoded(0x30, DATA)
    data += encoded(0x31, encoded(0x30, signer))
    return encoded(0x30, SIGNED + encoded(0xA0, encoded(0x30, data)))


def test_right_attributes_are_good_and_wrong_ones_are_not(pki, attribute_values):
    good = [
        verdicts(read_cms(attributed(pki, oid, value)), pki, ours)[0][0] == "read"
        for oid, values in sorted(attribute_values.items())
        for value in values
    ]

    assert good == [True] * 3 + [
        True,
        True,
        True,
        False,
        False,
        True,
        True,
        True,
        True,
        True,
        False,
        True,
        False,
    ]


@given(st.data())
def test_attributes_are_judged_alike(pki, attribute_values, data):
    oid = data.draw(st.sampled_from(sorted(attribute_values)))
    values = attribute_values[oid]
    value = data.draw(st.sampled_from(values) | broken(values) | in_pieces(values))

    compare(attributed(pki, oid, value), pki)


def test_attributes_that_nobody_walked_over_are_bounded():
    own = b"".join(
        encoded(0x30, core.ObjectIdentifier(kind).dump() + encoded(0x31, value))
        for kind, value in (("1.2.3", b"\x05\x00"), ("1.2.4", b"\x05\x00" * 2))
    )
    assert attributes_of(encoded(0x31, own)) == {
        "1.2.3": (b"\x05\x00",),
        "1.2.4": (b"\x05\x00", b"\x05\x00"),
    }
    with pytest.raises(Malformed, match="too-many"):
        attributes_of(encoded(0x31, b"\x05\x00" * 200_000))
    with pytest.raises(Malformed, match="asn1-structure"):
        attributes_of(encoded(0x31, own) + b"\r\n")
