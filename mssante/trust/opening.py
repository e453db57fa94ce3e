"""Taking the layers off a message, from the outside, without judging what they prove.

Only what covers the whole entity is opened. An encrypted part beside others stays closed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from mssante.wire.mime.scanner import Part
from mssante.wire.smime.cms import EnvelopedData, SignedData
from mssante.wire.smime.compression import decompress
from mssante.wire.smime.decryption import DecryptionKey, decrypt, has_integrity
from mssante.wire.smime.errors import DecryptionFailed, Malformed, NoRecipientKey, SmimeError
from mssante.wire.smime.limits import SmimeLimits
from mssante.wire.smime.recognition import (
    Appearance,
    Layer,
    appearance,
    beside,
    read_layer,
    scan_entity,
)
from mssante.wire.smime.signature import bound_contents, readings

_FIRST_FIELD: Final = re.compile(rb"\r?\n|[!-9;-~]++[ \t]*+:")


@unique
class Decryption(StrEnum):
    """What became of an encrypted content."""

    OK = "ok"
    NO_RECIPIENT = "no-recipient"
    FAIL = "fail"
    REFUSE = "refuse"
    """It stands beside clear parts, and is not opened there."""


@dataclass(frozen=True, slots=True, repr=False)
class SignedLayer:
    """One signature object and what it covers."""

    object: SignedData
    contents: tuple[bytes, ...]
    """Readings of what it covers, the likeliest first; see `signature.readings`."""


class Opening:
    """Peels layers until one stays closed, breaks, or there is none left."""

    def __init__(self, keys: Sequence[DecryptionKey], limits: SmimeLimits) -> None:
        self._keys = keys
        self._limits = limits
        self.layers: list[SignedData | EnvelopedData] = []
        self.signed: list[SignedLayer] = []
        self.failure: SmimeError | None = None
        self.decryption: Decryption | None = None
        self.plaintext: bytes | None = None
        self.root: Part | None = None
        """Of the innermost entity that was read."""
        self.looks_signed = False
        self.looks_encrypted = False
        self.partly_signed = False

    def open(self, message: bytes, root: Part | None = None) -> None:
        """Peel the message; how it ended is in `failure`, `decryption` and `plaintext`.

        Args:
            message: header and body.
            root: its structure where it is known, its lines then ending in CRLF.
        """
        try:
            entity = self._peel(message, root)
        except SmimeError as error:
            self.failure = error
            if isinstance(error, NoRecipientKey):
                self.decryption = Decryption.NO_RECIPIENT
            elif self._is_closed():
                self.decryption = Decryption.FAIL
        else:
            self.plaintext = entity

    def _is_closed(self) -> bool:
        """Whether the failure is that of decrypting the innermost layer."""
        last = self.layers[-1] if self.layers else None
        return isinstance(last, EnvelopedData) and self.decryption is None

    def _peel(self, entity: bytes, root: Part | None) -> bytes | None:
        found_any = False
        in_crlf = root is not None
        for _ in range(self._limits.max_layers + 1):
            self.root = scan_entity(entity, scanned=root)
            self._note_appearance(self.root)
            layer = read_layer(entity, self.root, self._limits)
            if layer is None:
                self._look_beside(entity, self.root)
                return entity if found_any else None
            found_any = True
            # A detached content is a piece of what is around it, lines and structure included.
            in_crlf = in_crlf and layer.detached_content is not None
            inner = self._inside(layer, in_crlf=in_crlf)
            if inner is None:
                return None
            entity, root = inner, layer.content_root if inner is layer.detached_content else None
        raise Malformed("nesting-limit")

    def _note_appearance(self, root: Part) -> None:
        kind = appearance(root)
        self.looks_signed = self.looks_signed or kind in (
            Appearance.CLEAR_SIGNED,
            Appearance.SIGNED,
        )
        self.looks_encrypted = self.looks_encrypted or kind is Appearance.ENCRYPTED

    def _look_beside(self, entity: bytes, root: Part) -> None:
        found = beside(entity, root, self._limits)
        self.partly_signed = found.signed
        if found.encrypted:
            self.looks_encrypted = True
            self.decryption = Decryption.REFUSE
            raise Malformed("encrypted-part-not-root")

    def _inside(self, layer: Layer, *, in_crlf: bool) -> bytes | None:
        """What a layer covers, not yet verified; None where that is nothing (certs-only)."""
        match layer.object:
            case SignedData():
                return self._inside_signed(layer.object, layer.detached_content, in_crlf=in_crlf)
            case EnvelopedData():
                return self._decrypted(layer.object)
            case _:
                return decompress(layer.object, self._limits)

    def _inside_signed(
        self, data: SignedData, detached: bytes | None, *, in_crlf: bool
    ) -> bytes | None:
        self.layers.append(data)
        if detached is None and data.content is None and data.signers:
            raise Malformed("content-absent")
        contents: tuple[bytes, ...] = ()
        if detached is not None:
            contents = (detached,) if in_crlf else readings(detached)
        elif data.content is not None:
            contents = (data.content,)
        self.signed.append(SignedLayer(data, contents))
        if not contents:
            return None
        return _signed_reading(data, contents)

    def _decrypted(self, enveloped: EnvelopedData) -> bytes:
        self.layers.append(enveloped)
        self.looks_encrypted = True
        content = decrypt(enveloped, self._keys)
        # Without authentication a wrong content key shows itself only as a text that is no MIME.
        if not has_integrity(enveloped) and not _FIRST_FIELD.match(content):
            raise DecryptionFailed
        self.decryption = Decryption.OK
        return content


def _signed_reading(data: SignedData, contents: tuple[bytes, ...]) -> bytes:
    """The reading whose digest a signer signed; the canonical one where none did."""
    if len(contents) == 1:
        return contents[0]
    for signer in data.signers:
        try:
            return bound_contents(signer, data.content_type, contents)[0]
        except SmimeError:
            continue
    return contents[0]
