"""ZIP files from strangers, read strictly: what readers could understand differently is refused.

Only what an archive of documents needs: one disk, no ZIP64, no encryption, stored or deflated members
(PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4). The central directory is the one truth; each local
header must agree with it, and no two members may share bytes. Nothing is inflated before it is asked
for, and then never beyond the size that was declared. An archive inside an archive is a file like
another: it is not opened.
"""

import re
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mssante.wire.cda.model import Private

MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a ZIP file: a first member, or the end record of an empty one."""

_END: Final = struct.Struct("<4sHHHHIIH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_END_MARK: Final = b"PK\x05\x06"
_LOCATOR_MARK: Final = b"PK\x06\x07"
_LOCATOR_SIZE: Final = 20
_LONGEST_COMMENT: Final = 65_535
_ALL_16: Final = 0xFFFF
_ALL_32: Final = 0xFFFF_FFFF
_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
_PATCH: Final = 1 << 5
_UTF_8: Final = 1 << 11
_STORED, _DEFLATED = 0, 8
_DRIVE: Final = re.compile(r"[A-Za-z]:")


class ArchiveRefused(ValueError):
    """The bytes are not an archive that we read.

    Attributes:
        word: stable, such as ``zip-encrypted``; a key of the sender's report.
        where: a name of ours or a place in the file, never a name that the sender chose.
    """

    def __init__(self, word: str, where: str = "") -> None:
        super().__init__(f"{word} ({where})" if where else word)
        self.word = word
        self.where = where


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """What one archive may cost."""

    members: int = 1_000
    """Files and folders."""
    total_bytes: int = 67_108_864
    """Of all files together, inflated, as declared."""
    ratio: int = 200
    """Inflated by deflated bytes, of one file above `ratio_from`. Text deflates to a twentieth."""
    ratio_from: int = 1_048_576
    name_length: int = 255
    """Bytes of one path."""
    depth: int = 8
    """Names in one path."""


@dataclass(frozen=True, slots=True, repr=False)
class Member(Private):
    """A file in an archive."""

    path: tuple[str, ...]
    """Names from the top, as written, without `.`; never `..`."""
    had_backslashes: bool
    size: int
    """Bytes, inflated, as declared."""
    _method: int
    _crc: int
    _data: memoryview

    @property
    def key(self) -> tuple[str, ...]:
        """The path as a reader without case sees it: upper case, composed."""
        return folded(self.path)

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            ArchiveRefused: they are damaged, or not of the declared size.
        """
        content = bytes(self._data) if self._method == _STORED else self._inflated()
        if len(content) != self.size or zlib.crc32(content) != self._crc:
            raise ArchiveRefused("zip-damaged")
        return content

    def _inflated(self) -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(self._data, self.size + 1)
        except zlib.error:
            raise ArchiveRefused("zip-damaged") from None
        # A first block may hide a second stream: the data must end where the member ends.
        if len(content) > self.size or inflater.unused_data:
            raise ArchiveRefused("zip-damaged")
        return content


def folded(path: Iterable[str]) -> tuple[str, ...]:
    """The form in which two paths that differ by case or composition are equal."""
    return tuple(unicodedata.normalize("NFC", name).upper() for name in path)


def unzip(content: bytes, limits: ZipLimits) -> tuple[Member, ...]:
    """The files of an archive, in the order of its central directory; none is inflated yet.

    Raises:
        ArchiveRefused: says why in one word.
    """
    position, count, stop = _directory(content)
    if count > limits.members:
        raise ArchiveRefused("zip-too-many")
    first_free = position
    members: list[Member] = []
    spans: list[tuple[int, int]] = []
    for number in range(1, count + 1):
        where = f"member {number}"
        member, span, position = _member(content, position, (first_free, stop), limits, where)
        spans.append(span)
        if member is not None:
            members.append(member)
    if position != stop:
        raise ArchiveRefused("zip-damaged", "central directory")
    spans.sort()
    if any(one[1] > other[0] for one, other in pairwise(spans)):
        raise ArchiveRefused("zip-overlap")
    if sum(member.size for member in members) > limits.total_bytes:
        raise ArchiveRefused("zip-too-large")
    if len({member.key for member in members}) != len(members):
        raise ArchiveRefused("zip-duplicate")
    return tuple(members)


def _directory(content: bytes) -> tuple[int, int, int]:
    """Where the central directory begins, how many members it has, where it ends (4.3.16)."""
    earliest = max(0, len(content) - _END.size - _LONGEST_COMMENT)
    end = content.rfind(_END_MARK, earliest)
    if not content.startswith(MAGIC) or end < 0 or end + _END.size > len(content):
        raise ArchiveRefused("zip-damaged", "end record")
    _, disk, start_disk, here, count, size, start, comment = _END.unpack_from(content, end)
    if (
        _ALL_16 in (count, disk)
        or _ALL_32 in (size, start)
        or content.startswith(_LOCATOR_MARK, max(0, end - _LOCATOR_SIZE))
    ):
        raise ArchiveRefused("zip-64")
    if disk or start_disk or here != count:
        raise ArchiveRefused("zip-parts")
    if start + size != end or end + _END.size + comment != len(content):
        raise ArchiveRefused("zip-damaged", "end record")
    return start, count, end


def _member(
    content: bytes, position: int, bounds: tuple[int, int], limits: ZipLimits, where: str
) -> tuple[Member | None, tuple[int, int], int]:
    """One entry of the directory (4.3.12): the file, or `None` for a folder; the bytes of the archive
    that are its own; where the next entry begins.
    """
    directory, stop = bounds
    if position + _CENTRAL.size > stop:
        raise ArchiveRefused("zip-damaged", where)
    (mark, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, attributes, offset) = (
        _CENTRAL.unpack_from(content, position)
    )
    name_length, extra_length, comment_length = lengths
    name_start = position + _CENTRAL.size
    after = name_start + name_length + extra_length + comment_length
    if mark != b"PK\x01\x02" or after > stop or disk:
        raise ArchiveRefused("zip-damaged", where)
    if _ALL_32 in (packed, size, offset):
        raise ArchiveRefused("zip-64", where)
    if flags & _ENCRYPTED:
        raise ArchiveRefused("zip-encrypted", where)
    if method not in (_STORED, _DEFLATED) or flags & _PATCH:
        raise ArchiveRefused("zip-method", where)
    if stat.S_IFMT(attributes >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveRefused("zip-link", where)
    if name_length > limits.name_length:
        raise ArchiveRefused("zip-name", where)
    raw = content[name_start : name_start + name_length]
    data = _local(content, offset, directory, (raw, flags, method), where)
    if data + packed > directory:
        raise ArchiveRefused("zip-damaged", where)
    if method == _STORED and packed != size:
        raise ArchiveRefused("zip-damaged", where)
    if size > limits.ratio_from and size > packed * limits.ratio:
        raise ArchiveRefused("zip-ratio", where)
    name = _name(raw, flags, where)
    span = (offset, data + packed)
    path = _path(name, limits, where)
    if name.endswith(("/", "\\")) or not path:
        if size:
            raise ArchiveRefused("zip-damaged", where)
        return None, span, after
    packed_data = memoryview(content)[data : data + packed]
    return Member(path, "\\" in name, size, method, crc, packed_data), span, after


def _local(
    content: bytes, offset: int, directory: int, central: tuple[bytes, int, int], where: str
) -> int:
    """Where the data of a member begin, its local header (4.3.7) agreeing with the directory."""
    if offset + _LOCAL.size > directory:
        raise ArchiveRefused("zip-damaged", where)
    mark, _, flags, method, *_, name_length, extra_length = _LOCAL.unpack_from(content, offset)
    name_start = offset + _LOCAL.size
    name = content[name_start : name_start + name_length]
    agrees = (name, flags & _ENCRYPTED, method) == (central[0], 0, central[2])
    if mark != MAGIC[0] or not agrees:
        raise ArchiveRefused("zip-damaged", where)
    start: int = name_start + name_length + extra_length
    return start


def _name(raw: bytes, flags: int, where: str) -> str:
    """The name in characters: UTF-8 where the flag says so, else IBM 437 (appendix D)."""
    try:
        name = raw.decode("utf-8" if flags & _UTF_8 else "cp437")
    except UnicodeDecodeError:
        raise ArchiveRefused("zip-name", where) from None
    if not name or any(unicodedata.category(character) == "Cc" for character in name):
        raise ArchiveRefused("zip-name", where)
    return name


def _path(name: str, limits: ZipLimits, where: str) -> tuple[str, ...]:
    """The names of a path; a backslash separates like `/`, which some producers under Windows write."""
    straight = name.replace("\\", "/")
    if straight.startswith("/") or _DRIVE.match(straight):
        raise ArchiveRefused("zip-path", where)
    names = tuple(one for one in straight.split("/") if one not in ("", "."))
    if ".." in names:
        raise ArchiveRefused("zip-path", where)
    if len(names) > limits.depth:
        raise ArchiveRefused("zip-depth", where)
    return names
