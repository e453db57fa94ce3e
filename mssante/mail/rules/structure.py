"""The MIME structure stays within limits, so that nothing behind this door meets a bomb."""

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Admitted
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
        raise Refusal(
            Reason.MESSAGE_TOO_COMPLEX, error.fault.value, hint=error.fault.value
        ) from None


def kept(content: bytes, root: Part, block: bytes) -> Admitted:
    """A message under the header block that it is kept with.

    Args:
        content: as it came.
        root: its structure.
        block: the header with its empty line.
    """
    if block == content[: root.body_start]:
        return Admitted(content, root)
    return Admitted(block + content[root.body_start :], None)
