"""XDM archives for tests: made by our writer, and laid out again as other producers do."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from mssante.filing.visibility import with_flags
from mssante.wire.cda.reader import read_document
from mssante.wire.xdm.writer import DocumentToWrite, write_archive
from mssante.wire.xds.entry import entry_from_cda, submission_set_of
from mssante.wire.xds.model import Coded


def an_archive(*contents, flags=(), title="Envoi", **changed):
    """An archive of documents; `changed` metadata are those of each entry."""
    documents = []
    for content in contents:
        metadata = entry_from_cda(read_document(content), content)
        metadata = with_flags(
            metadata, [Coded(flag, "1.2.250.1.213.1.1.4.13", "") for flag in flags]
        )
        documents.append(DocumentToWrite(replace(metadata, **changed), content))
    first = read_document(contents[0])
    lot = submission_set_of(
        first,
        entry_from_cda(first, contents[0]),
        unique_id="1.2.250.1.999.7",
        source_id="1.2.250.1.999",
        submission_time="20261123080000",
    )
    return write_archive(replace(lot, title=title), documents, sender="Tests")


def files_of(archive):
    with ZipFile(BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(files, *, attributes=None, compress=ZIP_DEFLATED):
    """A ZIP file with exactly these names."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", compress) as opened:
        for name, content in files.items():
            info = ZipInfo("placeholder")
            info.filename = name
            info.compress_type = compress
            info.external_attr = (attributes or {}).get(name, 0)
            opened.writestr(info, content)
    return buffer.getvalue()


def relaid(archive, rename):
    """The same files under other names; those renamed to `None` are left out."""
    named = {rename(name): content for name, content in files_of(archive).items()}
    return zipped({name: content for name, content in named.items() if name is not None})


def edited(archive, *changes):
    """METADATA.XML with (old, new) replaced; each old must be there."""
    files = files_of(archive)
    for name in files:
        if name.endswith("METADATA.XML"):
            for old, new in changes:
                assert old in files[name]
                files[name] = files[name].replace(old, new)
    return zipped(files)


def _without_guides(name):
    return None if "SUBSET01" not in name else name


LAYOUTS = {
    "ours": lambda archive: archive,
    "drimbox": lambda archive: relaid(archive, lambda n: n.replace("SUBSET01", "SS000001")),
    "top-folder": lambda archive: relaid(archive, lambda n: f"Envoi du 23/{n}"),
    "lower-case": lambda archive: relaid(archive, str.lower),
    "backslashes": lambda archive: relaid(archive, lambda n: n.replace("/", "\\")),
    "no-index": lambda archive: relaid(archive, _without_guides),
    "all-at-once": lambda archive: relaid(
        archive,
        lambda n: _without_guides(n) and f"top\\{n.lower()}".replace("/", "\\"),
    ),
}
"""How producers vary; each gives the same documents."""

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")


def raw_zip(
    members, *, count=None, end=b"", flags=0, method=8, same_offset=False, local=None, tail=b""
):
    """A ZIP file written field by field, so that fields can lie.

    `members`: (name, content, declared size or `None`).
    """
    body, directory = b"", b""
    offset = 0
    for name, content, declared in members:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflater.compress(content) + deflater.flush() + tail if method == 8 else content
        size = len(content) if declared is None else declared
        crc = zlib.crc32(content)
        if not same_offset:
            offset = len(body)
        own = local or name
        if not same_offset or not body:
            body += _LOCAL.pack(
                b"PK\3\4", 20, flags, method, 0, 33, crc, len(packed), size, len(own), 0
            )
            body += own + packed
        directory += _CENTRAL.pack(
            b"PK\1\2", 20, 20, flags, method, 0, 33, crc, len(packed), size, len(name), 0, 0, 0, 0,
            0, offset,
        )  # fmt: skip
        directory += name
    number = len(members) if count is None else count
    return body + directory + _END.pack(
        b"PK\5\6", 0, 0, number, number, len(directory), len(body), len(end)
    ) + end  # fmt: skip
