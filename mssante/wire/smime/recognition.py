"""Which S/MIME layer a MIME entity is (RFC 8551 section 3): its root, and nothing beside it.

A layer is only what covers the whole entity. Signed or encrypted parts next to others are found
too, to be reported and never opened: decrypting beside clear parts is how EFAIL leaks a text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from mssante.wire.mime.headers import fields
from mssante.wire.mime.limits import DEFAULT_LIMITS as MIME_LIMITS
from mssante.wire.mime.limits import MimeError, MimeLimits
from mssante.wire.mime.parameters import raw_parameter, text_parameter
from mssante.wire.mime.scanner import Part, scan
from mssante.wire.mime.transfer import decode_body
from mssante.wire.smime.cms import CmsObject, EnvelopedData, SignedData, read_cms
from mssante.wire.smime.errors import Malformed, SmimeError
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits

_SIGNATURE_TYPES: Final = frozenset((b"pkcs7-signature", b"x-pkcs7-signature"))
_CMS_TYPES: Final = frozenset((b"pkcs7-mime", b"x-pkcs7-mime"))
_PROTOCOLS: Final = frozenset(b"application/" + each for each in _SIGNATURE_TYPES)
_FILE_NAME: Final = re.compile(r".*\.p7[mzcs]\s*\Z", re.DOTALL | re.IGNORECASE)
_ENCRYPTED_HINTS: Final = frozenset((b"enveloped-data", b"authenveloped-data"))
_SIGNED_HINTS: Final = frozenset((b"signed-data", b"certs-only"))


@unique
class Appearance(StrEnum):
    """What an entity claims to be, before it is read."""

    CLEAR_SIGNED = "clear-signed"
    ENCRYPTED = "encrypted"
    SIGNED = "signed"
    CMS = "cms"
    """One of the above two, or compressed: only the object itself tells."""


@dataclass(frozen=True, slots=True, repr=False)
class Layer:
    """One S/MIME layer around a whole entity."""

    object: CmsObject
    detached_content: bytes | None
    """Of a multipart/signed: its first part, headers included, exactly as it stands."""
    content_root: Part | None = None
    """The structure of `detached_content`."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Which S/MIME parts stand beside others, inside an entity that is no layer itself."""

    signed: bool
    encrypted: bool


def appearance(root: Part) -> Appearance | None:
    """What an entity looks like from its header; None for one that is no S/MIME layer."""
    if (root.type, root.subtype) == (b"multipart", b"signed"):
        return Appearance.CLEAR_SIGNED if _is_clear_signed(root) else None
    if root.type != b"application":
        return None
    if root.subtype in _SIGNATURE_TYPES:
        return Appearance.SIGNED
    if root.subtype not in _CMS_TYPES and not _has_file_name(root):
        return None
    hint = (raw_parameter(root.parameters, b"smime-type") or b"").strip().lower()
    if hint in _ENCRYPTED_HINTS:
        return Appearance.ENCRYPTED
    return Appearance.SIGNED if hint in _SIGNED_HINTS else Appearance.CMS


def scan_entity(
    entity: bytes, limits: MimeLimits = MIME_LIMITS, *, scanned: Part | None = None
) -> Part:
    """The structure of an entity whose meaning must not depend on the reader.

    Args:
        entity: header and body.
        limits: of the structure.
        scanned: the structure, where it is known already.

    Raises:
        Malformed: duplicate-content-type, nesting-limit, or another limit of MIME.
    """
    try:
        root = scan(entity, limits) if scanned is None else scanned
    except MimeError as error:
        raise Malformed(error.fault.value) from None
    names = [field.name.lower() for field in fields(entity[: root.body_start])]
    if names.count(b"content-type") > 1:
        raise Malformed("duplicate-content-type")
    return root


def read_layer(entity: bytes, root: Part, limits: SmimeLimits = DEFAULT_LIMITS) -> Layer | None:
    """The layer that an entity is; None where it is none.

    Args:
        entity: header and body.
        root: its structure, from `scan_entity`.
        limits: of the CMS object.

    Raises:
        Malformed: a multipart/signed that has not two parts, a body that does not decode, a CMS
            object that is broken or over a limit.
        Unsupported: another kind of CMS object.
    """
    kind = appearance(root)
    if kind is None:
        return None
    if kind is not Appearance.CLEAR_SIGNED:
        return Layer(_read_object(entity, root, limits), None)
    if len(root.children) != 2:
        raise Malformed("signed-not-two-parts")
    content, signature = root.children
    found = _read_object(entity, signature, limits)
    if not isinstance(found, SignedData):
        raise Malformed("signature-is-no-signature")
    return Layer(
        found,
        entity[content.header_start : content.body_stop],
        content.moved(-content.header_start),
    )


def beside(entity: bytes, root: Part, limits: SmimeLimits = DEFAULT_LIMITS) -> Beside:
    """Look for signed and encrypted parts below the root; attached messages stay closed. Of more objects
    than are read, each that is no mere signature counts as encrypted: its label is the sender's word.
    """
    signed = encrypted = False
    read = 0
    for part in _below(root):
        kind = appearance(part)
        if kind is None:
            continue
        if kind is Appearance.CLEAR_SIGNED:
            signed = True
        elif read < limits.max_beside:
            read += 1
            found = _kind_of(entity, part, limits) or kind
            signed = signed or found is Appearance.SIGNED
            encrypted = encrypted or found is Appearance.ENCRYPTED
        else:
            signed = signed or kind is Appearance.SIGNED
            encrypted = encrypted or part.subtype not in _SIGNATURE_TYPES
    return Beside(signed, encrypted)


def _below(part: Part) -> Iterator[Part]:
    for child in part.children:
        yield child
        yield from _below(child)


def _kind_of(entity: bytes, part: Part, limits: SmimeLimits) -> Appearance | None:
    try:
        found = _read_object(entity, part, limits)
    except SmimeError:
        return None
    if isinstance(found, EnvelopedData):
        return Appearance.ENCRYPTED
    return Appearance.SIGNED if isinstance(found, SignedData) and found.signers else Appearance.CMS


def _read_object(entity: bytes, part: Part, limits: SmimeLimits) -> CmsObject:
    encoded = entity[part.body_start : part.body_stop]
    encoding = part.encoding.decode("ascii", "replace")
    try:
        octets = decode_body(encoded, encoding, max_bytes=limits.max_content_bytes)
    except MimeError as error:
        raise Malformed(error.fault.value) from None
    return read_cms(octets, limits)


def _is_clear_signed(root: Part) -> bool:
    protocol = raw_parameter(root.parameters, b"protocol")
    if protocol is not None:
        return protocol.strip().lower() in _PROTOCOLS
    second = root.children[1] if len(root.children) > 1 else None
    return (
        second is not None and second.type == b"application" and second.subtype in _SIGNATURE_TYPES
    )


def _has_file_name(part: Part) -> bool:
    _, parameters = part.disposition or (b"", ())
    names = (text_parameter(parameters, b"filename"), text_parameter(part.parameters, b"name"))
    return any(name is not None and _FILE_NAME.match(name) for name in names)
