"""Revocation by lists (RFC 5280 sections 5 and 6.3), at an instant.

A list is believed when the authority that issued the certificate signed it. Delta lists, indirect
lists and lists of some reasons only are not used to call a certificate good.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum, unique
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from mssante.trust.anchors import Unreadable, read_revocation_lists
from mssante.trust.extensions import all_extensions, extension
from mssante.trust.path import Path
from mssante.trust.refusals import Revoked, Untrusted
from mssante.wire.smime.keys import public_key_of

GRACE: Final = timedelta(hours=24)
"""How long a list is still used after its nextUpdate, and the answer called stale."""

_KNOWN_CRITICAL: Final = frozenset(
    (
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    )
)
_KNOWN_ENTRY: Final = frozenset(
    (CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE)
)
_STRONG: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@unique
class Freshness(IntEnum):
    """How much is known about a certificate that no list revokes; the order is from best to worst."""

    GOOD = 0
    STALE = 1
    """The newest list is past its nextUpdate, within the grace."""
    UNKNOWN = 2
    """No list covers it."""


def check_revocation(
    path: Path, lists: Iterable[x509.CertificateRevocationList], at: datetime
) -> Freshness:
    """Check each certificate of a path but the anchor; the least that is known of any.

    Args:
        path: a valid path, from the end entity to the anchor.
        lists: all that are at hand, also a message's.
        at: the instant, with offset.

    Raises:
        Revoked: ``revoked-<date>-<reason>`` of the end entity, ``issuer-revoked-…`` above it.
    """
    known = tuple(lists)
    worst = Freshness.GOOD
    for position, certificate in enumerate(path[:-1]):
        try:
            found = _status(certificate, path[position + 1], known, at)
        except Revoked as revoked:
            raise revoked if not position else Revoked(f"issuer-{revoked.reason}") from None
        worst = max(worst, found)
    return worst


def check_fetched(
    octets: bytes, present: bytes | None, authorities: Iterable[x509.Certificate]
) -> None:
    """Check that a fetched list may take the place of the one that was fetched before: over HTTP
    anybody could have put it there.

    Args:
        octets: what came.
        present: the one that is kept; None without one.
        authorities: ours; one of them must have signed it.

    Raises:
        Unreadable: malformed, signed by nobody that we know, or older than the present one.
    """
    known = tuple(authorities)
    lists = read_revocation_lists(octets)
    for one in lists:
        if not any(one.issuer == each.subject and _is_signed_by(one, each) for each in known):
            raise Unreadable("no authority of ours has signed it")
    if present is not None and lists[0].last_update_utc < _first(present).last_update_utc:
        raise Unreadable("it is older than the one that is kept")


def half_life(octets: bytes) -> datetime | None:
    """When a list has come half of the way to its nextUpdate; None where it names none.

    Raises:
        Unreadable: it is no list.
    """
    one = _first(octets)
    if one.next_update_utc is None:
        return None
    return one.last_update_utc + (one.next_update_utc - one.last_update_utc) / 2


def _first(octets: bytes) -> x509.CertificateRevocationList:
    return read_revocation_lists(octets)[0]


def _status(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    lists: Sequence[x509.CertificateRevocationList],
    at: datetime,
) -> Freshness:
    best = Freshness.UNKNOWN
    for one in lists:
        if one.issuer != issuer.subject or not _covers(one, certificate):
            continue
        if not _is_signed_by(one, issuer):
            continue
        try:
            entry = one.get_revoked_certificate_by_serial_number(certificate.serial_number)
        except ValueError:
            # An authority signed a list that cannot be read: it tells nothing.
            continue
        if entry is not None:
            _check_entry(entry, at)
        best = min(best, _freshness(one, at))
    return best


def _is_signed_by(one: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        usage = extension(issuer, x509.KeyUsage)
        strong = isinstance(one.signature_hash_algorithm, (*_STRONG, type(None)))
        if (usage is not None and not usage.crl_sign) or not strong:
            return False
        return one.is_signature_valid(public_key_of(issuer))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _covers(one: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    """Whether a list is about a certificate (RFC 5280 section 6.3.3 (b))."""
    try:
        if any(each.critical and each.oid not in _KNOWN_CRITICAL for each in all_extensions(one)):
            return False
        point = extension(one, x509.IssuingDistributionPoint)
        constraints = extension(certificate, x509.BasicConstraints)
        points = extension(certificate, x509.CRLDistributionPoints)
    except Untrusted:
        return False
    if point is None:
        return True
    is_authority = constraints is not None and constraints.ca
    wrong_kind = (
        point.only_contains_ca_certs if not is_authority else point.only_contains_user_certs
    )
    if wrong_kind or point.only_contains_attribute_certs or point.indirect_crl:
        return False
    if point.only_some_reasons is not None or point.relative_name is not None:
        return False
    if point.full_name is None:
        return True
    named = [name for each in points or () for name in each.full_name or ()]
    return any(name in point.full_name for name in named)


def _check_entry(entry: x509.RevokedCertificate, at: datetime) -> None:
    try:
        reason = extension(entry, x509.CRLReason)
        invalidity = extension(entry, x509.InvalidityDate)
        unknown = any(
            each.critical and each.oid not in _KNOWN_ENTRY for each in all_extensions(entry)
        )
    except Untrusted:
        reason, invalidity, unknown = None, None, True
    since = entry.revocation_date_utc
    if invalidity is not None:
        since = min(since, invalidity.invalidity_date_utc)
    if since > at and not unknown:
        return
    word = reason.reason.value if reason is not None else "unspecified"
    day = since.astimezone(UTC).date().isoformat()
    raise Revoked(f"revoked-{day}-{word}")


def _freshness(one: x509.CertificateRevocationList, at: datetime) -> Freshness:
    """A list issued after the instant tells more about it, not less."""
    until = one.next_update_utc
    if until is None or at <= until:
        return Freshness.GOOD
    return Freshness.STALE if at <= until + GRACE else Freshness.UNKNOWN
