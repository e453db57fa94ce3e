"""The spliced signatures are those of the builder that they are cut out of."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.smime.cms import read_cms
from mssante.wire.smime.signing import Signature, sign_attributes, signed_data, to_sign
from mssante.wire.smime.signing_template import SignatureTemplate
from tests.support.mail_pki import SIGNED_AT, MailPki, person

PKI = MailPki()
RSA = person(PKI.issuing, "rsa@nord.example", key=rsa.generate_private_key(65537, 2048))
PARTIES = {"P-256": PKI.alice, "another": PKI.carol, "RSA": RSA}
"""Two of one scheme: the second is spliced into what was cut out for the first."""
TEMPLATES = {
    name: SignatureTemplate(party.certificate, [PKI.issuing.certificate])
    for name, party in PARTIES.items()
}


@given(
    st.binary(max_size=200),
    st.datetimes(datetime(2000, 1, 1), datetime(2049, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(sorted(PARTIES)),
)
def test_the_same_bytes_as_the_general_builder_for_any_content_and_time(content, at, name):
    party, template = PARTIES[name], TEMPLATES[name]
    attributes = template.attributes(sha256(content).digest(), at)
    value = sign_attributes(attributes, party.key, template.scheme)
    signature = Signature(party.certificate, template.scheme, attributes, value)

    assert attributes == to_sign(content, party.certificate, template.scheme, at)
    assert template.signed(attributes, value) == signed_data([signature], [PKI.issuing.certificate])


@pytest.mark.parametrize("name", sorted(PARTIES))
def test_the_same_arguments_give_the_same_bytes_and_the_signature_verifies(name):
    party, template = PARTIES[name], TEMPLATES[name]
    digest = sha256(b"content").digest()

    assert template.sign(digest, SIGNED_AT, party.key) == template.sign(
        digest, SIGNED_AT, party.key
    )
    if name == "P-256":
        attributes = template.attributes(digest, SIGNED_AT)
        signed = template.sign(digest, SIGNED_AT, party.key)
        value = read_cms(signed).signers[0].signature
        party.certificate.public_key().verify(value, attributes, ec.ECDSA(hashes.SHA256()))


def test_a_time_that_is_written_in_another_form_is_refused():
    with pytest.raises(ValueError, match="2050"):
        TEMPLATES["RSA"].attributes(bytes(32), datetime(2050, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="offset"):
        TEMPLATES["RSA"].attributes(bytes(32), datetime(2030, 1, 1))


def test_a_key_that_signs_with_another_hash_has_no_template():
    large = person(PKI.issuing, "p384@nord.example", key=ec.generate_private_key(ec.SECP384R1()))

    with pytest.raises(ValueError, match="SHA-256"):
        SignatureTemplate(large.certificate)
