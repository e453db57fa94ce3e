"""What is not carried: attachments of kinds that do harm, and what a scanner finds.

Between opening and every effect: what is refused here is neither delivered, filed nor relayed, and its
sender is told. What cannot be scanned is not passed: it waits.
"""

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Protocol

from mssante.wire.mime.attachments import attachments
from mssante.wire.mime.limits import MimeError
from mssante.wire.mime.scanner import Part, scan
from mssante.wire.mime.transfer import decode_body

_ENCRYPTED: Final = 0x1
"""Bit of a ZIP member's flags."""
_ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_MOST_DECODED: Final = 64 * 1024 * 1024


class ScannerUnavailable(Exception):
    """The scanner does not answer, or could not judge: try again later."""


class Scanner(Protocol):
    """Looks for malware; ``clients`` provides it."""

    async def scan(self, content: bytes) -> str | None:
        """The name of what was found; None for nothing.

        Raises:
            ScannerUnavailable: there is no verdict.
        """
        ...


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a message is not carried."""

    cause: str
    """``attachment-type``, ``encrypted-archive`` or ``malware``."""
    found: str
    """The ending of a name, or the scanner's name of what it found: never the sender's words."""


@dataclass(frozen=True, slots=True)
class AttachmentPolicy:
    """Which attachments are taken."""

    refused_endings: frozenset[str]
    """Of file names, lower case, without the dot; also of names inside ZIP archives."""
    encrypted_archives: bool
    """Whether archives are taken that nobody here can look into."""

    def objection(self, content: bytes, root: Part) -> Objection | None:
        """What stands against a message, by the names and archives in it."""
        for one in attachments(root):
            name = one.filename or ""
            if self._refuses(name):
                return Objection("attachment-type", _ending(name))
            if content[one.span[0] : one.span[0] + 4096].lstrip()[:4] in (b"UEsD", b"UEsF") or (
                content[one.span[0] : one.span[0] + 4] in _ZIP_STARTS
            ):
                found = self._in_archive(content[slice(*one.span)], one.encoding)
                if found is not None:
                    return found
        return None

    def _in_archive(self, encoded: bytes, encoding: str) -> Objection | None:
        for name, encrypted in _members(encoded, encoding):
            if encrypted and not self.encrypted_archives:
                return Objection("encrypted-archive", "zip")
            if self._refuses(name):
                return Objection("attachment-type", _ending(name))
        return None

    def _refuses(self, name: str) -> bool:
        return _ending(name) in self.refused_endings


@dataclass(frozen=True, slots=True)
class Screening:
    """Judges messages before anything becomes of them."""

    attachments: AttachmentPolicy
    scanner: Scanner | None
    """None: nobody looks for malware here."""

    async def objection(
        self, content: bytes, root: Part, opened: Iterable[bytes]
    ) -> Objection | None:
        """Why a message is not carried; None for most.

        Args:
            content: the message as it came.
            root: as it was scanned.
            opened: the forms in which it was decrypted or taken out of a signature.

        Raises:
            ScannerUnavailable: it cannot be judged now.
        """
        forms = [(content, root), *((form, _scanned(form)) for form in opened)]
        for form, its_root in forms:
            found = self.attachments.objection(form, its_root) if its_root is not None else None
            if found is not None:
                return found
        if self.scanner is not None:
            for form, _ in forms:
                name = await self.scanner.scan(form)
                if name is not None:
                    return Objection("malware", name)
        return None


def _scanned(form: bytes) -> Part | None:
    try:
        return scan(form)
    except MimeError:
        return None


def _ending(name: str) -> str:
    """What decides how a system opens a file: trailing dots and blanks are not part of it."""
    _, dot, ending = name.rstrip(". \t").rpartition(".")
    return ending.lower() if dot else ""


def _members(encoded: bytes, encoding: str) -> Iterator[tuple[str, bool]]:
    """Names in a ZIP archive, and whether each is encrypted; nothing is inflated."""
    try:
        content = decode_body(encoded, encoding, max_bytes=_MOST_DECODED)
        with zipfile.ZipFile(BytesIO(content)) as archive:
            for member in archive.infolist():
                yield member.filename, bool(member.flag_bits & _ENCRYPTED)
    except (MimeError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return
