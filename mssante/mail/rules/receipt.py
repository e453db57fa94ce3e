"""A patient's message with the null reverse-path is a read receipt (RFC 8098), and nothing else.

Receipts also go to contacts that have closed: free text must not go that way.
"""

import re
from typing import Final

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.rules.header import Header
from mssante.wire.mime.headers import unfold

_RECEIPT: Final = re.compile(
    rb"multipart/report\s*;(?:.*;)?\s*report-type\s*=\s*\"?disposition-notification\"?\s*(?:;|\Z)",
    re.IGNORECASE | re.DOTALL,
)


def check_is_receipt(header: Header) -> None:
    """Look at the content type.

    Raises:
        Refusal: NOT_PERMITTED.
    """
    for field in header.named(b"content-type"):
        if _RECEIPT.match(unfold(header.value(field))):
            return
    raise Refusal(Reason.NOT_PERMITTED, "a patient's null reverse-path without a read receipt")
