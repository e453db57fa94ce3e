"""The signature of the white list: XML-DSig (W3C, 2013), enveloped in the list's root.

Only what was signed is read on: the octets that the library digested, never the file. So elements
that were moved around the signed ones (signature wrapping) are simply not there.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from mssante.trust.anchors import Trust
from mssante.trust.names import name_of
from mssante.trust.path import Usages, find_path
from mssante.trust.refusals import CertificateRefused
from mssante.trust.revocation import check_revocation
from mssante.wire.smime.errors import SmimeError
from mssante.wire.whitelist.model import WhiteList
from mssante.wire.whitelist.reader import (
    WhiteListRefused,
    read_signature,
    read_white_list,
)
from mssante.wire.x500 import DistinguishedName

_METHODS: Final = frozenset(
    (
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    )
)
_DIGESTS: Final = frozenset(
    (
        DigestAlgorithm.SHA256,
        DigestAlgorithm.SHA384,
        DigestAlgorithm.SHA512,
    )
)
_USAGES: Final = Usages(
    frozenset(),
    "",
    lambda usage: usage.digital_signature or usage.content_commitment,
    "signature",
)


@dataclass(frozen=True, slots=True)
class ListPolicy:
    """What the signature of a white list must be. A signature that is there is always verified."""

    trust: Trust = field(default_factory=lambda: Trust(()), repr=False)
    """The signer's certificate chains to one of its anchors."""
    signer: DistinguishedName = field(
        default_factory=lambda: DistinguishedName.of([[("2.5.4.10", "ANS")]])
    )
    """Attributes that the signer's subject must have, whatever others it has."""
    required: bool = False
    """Refuse a list without signature."""


def checked_white_list(content: bytes, policy: ListPolicy, at: datetime) -> WhiteList:
    """Read a white list, and verify its signature if it has one.

    Args:
        content: the XML file.
        policy: what the signature must be.
        at: the instant at which the signer's certificate must be good.

    Raises:
        WhiteListRefused: as `read_white_list`, and ``signature``.
    """
    plain = read_white_list(content)
    if not plain.signed:
        if policy.required:
            raise WhiteListRefused("signature", "it is not signed, and [trust] asks for that")
        return plain
    signer = _believed_signer(content, policy, at)
    try:
        result = XMLVerifier().verify(
            content,
            x509_cert=signer,
            expect_config=SignatureConfiguration(
                location="./",
                expect_references=1,
                signature_methods=_METHODS,
                digest_algorithms=_DIGESTS,
                # The certificate was judged already, at an instant of ours.
                verification_time=at,
            ),
        )
    except (
        SignXMLException,
        InvalidSignature,
        UnsupportedAlgorithm,
        etree.LxmlError,
        ValueError,
        TypeError,
    ) as error:
        raise WhiteListRefused(
            "signature", f"it does not verify ({type(error).__name__})"
        ) from None
    assert isinstance(result, VerifyResult)  # one reference, one result
    signed = read_white_list(result.signed_data)
    return WhiteList(signed.generated, signed.listings, signed=True, signer=_name(signer))


def _believed_signer(content: bytes, policy: ListPolicy, at: datetime) -> x509.Certificate:
    if not policy.trust.anchors:
        raise WhiteListRefused(
            "signature", "it is signed; name the signer's authority in [trust] white_list_anchors"
        )
    found = read_signature(content)
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in found]
    except (ValueError, x509.InvalidVersion):
        raise WhiteListRefused("signature", "its certificate cannot be read") from None
    if not certificates:
        raise WhiteListRefused("signature", "it holds no certificate")
    refused: CertificateRefused | SmimeError | None = None
    for certificate in certificates:
        # The signer's own may stand anywhere among them; it is the one with the configured name.
        if not _matches(certificate, policy.signer):
            continue
        others = [each for each in certificates if each is not certificate]
        try:
            path = find_path(certificate, policy.trust, others, _USAGES, at)
            check_revocation(path, policy.trust.revocation_lists, at)
        except (CertificateRefused, SmimeError) as error:
            refused = error
        else:
            return certificate
    if refused is not None:
        raise WhiteListRefused("signature", f"its signer is not believed: {refused}")
    raise WhiteListRefused("signature", "its signer is another than [trust] white_list_signer")


def _matches(certificate: x509.Certificate, wanted: DistinguishedName) -> bool:
    try:
        has = {pair for rdn in name_of(certificate.subject).rdns for pair in rdn}
    except ValueError:
        return False
    return all(pair in has for rdn in wanted.rdns for pair in rdn)


def _name(certificate: x509.Certificate) -> str:
    return str(name_of(certificate.subject))
