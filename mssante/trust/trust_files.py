"""Anchors and revocation lists from files, read again when they change: replaceable while running."""

import logging
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from cryptography import x509

from mssante.trust.anchors import Trust, Unreadable, read_certificates, read_revocation_lists

_LOG: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0
_Stamp = tuple[tuple[int, int, int] | None, ...]


class TrustFiles:
    """The trust of an instance. A file that is replaced counts within seconds; one that cannot be
    read leaves what was read before in force.
    """

    def __init__(
        self,
        anchors: Sequence[Path],
        revocation_lists: Sequence[Path],
        known: Sequence[x509.Certificate] = (),
    ) -> None:
        """`known` are intermediates that messages may leave out."""
        self._anchors = tuple(anchors)
        self._lists = tuple(revocation_lists)
        self._known = tuple(known)
        self._trust = Trust((), self._known)
        self._stamp: _Stamp | None = None
        self._looked = -_LOOK_SECONDS

    def current(self) -> Trust:
        """What is in force; the same object as long as no file changes."""
        now = monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return self._trust
        self._looked = now
        stamp = tuple(map(_stamp, (*self._anchors, *self._lists)))
        if stamp != self._stamp:
            self._stamp = stamp
            self._read()
        return self._trust

    def _read(self) -> None:
        try:
            self._trust = Trust(
                tuple(
                    one for path in self._anchors for one in read_certificates(path.read_bytes())
                ),
                self._known,
                # A list that was never made revokes nothing.
                tuple(
                    one
                    for path in self._lists
                    if path.exists()
                    for one in read_revocation_lists(path.read_bytes())
                ),
            )
        except (OSError, Unreadable) as failure:
            _LOG.error(
                "anchors or revocation lists cannot be read; those read before stay in force",
                extra={"why": str(failure)},
            )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
