"""Decompressing compressed-data (RFC 3274): streamed, and stopped where a bomb shows itself."""

import zlib
from typing import Final

from mssante.wire.smime.cms import CompressedData
from mssante.wire.smime.errors import Malformed, Unsupported
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits

_ZLIB: Final = "1.2.840.113549.1.9.16.3.8"
_STEP: Final = 1024 * 1024


def decompress(compressed: CompressedData, limits: SmimeLimits = DEFAULT_LIMITS) -> bytes:
    """The content.

    Raises:
        Malformed: decompression-limit; compressed-damaged for a stream that is broken or unfinished.
        Unsupported: compression-algorithm.
    """
    if compressed.algorithm != _ZLIB:
        raise Unsupported("compression-algorithm")
    stream = zlib.decompressobj()
    pieces: list[bytes] = []
    size = 0
    waiting = compressed.content
    while not stream.eof:
        try:
            piece = stream.decompress(waiting, _STEP)
        except zlib.error:
            raise Malformed("compressed-damaged") from None
        waiting = stream.unconsumed_tail
        size += len(piece)
        consumed = len(compressed.content) - len(waiting)
        too_dense = size > limits.ratio_applies_above and size > consumed * limits.max_ratio
        if size > limits.max_expanded_bytes or too_dense:
            raise Malformed("decompression-limit")
        if not piece and not waiting and not stream.eof:
            raise Malformed("compressed-damaged")
        pieces.append(piece)
    if stream.unused_data:
        raise Malformed("compressed-damaged")
    return b"".join(pieces)
