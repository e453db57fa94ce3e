"""Whether a signer's certificate is good at an instant: its path and its revocation together.

Finding a path is the slowest step of a verification, and the same for all messages of one signer.
`Validations` remembers good answers for minutes; signatures on messages are verified always.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.trust.anchors import Trust
from mssante.trust.path import Path, Purpose, find_path
from mssante.trust.revocation import Freshness, check_revocation

Validated = tuple[Path, Freshness]
Certificates = Sequence[x509.Certificate]
Lists = Sequence[x509.CertificateRevocationList]
Validate = Callable[[x509.Certificate, Trust, Certificates, Lists, datetime], Validated]

_REMEMBERED: Final = 2048
_BELIEVED: Final = timedelta(minutes=5)


def validate(
    certificate: x509.Certificate, trust: Trust, beside: Certificates, lists: Lists, at: datetime
) -> Validated:
    """A valid path for signing, and how much is known about revocation.

    Args:
        certificate: of the signer.
        trust: what is believed.
        beside: certificates of the message, that may be intermediates.
        lists: revocation lists of the message.
        at: the instant.

    Raises:
        CertificateRefused, SmimeError: see `find_path` and `check_revocation`.
    """
    path = find_path(certificate, trust, beside, Purpose.SIGN, at)
    return path, check_revocation(path, (*trust.revocation_lists, *lists), at)


class Validations:
    """Remembers what was found good. One thread at a time may be wrong about its size, not more."""

    def __init__(self) -> None:
        self._trust: Trust | None = None
        self._known: OrderedDict[bytes, tuple[datetime, datetime, Validated]] = OrderedDict()

    def __call__(
        self,
        certificate: x509.Certificate,
        trust: Trust,
        beside: Certificates,
        lists: Lists,
        at: datetime,
    ) -> Validated:
        """See `validate`."""
        known = self._known
        if trust is not self._trust:
            # Other anchors or lists: nothing of what was found holds.
            known = self._known = OrderedDict()
            self._trust = trust
        key = _key(certificate, beside, lists)
        found = known.get(key)
        if found is not None and found[0] <= at < found[1]:
            return found[2]
        answer = validate(certificate, trust, beside, lists, at)
        known[key] = (at, _until(answer[0], (*trust.revocation_lists, *lists), at), answer)
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
        return answer


def _key(certificate: x509.Certificate, beside: Certificates, lists: Lists) -> bytes:
    digest = sha256()
    encodings = [one.public_bytes(Encoding.DER) for one in (certificate, *beside)]
    encodings += [one.public_bytes(Encoding.DER) for one in lists]
    for encoded in encodings:
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    digest.update(len(beside).to_bytes(4, "big"))
    return digest.digest()


def _until(path: Path, lists: Lists, at: datetime) -> datetime:
    """The answer may be another when something in it ends."""
    ends = [each.not_valid_after_utc for each in path]
    ends += [end for each in lists if (end := each.next_update_utc) is not None and end > at]
    return min(at + _BELIEVED, *ends)
