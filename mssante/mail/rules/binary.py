"""A message that came as binary MIME (RFC 3030), in lines: what mailboxes and other operators take."""

from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.smime.seven_bit import seven_bit
from mssante.wire.smtp.data import ChunkReader


def in_lines(content: bytes) -> bytes:
    """The message with each binary part encoded, so that its lines are those of SMTP.

    Raises:
        Refusal: CONVERSION_NEEDED: some part that is not in lines is covered by a signature, or stands
            where no encoding can be told.
    """
    converted = seven_bit(content)
    judge = ChunkReader(len(converted), binary=False)
    judge.receive(converted)
    if judge.end().fault is not None:
        raise Refusal(Reason.CONVERSION_NEEDED, "binary content that cannot be converted")
    return converted
