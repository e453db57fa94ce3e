"""Bytes to an archive: any layout that producers write, every file checked against its metadata.

The rules say ``IHE_XDM/SUBSET01/METADATA.XML`` in capitals (IHE ITI TF-2 3.32.4.1.2). Read are any
folder below IHE_XDM, in any case, with backslashes, under one more folder, with or without INDEX.HTM
and README.TXT. What differs from the rules is a warning. What makes it uncertain which bytes are meant
is an error: another hash or size, a file that is not there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from typing import Final

from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.xdm.model import XdmArchive, XdmDocument, XdmLimits, XdmSubset
from mssante.wire.xdm.unzip import ArchiveRefused, Member, folded, unzip
from mssante.wire.xds.ebrim_reader import (
    NotMetadata,
    ReceivedEntry,
    ReceivedMetadata,
    read_metadata,
)
from mssante.wire.xml import XmlRefused

ROOT: Final = "IHE_XDM"
METADATA: Final = "METADATA.XML"
INDEX: Final = "INDEX.HTM"
README: Final = "README.TXT"

_MARKS: Final = (b"IHE_XDM/", b"IHE_XDM\\", b"METADATA.XML")
_SHA_1: Final = re.compile(r"[0-9a-f]{40}\Z")
_SHA_256: Final = re.compile(r"[0-9a-f]{64}\Z")

Path = tuple[str, ...]

_ERRORS: Final = {
    "uri-missing": "the metadata do not say which file the document is",
    "uri-outside": "the metadata name a file outside the folder of the subset",
    "uri-unknown": "the file that the metadata name is not in the archive",
    "uri-repeated": "two documents are the same file",
    "zip-damaged": "the file is damaged",
    "hash-malformed": "the hash is not 40 hexadecimal digits",
    "hash-sha256": "the hash is a SHA-256; XDS demands SHA-1",
    "submission-sets": "the metadata have more than one submission set",
    "documents-missing": "the metadata have no document",
}
_WARNINGS: Final = {
    "index-missing": "there is no INDEX.HTM",
    "readme-missing": "there is no README.TXT",
    "top-folder": "the archive is wrapped in a folder",
    "separators": "names are separated by a backslash",
    "name-case": "names are not in upper case",
    "file-unreferenced": "no DocumentEntry names the file",
    "uri-case": "the metadata write the name of the file in another case",
    "uri-separators": "the metadata separate names by a backslash",
    "hash-missing": "the metadata have no hash",
    "size-missing": "the metadata have no size",
    "submission-set-missing": "the metadata have no submission set",
}


class NotXdm(ValueError):
    """A ZIP file that does not mean to be an archive of documents."""


def shows_xdm(content: bytes) -> bool:
    """Whether the names in a ZIP file, read or not, are those of an archive of documents."""
    upper = content.upper()
    return any(mark in upper for mark in _MARKS)


def read_archive(content: bytes, limits: XdmLimits) -> XdmArchive:
    """Read an archive; problems of severity error mean that it cannot be trusted.

    Raises:
        ArchiveRefused: it cannot be read safely, or has no readable metadata.
        NotXdm: there is no folder IHE_XDM, nor METADATA.XML.
    """
    members = unzip(content, limits.files)
    files = {member.key: member for member in members}
    top, folders = _layout(files)
    if len(folders) > limits.subsets:
        raise ArchiveRefused("too-many")
    received = [
        _metadata(files[(*folder, METADATA)], limits, f"subset {number}")
        for number, folder in enumerate(folders, start=1)
    ]
    if sum(len(one.entries) for one in received) > limits.documents:
        raise ArchiveRefused("too-many")
    subsets = tuple(
        _subset(metadata, folder, files, f"subset {number}")
        for number, (folder, metadata) in enumerate(zip(folders, received, strict=True), start=1)
    )
    return XdmArchive(subsets, tuple(_outside(members, files, top)))


def _layout(files: Mapping[Path, Member]) -> tuple[Path, list[Path]]:
    """The folder that IHE_XDM stands in, and the folders of the subsets, in order."""
    folders = sorted(key[:-1] for key in files if _is_metadata(key))
    tops = {folder[:-2] for folder in folders}
    if not folders:
        if any(ROOT in key[:-1] or key[-1] == METADATA for key in files):
            raise ArchiveRefused("no-metadata")
        raise NotXdm("neither IHE_XDM nor METADATA.XML")
    if len(tops) > 1:
        raise ArchiveRefused("several-roots")
    return tops.pop(), folders


def _is_metadata(key: Path) -> bool:
    """IHE_XDM / folder / METADATA.XML, below at most one more folder."""
    return len(key) in (3, 4) and key[-1] == METADATA and key[-3] == ROOT


def _metadata(member: Member, limits: XdmLimits, where: str) -> ReceivedMetadata:
    if member.size > limits.metadata.size:
        raise ArchiveRefused("metadata-too-large", where)
    try:
        return read_metadata(member.read(), limits.metadata)
    except (XmlRefused, NotMetadata):
        raise ArchiveRefused("metadata-unreadable", where) from None


def _subset(
    metadata: ReceivedMetadata, folder: Path, files: Mapping[Path, Member], where: str
) -> XdmSubset:
    own = {key[len(folder) :]: files[key] for key in files if key[: len(folder)] == folder}
    targets = [_target(entry, own) for entry in metadata.entries]
    named = [target.key for target in targets if isinstance(target, Member)]
    documents = tuple(
        _document(
            entry,
            "uri-repeated"
            if isinstance(target, Member) and named.count(target.key) > 1
            else target,
            len(folder),
            f"{where}, document {number}",
        )
        for number, (entry, target) in enumerate(
            zip(metadata.entries, targets, strict=True), start=1
        )
    )
    problems = []
    if len(metadata.submission_sets) > 1:
        problems.append(_error("submission-sets", where))
    if not metadata.submission_sets:
        problems.append(_warning("submission-set-missing", where))
    if not documents:
        problems.append(_error("documents-missing", where))
    left = len(own) - 1 - len(set(named))
    problems += [_warning("file-unreferenced", where)] * min(left, 1)
    return XdmSubset(next(iter(metadata.submission_sets), None), documents, tuple(problems))


def _target(entry: ReceivedEntry, own: Mapping[Path, Member]) -> Member | str:
    """The file of an entry, or the word for why there is none."""
    if entry.uri is None:
        return "uri-missing"
    straight = entry.uri.replace("\\", "/")
    names = tuple(name for name in straight.split("/") if name != ".")
    if straight.startswith("/") or ":" in straight or ".." in names:
        return "uri-outside"
    key = folded(names)
    # METADATA.XML describes the others, and is no document of its own.
    return "uri-unknown" if key == (METADATA,) else own.get(key, "uri-unknown")


def _document(
    entry: ReceivedEntry, target: Member | str, folder_depth: int, where: str
) -> XdmDocument:
    if isinstance(target, str):
        return XdmDocument(entry, where, None, (_error(target, where),))
    try:
        content = target.read()
    except ArchiveRefused as refusal:
        return XdmDocument(entry, where, None, (_error(refusal.word, where),))
    problems = [
        *_spelling(entry.uri or "", target.path[folder_depth:], where),
        *_integrity(entry, content, where),
    ]
    return XdmDocument(entry, where, content, tuple(problems))


def _spelling(uri: str, path: Path, where: str) -> Iterator[Problem]:
    if "\\" in uri:
        yield _warning("uri-separators", where)
    names = tuple(name for name in uri.replace("\\", "/").split("/") if name != ".")
    if names != path:
        yield _warning("uri-case", where)


def _integrity(entry: ReceivedEntry, content: bytes, where: str) -> Iterator[Problem]:
    """Hash and size against the bytes (IHE ITI TF-3 4.2.3.2.10 and 4.2.3.2.22)."""
    stated, actual = entry.metadata.hash, sha1(content, usedforsecurity=False).hexdigest()
    if not stated:
        yield _warning("hash-missing", where)
    elif _SHA_256.match(stated):
        yield _error("hash-sha256", where)
    elif not _SHA_1.match(stated):
        yield _error("hash-malformed", where)
    elif stated != actual:
        text = f"the file has the SHA-1 {actual}, the metadata say {stated}"
        yield Problem(Severity.ERROR, "hash-differs", where, text)
    if not entry.has_size:
        yield _warning("size-missing", where)
    elif entry.metadata.size != len(content):
        text = f"the file has {len(content)} bytes, the metadata say {entry.metadata.size}"
        yield Problem(Severity.ERROR, "size-differs", where, text)


def _outside(
    members: Sequence[Member], files: Mapping[Path, Member], top: Path
) -> Iterator[Problem]:
    """What differs from the rules outside the subsets, or in all names."""
    if top:
        yield _warning("top-folder")
    if any(member.had_backslashes for member in members):
        yield _warning("separators")
    if any(member.path[len(top) :] != member.key[len(top) :] for member in members):
        yield _warning("name-case")
    # DRIMbox leaves them in IHE_XDM's parent, others inside.
    for name, code in ((INDEX, "index-missing"), (README, "readme-missing")):
        if not any((*folder, name) in files for folder in (top, (*top, ROOT), ())):
            yield _warning(code)


def _error(code: str, where: str) -> Problem:
    return Problem(Severity.ERROR, code, where, _ERRORS[code])


def _warning(code: str, where: str = "") -> Problem:
    return Problem(Severity.WARNING, code, where, _WARNINGS[code])
