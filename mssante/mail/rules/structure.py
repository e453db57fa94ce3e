"""The MIME structure stays within limits, so that nothing behind this door meets a bomb."""

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Admitted
from mssante.wire.mime.headers import collect
from mssante.wire.mime.limits import MimeError, MimeLimits
from mssante.wire.mime.scanner import Part, scan


def check_structure(content: bytes, limits: MimeLimits) -> Part:
    """Find the parts of a message.

    Raises:
        Refusal: MESSAGE_TOO_COMPLEX, naming the limit.
    """
    try:
        return scan(content, limits)
    except MimeError as error:
        raise _too_complex(error) from None


def kept(content: bytes, root: Part, block: bytes, limits: MimeLimits) -> Admitted:
    """A message under the header block that it is kept with.

    Args:
        content: as it came.
        root: its structure.
        block: the header with its empty line.
        limits: of the structure; a header may pass them only with what we put into it.

    Raises:
        Refusal: MESSAGE_TOO_COMPLEX, naming the limit.
    """
    if block == content[: root.body_start]:
        return Admitted(content, root)
    # Without a copy of the body in between.
    whole = b"".join((block, memoryview(content)[root.body_start :]))
    try:
        found = root.under(block, collect(block, limits))
    except MimeError as error:
        raise _too_complex(error) from None
    return Admitted(whole, found or check_structure(whole, limits))


def _too_complex(error: MimeError) -> Refusal:
    word = error.fault.value
    return Refusal(Reason.MESSAGE_TOO_COMPLEX, word, hint=word)
