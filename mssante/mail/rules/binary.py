"""A message that came as binary MIME (RFC 3030), in lines: what mailboxes and other operators take."""

from typing import Final

from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.smime.seven_bit import seven_bit
from mssante.wire.smtp.data import ChunkReader

_PIECE: Final = 64 * 1024
"""Octets judged at a time: each of their lines is an object of its own meanwhile."""


def in_lines(content: bytes) -> bytes:
    """The message with each binary part encoded, so that its lines are those of SMTP.

    Raises:
        Refusal: CONVERSION_NEEDED: some part that is not in lines is covered by a signature, or stands
            where no encoding can be told.
    """
    converted = seven_bit(content)
    judge = ChunkReader(len(converted), binary=False)
    for start in range(0, len(converted), _PIECE):
        judge.receive(converted[start : start + _PIECE])
    if judge.end().fault is not None:
        raise Refusal(Reason.CONVERSION_NEEDED, "binary content that cannot be converted")
    return converted
