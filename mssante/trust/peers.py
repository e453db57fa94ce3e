"""Whether the certificate that another operator shows in TLS is believed, and whose name it has.

TLS has proven that the peer holds its key (`mssante.trust.peer_tls`); here is everything else: a path to
an authority of ours, dates, usages, revocation. What the name may do is the white list's question.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, unique
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.trust.anchors import Trust
from mssante.trust.names import name_of
from mssante.trust.path import Path, Usages, find_path
from mssante.trust.refusals import CertificateRefused, Untrusted
from mssante.trust.revocation import GRACE, Freshness, check_revocation
from mssante.wire.smime.errors import SmimeError
from mssante.wire.x500 import DistinguishedName

MAX_CHAIN: Final = 10
"""Certificates that a peer may show; the longest real chain has three."""
_REMEMBERED: Final = 1024
"""Chains; some 320 operators exist."""
_LONGEST: Final = timedelta(hours=1)
_LONGEST_REFUSAL: Final = timedelta(minutes=1)

USAGES: Final = {
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
}
"""Extended key usages by their names in RFC 5280 section 4.2.1.12."""


@unique
class Side(Enum):
    """Which end of the connection the peer is."""

    CLIENT = "client"
    """It sends to us."""
    SERVER = "server"
    """It receives from us."""


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """What an operator's certificate must be."""

    client_usages: tuple[str, ...] = ("clientAuth",)
    """One of these must stand in a client's certificate that limits its usages; of `USAGES`."""
    revocation_must_be_known: bool = False
    """Refuse where no revocation list in force covers the certificates."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    since: datetime
    until: datetime
    name: DistinguishedName | None
    refusal: CertificateRefused | None


class PeerJudge:
    """Judges chains of certificates. A verdict is kept until something in it could change: paths and
    revocation lists cost milliseconds, and an operator connects often.
    """

    def __init__(self, trust: Trust, policy: PeerPolicy) -> None:
        self._trust = trust
        self._policy = policy
        self._usages = {
            Side.CLIENT: _usages(policy.client_usages),
            Side.SERVER: _usages(("serverAuth",)),
        }
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()

    @property
    def trust(self) -> Trust:
        """Authorities and revocation lists in force."""
        return self._trust

    def renew(self, trust: Trust) -> None:
        """Put other authorities or revocation lists in force; every verdict is forgotten."""
        self._trust = trust
        self._verdicts = OrderedDict()

    def judge(self, chain: Sequence[bytes], at: datetime, side: Side) -> DistinguishedName:
        """Judge what a peer showed; gives the name in its certificate.

        Args:
            chain: certificates in DER, the peer's own first; the others, in any order and as many as
                there are, may help to build the path and are believed in nothing.
            at: the present instant.
            side: which end the peer is.

        Raises:
            CertificateRefused: with the reason; one of those of `find_path` and `check_revocation`,
                ``revocation-unknown``, ``certificate-malformed``, ``chain-too-long``.
        """
        key = _key(chain, side)
        return _told(self._remembered(key, at) or self._judge(key, chain, at, side))

    async def judge_aside(
        self, chain: Sequence[bytes], at: datetime, side: Side
    ) -> DistinguishedName:
        """As `judge`, without holding up the event loop where the verdict is not remembered: large
        revocation lists take tenths of a second.
        """
        key = _key(chain, side)
        remembered = self._remembered(key, at)
        if remembered is None:
            remembered = await asyncio.to_thread(self._judge, key, chain, at, side)
        return _told(remembered)

    def _remembered(self, key: bytes, at: datetime) -> _Verdict | None:
        found = self._verdicts.get(key)
        return found if found is not None and found.since <= at < found.until else None

    def _judge(self, key: bytes, chain: Sequence[bytes], at: datetime, side: Side) -> _Verdict:
        trust, verdicts = self._trust, self._verdicts  # as they are now, in whichever thread
        try:
            path = _path(chain, trust, self._usages[side], at)
            freshness = check_revocation(path, trust.revocation_lists, at)
            if freshness is Freshness.UNKNOWN and self._policy.revocation_must_be_known:
                raise Untrusted("revocation-unknown")
            verdict = _Verdict(at, _until(path, trust, at), name_of(path[0].subject), None)
        except CertificateRefused as refused:
            verdict = _Verdict(at, at + _LONGEST_REFUSAL, None, refused)
        verdicts[key] = verdict
        if len(verdicts) > _REMEMBERED:
            verdicts.popitem(last=False)
        return verdict


def claimed_name(certificate: bytes) -> str:
    """The subject that a certificate claims, for the audit of its refusal; at most 300 characters.

    Nothing about it is proven. Empty where it cannot be read.
    """
    try:
        return str(name_of(x509.load_der_x509_certificate(certificate).subject))[:300]
    except (ValueError, TypeError, x509.InvalidVersion):
        return ""


def _told(verdict: _Verdict) -> DistinguishedName:
    if verdict.refusal is not None:
        # A new one: an exception that is raised again gathers traces.
        raise type(verdict.refusal)(verdict.refusal.reason)
    assert verdict.name is not None
    return verdict.name


def _key(chain: Sequence[bytes], side: Side) -> bytes:
    gathered = sha256(side.value.encode())
    for certificate in chain:
        gathered.update(sha256(certificate).digest())
    return gathered.digest()


def _usages(names: Sequence[str]) -> Usages:
    return Usages(
        frozenset(USAGES[name] for name in names),
        "-or-".join(names),
        # All our suites sign in the handshake, on both ends.
        lambda usage: usage.digital_signature,
        "signature",
    )


def _path(chain: Sequence[bytes], trust: Trust, usages: Usages, at: datetime) -> Path:
    if len(chain) > MAX_CHAIN:
        raise Untrusted("chain-too-long")
    try:
        own, *others = map(x509.load_der_x509_certificate, chain)
        for each in (own, *others):  # read now: the library reads them only when they are asked for
            _ = each.subject, each.issuer
    except (ValueError, TypeError, x509.InvalidVersion):
        raise Untrusted("certificate-malformed") from None
    try:
        return find_path(own, trust, others, usages, at)
    except SmimeError as error:
        raise Untrusted(error.word) from None


def _until(path: Path, trust: Trust, at: datetime) -> datetime:
    """When a good verdict must be made again."""
    changes = [at + _LONGEST, *(certificate.not_valid_after_utc for certificate in path)]
    for one in trust.revocation_lists:
        if one.next_update_utc is not None:
            changes += [one.next_update_utc, one.next_update_utc + GRACE]
    # At the very instant of an end everything is still good, and nothing is remembered.
    return min(change for change in changes if change >= at)
