"""Certification paths (RFC 5280 section 6), for mail (RFC 8550 section 4) and for TLS.

`cryptography.x509.verification` fits TLS: it demands a server or client profile and one answer for
all causes. Here the cause is the verdict, so the steps are written out; the signatures, the names
and the extensions are the library's.

Left out, and refused where a certificate makes them critical: policy constraints that require a
policy, and mappings of policies. No anchor of ours sets an initial policy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mssante.trust.anchors import Trust
from mssante.trust.extensions import all_extensions, extension
from mssante.trust.name_constraints import check_name_constraints
from mssante.trust.refusals import CertificateRefused, OutsideValidity, Untrusted, WrongUsage
from mssante.wire.smime.errors import SignatureInvalid, SmimeError
from mssante.wire.smime.keys import public_key_of
from mssante.wire.smime.signature import key_id_of

MAX_PATH: Final = 8
"""Certificates of a path, the anchor included."""
_MAX_TRIES: Final = 64
"""Signatures of certificates verified for one end entity: crossed certificates cost no more."""

Path = tuple[x509.Certificate, ...]
"""From the end entity to the anchor."""

_STRONG: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_KNOWN_CRITICAL: Final = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    )
)


@dataclass(frozen=True, slots=True)
class Usages:
    """What the certificates of a path must be made for."""

    extended: frozenset[x509.ObjectIdentifier]
    """One of these, or anyExtendedKeyUsage, stands in each certificate that has the extension; empty:
    whatever stands there."""
    extended_word: str
    """In the reasons: ``eku-without-WORD``."""
    key: Callable[[x509.KeyUsage], bool]
    """What the end entity's key usage must allow, where it has the extension."""
    key_word: str
    """In the reason: ``ku-without-WORD``."""


_MAIL: Final = frozenset((ExtendedKeyUsageOID.EMAIL_PROTECTION,))


@unique
class Purpose(Enum):
    """What the end entity's key is used for in mail (RFC 8550 section 4.4)."""

    SIGN = "sign"
    ENCRYPT = "encrypt"


_MAIL_USAGES: Final = {
    Purpose.SIGN: Usages(
        _MAIL,
        "emailProtection",
        lambda usage: usage.digital_signature or usage.content_commitment,
        "signature",
    ),
    Purpose.ENCRYPT: Usages(
        _MAIL,
        "emailProtection",
        lambda usage: usage.key_encipherment or usage.key_agreement,
        "encryption",
    ),
}


def find_path(
    certificate: x509.Certificate,
    trust: Trust,
    embedded: Sequence[x509.Certificate],
    purpose: Purpose | Usages,
    at: datetime,
) -> Path:
    """A valid path, revocation aside.

    Args:
        certificate: of the end entity.
        trust: the anchors, and intermediates that we know.
        embedded: further certificates that may be intermediates, for instance a message's.
        purpose: of the end entity's key, for mail or for something else.
        at: the instant, with offset.

    Raises:
        Untrusted: path-incomplete, unknown-root, path-too-long, too-many-paths, issuer-not-ca,
            path-length, issuer-key-usage, name-constraints, unknown-critical-extension,
            policy-constraints, extension-malformed.
        SignatureInvalid: weak-digest or weak-key in a certificate below the anchor.
        Unsupported: an algorithm.
        WrongUsage: for mail eku-without-emailProtection, ku-without-signature,
            ku-without-encryption, issuer-eku-without-emailProtection; else the words of `Usages`.
        OutsideValidity: certificate-expired, certificate-not-yet-valid, issuer-outside-validity.
    """
    usages = _MAIL_USAGES[purpose] if isinstance(purpose, Purpose) else purpose
    refusal: CertificateRefused | SmimeError | None = None
    search = _Search(trust, embedded)
    for path in search.paths((certificate,)):
        try:
            _check_path(path)
            _check_usage(path, usages)
            _check_validity(path, at)
        except (CertificateRefused, SmimeError) as error:
            if refusal is None or _rank(error) > _rank(refusal):
                refusal = error
        else:
            return path
    raise refusal or search.why_none()


def _rank(error: CertificateRefused | SmimeError) -> int:
    """How far a path came: of several that fail, the reason of the best one is told."""
    if isinstance(error, OutsideValidity):
        return 3
    if isinstance(error, WrongUsage):
        return 2
    return 1 if isinstance(error, Untrusted) else 0


class _Search:
    """Builds paths upwards, depth first, anchors before intermediates."""

    def __init__(self, trust: Trust, embedded: Sequence[x509.Certificate]) -> None:
        self._anchors = trust.anchors
        self._intermediates = tuple(dict.fromkeys((*embedded, *trust.certificates)))
        self._tries = 0
        self._self_issued_end = False
        self._stopped = ""
        self._weak = False

    def paths(self, below: Path) -> Iterator[Path]:
        last = below[-1]
        if last in self._anchors:
            yield below
            return
        if last.subject == last.issuer and _is_issued_by(last, last):
            self._self_issued_end = True
        for anchor in self._anchors:
            if self._links(last, anchor):
                yield (*below, anchor)
        if len(below) >= MAX_PATH - 1:
            self._stopped = "path-too-long"
            return
        for issuer in self._intermediates:
            if issuer not in below and issuer not in self._anchors and self._links(last, issuer):
                yield from self.paths((*below, issuer))

    def why_none(self) -> CertificateRefused | SmimeError:
        if self._weak:
            return SignatureInvalid("weak-digest")
        if self._stopped:
            return Untrusted(self._stopped)
        return Untrusted("unknown-root" if self._self_issued_end else "path-incomplete")

    def _links(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        if certificate.issuer != issuer.subject or not _key_ids_agree(certificate, issuer):
            return False
        if self._tries >= _MAX_TRIES:
            self._stopped = "too-many-paths"
            return False
        if not _has_strong_hash(certificate):
            self._weak = True
            return False
        self._tries += 1
        return _is_issued_by(certificate, issuer)


def _key_ids_agree(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        wanted = extension(certificate, x509.AuthorityKeyIdentifier)
    except Untrusted:
        # Judged with the path, where it has a name.
        return True
    if wanted is None or wanted.key_identifier is None:
        return True
    try:
        return wanted.key_identifier == key_id_of(issuer)
    except (ValueError, UnsupportedAlgorithm):
        return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _check_path(path: Path) -> None:
    """RFC 5280 section 6.1, but for dates and usage; the anchor's own limits hold too."""
    for position, certificate in enumerate(path):
        _check_critical(certificate)
        is_anchor = position == len(path) - 1
        if not is_anchor or position == 0:
            public_key_of(certificate)
        if position:
            _check_authority(certificate, path[1:position])
    check_name_constraints(path)


def _has_strong_hash(certificate: x509.Certificate) -> bool:
    try:
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return False
    # Ed25519 names no hash.
    return algorithm is None or isinstance(algorithm, _STRONG)


def _check_authority(certificate: x509.Certificate, below: Path) -> None:
    """What an issuer must be: section 6.1.4 (k) to (n).

    `below` is the authorities between it and the end entity.
    """
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Untrusted("issuer-not-ca")
    if constraints.path_length is not None:
        counted = sum(each.subject != each.issuer for each in below)
        if counted > constraints.path_length:
            raise Untrusted("path-length")
    usage = extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Untrusted("issuer-key-usage")


def _check_critical(certificate: x509.Certificate) -> None:
    for each in all_extensions(certificate):
        if each.oid == ExtensionOID.POLICY_CONSTRAINTS:
            value = each.value
            assert isinstance(value, x509.PolicyConstraints)
            if value.require_explicit_policy is not None:
                raise Untrusted("policy-constraints")
        elif each.critical and each.oid not in _KNOWN_CRITICAL:
            raise Untrusted("unknown-critical-extension")


def _check_usage(path: Path, usages: Usages) -> None:
    allowed = usages.extended | {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    for position, certificate in enumerate(path):
        extended = extension(certificate, x509.ExtendedKeyUsage)
        if usages.extended and extended is not None and not allowed & set(extended):
            word = f"eku-without-{usages.extended_word}"
            raise WrongUsage(f"issuer-{word}" if position else word)
    usage = extension(path[0], x509.KeyUsage)
    if usage is not None and not usages.key(usage):
        raise WrongUsage(f"ku-without-{usages.key_word}")


def _check_validity(path: Path, at: datetime) -> None:
    for position, certificate in enumerate(path):
        if certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            continue
        if position:
            raise OutsideValidity("issuer-outside-validity")
        expired = at > certificate.not_valid_after_utc
        raise OutsideValidity("certificate-expired" if expired else "certificate-not-yet-valid")
